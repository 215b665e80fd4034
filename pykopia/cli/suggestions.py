"""What a mistaken command name may have meant: names of other tools, of other levels, and misspelt ones."""

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
"""What the first words of other tools are called here."""

LEFT_OUT: Final[Mapping[str, str]] = MappingProxyType(
    {
        "acl": "pykopia is no server and has no users: access is that of the storage",
        "mount": "pykopia does not mount snapshots: `pykopia restore` and `pykopia dump` get files out of them",
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
    if word in LEFT_OUT and (len(path) == 1 or path[-1].name == "repository"):
        return LEFT_OUT[word]
    if len(path) == 1 and word in _ELSEWHERE:
        return f"did you mean `pykopia {_ELSEWHERE[word]}`?"
    children = [name for each in path[-1].children for name in (each.name, *each.aliases)]
    if near := did_you_mean(text, children):
        return near
    elsewhere = [names for names in _leaves([root]) if names[-1] == word]
    if elsewhere:
        best = sorted(elsewhere, key=_order)[:3]
        return "did you mean " + " or ".join(f"`pykopia {' '.join(names)}`" for names in best) + "?"
    if word in _ELSEWHERE:
        return f"did you mean `pykopia {_ELSEWHERE[word]}`?"
    if near := did_you_mean(word, {names[-1] for names in _leaves([root])}):
        found = near.split("'")[1]
        nearest = min((names for names in _leaves([root]) if names[-1] == found), key=_order)
        return f"did you mean `pykopia {' '.join(nearest)}`?"
    return ""


_RANK: Final[Mapping[str, int]] = MappingProxyType(
    {"snapshot": 0, "repository": 1, "policy": 2, "maintenance": 3, "index": 4, "cache": 5, "logs": 6}
)
"""The groups that people mean most often come first."""


def did_you_mean(text: str, known: Iterable[str]) -> str:
    """Return a hint naming the known word that looks most like ``text``, or nothing."""
    close = get_close_matches(text, list(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else ""


def _order(names: tuple[str, ...]) -> tuple[int, int, tuple[str, ...]]:
    return len(names), _RANK.get(names[0], len(_RANK)), names


def _leaves(path: Sequence[Named]) -> Iterator[tuple[str, ...]]:
    """Yield the full names of all commands and groups, and of their aliases."""
    for child in path[-1].children:
        before = tuple(each.name for each in path[1:])
        for name in (child.name, *child.aliases):
            yield (*before, name)
        yield from _leaves([*path, child])


__all__ = ["LEFT_OUT", "Named", "did_you_mean", "hint"]
