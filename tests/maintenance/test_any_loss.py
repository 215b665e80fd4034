"""Any commands after any loss and any damage: nothing but errors of the library, and no snapshot is lost by them."""

import contextlib
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from pykopia.api.repository import Repository
from pykopia.errors import PykopiaError
from pykopia.repository.index_recovery import ASIDE_PREFIX, RecoveryOptions, recover_index
from pykopia.snapshot.verify import VerifyOptions
from tests.maintenance.lost_states import LAYOUTS, Blobs, History, given_back, taken

SEQUENCES = 4
"""Sequences of commands that a layout is tried with by default."""
KEPT = ("kopia.repository", "kopia.blobcfg")
"""Blobs without which nothing opens."""

every_count = pytest.mark.parametrize(
    "count", [SEQUENCES, pytest.param(100, marks=[pytest.mark.slow, pytest.mark.timeout(0)])]
)


def commands(repository: Repository, source: Path, history: History) -> list[Callable[[], object]]:
    """Return commands that look, write, repair and destroy, but for the deletion of snapshots that was asked for."""
    run = repository.maintenance.run
    return [
        repository.snapshots.list,
        lambda: repository.snapshots.verify(options=VerifyOptions(files_percent=100, max_errors=-1)),
        lambda: repository.snapshots.create(source),
        lambda: run("full", safety="none", force=True, monotonic=history.scene.monotonic),
        lambda: run("full", force=True, monotonic=history.scene.monotonic),
        lambda: run("quick", safety="none", force=True, monotonic=history.scene.monotonic),
        lambda: run("auto", monotonic=history.scene.monotonic),
        repository.maintenance.ledger,
        lambda: recover_index(repository, RecoveryOptions(commit=True)),
        lambda: recover_index(repository, RecoveryOptions(commit=True, ignore_errors=True)),
    ]


def lost_and_damaged(history: History, chance: random.Random) -> tuple[Blobs, dict[str, tuple[bytes, int]]]:
    """Return what is lost, and other blobs as damage has left them."""
    names = [name for name in history.blobs if name not in KEPT]
    if chance.random() < 0.7:  # without manifests there is little that a command can do
        names = [name for name in names if not name.startswith("q")]
    number = chance.choice([1, 1, 2, 3, len(names) // 3, len(names) // 2])
    lost = chance.sample(names, number)
    left = [name for name in names if name not in lost]
    damaged = {}
    for name in chance.sample(left, chance.choice([0, 0, 1, 2])):
        content, timestamp_ns = history.blobs[name]
        broken = chance.choice([b"", content[: len(content) // 2], bytes([content[0] ^ 1]) + content[1:]])
        damaged[name] = broken, timestamp_ns
    return {name: history.blobs[name] for name in lost}, damaged


@every_count
@pytest.mark.parametrize(("version", "layout"), LAYOUTS)
def test_whatever_is_lost_and_whatever_is_typed_then_the_lost_blobs_bring_all_back(
    version: int, layout: str, count: int, tmp_path: Path
) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "file").write_bytes(b"of another source")
    history = History(version, layout)
    with history.scene.clock.installed():
        for seed in range(count):
            chance = random.Random(f"{version} {layout} {seed}")
            history.scene.clock.set(history.now_ns)
            lost, damaged = lost_and_damaged(history, chance)
            storage, repository = history.opened({**history.without(lost), **damaged})
            for _ in range(chance.randint(2, 6)):
                with contextlib.suppress(PykopiaError):
                    chance.choice(commands(repository, source, history))()
                history.scene.clock.advance(hours=chance.choice([0, 1, 25]))
            given_back(storage, {**lost, **{name: history.blobs[name] for name in damaged}})
            for blob in list(storage.list(ASIDE_PREFIX)):
                storage.delete(blob.blob_id)
            _, whole = history.opened(taken(storage))
            for content in history.contents:
                whole.contents.get(content, check=True)
            assert {*history.snapshots} <= {each.id for each in whole.snapshots.list()}, (seed, sorted(lost))
