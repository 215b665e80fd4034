"""Suggestions for a wrong command name: names of other tools, of other levels, and misspelt ones."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from types import MappingProxyType
from typing import Final, Protocol


class Named(Protocol):
    """A command, as far as its names matter."""

    name: str
    aliases: tuple[str, ...]

    @property
    def children(self) -> "Sequence[Named]":
        """The commands of a group."""
        ...


_ELSEWHERE: Final[Mapping[str, str]] = MappingProxyType(
    {
        "apply": "restore",
        "archive": "snapshot create",
        "archives": "snapshot list",
        "backup": "snapshot create",
        "backups": "snapshot list",
        "config": "repository status",
        "copy-from": "snapshot migrate",
        "download": "restore",
        "du": "info",
        "exclude": "policy set --add-ignore",
        "extract": "restore",
        "export-tar": "dump",
        "fetch": "restore",
        "forget": "snapshot expire",
        "fsck": "snapshot verify",
        "get": "restore",
        "ignore": "policy set --add-ignore",
        "import": "snapshot migrate",
        "init": "repository create",
        "key": "repository change-password",
        "keep": "policy set",
        "locks": "maintenance info",
        "login": "repository connect",
        "logout": "repository disconnect",
        "new": "repository create",
        "open": "repository connect",
        "optimize": "maintenance run",
        "passwd": "repository change-password",
        "password": "repository change-password",
        "prune": "maintenance run --full",
        "purge": "snapshot delete",
        "recover": "index recover",
        "remove": "snapshot delete",
        "repair": "check",
        "repo-info": "repository status",
        "retention": "policy set",
        "rm": "snapshot delete",
        "run": "snapshot create",
        "save": "snapshot create",
        "schedule": "policy set",
        "scrub": "snapshot verify --verify-files-percent=100",
        "search": "find",
        "size": "info",
        "snapshots": "snapshot list",
        "start": "snapshot create",
        "stats": "info",
        "store": "snapshot create",
        "sync": "repository sync-to",
        "tags": "tag",
        "test": "snapshot verify",
        "undelete": "content undelete",
        "unlock": "maintenance info",
        "update": "snapshot create",
        "upload": "snapshot create",
        "validate": "snapshot verify",
        "version": "--version",
        "versions": "history",
    }
)
"""Names of this program for the first words of other tools."""

LEFT_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "acl": "pykopia is no server and has no users: access is that of the storage",
        "server": "pykopia is no server: each client works on the storage itself, see `pykopia repository connect`",
        "user": "pykopia is no server and has no users: access is that of the storage",
        "users": "pykopia is no server and has no users: access is that of the storage",
    }
)
"""Groups of Kopia that are no part of pykopia."""


def hint(root: Named, path: Sequence[Named], text: str) -> str:
    """Return what a word may have meant where a command was expected; empty when nothing comes to mind.

    Args:
        root: the program.
        path: the commands that were understood before the word.
        text: the word.
    """
    word = text.lower()
    children = [name for each in path[-1].children for name in (each.name, *each.aliases)]
    if word in LEFT_OUT and (len(path) == 1 or path[1].name == "repository"):
        return LEFT_OUT[word]
    if len(path) == 1 and word in _ELSEWHERE:
        return f"did you mean `pykopia {_ELSEWHERE[word]}`?"
    if "/" in word:
        kinds = " ".join(each.name for each in path[1:])
        return f"did you mean `pykopia {kinds} filesystem --path={text}`?" if "filesystem" in children else ""
    for other in _SAME.get(word, ()):
        if other in children:
            return f"did you mean {other!r}?"
    if near := did_you_mean(text, children):
        return near
    found = _best(root, word)
    if not found and len(path) == 1 and (near := did_you_mean(word, {names[-1] for names in _leaves([root])}, 0.75)):
        found = _best(root, near.split("'")[1])
    if found:
        return "did you mean " + " or ".join(f"`pykopia {' '.join(names)}`" for names in found[:2]) + "?"
    return f"did you mean `pykopia {_ELSEWHERE[word]}`?" if word in _ELSEWHERE else ""


def flag_hint(command: str, name: str, shown: Sequence[str], known: Sequence[str]) -> str:
    """Return what a mistaken flag may have meant; empty when nothing comes to mind.

    Args:
        command: the full name of the command.
        name: the flag, without its hyphens.
        shown: the flags that help texts show.
        known: all flags.
    """
    for (commands, flags), text in _FLAGS.items():
        if name in flags and command in commands:
            return text
    longer = [each for each in shown if len(name) > 2 and each.startswith(name)]
    if longer:
        return f"did you mean '--{min(longer, key=len)}'?"
    return did_you_mean(f"--{name}", [f"--{each}" for each in shown], 0.7) or did_you_mean(
        f"--{name}", [f"--{each}" for each in known], 0.85
    )


def _best(root: Named, word: str) -> list[tuple[str, ...]]:
    return sorted((names for names in _leaves([root]) if names[-1] == word), key=_order)


_SAME: Final[Mapping[str, Sequence[str]]] = MappingProxyType(
    {
        "add": ("create", "set"),
        "make": ("create",),
        "new": ("create",),
        "take": ("create",),
        "save": ("create",),
        "run": ("create", "run"),
        "rm": ("delete",),
        "remove": ("delete",),
        "del": ("delete",),
        "forget": ("expire", "delete"),
        "prune": ("expire", "run"),
        "check": ("verify",),
        "test": ("verify",),
        "update": ("set", "create"),
        "change": ("set", "edit"),
        "info": ("status", "show", "info"),
        "get": ("show",),
        "start": ("run", "create"),
        "local": ("filesystem",),
        "file": ("filesystem",),
        "disk": ("filesystem",),
        "google": ("gcs", "gdrive"),
        "ssh": ("sftp",),
        "ftp": ("sftp",),
        "nextcloud": ("webdav",),
        "backblaze": ("b2",),
        "minio": ("s3",),
        "aws": ("s3",),
    }
)
"""Words of people, and the commands of a group that they stand for."""

_CREATE: Final = ("snapshot create",)
_RESTORE: Final = ("restore", "snapshot restore")
_FLAGS: Final[Mapping[tuple[Sequence[str], Sequence[str]], str]] = MappingProxyType(
    {
        (_CREATE, ("exclude", "ignore", "add-ignore")): (
            "what is left out is a policy: `pykopia policy set SOURCE --add-ignore=PATTERN`"
        ),
        (
            _CREATE,
            ("dry-run", "simulate", "test"),
        ): "`pykopia snapshot estimate SOURCE` counts what a snapshot would take",
        (_CREATE, ("compression", "compress")): (
            "compression is a policy: `pykopia policy set SOURCE --compression=zstd`"
        ),
        (_CREATE, ("keep-latest", "keep-daily", "retention")): (
            "what is kept is a policy: `pykopia policy set SOURCE --keep-daily=7`"
        ),
        (("snapshot delete",), ("force", "yes", "confirm", "commit")): "did you mean '--delete'?",
        (("snapshot delete",), ("all",)): "did you mean '--all-snapshots-for-source'?",
        (_RESTORE, ("from", "to", "target", "source", "destination")): (
            "source and target stand without flags: `pykopia restore SOURCE TARGET`"
        ),
        (_RESTORE, ("latest",)): "`latest` stands in the place of an ID: `pykopia restore latest TARGET`",
        (("policy set",), ("exclude", "ignore")): "did you mean '--add-ignore'?",
    }
)
"""What flags that people look for are called here, by command."""

_RANK: Final[Mapping[str, int]] = MappingProxyType(
    {"snapshot": 0, "repository": 1, "policy": 2, "maintenance": 3, "index": 4, "cache": 5, "logs": 6}
)
"""The groups that people mean most often come first."""


def did_you_mean(text: str, known: Iterable[str], cutoff: float = 0.65) -> str:
    """Return a hint naming the known word that looks most like ``text``, or nothing."""
    close = get_close_matches(text, list(known), n=1, cutoff=cutoff)
    return f"did you mean {close[0]!r}?" if close else ""


def _order(names: tuple[str, ...]) -> tuple[int, int, tuple[str, ...]]:
    return len(names), _RANK.get(names[0], len(_RANK)), names


def _leaves(path: Sequence[Named]) -> Iterator[tuple[str, ...]]:
    """Yield the full names of all commands and groups."""
    for child in path[-1].children:
        yield (*(each.name for each in path[1:]), child.name)
        yield from _leaves([*path, child])


__all__ = ["LEFT_OUT", "Named", "did_you_mean", "flag_hint", "hint"]
