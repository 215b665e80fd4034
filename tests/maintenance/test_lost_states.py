"""Every small state of epoch markers, singles, ranges and lost index blobs: what maintenance destroys, and what it may.

What it may destroy is said by the complete repository: whatever a snapshot needs that any subset of the lost blobs would
have shown. So after the most destructive maintenance, the lost blobs are put back, and every snapshot must be readable.
"""

import pytest

from pykopia.errors import ContradictedViewError, PykopiaError
from pykopia.repository.index_recovery import RecoveryOptions, recover_index
from pykopia.repository.view import contradictions
from tests.maintenance.lost_states import (
    AGE_NS,
    EPOCHS,
    KEPT_BY_POLICY,
    LAYOUTS,
    History,
    given_back,
    some,
    states,
    states_of_the_index,
    taken,
)

SAMPLE = 20
"""States of a layout that a test tries by default."""

every_number = pytest.mark.parametrize(
    "number", [SAMPLE, pytest.param(0, marks=[pytest.mark.slow, pytest.mark.timeout(0)], id="all")]
)


@every_number
@pytest.mark.parametrize(("version", "layout"), LAYOUTS)
def test_maintenance_destroys_nothing_that_a_lost_blob_would_have_shown(
    version: int, layout: str, number: int, capsys: pytest.CaptureFixture[str]
) -> None:
    history = History(version, layout)
    count = refused = 0
    with history.scene.clock.installed():
        for lost in some(states(history), number):
            count += 1
            history.scene.clock.set(history.now_ns)
            storage, repository = history.opened(history.without(lost))
            for _ in range(2):  # what the first run marks, the second one drops and deletes
                try:
                    repository.maintenance.run("full", safety="none", force=True, monotonic=history.scene.monotonic)
                except PykopiaError:
                    refused += 1
                history.scene.clock.advance(hours=25)
            if not lost:
                assert not history.garbage & set(taken(storage)), "garbage is left in a complete repository"
            given_back(storage, lost)
            _, whole = history.opened(taken(storage))
            for content in history.contents:
                whole.contents.get(content, check=True)
            assert len(whole.snapshots.list()) == EPOCHS, sorted(lost)
    with capsys.disabled():
        print(f"\n{count} states of {layout!r}, maintenance refused {refused} of {2 * count} runs", end=" ")


@every_number
@pytest.mark.parametrize(("version", "layout"), LAYOUTS)
def test_a_recovered_index_shows_all_contents_whatever_was_lost(version: int, layout: str, number: int) -> None:
    history = History(version, layout)
    markers = [name for name in history.blobs if name.startswith("xe")]
    with history.scene.clock.installed():
        history.scene.clock.set(history.now_ns)
        for lost in some(states_of_the_index(history), number):
            storage, repository = history.opened(history.without({*markers, *lost}))
            recover_index(repository, RecoveryOptions(commit=True))
            _, seen = history.opened(taken(storage))
            assert len(seen.snapshots.list()) == EPOCHS
            for content in history.contents:
                seen.contents.get(content, check=True)
            # what Kopia reads is all there is
            assert not seen.contents.indexes.epoch_state().lacks_markers
            seen.maintenance.run("full", force=True, monotonic=history.scene.monotonic)


def test_lost_markers_stop_maintenance_and_a_write_puts_them_right() -> None:
    history = History(3, "flushes")
    with history.scene.clock.installed():
        history.scene.clock.set(history.now_ns)
        _, repository = history.opened(history.without(name for name in history.blobs if name.startswith("xe")))
        assert len(repository.snapshots.list()) == EPOCHS
        with pytest.raises(ContradictedViewError, match="markers") as refused:
            repository.maintenance.run("full", force=True, monotonic=history.scene.monotonic)
        assert refused.value.exit_code == 45
        assert not repository.maintenance.schedule().successes("snapshot-gc")
        with repository.writer() as writer:
            writer.contents.write(b"anything")
        assert repository.contents.indexes.write_epoch == EPOCHS - 1
        repository.maintenance.run("full", force=True, monotonic=history.scene.monotonic)


@pytest.mark.parametrize(("version", "layout"), LAYOUTS)
def test_nothing_contradicts_anything_in_a_complete_repository(version: int, layout: str) -> None:
    history = History(version, layout)
    with history.scene.clock.installed():
        history.scene.clock.set(history.now_ns)
        _, repository = history.opened(history.blobs)
        assert contradictions(repository) == ()
        assert repository.snapshots.verify().contradictions == ()
        repository.snapshots.expire(delete=True)
        kept = [each.id for each in repository.snapshots.list()]
        assert kept == history.snapshots[-KEPT_BY_POLICY:]
        repository.snapshots.delete(kept[0])
        assert [each.id for each in repository.snapshots.list()] == kept[1:]


@pytest.mark.parametrize(("version", "layout"), LAYOUTS)
def test_a_clock_behind_all_packs_hides_no_loss(version: int, layout: str) -> None:
    history = History(version, layout)
    with history.scene.clock.installed():
        history.scene.clock.set(history.now_ns - 2 * AGE_NS)
        lost = [name for name in history.blobs if name.startswith(("n", "xn0", "xs0", "xr"))]
        storage, repository = history.opened(history.without(lost))
        with pytest.raises(ContradictedViewError, match="no index"):
            repository.maintenance.run("full", safety="none", force=True, monotonic=history.scene.monotonic)
        given_back(storage, {name: history.blobs[name] for name in lost})
        _, whole = history.opened(taken(storage))
        assert len(whole.snapshots.list()) == EPOCHS
