"""Replaces secrets in everything that the process writes (rule M-023).

A secret is looked for as it is, line by line, and in the forms in which libraries and servers tend to repeat it: URL-encoded,
base64, JSON-escaped. Structured secrets (credentials as JSON, an rclone configuration) are taken apart, so that a part of
one is as safe as the whole.
"""

import base64
import io
import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, quote_plus

from pykopia_mover.settings import Environment

MARK: Final = "[REDACTED]"
SHORT: Final = 4
"""Shorter secrets are only replaced as whole words: otherwise few words would be left."""
LINE: Final = 8
"""Shortest line of a secret of several lines that is a secret by itself."""

_USER_IN_URL = re.compile(r"(?<=://)[^\s/@'\"]*@")
_QUERY_IN_URL = re.compile(r"(?P<url>\b[A-Za-z][A-Za-z0-9+.-]*://[^\s?'\"]*)\?[^\s'\"]*")
_SECRET_KEY = re.compile(
    r"(?i)(secret|password|passwd|pass|token|private_?key|access_?key|sas|signature|credential|^key)"
)
_KEY_ID = re.compile(r"(?i)(key_?id|_id$|uri$|url$|email$)")


class Redactor:
    """Knows the secrets of one run and replaces them in texts."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._secrets: set[str] = set()
        self._pattern: re.Pattern[str] | None = None
        self.add(*secrets)

    @classmethod
    def of_environment(cls, environment: Environment) -> "Redactor":
        """Add all secrets of an environment, also those in files that it names."""
        redactor = cls()
        for value, may_be_path in environment.secrets():
            redactor.add_document(value)
            if may_be_path:
                redactor.add_document(read_if_path(value))
        for url in environment.urls():
            redactor.add(*_parts_of_url(url))
        return redactor

    def add(self, *secrets: str) -> None:
        """Add secrets, each in all forms that may appear."""
        for secret in secrets:
            self._secrets.update(form for form in _forms(secret) if form)
        if not self._secrets:
            return
        longest_first = sorted(self._secrets, key=len, reverse=True)
        parts = [rf"(?<!\w){re.escape(each)}(?!\w)" if len(each) < SHORT else re.escape(each) for each in longest_first]
        self._pattern = re.compile("|".join(parts))

    def add_document(self, text: str) -> None:
        """Add a secret and its parts: lines, members of JSON, settings of a configuration file."""
        if not text:
            return
        lines = [line.strip() for line in text.splitlines()]
        self.add(
            text,
            text.strip(),
            "".join(lines),
            *(line for line in lines if len(line) >= LINE and len(lines) > 1),
            *_leaves(text),
        )

    def __call__(self, text: str) -> str:
        """Return the text without secrets."""
        if self._pattern is not None:
            text = self._pattern.sub(MARK, text)
        if "://" in text:
            text = _USER_IN_URL.sub(f"{MARK}@", text)
            text = _QUERY_IN_URL.sub(rf"\g<url>?{MARK}", text)
        return text

    def in_value(self, value: Any) -> Any:  # noqa: ANN401 -- any JSON
        """Return a JSON value whose texts hold no secrets."""
        if isinstance(value, str):
            return self(value)
        if isinstance(value, dict):
            return {name: self.in_value(item) for name, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.in_value(item) for item in value]
        return value


def read_if_path(value: str) -> str:
    """Return the content of the file that a value names, or nothing (rule M-022)."""
    path = value.strip()
    if not path.startswith("/") or "\n" in path:
        return ""
    try:
        return Path(path).read_text("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _forms(secret: str) -> Iterator[str]:
    raw = secret.encode("utf-8", "surrogateescape")
    yield secret
    if len(secret) < SHORT:
        return
    yield quote(raw, safe="")
    yield quote(raw)
    yield quote_plus(raw)
    yield base64.b64encode(raw).decode().rstrip("=")
    yield base64.urlsafe_b64encode(raw).decode().rstrip("=")
    yield json.dumps(secret)[1:-1]
    yield repr(secret)[1:-1]
    # as the second half of `user:secret`, where base64 shifts by one or two bytes
    for shift in (1, 2):
        shifted = base64.b64encode(b"\0" * shift + raw).decode().rstrip("=")[shift + 1 : -1]
        if len(shifted) >= LINE:
            yield shifted


def _leaves(text: str) -> Iterator[str]:
    """Yield the secret values in JSON or in ``key = value`` lines."""
    try:
        yield from _json_leaves(json.loads(text), "")
    except (ValueError, RecursionError):
        for line in text.splitlines():
            name, found, value = line.partition("=")
            value = value.strip()
            if found and value and _secret_member(name.strip()):
                yield value
                if value.startswith("{"):
                    yield from _leaves(value)


def _json_leaves(value: object, name: str) -> Iterator[str]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _json_leaves(item, str(key))
    elif isinstance(value, list):
        for item in value:
            yield from _json_leaves(item, name)
    elif isinstance(value, str) and _secret_member(name):
        yield value
        yield from (line for line in value.splitlines() if len(line) >= LINE)


def _secret_member(name: str) -> bool:
    return bool(_SECRET_KEY.search(name)) and not _KEY_ID.search(name)


def _parts_of_url(value: str) -> Iterator[str]:
    rest = value.partition("://")[2]
    server, at, _ = rest.partition("/")[0].rpartition("@")
    if at:
        yield from (part for part in server.split(":", 1)[1:] if part)
    _, mark, query = rest.partition("?")
    if mark:
        yield query


class RedactingStream(io.TextIOBase):
    """A text stream in front of another: whole lines go through the redactor."""

    def __init__(self, inner: Any, redactor: Redactor) -> None:  # noqa: ANN401 -- any text stream
        self._inner, self._redactor, self._pending = inner, redactor, ""

    def write(self, text: str) -> int:
        """Write whole lines; keep an unfinished one."""
        *lines, self._pending = (self._pending + text).split("\n")
        if lines:
            self._inner.write(self._redactor("\n".join(lines)) + "\n")
        return len(text)

    def flush(self) -> None:
        """Write everything that was kept."""
        if self._pending:
            self._inner.write(self._redactor(self._pending))
            self._pending = ""
        self._inner.flush()

    def fileno(self) -> int:
        """Return the descriptor of the stream beneath."""
        return self._inner.fileno()  # type: ignore[no-any-return]

    def writable(self) -> bool:
        """Return True: it can be written to."""
        return True


__all__ = ["MARK", "RedactingStream", "Redactor", "read_if_path"]
