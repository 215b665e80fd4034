"""The status of an object: our fields of it, and the patch that changes only those (rule O-005)."""

import copy
import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final

from pykopia_operator.decide.conditions import with_condition
from pykopia_operator.decide.objects import Obj, generation_of, meta, status_of
from pykopia_operator.decide.plan import Patch, merge_patch
from pykopia_operator.decide.times import format_time, parse_time

PREFIX: Final = "pykopia."


def kopia_status(obj: Obj) -> Obj:
    """Return the kopia part of the status, wherever it is stored."""
    status = status_of(obj)
    found: Obj = dict(status.get("kopia") or {})
    for key, text in (status.get("external") or {}).items():
        if key.startswith(PREFIX) and key.removeprefix(PREFIX) not in found:
            try:
                found[key.removeprefix(PREFIX)] = json.loads(text)
            except ValueError:
                found[key.removeprefix(PREFIX)] = text
    return found


class Status:
    """The status of an object while it is being decided; ends in one patch, or none if nothing has changed."""

    def __init__(self, owner: Obj, *, has_kopia: bool) -> None:
        self.owner = owner
        self.fields: Obj = copy.deepcopy(status_of(owner))
        self._has_kopia = has_kopia

    def set(self, **fields: Any) -> None:  # noqa: ANN401 -- what the field holds
        """Set fields of the status; None removes one."""
        for name, value in fields.items():
            if value is None:
                self.fields.pop(name, None)
            else:
                self.fields[name] = value

    def set_kopia(self, changes: Mapping[str, Any]) -> None:
        """Set fields of the kopia part; None removes one."""
        if self._has_kopia:
            part = self.fields.setdefault("kopia", {})
            for name, value in changes.items():
                if value is None:
                    part.pop(name, None)
                else:
                    part[name] = value
            if not part:
                self.fields.pop("kopia")
            return
        texts = self.fields.setdefault("external", {})
        for name, value in changes.items():
            if value is None:
                texts.pop(PREFIX + name, None)
            else:
                texts[PREFIX + name] = value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        if not texts:
            self.fields.pop("external")

    def condition(self, kind: str, *, true: bool, reason: str, message: str, now: datetime) -> None:
        """Set a condition."""
        self.fields["conditions"] = with_condition(
            self.fields.get("conditions"),
            kind,
            true=true,
            reason=reason,
            message=message,
            generation=generation_of(self.owner),
            now=now,
        )

    def patch(self) -> Patch | None:
        """Return the patch of what has changed, with the version that was read; None if nothing has."""
        change = merge_patch(status_of(self.owner), self.fields)
        if not change:
            return None
        version = {"resourceVersion": meta(self.owner).get("resourceVersion")}
        return Patch(obj=self.owner, change={"metadata": version, "status": change}, subresource="status")


def newest_time(*texts: str | None) -> str | None:
    """Return the latest of some times, None if there is none."""
    found = [moment for each in texts if (moment := parse_time(each)) is not None]
    return format_time(max(found)) if found else None
