"""Ignore rules: Kopia's answers, and a fast matcher that never differs from the slow one."""

import json
import os
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pykopia.errors import InvalidPolicyError
from pykopia.format.ignore import (
    CACHE_TAG_NAME,
    CACHE_TAG_SIGNATURE,
    LONGEST_LINE,
    Exclusion,
    IgnoreContext,
    dot_ignore_rules,
    is_cache_tag,
)
from pykopia.format.ignore_pattern import IgnorePattern, plain
from pykopia.format.policy import FilesPolicy, Policy

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "ignore_rules.json").read_text())


def answer(pattern: IgnorePattern, path: str, *, is_directory: bool) -> bool:
    """Return what Kopia's matcher returns: for a negated pattern, whether the path stays ignored."""
    if pattern.directories_only and not is_directory:
        return pattern.negated
    return pattern.matches(path) != pattern.negated


def without_slash(path: str) -> tuple[str, bool]:
    return (path[:-1], True) if len(path) > 1 and path.endswith("/") else (path, False)


# --- patterns --------------------------------------------------------------------------------------------------------


def test_every_pattern_matches_what_it_matches_in_kopia() -> None:
    for case in VECTORS["patterns"]:
        if not case["valid"]:
            with pytest.raises(InvalidPolicyError):
                IgnorePattern.parse(case["pattern"], case["base"])
            continue
        pattern = IgnorePattern.parse(case["pattern"], case["base"])
        if case.get("syntax_only"):
            continue
        assert pattern.negated == case["negated"], case
        matched = []
        for each in VECTORS["paths"]:
            path, is_directory = without_slash(each)
            if answer(pattern, path, is_directory=is_directory):
                matched.append(each)
        assert matched == case["match_true"], case


def test_random_patterns_answer_as_in_kopia() -> None:
    for text, base, path, is_directory, expected in VECTORS["random_pattern_base_path_isdir_result"]:
        try:
            result = answer(IgnorePattern.parse(text, base), path, is_directory=is_directory)
        except InvalidPolicyError:
            result = None
        assert result == expected, (text, base, path, is_directory)


@pytest.mark.parametrize(
    ("text", "base", "path", "expected"),
    [
        ("**/*/b", "", "/b", False),  # a star before a slash needs at least one character behind a double star
        ("**/*/b", "", "/a/b", True),
        (r"**\/b", "", "/b", False),  # an escaped slash is a character, so the stars are no component of their own
        (r"**\/b", "", "/x/b", True),
        ("[[:alpha:]]", "", "/a", True),
        ("abcdefg[[:alpha:]]", "", "/abcdefgh", False),  # too far from the start to be seen as a class
        ("abcdefg[[:alpha:]]", "", "/abcdefgx]", False),
        ("abcdefg[[:alpha:]]", "", "/abcdefgh]", True),
        ("[[:DIGIT:]]", "", "/5", True),
        ("[[:digit:]]", "", "/\u0665", True),
        ("[[:blank:]]", "", "/\u2003", True),
        ("[[:punct:]]", "", "/+", True),
        ("[[:cntrl:]]", "", "/\x7f", True),
        ("[[:graph:]]", "", "/\u00a0", True),
        ("[[:print:]]", "", "/\u00a0", False),
        ("[[:lower:]]", "", "/\u00aa", False),
        ("[[:space:]]", "", "/\x1f", False),
        ("/*foo", "", "/bar/foo", True),
        ("/a*b", "", "/ax/b", True),
        ("/a*b", "", "/a/b", False),
        ("/a*b", "", "/a/xb", False),
        ("!**/foo", "", "/x/foo", True),
        ("!**/foo", "", "/foo", False),
        ("a\\\0b", "", "/a", False),
        ("ab\0cd", "", "/ab", True),
    ],
)
def test_corners(text: str, base: str, path: str, *, expected: bool) -> None:
    assert IgnorePattern.parse(text, base).matches(path) == expected


@pytest.mark.parametrize("text", ["[a", "a\\", "[[:nosuch:]]", "[[:alpha:", "[a\\", "[a-\\", "a\\/", "[\0]"])
def test_bad_patterns_are_refused(text: str) -> None:
    with pytest.raises(InvalidPolicyError, match="ignore rule"):
        IgnorePattern.parse(text)


def test_bytes_that_are_not_utf_8_are_equal_to_each_other() -> None:
    name = os.fsdecode(b"/\xff")
    assert IgnorePattern.parse("\ufffd").matches(plain(name))
    assert IgnorePattern.parse(os.fsdecode(b"\xfe")).matches(plain(name))
    assert IgnorePattern.parse("?").matches(plain(name))
    assert not IgnorePattern.parse("??").matches(plain(name))


@pytest.mark.parametrize(
    ("text", "kept"),
    [("a ", "a "), ("ab ", "ab"), ("foo\\ ", "foo\\ "), (" a", " a"), (os.fsdecode(b"\xff "), "\ufffd "), ("é ", "é")],
)
def test_white_space_is_cut_by_the_number_of_bytes(text: str, kept: str) -> None:
    assert IgnorePattern.parse(text).text == kept


# --- contexts --------------------------------------------------------------------------------------------------------


class Tree:
    """Walks a tree of the vectors as a snapshot does."""

    def __init__(self, case: dict[str, Any]) -> None:
        self.files: dict[str, str] = {}
        for path, content in case["files"].items():
            parts = path.rstrip("/").split("/")
            for depth in range(1, len(parts)):
                self.files.setdefault("/".join(parts[:depth]) + "/", "")
            self.files[path] = content
        self.policies = {
            path.removeprefix("."): Policy.from_json(json.dumps(policy)) for path, policy in case["policy_tree"].items()
        }
        self.included: list[str] = []
        self.failed = False

    def children(self, directory: str) -> list[str]:
        prefix = directory.lstrip("/") + "/" if directory else ""
        return sorted(
            path[len(prefix) :]
            for path in self.files
            if path.startswith(prefix) and path != prefix and "/" not in path[len(prefix) :].rstrip("/")
        )

    def effective(self, directory: str) -> FilesPolicy:
        while directory and directory not in self.policies:
            directory = directory.rpartition("/")[0]
        return self.policies[directory].files if directory in self.policies else FilesPolicy()

    def read(self, directory: str, name: str) -> bytes | None:
        content = self.files.get(f"{directory}/{name}".lstrip("/"))
        if content is None or content.startswith("link:"):
            return None
        return content.encode()

    def walk(self, context: IgnoreContext, directory: str = "", device: int = 0) -> None:
        tag = self.read(directory, CACHE_TAG_NAME)
        if tag is not None and is_cache_tag(tag) and self.effective(directory).ignore_cache_directories is not False:
            return
        policy = self.policies.get(directory)
        defined = policy.files if policy else None
        found = [self.read(directory, name) for name in context.dot_ignore_names(defined)]
        try:
            context = context.enter(directory, defined, [content for content in found if content is not None])
        except InvalidPolicyError:
            self.failed = True
            return
        for child in self.children(directory):
            path = f"{directory}/{child}".rstrip("/")
            content = self.files[path.lstrip("/") + ("/" if child.endswith("/") else "")]
            child_device = int(content.removeprefix("dev=")) if content.startswith("dev=") else device
            size = int(content[5:]) if content.startswith("size=") else len(content.removeprefix("link:"))
            is_directory = child.endswith("/")
            excluded = context.excludes(
                path, is_directory=is_directory, size=size, device=child_device, directory_device=device
            )
            assert (excluded is Exclusion.RULE) == context.ignored(path, is_directory)
            if excluded is not None:
                continue
            self.included.append(path.lstrip("/") + ("/" if is_directory else ""))
            if is_directory:
                self.walk(context, path, child_device)


@pytest.mark.parametrize("case", VECTORS["file_trees"], ids=lambda case: case["name"])
def test_a_walk_takes_the_entries_that_kopia_takes(case: dict[str, Any]) -> None:
    tree = Tree(case)
    if "." not in case["policy_tree"]:
        tree.policies[""] = Policy(files=FilesPolicy(dot_ignore_files=(".kopiaignore",)))
    tree.walk(IgnoreContext.empty())
    assert sorted(tree.included) == sorted(case["included"] or [])
    assert tree.failed == case["error"]


def test_a_directory_without_policy_and_dot_file_shares_the_context() -> None:
    root = IgnoreContext.empty().enter("", FilesPolicy(ignore=("a",), dot_ignore_files=(".x", ".y", ".x")))
    assert root.enter("/d", None) is root
    assert root.dot_ignore_names(None) == (".x", ".y")
    assert root.dot_ignore_names(FilesPolicy()) == ()


def test_an_empty_dot_file_makes_no_difference() -> None:
    root = IgnoreContext.empty().enter("", FilesPolicy(ignore=("a",), max_file_size=5, one_file_system=True))
    assert root.enter("/d", None, [b"\n# nothing\n"]) == root


def test_size_and_device_are_asked_after_the_rules() -> None:
    context = IgnoreContext.empty().enter("", FilesPolicy(ignore=("a",), max_file_size=5, one_file_system=True))
    everything = {"size": 6, "device": 2, "directory_device": 1}
    assert context.excludes("/a", is_directory=False, **everything) is Exclusion.RULE
    assert context.excludes("/b", is_directory=False, **everything) is Exclusion.SIZE
    assert context.excludes("/b", is_directory=True, **everything) is Exclusion.DEVICE
    assert context.excludes("/b", is_directory=False, size=5, device=1, directory_device=1) is None


def test_a_name_that_is_not_utf_8_can_be_ignored() -> None:
    context = IgnoreContext.empty().enter("", None, [b"\xff*\n*.\xfe\n"])
    for name in (b"/\xfd", b"/\xfdx", b"/x.\xff"):
        assert context.ignored(os.fsdecode(name), False)
    assert not context.ignored("/x", False)


# --- dot-ignore files ------------------------------------------------------------------------------------------------


def test_dot_ignore_files_are_split_as_kopia_does() -> None:
    content = b"# comment\r\n\r\n \t\n\xc2\xa0\n #no comment\r\na\r\r\n\\#b\n!c\xff\nlast"
    assert dot_ignore_rules(content) == [" #no comment", "a\r", "\\#b", "!c\udcff", "last"]


def test_a_line_that_is_too_long_ends_the_file() -> None:
    fits = b"x" * LONGEST_LINE
    assert len(dot_ignore_rules(b"a\n" + fits + b"\nb\n")) == 3
    assert dot_ignore_rules(b"a\n" + fits + b"x\nb\n") == ["a"]


def test_a_cache_tag_needs_the_whole_signature() -> None:
    assert len(CACHE_TAG_SIGNATURE) == 43
    assert is_cache_tag(CACHE_TAG_SIGNATURE)
    assert is_cache_tag(CACHE_TAG_SIGNATURE + b"\nmore")
    assert not is_cache_tag(CACHE_TAG_SIGNATURE[:-1])
    assert not is_cache_tag(b" " + CACHE_TAG_SIGNATURE)


# --- properties ------------------------------------------------------------------------------------------------------

pieces = st.sampled_from(
    ["a", "b", "/", "*", "**", "?", "[ab]", "[!a]", "\\", "!", "é", "\udcff", "**/", "/**/", ".", "ab", "#", " ", "-"]
)
rules = st.lists(pieces, max_size=7).map("".join)
simple_rules = st.builds(
    "{}{}{}{}{}".format,
    st.sampled_from(["", "!"]),
    st.sampled_from(["", "/", "**/", "/**/", "a/", "**/**/"]),
    st.sampled_from(["", "*", "\\*"]),
    st.sampled_from(["a", ".b", "ab", "é", "", "a/b", "a?", "a*b"]),
    st.sampled_from(["", "*", "/", "*/", "**", "/*"]),
)
components = st.text(st.sampled_from("ab.é\udcff*-"), min_size=1, max_size=4)
paths = st.lists(components, min_size=1, max_size=4).map(lambda parts: "/" + "/".join(parts))
bases = st.sampled_from(["", "", "/a", "/a/b", "/é"])


def parsed(text: str, base: str) -> IgnorePattern | None:
    try:
        return IgnorePattern.parse(text, base)
    except InvalidPolicyError:
        return None


@given(st.lists(st.tuples(rules | simple_rules, bases), max_size=6), st.lists(paths, min_size=1), st.booleans())
@example([("*a", ""), ("!*a", "")], ["/a"], False)
@example([("a/", ""), ("**/a*", "/a")], ["/a/b/a", "/ab"], True)
def test_a_context_answers_as_the_loop_does_rule_by_rule(
    listed: list[tuple[str, str]], asked: list[str], is_directory: bool
) -> None:
    patterns = [(text, base, pattern) for text, base in listed if (pattern := parsed(text, base)) is not None]
    context = IgnoreContext.empty()
    for text, base, _ in patterns:
        context = context.enter(base, FilesPolicy(ignore=(text,)))
    for path in asked:
        ignored = False
        for _, _, pattern in patterns:
            if pattern.negated == ignored:
                ignored = answer(pattern, plain(path), is_directory=is_directory)
        assert context.ignored(path, is_directory) == ignored


@given(st.lists(rules | simple_rules, max_size=6), paths, st.booleans())
def test_rules_compiled_together_answer_as_rules_one_by_one(listed: list[str], path: str, is_directory: bool) -> None:
    good = [text for text in listed if parsed(text, "/a") is not None]
    together = IgnoreContext.empty().enter("/a", FilesPolicy(ignore=tuple(good)))
    singly = IgnoreContext.empty()
    for text in good:
        singly = singly.enter("/a", FilesPolicy(ignore=(text,)))
    assert together.ignored(path, is_directory) == singly.ignored(path, is_directory)


@given(st.text(max_size=30), st.text(max_size=30))
def test_the_matcher_takes_any_pattern_and_any_path(text: str, path: str) -> None:
    pattern = parsed(text, "")
    if pattern is not None:
        pattern.matches(plain("/" + path))


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("**/" * 40 + "x", "/a" * 100 + "/y"),
        ("*a" * 600 + "b", "/" + "a" * 4000),
        ("**/a*" * 60 + "b", "/aaaa" * 200),
        ("[!b]*" * 100 + "z", "/" + "a" * 500),
        ("**/*a**/" * 50 + "z", "/ba" * 200 + "c"),
        ("*?" * 2000, "/" + "a/" * 1000 + "b"),
        ("*" * 60_000, "/a/b"),
        ("[" + "a-z" * 20_000 + "]", "/0"),
    ],
)
def test_hostile_patterns_neither_explode_nor_exhaust_the_stack(text: str, path: str) -> None:
    calls = 0

    def count(_frame: FrameType, event: str, _argument: object) -> None:
        nonlocal calls
        calls += event in {"call", "c_call"}
        if calls > 1_000_000:
            raise AssertionError("the number of steps explodes")

    sys.setprofile(count)
    try:
        matched = IgnorePattern.parse(text).matches(path)
    finally:
        sys.setprofile(None)
    assert matched is (text.strip("*") == "")
