"""Policies inside a source, and the compressor that a policy picks."""

import json
from pathlib import Path
from typing import Any

import pytest

from pykopia.format.compression_policy import compressor_for, file_extension, metadata_compressor
from pykopia.format.policy import (
    DEFAULT_POLICY,
    CompressionPolicy,
    FilesPolicy,
    MetadataCompressionPolicy,
    Policy,
)
from pykopia.format.policy_target import DefinedPolicy
from pykopia.format.policy_tree import PolicyTree
from pykopia.format.source import SourceInfo

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "policy_merge.json").read_text())
ONE = Policy(files=FilesPolicy(max_file_size=1))
TWO = Policy(files=FilesPolicy(max_file_size=2))


def source(text: str) -> SourceInfo:
    return SourceInfo.parse(text, "here", "me", "/")


@pytest.mark.parametrize("case", VECTORS["tree"], ids=lambda case: case["name"])
def test_the_tree_of_a_source_is_kopias(case: dict[str, Any]) -> None:
    defined = [
        DefinedPolicy(target=source(each["target"]), policy=Policy.from_json(json.dumps(each["policy"])))
        for each in case["policies"] or []
    ]
    tree = PolicyTree.for_source(source(case["source"]), defined)
    for node in case["nodes"]:
        found = tree.descend(node["path"])
        assert json.loads(found.effective.to_json()) == node["effective"], node["path"]
        assert (found.defined is not None) == node["defined_here"]
        assert (found.defined is None) == node["inherited"]


def test_a_policy_below_the_root_is_bare() -> None:
    tree = PolicyTree.build(DEFAULT_POLICY, {"a/b": ONE, "a/b/c/d": TWO})
    assert tree.defined is DEFAULT_POLICY
    assert tree.descend("a").defined is None
    assert tree.descend("a").effective is DEFAULT_POLICY
    assert tree.descend("a/b").defined is ONE
    assert tree.descend("a/b/c").defined is None
    assert tree.descend("a/b/c").effective is ONE
    assert tree.descend("a/b/c/d/e/f").effective is TWO
    assert tree.descend("a/x").effective is DEFAULT_POLICY


def test_a_directory_like_the_one_above_is_the_same_object() -> None:
    tree = PolicyTree.build(DEFAULT_POLICY, {"a": ONE})
    inside = tree.child("b")
    assert inside.defined is None
    assert inside.child("c").child("d") is inside
    assert tree.child("c") is inside
    assert tree.child("a").child("c").effective is ONE


def test_of_several_policies_for_one_sub_directory_the_last_counts() -> None:
    defined = [DefinedPolicy(target=source("u@h:/s/x"), policy=each) for each in (ONE, TWO)]
    assert PolicyTree.for_source(source("u@h:/s"), defined).child("x").effective == TWO


def test_policies_of_paths_that_no_directory_has_are_never_met() -> None:
    defined = [DefinedPolicy(target=source(path), policy=ONE) for path in ("u@h:/s/x//y", "u@h:/s/z/", "u@h:/s/./w")]
    tree = PolicyTree.for_source(source("u@h:/s"), defined)
    for path in ("x", "x/y", "z", "w"):
        assert tree.descend(path).effective == DEFAULT_POLICY


def test_a_very_deep_policy_is_no_trouble() -> None:
    deep = "/".join("a" * 5000)
    tree = PolicyTree.build(DEFAULT_POLICY, {deep: ONE})
    assert tree.descend(deep + "/b").effective is ONE
    assert tree.descend(deep[:-2]).effective is DEFAULT_POLICY


# --- compressor of a file --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", VECTORS["compressor_for_file"], ids=lambda case: json.dumps(case["compression"]))
def test_the_compressor_of_a_file_is_kopias(case: dict[str, Any]) -> None:
    policy = CompressionPolicy.from_json(json.dumps(case["compression"]), strict=True)
    for name, size, compressor in case["name_size_compressor"]:
        assert compressor_for(policy, name, size) == compressor, (name, size)


def test_negative_sizes_are_no_limits() -> None:
    policy = CompressionPolicy(compressor_name="zstd", min_size=-5, max_size=-5)
    assert compressor_for(policy, "a", 0) == "zstd"


def test_extensions_are_case_sensitive_and_need_the_dot() -> None:
    policy = CompressionPolicy(compressor_name="zstd", never_compress=("gz",))
    assert compressor_for(policy, "a.gz", 1) == "zstd"
    assert file_extension("a.GZ") == ".GZ"


@pytest.mark.parametrize(("name", "compressor"), [("none", ""), ("", ""), ("zstd-fastest", "zstd-fastest")])
def test_the_compressor_of_metadata(name: str, compressor: str) -> None:
    assert metadata_compressor(MetadataCompressionPolicy(compressor_name=name)) == compressor
