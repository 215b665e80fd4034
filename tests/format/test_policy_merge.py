"""Merged policies: what holds for a source, and which policy says so."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import InvalidPolicyError
from pykopia.format.policy import (
    DEFAULT_POLICY,
    ActionCommand,
    ActionsPolicy,
    CompressionPolicy,
    FilesPolicy,
    Policy,
    RetentionPolicy,
    SchedulingPolicy,
    TimeOfDay,
)
from pykopia.format.policy_fields import Section, fields_of
from pykopia.format.policy_merge import EffectivePolicy, effective_policy, merge_policies
from pykopia.format.policy_target import (
    GLOBAL_TARGET,
    DefinedPolicy,
    check_target,
    parent_path,
    policies_for,
    policy_labels,
    policy_targets,
    relative_path,
)
from pykopia.format.source import SourceInfo
from pykopia.ids import ManifestID

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "policy_merge.json").read_text())
GOLDEN = Path(__file__).parents[1] / "golden"


def source(text: str) -> SourceInfo:
    return SourceInfo.parse(text, "here", "me", "/")


def policy(document: dict[str, Any]) -> Policy:
    return Policy.from_json(json.dumps(document))


def defined(listed: list[dict[str, Any]] | None) -> list[DefinedPolicy]:
    return [DefinedPolicy(target=source(each["target"]), policy=policy(each["policy"])) for each in listed or []]


def attribute_path(json_path: str) -> str:
    """Return the name of a field in Python, from that in JSON."""
    section: type[Section] = Policy
    names = []
    for json_name in json_path.split("."):
        known = next(each for each in fields_of(section) if each.json_name == json_name)
        names.append(known.attribute)
        section = known.section or section
    return ".".join(names)


def origins_as_kopia_gives_them(effective: EffectivePolicy) -> dict[str, str]:
    """Return the origins as text, without the global one and with a colon behind the host."""
    return {
        name: f"{each.user_name}@{each.host}:{each.path}"
        for name, each in effective.origins.items()
        if each != GLOBAL_TARGET
    }


# --- merging ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", VECTORS["merge"], ids=lambda case: case["name"])
def test_policies_merge_as_in_kopia(case: dict[str, Any]) -> None:
    merged = merge_policies(source(case["source"]), defined(case["policies"]))
    assert json.loads(merged.policy.to_json()) == case["merged"]
    assert list(json.loads(merged.policy.to_json())) == list(case["merged"])
    origins = origins_as_kopia_gives_them(merged)
    if case["name"] == "noParentTimeOfDay":
        # Kopia names the global policy, whose times were not added
        assert origins.pop("scheduling.times_of_day") == "u@h:/a"
    assert origins == {attribute_path(path): target for path, target in case["defined_at"].items()}


@pytest.mark.parametrize("case", VECTORS["hierarchy"], ids=lambda case: case["source"])
def test_the_policies_that_bear_on_a_source_are_kopias(case: dict[str, Any]) -> None:
    merged = effective_policy(source(case["source"]), defined(VECTORS["hierarchy_policies"]))
    assert [str(each.target) for each in merged.sources] == case["considered_most_specific_first"]
    assert merged.policy.retention.keep_latest == case["effective_keepLatest"]


@pytest.mark.parametrize(
    "path", sorted(path for path in GOLDEN.glob("*.json") if "damaged" not in path.stem), ids=lambda path: path.stem
)
def test_effective_policies_of_golden_repositories_are_those_that_kopia_showed(path: Path) -> None:
    golden = json.loads(path.read_text())
    listed = [
        DefinedPolicy.from_manifest(ManifestID(each["id"]), each["labels"], json.dumps(each["data"]).encode())
        for each in golden["manifests"]
        if each["labels"].get("type") == "policy"
    ]
    assert len(listed) == len(golden["policies"])
    for expected in golden["policies"]:
        target = SourceInfo(
            host=expected["target"]["host"], user_name=expected["target"]["userName"], path=expected["target"]["path"]
        )
        found = next(each for each in listed if each.id == expected["id"])
        assert found.target == target
        assert json.loads(found.policy.to_json()) == {k: v for k, v in expected.items() if k not in {"id", "target"}}
    for expected in golden["effective_policies"]:
        effective = effective_policy(source(expected["target"]), listed)
        assert json.loads(effective.policy.to_json()) == expected["policy"]


def test_a_union_names_the_last_policy_that_adds_to_it() -> None:
    listed = [
        ("u@h:/a", CompressionPolicy(never_compress=(".b", ".a"))),
        ("u@h", CompressionPolicy(never_compress=(".a",))),
        ("@h", CompressionPolicy(never_compress=(".c",), no_parent_never_compress=True)),
        ("(global)", CompressionPolicy(never_compress=(".d",))),
    ]
    policies = [DefinedPolicy(target=source(target), policy=Policy(compression=each)) for target, each in listed]
    merged = effective_policy(source("u@h:/a"), policies)
    assert merged.policy.compression.never_compress == (".a", ".b", ".c")
    assert merged.policy.compression.no_parent_never_compress
    assert merged.origins == {"compression.never_compress": source("@h")}


def test_a_value_of_the_global_policy_is_told_from_a_default() -> None:
    merged = effective_policy(
        source("u@h:/a"),
        [DefinedPolicy(target=GLOBAL_TARGET, policy=Policy(retention=RetentionPolicy(keep_daily=7)))],
    )
    assert merged.origins == {"retention.keep_daily": GLOBAL_TARGET}


def test_of_two_equal_times_the_more_specific_stays() -> None:
    noted = TimeOfDay(hour=1, unknown=(("note", '"x"'),))
    times = [(noted,), (TimeOfDay(hour=1), TimeOfDay(hour=0))]
    merged = merge_policies(
        GLOBAL_TARGET,
        [
            DefinedPolicy(target=GLOBAL_TARGET, policy=Policy(scheduling=SchedulingPolicy(times_of_day=t)))
            for t in times
        ],
    )
    assert merged.policy.scheduling.times_of_day == (TimeOfDay(hour=0), noted)


def test_unknown_fields_are_not_inherited() -> None:
    merged = merge_policies(
        GLOBAL_TARGET, [DefinedPolicy(target=GLOBAL_TARGET, policy=policy({"new": 1, "retention": {"keepMany": 1}}))]
    )
    assert merged.policy == DEFAULT_POLICY


def test_several_policies_of_one_target_all_count_the_oldest_first() -> None:
    listed = [
        DefinedPolicy(target=source("u@h:/a"), policy=Policy(retention=RetentionPolicy(keep_latest=1))),
        DefinedPolicy(target=source("u@h:/a"), policy=Policy(retention=RetentionPolicy(keep_latest=2, keep_daily=3))),
    ]
    retention = effective_policy(source("u@h:/a"), listed).policy.retention
    assert (retention.keep_latest, retention.keep_daily) == (1, 3)


@given(st.lists(st.sampled_from(["u@h:/a/b", "u@h:/a", "u@h", "@h", "(global)", "v@h:/a"]), max_size=6), st.data())
def test_merging_is_the_first_value_set(targets: list[str], data: st.DataObject) -> None:
    counts = st.none() | st.integers(-1, 3)
    listed = [
        DefinedPolicy(
            target=source(target),
            policy=Policy(retention=RetentionPolicy(keep_latest=data.draw(counts)), no_parent=data.draw(st.booleans())),
        )
        for target in targets
    ]
    expected = None
    for each in policies_for(source("u@h:/a/b"), listed):
        expected = each.policy.retention.keep_latest if expected is None else expected
        if each.policy.no_parent:
            break
    else:
        expected = DEFAULT_POLICY.retention.keep_latest if expected is None else expected
    merged = effective_policy(source("u@h:/a/b"), listed).policy
    assert merged.retention.keep_latest == expected
    assert not merged.no_parent


def test_folder_actions_are_those_of_the_target_itself() -> None:
    own = ActionsPolicy(before_folder=ActionCommand(command="own"))
    above = ActionsPolicy(before_folder=ActionCommand(command="above"), after_folder=ActionCommand(command="above"))
    listed = [
        DefinedPolicy(target=source("u@h:/a"), policy=Policy(actions=own)),
        DefinedPolicy(target=source("u@h"), policy=Policy(actions=above)),
    ]
    assert effective_policy(source("u@h:/a"), listed).policy.actions == own
    assert effective_policy(source("u@h:/b"), listed).policy.actions == ActionsPolicy()


# --- targets ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", VECTORS["labels"], ids=str)
def test_labels_are_kopias(case: dict[str, Any]) -> None:
    if "target" in case:
        target = source(case["target"])
    else:
        info = case["source_info"]
        target = SourceInfo(host=info["host"], user_name=info["userName"], path=info["path"])
    assert policy_labels(target) == case["labels"]
    assert SourceInfo.from_labels(case["labels"]) == target


@pytest.mark.parametrize(
    ("path", "parent"),
    [
        ("/a/b/c", "/a/b"),
        ("/a", "/"),
        ("/", "/"),
        ("/a/b/", "/a"),
        ("/a//b", "/a/"),
        ("/a\\b", "/a"),
        ("C:\\x\\y", "C:\\x"),
        ("C:\\x", "C:\\"),
        ("C:\\", "C:\\"),
        ("C:/x/y", "C:/x"),
        ("C:/", "C:/"),
        ("C:", "C:"),
        ("rel/x", "rel"),
        ("rel", "rel"),
        ("rel/", "rel/"),
        ("\\\\server\\share", "\\\\server"),
        ("\\", "\\"),
    ],
)
def test_parent_paths_are_kopias(path: str, parent: str) -> None:
    assert parent_path(path) == parent


@given(st.text("ab/\\:C", max_size=8))
def test_targets_of_any_path_come_to_an_end(path: str) -> None:
    targets = policy_targets(SourceInfo(host="h", user_name="u", path=path))
    assert len(targets) <= len(path) + 4
    assert targets[-1] == GLOBAL_TARGET


@pytest.mark.parametrize(
    ("root", "path", "relative"),
    [
        ("/s", "/s/x", "x"),
        ("/s", "/s/x/y", "x/y"),
        ("/s", "/s", ""),
        ("/s", "/sx", ""),
        ("/", "/s", "s"),
        ("/", "/", ""),
        ("/s/", "/s/x", "x"),
        ("/s", "/s\\x", "x"),
        ("/s", "/s/a\\b", "a\\b"),
        ("C:\\s", "C:\\s\\a\\b", "a/b"),
        ("C:\\", "C:\\a", "a"),
        ("/s", "/other", ""),
    ],
)
def test_relative_paths_are_kopias(root: str, path: str, relative: str) -> None:
    assert relative_path(root, path) == relative


@pytest.mark.parametrize("path", ["/", "C:\\", "C:/", "/a", "a", ""])
def test_these_paths_can_have_a_policy(path: str) -> None:
    check_target(SourceInfo(path=path))


@pytest.mark.parametrize("path", ["/a/", "/a\\", "\\", "C:\\a\\", "a/", "//"])
def test_a_policy_path_must_not_end_in_a_slash(path: str) -> None:
    with pytest.raises(InvalidPolicyError, match="at its end"):
        check_target(SourceInfo(path=path))


def test_ignore_lists_replace_each_other() -> None:
    listed = [
        DefinedPolicy(target=source("u@h:/a"), policy=Policy(files=FilesPolicy(ignore=("a",)))),
        DefinedPolicy(target=GLOBAL_TARGET, policy=Policy(files=FilesPolicy(ignore=("b",)))),
    ]
    assert effective_policy(source("u@h:/a"), listed).policy.files.ignore == ("a",)
