"""Notification profiles and templates: manifests that Kopia reads and writes too."""

import json
from collections.abc import Mapping
from dataclasses import field, replace
from types import MappingProxyType
from typing import Any, Final, Literal, Protocol, TypeAlias
from urllib.parse import urlsplit

from pykopia.dataclass import dataclass
from pykopia.errors import DamagedManifestError, NotFoundError, UsageError
from pykopia.format import gojson
from pykopia.format.manifest import TYPE_LABEL, ManifestEntry
from pykopia.repository.writer import RepositoryWriter

PROFILE_TYPE: Final = "notificationProfile"
TEMPLATE_TYPE: Final = "notificationTemplate"

SEVERITIES: Final[Mapping[str, int]] = MappingProxyType(
    {"verbose": -100, "success": -10, "report": 0, "warning": 10, "error": 20}
)
"""Kopia's names and numbers."""

Method: TypeAlias = Literal["email", "webhook", "pushover"]

_DEFAULTS: Final[Mapping[str, Mapping[str, object]]] = MappingProxyType(
    {
        "email": {
            "smtpServer": "",
            "smtpPort": 587,
            "smtpIdentity": "",
            "smtpUsername": "",
            "smtpPassword": "",
            "from": "",
            "to": "",
            "cc": "",
            "format": "html",
        },
        "pushover": {"appToken": "", "userKey": "", "format": "txt"},
        "webhook": {"endpoint": "", "method": "POST", "format": "txt", "headers": ""},
    }
)
"""Members of the configuration of each method, in the order in which Kopia writes them, with their defaults."""

FORMATS: Final = ("html", "txt")


class Manifests(Protocol):
    """Where profiles and templates are looked up: the manifests of a repository, or those that were kept of one."""

    def find(self, labels: Mapping[str, str]) -> list[ManifestEntry]:
        """Return the manifests that carry all given labels, oldest first."""


class Notifying(Protocol):
    """A repository, or what was kept of one, as far as notifications need it."""

    @property
    def manifests(self) -> Manifests:
        """Its manifests."""

    @property
    def hostname(self) -> str:
        """Name of this machine, as the repository's client has it."""


class ProfileNotFoundError(NotFoundError):
    """No notification profile has this name."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Where messages go, and which."""

    name: str
    method: str
    """``email``, ``webhook`` or ``pushover``; another one of a newer Kopia can be listed, not used."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """By Kopia's names of members."""
    min_severity: int = 0
    """Messages of less weight are not sent, see ``SEVERITIES``."""

    @property
    def format(self) -> str:
        """Of the text: ``html`` or ``txt``."""
        return str(self.config.get("format") or _DEFAULTS.get(self.method, {}).get("format", "txt"))

    @property
    def summary(self) -> str:
        """What the profile does, in the words of Kopia's lists; no secret but the two keys of Pushover."""
        get = self.config.get
        if self.mistake():
            return f"{self.method} - invalid"
        if self.method == "email":
            return (
                f"SMTP server: {_quoted(get('smtpServer'))}, Mail from: {_quoted(get('from'))} "
                f"Mail to: {_quoted(get('to'))} Format: {_quoted(self.format)}"
            )
        if self.method == "webhook":
            return f"Webhook {get('method') or 'POST'} {get('endpoint')} Format {_quoted(self.format)}"
        return f"Pushover user {_quoted(get('userKey'))} app {_quoted(get('appToken'))} format {_quoted(self.format)}"

    def mistake(self) -> str:
        """Return what is missing or wrong in the configuration; empty when nothing is."""
        get = self.config.get
        if self.method not in _DEFAULTS:
            return f"notifications by {self.method!r} are not known here"
        if self.format not in FORMATS:
            return f"the format must be html or txt; it is {self.format!r}"
        required = {
            "email": {"smtpServer": "SMTP server", "from": "From address", "to": "To address"},
            "pushover": {"appToken": "App Token", "userKey": "User Key"},
            "webhook": {"endpoint": "endpoint"},
        }[self.method]
        for member, words in required.items():
            if not get(member):
                return f"the {words} must be given"
        if self.method == "webhook" and urlsplit(str(get("endpoint"))).scheme not in {"http", "https"}:
            return "the endpoint must begin with http:// or https://"
        return ""

    def members(self) -> dict[str, object]:
        """Return the JSON members that are stored."""
        return {
            "profile": self.name,
            "method": {"type": self.method, "config": dict(self.config)},
            "minSeverity": self.min_severity,
        }

    def summary_members(self) -> dict[str, object]:
        """Return the JSON members that lists show."""
        return {
            "profile": self.name,
            "type": self.method,
            "summary": self.summary,
            "minSeverity": self.min_severity,
        }

    def changed(self, values: Mapping[str, object], min_severity: int | None = None) -> "Profile":
        """Return the profile with other values; empty ones leave what there is.

        Raises:
            UsageError: something is missing or wrong then.
        """
        order = _DEFAULTS[self.method]
        given = {key: value for key, value in values.items() if value}
        config = {key: given.get(key) or self.config.get(key) or default for key, default in order.items()}
        config |= {key: value for key, value in self.config.items() if key not in config}
        after = replace(self, config=config)
        if min_severity is not None:
            after = replace(after, min_severity=min_severity)
        if mistake := after.mistake():
            raise UsageError(f"notification profile {self.name!r} can't be used: {mistake}")
        return after


def _quoted(value: object) -> str:
    return json.dumps(str(value or ""), ensure_ascii=False)


def _labels(name: str) -> dict[str, str]:
    return {TYPE_LABEL: PROFILE_TYPE, "profile": name}


def _read(entry: ManifestEntry) -> Profile:
    try:
        stored = json.loads(entry.data)
        method = stored["method"]
        return Profile(
            name=str(stored["profile"]),
            method=str(method["type"]),
            config=dict(method.get("config") or {}),
            min_severity=int(stored.get("minSeverity") or 0),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedManifestError(
            f"notification profile {entry.labels.get('profile', '')} (manifest {entry.id}) can't be read: {error}; delete it "
            "by `notification profile delete` and configure it again"
        ) from error


def list_profiles(repository: Notifying) -> list[Profile]:
    """Return all profiles, oldest first.

    Raises:
        DamagedManifestError: one can't be read.
    """
    return [_read(entry) for entry in repository.manifests.find({TYPE_LABEL: PROFILE_TYPE})]


def get_profile(repository: Notifying, name: str) -> Profile:
    """Return the profile of a name.

    Raises:
        ProfileNotFoundError: there is none.
        DamagedManifestError: it can't be read.
    """
    found = repository.manifests.find(_labels(name))
    if not found:
        raise ProfileNotFoundError(f"there is no notification profile {name!r}; `notification profile list` shows all")
    return _read(found[-1])


def save_profile(writer: RepositoryWriter, profile: Profile) -> None:
    """Store a profile in the place of the one of its name."""
    writer.manifests.replace(_labels(profile.name), gojson.dumps(profile.members()))


def delete_profile(writer: RepositoryWriter, name: str) -> bool:
    """Delete the profile of a name; return whether there was one."""
    found = writer.manifests.find(_labels(name))
    for entry in found:
        writer.manifests.delete(entry.id)
    return bool(found)


# --- templates -------------------------------------------------------------------------------------------------------


def _template_labels(name: str) -> dict[str, str]:
    return {TYPE_LABEL: TEMPLATE_TYPE, "template": name}


def custom_templates(repository: Notifying) -> dict[str, tuple[str, int]]:
    """Return the templates that users have stored: text, and nanoseconds since 1970 of the change, by name."""
    return {
        entry.labels.get("template", ""): (_template_text(entry), entry.modified_ns)
        for entry in repository.manifests.find({TYPE_LABEL: TEMPLATE_TYPE})
    }


def _template_text(entry: ManifestEntry) -> str:
    try:
        return str(json.loads(entry.data)["template"])
    except (ValueError, KeyError, TypeError) as error:
        raise DamagedManifestError(f"notification template manifest {entry.id} can't be read: {error}") from error


def save_template(writer: RepositoryWriter, name: str, text: str) -> None:
    """Store a template in the place of the built-in one of its name."""
    writer.manifests.replace(_template_labels(name), gojson.dumps({"template": text}))


def reset_template(writer: RepositoryWriter, name: str) -> bool:
    """Return to the built-in template; return whether there was another."""
    found = writer.manifests.find(_template_labels(name))
    for entry in found:
        writer.manifests.delete(entry.id)
    return bool(found)


__all__ = [
    "FORMATS",
    "SEVERITIES",
    "Manifests",
    "Method",
    "Notifying",
    "Profile",
    "ProfileNotFoundError",
    "custom_templates",
    "delete_profile",
    "get_profile",
    "list_profiles",
    "reset_template",
    "save_profile",
    "save_template",
]
