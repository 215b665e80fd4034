"""The result of a run: the termination message, and the last lines of the log."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field, fields, replace
from typing import Any, Final, Literal

from pykopia.dataclass import dataclass
from pykopia_mover.explain import Place
from pykopia_mover.failures import CODES, Code
from pykopia_mover.redaction import Redactor

LONGEST: Final = 4096
"""Bytes of a termination message that the kubelet keeps."""
LONGEST_DIGEST: Final = 700
"""Bytes of the last line."""
MOST_WARNINGS: Final = 5
SENTENCES: Final = ("message", "warnings")
"""Members that are text for people."""
MOST_IDENTITIES: Final = 10


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """Facts about an operation."""

    identity: str = ""
    adopted: bool = False
    snapshot: Mapping[str, Any] = field(default_factory=dict)
    restore: Mapping[str, Any] = field(default_factory=dict)
    retention: Mapping[str, int] = field(default_factory=dict)
    maintenance: Mapping[str, Any] = field(default_factory=dict)
    repository: Mapping[str, Any] = field(default_factory=dict)
    cache: Mapping[str, int] = field(default_factory=dict)
    identities: Sequence[Mapping[str, Any]] = ()
    overrides: Sequence[str] = ()
    """Lines on overrides, repeated after the digest."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Known(Facts):
    """Facts that are known while a run goes on, however it ends."""

    place: Place = field(default_factory=Place)
    """The storage, for error messages."""


class Notes:
    """Collects the facts of a run, so that an end by an error or a signal reports them too."""

    def __init__(self, place: Place) -> None:
        """Begin with the storage as far as it is known."""
        self.known = Known(place=place)

    def add(self, **facts: Any) -> None:  # noqa: ANN401 -- fields of Known
        """Set fields of what is known; mappings are merged with what they have."""
        merged = {
            name: {**getattr(self.known, name), **value} if isinstance(value, Mapping) else value
            for name, value in facts.items()
        }
        self.known = replace(self.known, **merged)  # type: ignore[arg-type]  # each of its own type


@dataclass(frozen=True, kw_only=True, slots=True)
class Outcome:
    """How an operation ended."""

    message: str
    """One sentence."""
    result: Literal["success", "skipped", "no-data", "failure"] = "success"
    code: Code = CODES["ok"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Report(Facts):
    """Result of one operation, or of several in one process."""

    op: str
    result: str = "success"
    code: Code = CODES["ok"]
    message: str = ""
    seconds: float = 0
    warnings: Sequence[str] = ()

    @classmethod
    def of(
        cls, op: str, outcome: Outcome, known: Known, *, seconds: float = 0, warnings: Sequence[str] = ()
    ) -> "Report":
        """Return the report of an operation."""
        facts = {each.name: getattr(known, each.name) for each in fields(Facts)}
        return cls(
            op=op,
            result=outcome.result,
            code=outcome.code,
            message=outcome.message,
            seconds=seconds,
            warnings=tuple(warnings),
            **facts,
        )

    def following(self, earlier: "Report | None") -> "Report":
        """Return this report with the facts of an earlier operation of the same process, for metrics."""
        if earlier is None:
            return self
        created = {"created": True} if earlier.repository.get("created") else {}
        return replace(
            self,
            identity=self.identity or earlier.identity,
            adopted=self.adopted or earlier.adopted,
            snapshot=self.snapshot or earlier.snapshot,
            retention=self.retention or earlier.retention,
            repository={**earlier.repository, **self.repository, **created},
            cache=self.cache or earlier.cache,
        )

    def members(self) -> dict[str, Any]:
        """Return the members of the termination message; empty parts are left out."""
        everything: dict[str, Any] = {
            "v": 1,
            "op": self.op,
            "result": self.result,
            "code": self.code.name,
            "message": self.message,
            "retryable": self.code.retryable,
            "identity": self.identity,
            "adopted": self.adopted,
            "snapshot": self.snapshot,
            "restore": self.restore,
            "retention": self.retention,
            "maintenance": self.maintenance,
            "repository": self.repository,
            "cache": self.cache,
            "seconds": round(self.seconds, 1),
            "warnings": [_cut(each, 300) for each in self.warnings[:MOST_WARNINGS]],
            "identities": list(self.identities[:MOST_IDENTITIES]),
        }
        always = {"v", "op", "result", "code", "message", "retryable", "seconds"}
        return {name: value for name, value in everything.items() if value or name in always}

    def after(self, earlier: "Report | None") -> "Report":
        """Return one report of this operation and of one that ran before it in the same process.

        What only one of them has is kept. A failure counts for both; otherwise the first operation says how it ended.
        """
        if earlier is None:
            return self
        failed = self.result == "failure"

        def both(name: str) -> dict[str, Any]:
            return {**getattr(earlier, name), **getattr(self, name)}

        return replace(
            self,
            result=self.result if failed else earlier.result,
            message="; ".join(
                filter(None, (self.message, earlier.message) if failed else (earlier.message, self.message))
            ),
            identity=self.identity or earlier.identity,
            adopted=self.adopted or earlier.adopted,
            snapshot=both("snapshot"),
            restore=both("restore"),
            retention=both("retention"),
            maintenance=both("maintenance"),
            repository={
                **both("repository"),
                "created": any(each.repository.get("created") for each in (earlier, self)),
            },
            cache=both("cache"),
            seconds=self.seconds + earlier.seconds,
            identities=self.identities or earlier.identities,
        )

    def to_json(self, redactor: Redactor) -> bytes:
        """Return the termination message: whole JSON of at most 4096 bytes, without secrets.

        Sentences are redacted. Names, IDs and numbers are not: a secret that is a common word would change an identity.
        """
        members = self.members()
        for name in SENTENCES:
            if name in members:
                members[name] = redactor.in_value(members[name])
        if "skipped" in self.maintenance:
            members["maintenance"] = {**self.maintenance, "skipped": redactor(self.maintenance["skipped"])}
        for shrink in (_fewer("identities"), _fewer("warnings"), _shorter_message, *map(_without, _LEAST_NEEDED)):
            data = _dumps(members)
            while len(data) > LONGEST and shrink(members):
                data = _dumps(members)
            if len(data) <= LONGEST:
                break
        return _dumps(members)

    # ------------------------------------------------------------------ the log

    def summary(self) -> Iterator[str]:
        """Yield the block that older operators read."""
        failed = self.result == "failure"
        yield "INFO: === OPERATION SUMMARY ==="
        yield f"INFO: OPERATION_TYPE: {self.op}"
        yield f"INFO: OPERATION_RESULT: {'FAILURE' if failed else 'SUCCESS'}"
        if self.op == "maintenance":
            yield f"INFO: MAINTENANCE_STATUS: {'FAILURE' if failed else 'SUCCESS'}"
            yield f"INFO: MAINTENANCE_DURATION: {int(self.seconds)}"
            if failed:
                yield f"INFO: MAINTENANCE_FAILURE_REASON: {self.code.name}"
        yield f"INFO: EXIT_CODE: {self.code.status}"
        yield "INFO: === Done ==="

    def digest(self) -> str:
        """Return the last line of the log: a summary in words that the filters of all operators pass on."""
        if self.result == "failure":
            return _cut(self.message, LONGEST_DIGEST)
        parts = [f"Kopia completed in {int(self.seconds)}s: {self._happened()}", *self.overrides]
        return _cut("; ".join(parts), LONGEST_DIGEST)

    def _happened(self) -> str:
        if self.result == "skipped":
            return f"Skipping {self.op}: {self.message}"
        if self.result == "no-data":
            return "No eligible snapshots found; === No data will be restored ==="
        if self.op == "backup":
            taken: Mapping[str, Any] = self.snapshot
            return (
                f"Snapshot created successfully: snapshot {taken.get('id')} created for {self.identity}; "
                f"processed {taken.get('files')} files, {taken.get('bytes')} bytes, uploaded {taken.get('newBytes')} bytes"
            )
        if self.op == "restore":
            done: Mapping[str, Any] = self.restore
            return (
                f"Snapshot restore completed: restoring snapshot {self.snapshot.get('id')} wrote {done.get('files')} "
                f"files, {done.get('bytes')} bytes"
            )
        if self.op == "maintenance":
            return f"Maintenance {self.message}"
        return self.message


_LEAST_NEEDED: Final = ("cache", "retention", "maintenance", "repository", "restore", "snapshot", "identity")


def _dumps(members: Mapping[str, Any]) -> bytes:
    return json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")


def _fewer(name: str) -> Any:  # noqa: ANN401 -- a function
    def shrink(members: dict[str, Any]) -> bool:
        if not members.get(name):
            members.pop(name, None)
            return False
        members[name].pop()
        return True

    return shrink


def _shorter_message(members: dict[str, Any]) -> bool:
    if len(members["message"]) < 200:
        return False
    members["message"] = _cut(members["message"], len(members["message"].encode()) // 2)
    return True


def _without(name: str) -> Any:  # noqa: ANN401 -- a function
    def shrink(members: dict[str, Any]) -> bool:
        return members.pop(name, None) is not None

    return shrink


def _cut(text: str, most: int) -> str:
    """Return a text of at most so many bytes on one line."""
    line = " ".join(text.split())
    data = line.encode("utf-8", "replace")
    return line if len(data) <= most else data[: most - 3].decode("utf-8", "ignore") + "…"


__all__ = ["LONGEST", "LONGEST_DIGEST", "Facts", "Known", "Notes", "Outcome", "Report"]
