"""Objects of an application that ``snapshots.put`` keeps: Kopia respects them as it does any snapshot."""

from pathlib import Path

from pykopia.api.opening import create
from pykopia.format.source import SourceInfo

from .kopia_cli import KopiaCLI
from .repositories import UNCACHED_LISTINGS, client_of, kopia_snapshot_ids, open_shared, verify_all

SOURCE = SourceInfo(user_name="app", host="server", path="/models")


def test_kopia_lists_keeps_verifies_and_restores_stored_objects(kopia: KopiaCLI, tmp_path: Path) -> None:
    location = tmp_path / "repository"
    data = {"small": b"small", "large": bytes(range(256)) * (20 << 10)}
    with create(location, kopia.password, client=client_of(kopia)) as repository, repository.writer() as writer:
        kept = {name: writer.objects.write(each) for name, each in data.items()}
        lost = writer.objects.write(b"nothing keeps this" * 1000)
        snapshot = repository.snapshots.put(SOURCE, {"v1": kept, "empty": {}}, writer=writer, pins=["keep"])
    kopia.connect(location, **UNCACHED_LISTINGS)
    assert kopia_snapshot_ids(kopia) == {snapshot.id}
    for _ in range(3):
        kopia.maintenance_run(safety="none")
    kopia.verify_all()
    kopia.run("snapshot", "restore", str(snapshot.id), str(tmp_path / "restored"))
    for name, each in data.items():
        assert (tmp_path / "restored" / "v1" / name).read_bytes() == each
    with open_shared(kopia, location) as repository:
        verify_all(repository)
        assert repository.objects.exists(kept["large"])
        assert not repository.objects.exists(lost)
