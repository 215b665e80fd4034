"""Plans: what a decision wants done, in order; the reconcilers carry them out."""

from dataclasses import dataclass, field
from typing import Any, Literal

from pykopia_operator.decide.objects import Obj, name_of, namespace_of


@dataclass(frozen=True, kw_only=True, slots=True)
class Create:
    """Create an object. That it exists already is fine, names are the same in every attempt, unless it is ``exclusive``."""

    obj: Obj
    exclusive: bool = False
    """An object that exists already is a conflict: another process has just taken what the object stands for."""

    def __str__(self) -> str:
        return f"create {self.obj['kind']} {namespace_of(self.obj)}/{name_of(self.obj)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Patch:
    """Change a part of an object by a merge patch; a resource version in it makes a concurrent change a conflict."""

    obj: Obj
    """The object as it was read."""
    change: Obj
    subresource: Literal["", "status"] = ""

    def __str__(self) -> str:
        return f"patch {self.obj['kind']} {namespace_of(self.obj)}/{name_of(self.obj)} {self.subresource}".rstrip()


@dataclass(frozen=True, kw_only=True, slots=True)
class Delete:
    """Delete an object in the background, if it is still the one that was read."""

    obj: Obj

    def __str__(self) -> str:
        return f"delete {self.obj['kind']} {namespace_of(self.obj)}/{name_of(self.obj)}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Report something on an object; the same reason at most once for each ``once``."""

    obj: Obj
    reason: str
    message: str
    action: str = "Reconcile"
    warning: bool = False
    once: str = ""
    """What the event belongs to, such as the start time of a run."""

    def __str__(self) -> str:
        return f"event {self.reason} on {self.obj['kind']} {namespace_of(self.obj)}/{name_of(self.obj)}: {self.message}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """Change a metric."""

    name: str
    value: float = 1
    labels: dict[str, str] = field(default_factory=dict)


Action = Create | Patch | Delete | Event | Measure


@dataclass(kw_only=True, slots=True)
class Plan:
    """Actions in order, and when to look at the object again without an event."""

    actions: list[Action] = field(default_factory=list)
    again: float | None = None
    """Seconds; None: only when something changes."""

    def add(self, *actions: Action) -> "Plan":
        """Add actions and return the plan."""
        self.actions.extend(actions)
        return self

    def wait(self, seconds: float) -> "Plan":
        """Look at the object again after so many seconds at the latest."""
        self.again = seconds if self.again is None else min(self.again, seconds)
        return self


def merge_patch(before: Any, after: Any) -> Any:  # noqa: ANN401 -- parts of JSON
    """Return the smallest JSON merge patch (RFC 7386) that turns one object into another; empty if they are equal.

    >>> merge_patch({"a": 1, "b": {"c": 2, "d": 3}}, {"a": 1, "b": {"c": 4}})
    {'b': {'c': 4, 'd': None}}
    """
    if not (isinstance(before, dict) and isinstance(after, dict)):
        return after
    found: dict[str, Any] = {}
    for key, value in after.items():
        if key not in before:
            found[key] = value
        elif before[key] != value:
            found[key] = merge_patch(before[key], value)
    return found | {key: None for key in before if key not in after}
