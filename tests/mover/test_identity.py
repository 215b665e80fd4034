"""Whose snapshots: overrides, the owning object, paths, older movers, and what is ambiguous."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest
from pykopia_mover.failures import MoverError
from pykopia_mover.identity import (
    NAME_TAG,
    NAMESPACE_TAG,
    Wanted,
    by_source,
    recorded_path,
    require_complete,
    source_to_back_up,
    source_to_restore,
    wanted_by,
)
from pykopia_mover.settings import load

from pykopia import SourceInfo
from tests.mover.harness import EXAMPLES, Mover


@dataclass(frozen=True)
class Taken:
    """A snapshot, as far as identities look at it."""

    source: SourceInfo
    start_time_ns: int = 1
    incomplete: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)


def source(text: str) -> SourceInfo:
    return SourceInfo.parse(text, "", "", "/")


def wanted(**environment: str) -> Wanted:
    return wanted_by(load(environment)[0], pod_user="pod", pod_host="pod-7f9c")


def sources(*texts: str) -> dict[SourceInfo, list[Taken]]:
    return by_source([Taken(source(text), number) for number, text in enumerate(texts)])  # type: ignore[return-value]


def test_row_139_m_063_user_and_host_come_from_namespace_and_name_of_the_owner() -> None:
    found = wanted(VOLSYNC_OWNER_NAMESPACE="production", VOLSYNC_OWNER_NAME="mysql-primary")
    assert str(require_complete(found)) == "production@mysql-primary:/data"
    assert found.tags == {"volsync-namespace": "production", "volsync-name": "mysql-primary"}


def test_m_060_overrides_are_taken_as_they_are_and_told() -> None:
    found = wanted(
        KOPIA_OVERRIDE_USERNAME="My User ",
        KOPIA_OVERRIDE_HOSTNAME="NS.x",
        VOLSYNC_OWNER_NAMESPACE="n",
        VOLSYNC_OWNER_NAME="o",
    )
    assert (found.user, found.host) == ("My User ", "NS.x")
    assert found.lines == ("Using username override: My User ", "Using hostname override: NS.x")


def test_m_061_a_missing_half_is_an_error_for_a_backup_unless_the_pod_may_fill_it() -> None:
    with pytest.raises(MoverError, match="KOPIA_OVERRIDE_USERNAME and KOPIA_OVERRIDE_HOSTNAME"):
        require_complete(wanted(KOPIA_OVERRIDE_USERNAME="u"))
    allowed = wanted(KOPIA_OVERRIDE_USERNAME="u", KOPIA_ALLOW_POD_IDENTITY="true")
    assert str(require_complete(allowed)) == "u@pod-7f9c:/data"


@pytest.mark.parametrize(
    ("environment", "path"),
    [
        ({}, "/data"),
        ({"DATA_DIR": "/restore/data"}, "/data"),
        ({"DATA_DIR": "/volume/"}, "/volume"),
        ({"KOPIA_SOURCE_PATH_OVERRIDE": "/var//lib/mysql/", "DATA_DIR": "/volume"}, "/var/lib/mysql"),
        ({"KOPIA_SOURCE_PATH_OVERRIDE": "/"}, "/"),
    ],
)
def test_m_062_the_recorded_path(environment: dict[str, str], path: str) -> None:
    assert recorded_path(load(environment)[0]) == path


def test_rows_136_137_the_same_override_gives_the_same_path_wherever_the_volume_is() -> None:
    override = {"KOPIA_SOURCE_PATH_OVERRIDE": "/var/lib/mysql"}
    assert {recorded_path(load(override | {"DATA_DIR": each})[0]) for each in ("/data", "/a", "/b/c")} == {
        "/var/lib/mysql"
    }


@pytest.mark.parametrize("path", ["var/lib/mysql", "./x", "/a/../b", "/a/./b"])
def test_rows_133_146_an_override_that_is_not_absolute_is_refused(path: str) -> None:
    with pytest.raises(MoverError, match=r"must (?:be an absolute path|not hold)") as caught:
        recorded_path(load({"KOPIA_SOURCE_PATH_OVERRIDE": path})[0])
    assert path in str(caught.value)
    assert caught.value.code.name == "config"


def test_row_146_a_backup_with_a_relative_override_is_refused_before_anything_is_made(mover: Mover) -> None:
    mover.write({"a": "b"})
    refused = mover.fails("config", "backup", KOPIA_SOURCE_PATH_OVERRIDE="var/lib/mysql")
    assert refused.status == 10
    assert "var/lib/mysql" in refused.last
    assert "must be an absolute path" in refused.last
    assert not mover.repository_folder.exists()


def test_row_149_an_override_works_on_every_backend() -> None:
    for secret in EXAMPLES["secrets"].values():
        found = wanted(
            **secret, KOPIA_SOURCE_PATH_OVERRIDE="/app/data", VOLSYNC_OWNER_NAMESPACE="n", VOLSYNC_OWNER_NAME="r"
        )
        assert str(found) == "n@r:/app/data"


def test_m_064_a_backup_goes_on_with_the_snapshots_of_an_older_mover() -> None:
    new = wanted(
        VOLSYNC_OWNER_NAMESPACE="ns", VOLSYNC_OWNER_NAME="app", KOPIA_LEGACY_IDENTITIES="app@ns,volsync@ns-app"
    )
    assert str(source_to_back_up(new, sources("volsync@ns-app:/data"))) == "volsync@ns-app:/data"
    assert str(source_to_back_up(new, sources("volsync@ns-app:/data", "app@ns:/data"))) == "app@ns:/data"
    assert str(source_to_back_up(new, sources("app@ns:/data", "ns@app:/data"))) == "ns@app:/data"
    assert str(source_to_back_up(new, sources("app@ns:/other"))) == "ns@app:/data"


def test_m_064_without_a_list_there_is_no_fall_back() -> None:
    fixed = wanted(KOPIA_OVERRIDE_USERNAME="app", KOPIA_OVERRIDE_HOSTNAME="ns")
    assert str(source_to_back_up(fixed, sources("ns@app:/data"))) == "app@ns:/data"
    assert source_to_restore(fixed, sources("ns@app:/data")) == (None, ())


def test_m_064_snapshots_of_another_object_are_never_adopted() -> None:
    new = wanted(VOLSYNC_OWNER_NAMESPACE="b", VOLSYNC_OWNER_NAME="a", KOPIA_LEGACY_IDENTITIES="a@b")
    tagged = Taken(source("a@b:/data"), tags={NAMESPACE_TAG: "a", NAME_TAG: "b"})
    assert str(source_to_back_up(new, by_source([tagged]))) == "b@a:/data"
    assert source_to_restore(new, by_source([tagged]))[0] is None
    own = Taken(source("a@b:/data"), tags={NAMESPACE_TAG: "b", NAME_TAG: "a"})
    assert str(source_to_back_up(new, by_source([own]))) == "a@b:/data"


@pytest.mark.parametrize("text", ["app", "app@", "@ns", "a@b:/data"])
def test_a_malformed_list_of_older_identities_is_refused(text: str) -> None:
    with pytest.raises(MoverError, match="KOPIA_LEGACY_IDENTITIES"):
        wanted(KOPIA_LEGACY_IDENTITIES=text)


def test_m_138_the_only_path_of_an_identity_needs_no_override() -> None:
    found, lines = source_to_restore(
        wanted(VOLSYNC_OWNER_NAMESPACE="ns", VOLSYNC_OWNER_NAME="app"), sources("ns@app:/var/lib/mysql", "ns@b:/data")
    )
    assert str(found) == "ns@app:/var/lib/mysql"
    assert "/var/lib/mysql" in lines[0]


def test_m_138_several_paths_are_ambiguous_unless_one_is_data() -> None:
    own = wanted(VOLSYNC_OWNER_NAMESPACE="ns", VOLSYNC_OWNER_NAME="app")
    assert str(source_to_restore(own, sources("ns@app:/x", "ns@app:/data"))[0]) == "ns@app:/data"
    with pytest.raises(MoverError, match=r"ns@app:/x, ns@app:/y.*sourcePathOverride") as caught:
        source_to_restore(own, sources("ns@app:/x", "ns@app:/y"))
    assert caught.value.code.status == 16


def test_a_restore_without_any_identity_takes_the_only_source_there_is() -> None:
    assert str(source_to_restore(wanted(), sources("ns@app:/var"))[0]) == "ns@app:/var"
    with pytest.raises(MoverError, match="2 sources match"):
        source_to_restore(wanted(), sources("ns@app:/data", "ns@other:/data"))
    assert source_to_restore(wanted(), {}) == (None, ())


def test_m_061_a_missing_half_is_any_for_a_restore() -> None:
    found, _ = source_to_restore(wanted(KOPIA_OVERRIDE_USERNAME="ns"), sources("ns@app:/data", "other@app:/data"))
    assert str(found) == "ns@app:/data"


def test_an_older_identity_may_be_any_of_a_namespace_for_a_restore() -> None:
    own = wanted(VOLSYNC_OWNER_NAMESPACE="ns", VOLSYNC_OWNER_NAME="datavol-dest", KOPIA_LEGACY_IDENTITIES="ns@*")
    found, lines = source_to_restore(own, sources("ns@app:/data", "foreign@app:/data"))
    assert str(found) == "ns@app:/data"
    assert lines[0] == "Adopting existing snapshot identity ns@app:/data"


def test_incomplete_snapshots_are_no_source() -> None:
    assert by_source([Taken(source("a@b:/c"), incomplete="checkpoint")]) == {}


@pytest.mark.parametrize(
    "name", ["KOPIA_OVERRIDE_USERNAME", "KOPIA_OVERRIDE_HOSTNAME", "VOLSYNC_OWNER_NAME", "KOPIA_SOURCE_PATH_OVERRIDE"]
)
def test_a_name_that_would_be_stored_as_another_one_is_refused(name: str) -> None:
    latin = b"/caf\xe9".decode("utf-8", "surrogateescape")  # as the environment gives a word in Latin-1
    with pytest.raises(MoverError, match="is not UTF-8") as caught:
        wanted(**{"VOLSYNC_OWNER_NAMESPACE": "ns", name: latin})
    assert caught.value.code.name == "config"
    assert wanted(**{name: "/caf\u00e9 \ufffd"})
