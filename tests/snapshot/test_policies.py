"""Policies as a repository stores them: those of others that can't be read, and which ones a source depends on."""

import gzip
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import pykopia
from pykopia.api.repository import Repository
from pykopia.errors import InvalidPolicyError
from pykopia.format import gojson
from pykopia.format.policy import EMPTY_POLICY
from pykopia.format.policy_merge import effective_policy
from pykopia.format.policy_target import DefinedPolicy, concerns, policy_labels
from pykopia.format.policy_tree import PolicyTree
from pykopia.format.source import SourceInfo
from pykopia.storage.backends.memory.storage import MemoryStorage

CLIENT = pykopia.ClientOptions(username="u", hostname="h")
names = st.sampled_from(["", "a", "b"])
paths = st.sampled_from(["", "/", "/s", "/s/a", "/s/a/b", "/sx", "/t"])
targets = st.builds(SourceInfo, host=names, user_name=names, path=paths)


@pytest.fixture
def repository() -> Repository:
    return pykopia.create(MemoryStorage(), "pw", client=CLIENT)


def store_unreadable(repository: Repository, target: SourceInfo, data: bytes) -> None:
    head = gojson.dumps({"id": "ab" * 16, "labels": policy_labels(target), "modified": "2024-01-01T00:00:00Z"})
    content = b'{"entries":[' + head[:-1] + b',"data":' + data + b"}]}"
    with repository.writer() as writer:
        writer.contents.write(gzip.compress(content), prefix="m", compressor="zstd-fastest")
    repository.refresh()


UNREADABLE = [b'{"files":' + b'{"a":' * 600 + b"1" + b"}" * 601, b'{"files":[1]}', b'"text"']


@pytest.mark.parametrize("data", UNREADABLE, ids=["deep", "wrong type", "no object"])
def test_a_policy_of_another_source_that_cannot_be_read_stops_no_snapshot(
    repository: Repository, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "a").write_text("one")
    store_unreadable(repository, SourceInfo(host="h", user_name="u", path="/elsewhere"), data)
    assert repository.snapshots.create(tmp_path).saved
    with pytest.raises(InvalidPolicyError, match=f"u@h:/elsewhere in manifest {'ab' * 16}"):
        repository.policies.list()


@pytest.mark.parametrize("data", UNREADABLE, ids=["deep", "wrong type", "no object"])
def test_a_policy_of_the_source_that_cannot_be_read_is_named(
    repository: Repository, tmp_path: Path, data: bytes
) -> None:
    (tmp_path / "a").write_text("one")
    target = SourceInfo(host="h", user_name="u", path=str(tmp_path))
    store_unreadable(repository, target, data)
    with pytest.raises(InvalidPolicyError, match="can't be read"):
        repository.snapshots.create(tmp_path)
    repository.policies.set(target, EMPTY_POLICY)
    assert repository.snapshots.create(tmp_path).saved


def test_manifests_with_deep_data_do_not_stop_compaction(repository: Repository, tmp_path: Path) -> None:
    store_unreadable(repository, SourceInfo(host="h", user_name="u", path="/elsewhere"), UNREADABLE[0])
    (tmp_path / "a").write_text("one")
    for _ in range(20):
        repository.snapshots.create(tmp_path)
    assert len(list(repository.contents.list("m", "n"))) < 17
    assert len(repository.manifests.find({"policyType": "path"})) == 1


@given(st.lists(targets, max_size=6), targets)
def test_policies_that_do_not_concern_a_source_change_nothing_for_it(
    others: list[SourceInfo], source: SourceInfo
) -> None:
    defined = [DefinedPolicy(target=target, policy=EMPTY_POLICY) for target in others]
    kept = [each for each in defined if concerns(each.target, source)]
    assert effective_policy(source, defined) == effective_policy(source, kept)
    tree, smaller = PolicyTree.for_source(source, defined), PolicyTree.for_source(source, kept)
    for path in ("", "a", "a/b", "b", "x"):
        assert (tree.descend(path).effective, tree.descend(path).defined) == (
            smaller.descend(path).effective,
            smaller.descend(path).defined,
        )
