"""Names of ``kopia://``."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia import SourceInfo
from pykopia.access.names import Name, name_of


@pytest.mark.parametrize(
    ("text", "source", "moment", "inside"),
    [
        ("ann@box:/home/x@latest/a/b", "/home/x", "latest", ("a", "b")),
        ("ann@box:/home/x/@latest/a", "/home/x", "latest", ("a",)),
        ("ann@box:/@latest~2/etc", "/", "latest~2", ("etc",)),
        ("ann@box:/x@2026-11-02T10:00/f", "/x", "2026-11-02T10:00", ("f",)),
        ("ann@box:/x@2026-11-02 10:00/f", "/x", "2026-11-02 10:00", ("f",)),
        ("ann@box:/x@2026-11-02T10:00:00.5Z", "/x", "2026-11-02T10:00:00.5Z", ()),
        ("ann@box:/x@2026-11-02T10:00+01:00", "/x", "2026-11-02T10:00+01:00", ()),
        ("ann@box:/x@tag:team=blue/f", "/x", "tag:team=blue", ("f",)),
        ("ann@box:/x@0123456789abcdef0123456789abcdef/f", "/x", "0123456789abcdef0123456789abcdef", ("f",)),
        ("ann@box:/x@*/f", "/x", "*", ("f",)),
        ("ann@box:/x@latest/b@latest", "/x", "latest", ("b@latest",)),
        ("ann@box:/a@b/x@latest/f", "/a@b/x", "latest", ("f",)),
        ("ann@box:/db%402026-11-02/x@latest/f", "/db@2026-11-02/x", "latest", ("f",)),
        ("ann@box:/100%/x@latest/50%25", "/100%/x", "latest", ("50%25",)),
        ("ann@box:s3://bucket/prefix@latest/f", "s3://bucket/prefix", "latest", ("f",)),
        ("ann@box:s3://bucket@latest/f", "s3://bucket", "latest", ("f",)),
        (r"ann@box:C:\Users\ann@latest/f", r"C:\Users\ann", "latest", ("f",)),
    ],
)
def test_a_name_of_a_snapshot_has_source_moment_and_path(
    text: str, source: str, moment: str, inside: tuple[str, ...]
) -> None:
    name = Name.parse(text)
    assert (str(name.source), name.moment, name.inside) == (f"ann@box:{source}", moment, inside)
    assert Name.parse(str(name)) == name


def test_a_name_by_id_and_the_root() -> None:
    assert Name.parse("0123abcd/a//b/") == Name(moment="0123abcd", inside=("a", "b"))
    assert Name.parse("latest") == Name(moment="latest")
    assert Name.parse("") == Name.parse("/") == Name()
    assert str(Name()) == ""
    assert str(Name.parse("0123abcd/a")) == "0123abcd/a"


def test_parents_lead_from_a_file_to_the_root() -> None:
    name, seen = Name.parse("ann@box:/home/x@latest/a"), []
    while name != Name():
        seen.append(str(name))
        name = name.parent
    assert seen == [
        "ann@box:/home/x/@latest/a",
        "ann@box:/home/x/@latest",
        "ann@box:/home/x",
        "ann@box:/home",
        "ann@box:",
    ]
    assert Name().parent == Name()


paths = st.lists(
    st.text(st.characters(blacklist_characters="/\0", blacklist_categories=["Cs"]), min_size=1).filter(
        lambda part: part not in (".", "..")
    )
).map(lambda parts: "/" + "/".join(parts))
moments = st.sampled_from(["latest", "2026-11-02", "0" * 32, "@latest", "x@2026-11-02", "%40", "%2540"])


@given(paths | st.lists(moments, min_size=1).map(lambda parts: "/" + "/".join(parts)))
def test_the_name_of_any_source_leads_back_to_it(path: str) -> None:
    source = SourceInfo(user_name="ann", host="box", path=path)
    name = name_of(source, "latest")
    assert name.source == source
    assert Name.parse(str(name)) == name
    assert (
        Name.parse(f"{name_of(source)}@latest/f") == Name(name.client, name.above, "latest", ("f",)) or not name.above
    )


@given(st.text())
def test_any_text_is_a_name_and_its_text_the_same_name(text: str) -> None:
    name = Name.parse(text)
    assert Name.parse(str(name)) == name
    assert len(str(name.parent)) <= len(str(name))
