"""The states of ``tests.maintenance.lost_states`` before a real kopia: pykopia destroys nothing that kopia keeps.

Each state is given to both programs, in a folder of its own each. Afterwards the lost blobs are put back, and what is there
is compared: contents in packs, and snapshots. A few states of each kind are tried by default, all by the slow tests.
"""

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pykopia import clock
from pykopia.api.opening import connect
from pykopia.api.repository import Repository
from pykopia.errors import PykopiaError
from pykopia.ids import BlobID
from pykopia.repository.index_recovery import RecoveryOptions, read_pack_index, recover_index
from pykopia.storage.backends.filesystem.storage import FilesystemStorage
from tests.maintenance.lost_states import (
    EPOCHS,
    KEPT_BY_POLICY,
    LAYOUTS,
    Blobs,
    History,
    given_back,
    some,
    states,
    states_of_the_index,
    taken,
)
from tests.maintenance.scene import OWNER, PASSWORD

from .kopia_cli import KopiaCLI
from .repositories import UNCACHED_LISTINGS

SAMPLE = 6
"""States of a layout that a test tries by default."""
RUNS = 2
"""What the first maintenance marks, the second one drops and deletes."""
STORED = ("p", "q", "n", "xn", "xs", "xr")
"""What the names of blobs begin with that hold contents, or say where they are."""

every_layout = pytest.mark.parametrize(("version", "layout"), LAYOUTS)
every_number = pytest.mark.parametrize("number", [SAMPLE, pytest.param(0, marks=pytest.mark.slow, id="all")])


@dataclass(frozen=True, kw_only=True)
class Holdings:
    """What a repository has once the lost blobs are back."""

    contents: frozenset[str]
    """Those that a pack lists, manifests left out."""
    snapshots: frozenset[str]


@dataclass
class Campaign:
    """A history in a folder, where states of it are given to both programs."""

    history: History
    kopia: KopiaCLI
    folder: Path
    tried: int = 0
    refused_by_kopia: int = 0
    refused_by_us: int = 0
    blind: int = 0
    """States in which kopia does not see what it has recovered itself."""
    _whole: Path = field(init=False)
    _place: Path = field(init=False)

    def __post_init__(self) -> None:
        self._whole, self._place = self.folder / "whole", self.folder / "repository"
        self._whole.mkdir()
        given_back(FilesystemStorage(self._whole, create=True), self.history.blobs)
        self.lay_out({})
        self.kopia.connect(self._place, **UNCACHED_LISTINGS)

    def lay_out(self, lost: Blobs) -> FilesystemStorage:
        """Make the repository without lost blobs where both programs look for it."""
        shutil.rmtree(self._place, ignore_errors=True)
        shutil.rmtree(self.kopia.cache_directory, ignore_errors=True)
        shutil.copytree(self._whole, self._place)
        storage = FilesystemStorage(self._place)
        for name in lost:
            storage.delete(BlobID(name))
        return storage

    def run_kopia(self, *words: str) -> bool:
        """Run a command of kopia; return whether it ended well."""
        return self.kopia.run(*words, check=False).returncode == 0

    def opened(self) -> Repository:
        """Return the repository as pykopia opens it."""
        return connect(FilesystemStorage(self._place), PASSWORD, client=OWNER)

    def ran(self, act: Callable[[Repository], object]) -> bool:
        """Do something to the repository; return whether it ended well."""
        try:
            with self.opened() as repository:
                act(repository)
        except PykopiaError:
            return False
        return True

    def holdings(self, lost: Blobs) -> Holdings:
        """Put the lost blobs back and return what is there."""
        storage, repository = self.history.opened(taken(FilesystemStorage(self._place)) | dict(lost))
        contents: set[str] = set()
        for prefix in ("p", "q"):
            for pack in storage.list(prefix):
                with read_pack_index(repository, pack) as index:
                    contents.update(str(e.content_id) for e in index.entries() if e.pack_blob == pack.blob_id)
        return Holdings(
            contents=frozenset(each for each in contents if not each.startswith("m")),
            snapshots=frozenset(str(each.id) for each in repository.snapshots.list()),
        )

    def blobs(self) -> set[str]:
        """Return the blobs that hold contents or say where they are."""
        return {blob.blob_id for blob in FilesystemStorage(self._place).list("") if blob.blob_id.startswith(STORED)}

    def destroys_no_more(self, lost: Blobs, theirs: Holdings, ours: Holdings) -> None:
        """Compare; garbage of the complete repository may go at different times."""
        assert theirs.contents - ours.contents <= self.history.garbage_contents, sorted(lost)
        assert theirs.snapshots <= ours.snapshots, sorted(lost)


@pytest.fixture
def campaign(version: int, layout: str, kopia: KopiaCLI, tmp_path: Path) -> Campaign:
    """Return a campaign by the time of this machine: nobody can turn kopia's clock."""
    history = History(version, layout, clock.now())
    client = KopiaCLI(
        executable=kopia.executable,
        folder=kopia.folder,
        password=PASSWORD,
        username=str(OWNER.username),
        hostname=str(OWNER.hostname),
    )
    return Campaign(history, client, tmp_path)


def maintain(repository: Repository) -> None:
    """Run the most destructive maintenance, as often as kopia."""
    for _ in range(RUNS):
        repository.maintenance.run("full", safety="none", force=True)


@every_number
@every_layout
@pytest.mark.timeout(0)
def test_maintenance_destroys_nothing_that_kopia_keeps(
    campaign: Campaign, number: int, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    history = campaign.history
    for lost in some(states(history), number):
        campaign.lay_out(lost)
        before = campaign.blobs()
        kopia_ran = all(campaign.run_kopia("maintenance", "run", "--full", "--safety=none") for _ in range(RUNS))
        theirs = campaign.holdings(lost)
        campaign.lay_out(lost)
        we_ran = campaign.ran(maintain)
        ours = campaign.holdings(lost)
        if not lost:
            assert kopia_ran
            assert we_ran
        if not kopia_ran:
            assert before <= campaign.blobs(), (sorted(lost), we_ran)
        campaign.destroys_no_more(lost, theirs, ours)
        assert set(map(str, history.contents)) <= ours.contents
        assert len(ours.snapshots) == EPOCHS
        campaign.tried += 1
        campaign.refused_by_kopia += not kopia_ran
        campaign.refused_by_us += not we_ran
    tell(campaign, f"maintenance of {layout!r}", capsys)


@every_number
@every_layout
@pytest.mark.timeout(0)
def test_expiry_deletes_no_snapshot_that_kopia_keeps(
    campaign: Campaign, number: int, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    history = campaign.history
    for lost in some(states(history), number):
        campaign.lay_out(lost)
        kopia_ran = campaign.run_kopia("snapshot", "expire", "--all", "--delete")
        theirs = campaign.holdings(lost)
        campaign.lay_out(lost)
        we_ran = campaign.ran(lambda repository: repository.snapshots.expire(delete=True))
        ours = campaign.holdings(lost)
        campaign.destroys_no_more(lost, theirs, ours)
        if not lost:
            assert len(ours.snapshots) == len(theirs.snapshots) == KEPT_BY_POLICY
        elif we_ran and not kopia_ran:
            assert len(ours.snapshots) == EPOCHS, sorted(lost)
        campaign.tried += 1
        campaign.refused_by_kopia += not kopia_ran
        campaign.refused_by_us += not we_ran
    tell(campaign, f"expiry of {layout!r}", capsys)


@every_number
@every_layout
@pytest.mark.parametrize("who", ["kopia", "pykopia"])
@pytest.mark.timeout(0)
def test_both_see_the_same_after_one_has_recovered_the_index(
    campaign: Campaign, who: str, number: int, layout: str, capsys: pytest.CaptureFixture[str]
) -> None:
    history = campaign.history
    garbage = set(map(str, history.garbage_contents))
    for lost in some(states_of_the_index(history), number):
        before = [blob.blob_id for blob in campaign.lay_out(lost).list("")]
        if who == "kopia":
            ran = campaign.run_kopia("index", "recover", "--commit")
        else:
            ran = campaign.ran(lambda repository: recover_index(repository, RecoveryOptions(commit=True)))
        campaign.tried += 1
        if not ran:
            assert who == "kopia", sorted(lost)  # it can't open a repository whose markers say too little
            campaign.refused_by_kopia += 1
            continue
        shutil.rmtree(campaign.kopia.cache_directory, ignore_errors=True)
        listed = campaign.kopia.run("snapshot", "list", "--all", "--json", check=False)
        assert listed.returncode == 0, (sorted(lost), listed.stderr)
        by_kopia = {each["id"] for each in campaign.kopia.snapshot_list()}
        contents_of_kopia = {each["contentID"] for each in campaign.kopia.content_list(deleted=False)}
        with campaign.opened() as repository:
            by_us = {str(each.id) for each in repository.snapshots.list()}
            contents = {str(entry.content_id) for entry in repository.contents.list()}
        # kopia does not put markers back, and so it may not see that a content was deleted; pykopia does
        assert contents_of_kopia - contents <= (garbage if who == "kopia" else set()), sorted(lost)
        assert by_us == set(map(str, history.snapshots)), sorted(lost)
        if who == "kopia" and writes_behind_a_range(before):
            assert by_kopia <= by_us, sorted(lost)
            campaign.blind += 1
            continue
        assert contents <= contents_of_kopia, sorted(lost)
        assert by_kopia == by_us, sorted(lost)
    tell(campaign, f"recovery of {layout!r} by {who}", capsys)


def writes_behind_a_range(blobs: Sequence[str]) -> bool:
    """Return True if the epoch that the markers name is in a range already: kopia never reads what it writes there."""
    epochs = (int(name[2:]) for name in blobs if name.startswith("xe"))
    ranges = (int(name.split("_")[1]) for name in blobs if name.startswith("xr"))
    return max(epochs, default=0) <= max(ranges, default=-1)


def tell(campaign: Campaign, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Print how many states were tried."""
    with capsys.disabled():
        print(
            f"\n{campaign.tried} states, {what}: kopia refused {campaign.refused_by_kopia}, "
            f"pykopia {campaign.refused_by_us}"
            + (f"; kopia stayed blind in {campaign.blind}" if campaign.blind else ""),
            end=" ",
        )
