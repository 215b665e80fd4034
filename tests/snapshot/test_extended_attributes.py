"""Extended attributes, ACLs and hard links: recorded and restored where that is asked for, and nowhere else."""

import errno
import json
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.api.repository import Repository
from pykopia.errors import RestoreError, UsageError
from pykopia.format.directory import Directory, DirectoryEntry, decode_entry, encode_directory, encode_entry, summarize
from pykopia.format.extended_attributes import ExtendedAttributes
from pykopia.ids import ObjectID
from pykopia.snapshot.hard_links import HardLinks
from pykopia.snapshot.restore_options import RestoreOptions
from pykopia.snapshot.upload_options import SnapshotOptions
from tests import attribute_trees
from tests.attribute_trees import attributes
from tests.cli_runner import Runner

RECORDING = SnapshotOptions(extended_attributes=True)
RESTORING = RestoreOptions(extended_attributes=True)
OBJECT = ObjectID("0123456789abcdef0123456789abcdef")
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="other users may not set such attributes")


def _has_attributes(folder: Path) -> bool:
    if not hasattr(os, "setxattr"):
        return False
    try:
        os.setxattr(folder, "user.test", b"")
        os.setxattr(folder, "system.posix_acl_default", attribute_trees.ACL)
    except OSError:
        return False
    os.removexattr(folder, "user.test")
    os.removexattr(folder, "system.posix_acl_default")
    return True


@pytest.fixture
def tree(source: Path) -> Path:
    if not _has_attributes(source):
        pytest.skip("the folder for temporary files has no extended attributes, or no ACLs")
    attribute_trees.build(source)
    return source


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


# ---------------------------------------------------------------------- the member of an entry

values = st.dictionaries(st.text(min_size=1, max_size=20), st.binary(max_size=50), max_size=4)
extended = st.builds(
    lambda attributes, link: ExtendedAttributes(tuple(sorted(attributes.items())), link), values, st.text(max_size=9)
).filter(lambda each: bool(each.values or each.hard_link))


def entry_with(extended: ExtendedAttributes | None, name: str = "file") -> DirectoryEntry:
    return DirectoryEntry(name=name, type="f", size=3, mode=0o644, mtime_ns=1, object_id=OBJECT, extended=extended)


@given(st.lists(st.none() | extended, min_size=1, max_size=4))
def test_what_an_entry_has_is_read_back(found: list[ExtendedAttributes | None]) -> None:
    entries = tuple(entry_with(each, f"file{number}") for number, each in enumerate(found))
    assert Directory.from_bytes(encode_directory(entries, summarize(entries, 0))).entries == entries
    assert [decode_entry(encode_entry(each)) for each in entries] == [*entries]


def test_the_member_comes_last_and_has_base64() -> None:
    text = encode_entry(entry_with(ExtendedAttributes((("user.<", b"\0\xff"),), "12")))
    assert text.endswith(b'"pykopia":{"xattrs":{"user.\\u003c":"AP8="},"hardlink":"12"}}')


@pytest.mark.parametrize(
    "member",
    ["null", "1", '"x"', "[]", "{}", '{"xattrs":[1]}', '{"xattrs":{"a":"?"}}', '{"hardlink":{}}', '{"xattrs":{}}'],
)
def test_a_member_of_another_form_is_ignored(member: str) -> None:
    plain = encode_entry(entry_with(None))
    assert decode_entry(plain[:-1] + b',"pykopia":' + member.encode() + b"}") == entry_with(None)


# ---------------------------------------------------------------------- there and back


def test_everything_comes_back(repository: Repository, tree: Path, target: Path) -> None:
    taken = repository.snapshots.create(tree, options=RECORDING).manifest.id
    result = repository.snapshots.restore(taken, target, options=RESTORING)
    assert attributes(target) == attributes(tree)
    assert (result.counters.unset_entries, result.warnings) == (0, ())
    assert result.counters.restored_files == 6
    assert result.counters.restored_bytes == sum(
        path.stat().st_size for path in tree.rglob("*") if path.is_file() and not path.is_symlink()
    )


@pytest.mark.parametrize(
    "options",
    [
        RESTORING,
        RestoreOptions(extended_attributes=True, only_differences=True),
        RestoreOptions(extended_attributes=True, delete_extra=True),
    ],
)
def test_a_second_restore_over_the_first_changes_nothing(
    repository: Repository, tree: Path, target: Path, options: RestoreOptions
) -> None:
    taken = repository.snapshots.create(tree, options=RECORDING).manifest.id
    for _ in range(2):
        repository.snapshots.restore(taken, target, options=options)
        assert attributes(target) == attributes(tree)


def test_without_the_options_nothing_is_recorded_or_restored(repository: Repository, tree: Path, target: Path) -> None:
    plain = repository.snapshots.create(tree).manifest
    assert b"pykopia" not in repository.objects.read(plain.root_object_id)
    recorded = repository.snapshots.create(tree, options=RECORDING).manifest
    assert b"pykopia" in repository.objects.read(recorded.root_object_id)
    result = repository.snapshots.restore(recorded.id, target)
    assert all(not found and len(names) == 1 for _, _, found, names in attributes(target).values())
    assert result.counters.left_extended_attributes == 6 + (os.geteuid() == 0)
    again = repository.snapshots.create(tree).manifest
    assert again.root_object_id == plain.root_object_id


def test_a_change_of_attributes_alone_is_recorded_and_no_file_is_read(repository: Repository, tree: Path) -> None:
    first = repository.snapshots.create(tree, options=RECORDING)
    same = repository.snapshots.create(tree, options=RECORDING)
    assert same.manifest.root_object_id == first.manifest.root_object_id
    os.setxattr(tree / "plain", "user.new", b"1")
    os.removexattr(tree / "sub", "user.folder")
    changed = repository.snapshots.create(tree, options=RECORDING)
    assert (same.counters.hashed_files, changed.counters.hashed_files) == (0, 0)
    entries = {each.name: each for each in repository.objects.directory(changed.manifest.root_object_id).entries}
    assert entries["plain"].extended == ExtendedAttributes((("user.new", b"1"),))
    assert dict(entries["sub"].extended.values).keys() == {"system.posix_acl_default"}  # type: ignore[union-attr]


def test_a_single_file_comes_back(repository: Repository, tree: Path, target: Path) -> None:
    taken = repository.snapshots.create(tree / "noted", options=RECORDING).manifest.id
    repository.snapshots.restore(taken, target, options=RESTORING)
    assert attributes(target)["."][2] == attributes(tree)["noted"][2]


def test_the_program_takes_the_same_options(repository: Repository, tree: Path, target: Path) -> None:
    run = Runner(target.parent / "client")
    run.ok("repository", "create", "filesystem", "--path", str(target.parent / "stored"))
    run.ok("snapshot", "create", str(tree), "--extended-attributes")
    told = run.ok("restore", str(tree), str(target.parent / "plain"))
    assert "were recorded and not restored: --extended-attributes does" in told.stderr
    run.ok("restore", str(tree), str(target), "--extended-attributes")
    assert attributes(target) == attributes(tree)


# ---------------------------------------------------------------------- hard links


def test_names_of_a_file_that_changed_between_them_stay_apart(repository: Repository, tree: Path, target: Path) -> None:
    taken = repository.snapshots.create(tree, options=RECORDING).manifest
    root = repository.objects.directory(taken.root_object_id)
    first = next(each for each in root.entries if each.name == "noted")
    with repository.writer() as writer:
        other = DirectoryEntry(
            name="other", type="f", mode=first.mode, size=5, mtime_ns=first.mtime_ns, uid=first.uid, gid=first.gid,
            object_id=writer.objects.write(b"other"), extended=first.extended,
        )  # fmt: skip
        changed = writer.objects.write(encode_directory([first, other], summarize([first, other], 0)), prefix="k")
    repository.snapshots.restore(changed, target, options=RESTORING)
    assert (target / "other").read_bytes() == b"other"
    assert (target / "noted").read_bytes() == b"with attributes"
    assert (target / "noted").stat().st_nlink == 1


def test_a_link_through_a_folder_that_was_replaced_is_a_copy(tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (inside / "real").mkdir(parents=True)
    (outside / "file").write_bytes(b"a secret")
    (inside / "real" / "file").write_bytes(b"restored")
    links, entry = HardLinks(), entry_with(ExtendedAttributes(hard_link="1"))
    handle = os.open(inside, os.O_RDONLY)
    try:
        with links.making(entry) as names:
            names.path = "way/file"
            status = (inside / "real" / "file").stat()
            names.identity = status.st_dev, status.st_ino
        (inside / "way").symlink_to(outside)
        assert not links.link(entry, handle, handle, "name")
        (inside / "way").unlink()
        outside.rename(inside / "way")
        assert not links.link(entry, handle, handle, "name")
        assert not (inside / "name").exists()
        (inside / "way").rename(outside)
        (inside / "real").rename(inside / "way")
        assert links.link(entry, handle, handle, "name")
        assert (inside / "name").stat().st_nlink == 2
    finally:
        os.close(handle)


def test_many_names_of_one_file_are_made_by_many_threads(repository: Repository, source: Path, target: Path) -> None:
    (source / "0").write_bytes(b"one file")
    for number in range(1, 600):
        os.link(source / "0", source / str(number))
    taken = repository.snapshots.create(source, options=RECORDING).manifest.id
    repository.snapshots.restore(taken, target, options=RestoreOptions(extended_attributes=True, parallel=16))
    assert (target / "0").stat().st_nlink == 600
    assert (target / "0").read_bytes() == b"one file"


# ---------------------------------------------------------------------- rights


def stored(repository: Repository, *attributes: tuple[str, bytes], mode: int = 0o644) -> ObjectID:
    """Store a folder with a file that has such attributes."""
    with repository.writer() as writer:
        file = DirectoryEntry(
            name="file", type="f", mode=mode, size=1, mtime_ns=1, uid=os.geteuid(), gid=os.getegid(),
            object_id=writer.objects.write(b"1"), extended=ExtendedAttributes(attributes),
        )  # fmt: skip
        return writer.objects.write(encode_directory([file], summarize([file], 0)), prefix="k")


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.ENOTSUP, errno.EINVAL])
def test_what_may_not_be_set_is_passed_over_and_counted(
    repository: Repository, target: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "setxattr", refuse)
    root = stored(repository, ("security.selinux", b"label"), ("user.a", b"1"))
    result = repository.snapshots.restore(root, target, options=RESTORING)
    assert (result.counters.unset_entries, result.counters.unset_extended_attributes) == (1, 1)
    assert result.counters.unset_attributes() == (
        "The extended attributes of 1 entry could not be set for lack of rights"
    )
    assert len(result.warnings) == (2 if code == errno.ENOTSUP else 0)
    assert (target / "file").read_bytes() == b"1"
    strict = RestoreOptions(extended_attributes=True, ignore_permission_errors=False)
    with pytest.raises(RestoreError, match=r"can't set the extended attribute user\.a of file"):
        repository.snapshots.restore(root, target / "strict", options=strict)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.E2BIG, errno.ERANGE])
def test_an_attribute_that_the_target_cannot_hold_costs_no_file(
    repository: Repository, target: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    setxattr = os.setxattr

    def refuse(place: int, name: str, value: bytes, **options: bool) -> None:
        if len(value) > 4000:
            raise OSError(code, os.strerror(code))
        setxattr(place, name, value, **options)

    monkeypatch.setattr(os, "setxattr", refuse)
    root = stored(repository, ("user.large", b"1" * 5000), ("user.small", b"1"))
    result = repository.snapshots.restore(root, target, options=RESTORING)
    assert (target / "file").read_bytes() == b"1"
    assert os.listxattr(target / "file") == ["user.small"]
    (warning,) = result.warnings
    assert warning.startswith("file: the target can't hold its extended attribute user.large of 5000 bytes: ")
    strict = RestoreOptions(extended_attributes=True, ignore_permission_errors=False)
    with pytest.raises(RestoreError, match=r"can't set the extended attribute user\.large of file"):
        repository.snapshots.restore(root, target / "strict", options=strict)


@pytest.mark.parametrize("name", ["user.nul\0", "user." + "x" * 300])
def test_a_name_that_no_attribute_can_have_costs_no_file(repository: Repository, target: Path, name: str) -> None:
    result = repository.snapshots.restore(stored(repository, (name, b"1")), target, options=RESTORING)
    assert (target / "file").read_bytes() == b"1"
    assert len(result.warnings) == 1


@pytest.mark.parametrize("code", [errno.ENODATA, errno.EACCES, errno.EOPNOTSUPP, errno.E2BIG])
def test_an_attribute_that_can_not_be_read_does_not_take_the_others_with_it(
    repository: Repository, tree: Path, monkeypatch: pytest.MonkeyPatch, code: int, caplog: pytest.LogCaptureFixture
) -> None:
    getxattr = os.getxattr

    def refuse(path: str, name: str, **options: bool) -> bytes:
        if name == "user.refused":
            raise OSError(code, os.strerror(code))
        return getxattr(path, name, **options)

    monkeypatch.setattr(os, "getxattr", refuse)
    os.setxattr(tree / "plain", "user.refused", b"1")
    os.setxattr(tree / "plain", "user.zebra", b"2")
    taken = repository.snapshots.create(tree, options=RECORDING).manifest
    entries = {each.name: each for each in repository.objects.directory(taken.root_object_id).entries}
    assert entries["plain"].extended == ExtendedAttributes((("user.zebra", b"2"),))
    assert ("user.refused of" in caplog.text) == (code != errno.ENODATA)


@as_root
def test_namespaces_that_no_snapshot_records_are_never_set(repository: Repository, target: Path) -> None:
    names = ("system.nfs4_acl", "security.evm", "security.ima", "other.x", "user", "", "user.\0x")
    root = stored(repository, *((name, b"1") for name in names[:-1]))
    repository.snapshots.restore(root, target, options=RESTORING)
    assert os.listxattr(target / "file") == []


@as_root
@pytest.mark.parametrize("option", ["skip_owners", "skip_permissions"])
def test_capabilities_go_with_owner_and_mode_alone(
    repository: Repository, tree: Path, target: Path, option: str
) -> None:
    taken = repository.snapshots.create(tree, options=RECORDING).manifest.id
    options = RestoreOptions(extended_attributes=True, **{option: True})  # type: ignore[arg-type]
    repository.snapshots.restore(taken, target, options=options)
    assert "security.capability" not in os.listxattr(target / "large")
    assert ("system.posix_acl_access" in os.listxattr(target / "noted")) == (option == "skip_owners")
    assert os.getxattr(target / "noted", "user.comment") == b"\0\xff any bytes"


@as_root
def test_a_file_whose_owner_could_not_be_set_gets_no_capabilities(
    repository: Repository, tree: Path, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken = repository.snapshots.create(tree, options=RECORDING).manifest.id

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "refused")

    monkeypatch.setattr(os, "chown", refuse)
    result = repository.snapshots.restore(taken, target, options=RESTORING)
    assert result.counters.unset_owners
    assert "security.capability" not in os.listxattr(target / "large")


def test_a_placeholder_keeps_what_it_stands_for(repository: Repository, tree: Path, target: Path) -> None:
    taken = repository.snapshots.create(tree, options=RECORDING).manifest
    shallow = RestoreOptions(extended_attributes=True, shallow_depth=0)
    repository.snapshots.restore(taken.id, target, options=shallow)
    entry = json.loads((target / "noted.kopia-entry").read_text())
    assert entry["pykopia"]["xattrs"]["user.comment"]
    assert not [name for name in os.listxattr(target / "noted.kopia-entry") if name.startswith("user.")]


# ---------------------------------------------------------------------- where it makes no sense


@pytest.mark.parametrize("name", ["out.tar", "out.zip"])
def test_archives_are_refused(repository: Repository, tree: Path, tmp_path: Path, name: str) -> None:
    taken = repository.snapshots.create(tree, options=RECORDING).manifest.id
    with pytest.raises(UsageError, match="to a folder only"):
        repository.snapshots.restore(taken, tmp_path / name, options=RESTORING)
    assert not (tmp_path / name).exists()


def test_urls_and_executors_are_refused(repository: Repository, tree: Path, tmp_path: Path) -> None:
    taken = repository.snapshots.create(tree, options=RECORDING).manifest.id
    with pytest.raises(UsageError, match="extended_attributes can't be used for a URL"):
        repository.snapshots.restore(taken, "memory://bucket", options=RESTORING)
    with pytest.raises(UsageError, match="extended attributes are of files of this machine"):
        repository.snapshots.create("memory://bucket", options=RECORDING)
    with ThreadPoolExecutor(1) as executor, pytest.raises(UsageError, match="extended_attributes can't be used with"):
        repository.snapshots.restore(taken, tmp_path / "out", options=RESTORING, executor=executor)


def test_a_system_without_extended_attributes_is_named(
    repository: Repository, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "listxattr")
    with pytest.raises(UsageError, match="on Linux only"):
        repository.snapshots.create(source, options=RECORDING)
