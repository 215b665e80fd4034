"""The longest chain of requests of each command: what a user of a bucket far away waits for."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pykopia.storage import registry
from pykopia.storage.backends.memory.options import MemoryOptions
from pykopia.storage.backends.memory.storage import MemoryStorage
from pykopia.storage.base import BlobStorage
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.registry import Backend
from tests.cli_runner import Runner
from tests.rounds import RemoteStorage, Rounds

SNAPSHOTS = 3


@pytest.fixture
def rounds() -> Iterator[Rounds]:
    with Rounds().running() as running:
        yield running


@pytest.fixture
def client(tmp_path: Path, rounds: Rounds, monkeypatch: pytest.MonkeyPatch) -> Runner:
    """Return a client with a repository in the memory of this process, which is far away."""
    name = str(tmp_path).replace("/", "-")

    def opened(options: MemoryOptions, *, create: bool = False) -> BlobStorage:
        return RemoteStorage(MemoryStorage.from_options(options, create=create), rounds)

    real_load = registry.load
    monkeypatch.setattr(registry, "load", lambda path: opened if path == "tests:remote" else real_load(path))
    described = "pykopia.storage.backends.memory.options:MemoryOptions"
    monkeypatch.setitem(registry.BACKENDS, "memory", Backend(kind="memory", opener="tests:remote", options=described))
    source = tmp_path / "source"
    source.mkdir()
    for number in range(20):
        (source / str(number)).write_bytes(bytes([number]) * 1000)
    run = Runner(tmp_path)
    info = ConnectionInfo.from_options(MemoryOptions(name=name))
    import pykopia

    with pykopia.create(info, run.password, config=run.config, cache_root=tmp_path / "caches"):
        pass
    for _ in range(SNAPSHOTS):
        assert run("snapshot", "create", "--no-progress", str(source)).status == 0
    return run


@pytest.fixture
def chain(client: Runner, rounds: Rounds, tmp_path: Path) -> Callable[..., list[list[str]]]:
    """Return what runs a command and returns the requests of each round."""

    def measure(*words: str, cold: bool = False) -> list[list[str]]:
        if cold:
            shutil.rmtree(tmp_path / "caches")
        rounds.asked.clear()
        done = client(*words)
        assert (done.status, done.stderr) == (0, done.stderr)
        return list(rounds.asked)

    return measure


def test_a_list_takes_one_round_and_three_with_an_empty_cache(chain: Callable[..., list[list[str]]]) -> None:
    assert chain("snapshot", "list")[1:] == []
    cold = chain("snapshot", "list", cold=True)
    assert set(cold[0]) == {"check", "get kopia.repository", "get kopia.blobcfg", "list x", "list q"}
    assert [{request.split()[1][0] for request in asked} for asked in cold[1:]] == [{"x"}, {"q"}]
    assert len(cold[2]) == SNAPSHOTS + 1  # that of the first policy too


CREATE = [
    "list x|check|get kopia.maintenance",
    "list|put s",
    "put p|put q",
    "put x|metadata q",
    "list x|delete s",
]
OPEN_COLD = ["get kopia.repository|get kopia.blobcfg|list x|check", "get x", "get q"]


def shown(rounds: list[list[str]]) -> list[set[str]]:
    """Return what each round asked for: packs, sessions and index blobs by their first letter."""
    parts = [[each.partition(" ") for each in asked] for asked in rounds]
    return [
        {f"{verb} {name if name.startswith('kopia') else name[:1]}".strip() for verb, _, name in each} for each in parts
    ]


def expected(*rounds: str) -> list[set[str]]:
    return [set(each.split("|")) for each in rounds]


def test_a_snapshot_takes_five_rounds_and_two_more_with_an_empty_cache(
    chain: Callable[..., list[list[str]]], tmp_path: Path
) -> None:
    words = ("snapshot", "create", "--no-progress", str(tmp_path / "source"))
    (tmp_path / "source/0").write_bytes(b"new")
    assert shown(chain(*words)) == expected(*CREATE)
    (tmp_path / "source/0").write_bytes(b"newer")
    cold = [f"{OPEN_COLD[0]}|get kopia.maintenance", *OPEN_COLD[1:], *CREATE[1:]]
    assert shown(chain(*words, cold=True)) == expected(*cold)


def test_a_restore_takes_five_rounds_with_an_empty_cache(chain: Callable[..., list[list[str]]], tmp_path: Path) -> None:
    found = shown(chain("snapshot", "restore", "latest", str(tmp_path / "restored"), cold=True))
    assert found == expected(f"{OPEN_COLD[0]}|list q", *OPEN_COLD[1:], "metadata p", "get p")


def test_a_verification_takes_eight_rounds_with_an_empty_cache(chain: Callable[..., list[list[str]]]) -> None:
    found = shown(chain("snapshot", "verify", "--verify-files-percent=100", cold=True))
    assert found == expected(*OPEN_COLD, "list p|list q", "metadata p", "get p", "list s", "list x")


def test_full_maintenance_takes_13_rounds_with_an_empty_cache(chain: Callable[..., list[list[str]]]) -> None:
    found = shown(chain("maintenance", "run", "--full", cold=True))
    opened = [f"{OPEN_COLD[0]}|list _|get kopia.maintenance", *OPEN_COLD[1:]]
    take_lease = ["put _", "list _|get kopia.maintenance"]
    prove = ["put kopia.maintenance|list p|list q|list _", "list s", "list x"]
    collect, record, give_back = ["list x"], ["get kopia.maintenance", "put kopia.maintenance"], ["get _", "delete _"]
    assert found == expected(*opened, *take_lease, *prove, *collect, *record, *give_back)
