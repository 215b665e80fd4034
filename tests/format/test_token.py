import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import ConnectionFileError, UnsupportedOptionError, UsageError
from pykopia.format.token import ConnectionToken
from pykopia.storage.connection import ConnectionInfo

VECTORS = Path(__file__).parents[1] / "vectors"
TOKENS = json.loads((VECTORS / "token.json").read_text())
STORAGES = json.loads((VECTORS / "storage_connection_info.json").read_text())["storages"]


def encoded(value: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@pytest.mark.parametrize("case", TOKENS["cases"])
def test_tokens_of_kopia_are_read_and_made_again(case: dict[str, Any]) -> None:
    token = ConnectionToken.decode(case["token"])
    decoded = json.loads(case["decodedJSON"])
    assert token.storage == decoded["storage"]
    assert token.password == case["password"] == decoded.get("password", "")
    assert token.encode() == case["token"]
    assert ConnectionToken(storage=decoded["storage"], password=case["password"]).encode() == case["token"]


@pytest.mark.parametrize("case", TOKENS["errors"], ids=lambda c: c["token"][:12])
def test_tokens_that_kopia_refuses_are_refused(case: dict[str, Any]) -> None:
    with pytest.raises((ConnectionFileError, UnsupportedOptionError)):
        ConnectionInfo.from_json(ConnectionToken.decode(case["token"]).storage).options()


@pytest.mark.parametrize("storage", STORAGES, ids=lambda s: s["type"])
def test_tokens_for_every_storage_are_those_of_kopia(storage: dict[str, Any]) -> None:
    for password, text in [
        ("pässword", storage["tokenOfZeroValueWithPassword"]),
        ("", storage["tokenOfZeroValueWithoutPassword"]),
    ]:
        assert ConnectionToken(storage=storage["zeroValue"], password=password).encode() == text
        assert ConnectionToken.decode(text) == ConnectionToken(storage=storage["zeroValue"], password=password)
    full = ConnectionToken(storage=storage["allFieldsSet"])
    assert ConnectionToken.decode(full.encode()) == full


def test_line_breaks_inside_are_ignored_and_other_blanks_are_not() -> None:
    text = TOKENS["cases"][0]["token"]
    assert ConnectionToken.decode(f"{text[:10]}\r\n{text[10:]}\n") == ConnectionToken.decode(text)
    with pytest.raises(ConnectionFileError):
        ConnectionToken.decode(f"{text[:10]} {text[10:]}")


@pytest.mark.parametrize(
    "value",
    [
        [], {}, {"version": 1}, {"version": "1"}, {"version": "1", "storage": []}, {"version": "1", "storage": {}},
        {"version": "1", "storage": {"type": "s3", "config": 1}}, {"version": "1", "storage": {"type": "s3"}},
        {"version": "1", "storage": {"type": 1, "config": {}}}, {"version": "1", "storage": {"type": [], "config": {}}},
        {"version": "1", "storage": {"type": "s3", "config": {}}, "password": 1},
        {"storage": {"type": "s3", "config": {}}},
    ],
)  # fmt: skip
def test_json_that_is_no_token_is_refused(value: object) -> None:
    with pytest.raises(ConnectionFileError):
        ConnectionToken.decode(encoded(value))


def test_names_match_without_regard_to_case() -> None:
    text = encoded({"VERSION": "1", "Storage": {"Type": "s3", "CONFIG": {}}, "Password": "x"})
    assert ConnectionToken.decode(text).password == "x"


def test_a_password_that_is_not_utf8_is_refused_rather_than_changed() -> None:
    with pytest.raises(UsageError, match="UTF-8"):
        ConnectionToken(storage={"type": "s3", "config": {}}, password="a\udcff").encode()


def test_no_secret_shows_in_the_representation_or_in_a_message() -> None:
    token = ConnectionToken(storage={"type": "s3", "config": {"secretAccessKey": "QQQ"}}, password="RRR")
    assert "QQQ" not in repr(token)
    assert "RRR" not in repr(token)
    other = encoded({"version": "1", "storage": {"type": "x", "config": {"key": "QQQ"}}, "password": "RRR"})
    with pytest.raises(UnsupportedOptionError) as caught:
        ConnectionInfo.from_json(ConnectionToken.decode(other).storage).options()
    assert "QQQ" not in str(caught.value)
    assert "RRR" not in str(caught.value)


@given(
    st.text(max_size=60) | st.binary(max_size=60).map(lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="))
)
def test_garbage_raises_only_our_error(text: str) -> None:
    with contextlib.suppress(ConnectionFileError):
        ConnectionToken.decode(text)


@given(st.integers(0, 10**6), st.text(max_size=1))
def test_a_changed_character_raises_only_our_error(position: int, character: str) -> None:
    text = TOKENS["cases"][1]["token"]
    at = position % len(text)
    with contextlib.suppress(ConnectionFileError):
        ConnectionToken.decode(text[:at] + character + text[at + 1 :])
