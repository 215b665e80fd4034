"""Replaces secrets in everything that the process writes (rule M-023).

A secret is looked for as it is, line by line, and in the forms in which libraries and servers tend to repeat it: URL-encoded,
base64, JSON-escaped. Structured secrets (credentials as JSON, an rclone configuration) are taken apart, so that a part of
one is as safe as the whole.

Fixed text of the log stays as it is, even where a secret is a word of it: programs look for that text, it is there whatever the
secret is, and a gap in it would tell the secret.
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

HEADERS: Final = (
    "Additional Backend Environment Variables",
    "Applying policy configuration",
    "Applying retention policy",
    "Checking directory for content",
    "Connecting to existing repository",
    "Creating repository",
    "DEBUG: Environment Setup",
    "DEBUG_MOVER: this mover does nothing",
    "Directory is empty skipping backup",
    "Discovery Mode: Available Snapshots",
    "Done",
    "END DEBUG",
    "ENVIRONMENT VARIABLES STATUS",
    "End Discovery Mode",
    "End S3 Connection Debug",
    "End S3 Creation Debug",
    "Log Configuration",
    "No data will be restored",
    "OPERATION SUMMARY",
    "S3 Connection Debug",
    "S3 Creation Debug",
    "Starting backup",
    "Starting discovery",
    "Starting maintenance",
    "Starting restore",
)
"""Headings of the sections of the log."""
_FIXED: Final = re.compile(
    "|".join(
        (
            rf"={{2,3}} (?:{'|'.join(map(re.escape, HEADERS))}) ={{2,3}}",
            r"^(?:ERROR|WARNING): ",
            r"^INFO: [A-Z_]+: [\w-]+$",
            r"^[A-Z0-9_]+: \[(?:NOT )?SET\]$",
            r"^(?:Cache directory writable|Log directory exists): (?:Yes|No)$",
            r"^(?:KOPIA_CACHE_DIR|KOPIA_CACHE_DIRECTORY|KOPIA_LOG_DIR): ",
            r"^Connected to repository ",
            r"\bUsing (?:username|hostname|source path) override: ",
            r"^Retention: kept \d+, deleted \d+$",
            r"^Policy configuration summary: \d+ applied",
            r"^Snapshot created: snapshot [0-9a-f]+ created for ",
            r"^Selected snapshot with id: ",
            r"^Restoring snapshot [0-9a-f]+ ",
            r"^Kopia completed in \d+s: ",
            r"\bSnapshot created successfully: snapshot [0-9a-f]+ created for ",
            r"; processed \d+ files, \d+ bytes, uploaded \d+ bytes",
            r"\bSnapshot restore completed(?:: restoring snapshot [0-9a-f]+ wrote \d+ files, \d+ bytes)?",
            r"\bNo eligible snapshots found",
            r"^No snapshots found for ",
            r"^Available identities \(username@hostname combinations\):",
            r" - \d+ snapshots, latest ",
            r'"(?:id|userName|hostName|path|startTime|endTime)": ',
            r"\bMaintenance completed",
        )
    ),
    re.MULTILINE,
)
"""Text that operators and people look for in the log."""

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
        if self._pattern is not None and self._pattern.search(text):
            text = self._without_secrets(text, self._pattern)
        if "://" in text:
            text = _USER_IN_URL.sub(f"{MARK}@", text)
            text = _QUERY_IN_URL.sub(rf"\g<url>?{MARK}", text)
        return text

    @staticmethod
    def _without_secrets(text: str, pattern: re.Pattern[str]) -> str:
        """Replace each secret, but for those that are a part of fixed text."""
        fixed = [found.span() for found in _FIXED.finditer(text)]
        kept: list[str] = []
        copied = position = 0
        while found := pattern.search(text, position):
            start, end = found.span()
            if any(first <= start and end <= last for first, last in fixed):
                position = start + 1  # a longer secret may begin within this one
                continue
            kept += text[copied:start], MARK
            copied = position = end
        return "".join((*kept, text[copied:]))

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
