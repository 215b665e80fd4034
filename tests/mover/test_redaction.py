"""Nothing that leaves the process holds a secret."""

import ast
import base64
import io
import json
import re
from pathlib import Path
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pykopia_mover import redaction
from pykopia_mover.redaction import HEADERS, MARK, RedactingStream, Redactor
from pykopia_mover.settings import Environment

from tests.mover.harness import EXAMPLES

SECRET = "s3cr3t/with+signs=&?"


@pytest.mark.parametrize(
    "shown",
    [
        SECRET,
        quote(SECRET, safe=""),
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(f"user:{SECRET}".encode()).decode(),
        base64.b64encode(f"ab:{SECRET}".encode()).decode(),
        base64.b64encode(f"abc:{SECRET}".encode()).decode(),
        json.dumps({"password": SECRET}),
        f"mysql://root:{SECRET}@db",
    ],
)
def test_a_secret_is_found_in_the_forms_that_libraries_show_it_in(shown: str) -> None:
    redacted = Redactor([SECRET])(f"before {shown} after")
    assert SECRET not in redacted
    assert MARK in redacted
    assert redacted.startswith("before")
    assert redacted.endswith("after")


@given(st.text(st.characters(codec="utf-8", categories=["L", "N", "P"]), min_size=4, max_size=40), st.text(max_size=20))
def test_no_text_with_a_secret_keeps_it(secret: str, around: str) -> None:
    assert secret not in Redactor([secret])(f"{around}{secret}{around}").replace(MARK, "")


def test_short_secrets_do_not_eat_every_word() -> None:
    redactor = Redactor(["a"])
    assert redactor("a password is a thing") == f"{MARK} password is {MARK} thing"


def test_user_and_query_of_a_url_are_hidden_whoever_put_them_there() -> None:
    text = Redactor()("get https://me:pw@host/path?sig=abc&x=1 failed")
    assert text == f"get https://{MARK}@host/path?{MARK} failed"


def test_the_parts_of_structured_secrets_are_secrets() -> None:
    credentials = EXAMPLES["secrets"]["gdrive user"]["GOOGLE_DRIVE_CREDENTIALS"]
    config = "[r]\ntype = s3\naccess_key_id = AKID\nsecret_access_key = deep-secret\n"
    redactor = Redactor.of_environment(Environment({"GOOGLE_DRIVE_CREDENTIALS": credentials, "RCLONE_CONFIG": config}))
    assert redactor("your-client-secret and 1//04... and deep-secret") == f"{MARK} and {MARK} and {MARK}"
    assert redactor("type s3, authorized_user") == "type s3, authorized_user"


def test_each_line_of_a_key_is_a_secret_wherever_the_key_comes_from(tmp_path: Path) -> None:
    key = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAAB3NzaC1yc2EAAAADAQABAAAB\nQQDZ\n-----END OPENSSH PRIVATE KEY-----\n"
    (tmp_path / "key").write_text(key)
    for value in (key, str(tmp_path / "key")):
        redactor = Redactor.of_environment(Environment({"SFTP_KEY_FILE": value}))
        assert "AAAAB3" not in redactor("can't parse AAAAB3NzaC1yc2EAAAADAQABAAAB")


def test_a_secret_that_was_broken_into_lines_is_hidden_in_one_piece() -> None:
    redactor = Redactor.of_environment(Environment({"AWS_SESSION_TOKEN": "canary-canary-canary\r\nend\n"}))
    assert redactor("token canary-canary-canaryend!") == "token [REDACTED]!"


def test_a_stream_lets_no_secret_through_that_comes_in_pieces() -> None:
    inner = io.StringIO()
    stream = RedactingStream(inner, Redactor(["canary-value"]))
    for piece in ("Traceback: cana", "ry-val", "ue is wrong\nmore ", "canary-value"):
        stream.write(piece)
    stream.flush()
    assert "canary-value" not in inner.getvalue()
    assert inner.getvalue().count(MARK) == 2


def test_values_of_json_are_redacted_and_stay_json() -> None:
    value = Redactor(['quote"in'])
    assert value.in_value({"a": ['x quote"in y', 1, None], "b": True}) == {"a": [f"x {MARK} y", 1, None], "b": True}


@pytest.mark.parametrize(
    ("secret", "text", "expected"),
    [
        ("Kopia", "Kopia completed in 5s: done by Kopia", f"Kopia completed in 5s: done by {MARK}"),
        ("repository", "=== Creating repository ===", "=== Creating repository ==="),
        ("repository", "a repository is here", f"a {MARK} is here"),
        ("SET", "KOPIA_PASSWORD: [SET]", "KOPIA_PASSWORD: [SET]"),
        ("SET", "x KOPIA_PASSWORD: [SET]", f"x KOPIA_PASSWORD: [{MARK}]"),
        ("override", "Using username override: override", f"Using username override: {MARK}"),
        ("in 5s: and more", "Kopia completed in 5s: and more", f"Kopia completed {MARK}"),
        ("completed in 5s: and more", "Kopia completed in 5s: and more", f"Kopia {MARK}"),
    ],
)
def test_fixed_text_of_the_log_stays_whole_and_tells_of_no_secret(secret: str, text: str, expected: str) -> None:
    assert Redactor([secret])(text) == expected


def test_a_secret_that_begins_in_a_shorter_one_of_the_fixed_text_is_found() -> None:
    redactor = Redactor(["Kopia completed", "completed in 5s: and more"])
    assert redactor("Kopia completed in 5s: and more") == f"Kopia {MARK}"


def test_all_headings_of_the_log_are_fixed_text() -> None:
    found = set()
    for path in Path(redaction.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and path.name != "fork.py":
                found.update(re.findall(r"={2,3} ([A-Z][\w:' ]+?) ={2,3}", node.value))
    assert found == {*HEADERS}
