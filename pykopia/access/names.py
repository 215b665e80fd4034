"""Names of ``kopia://``: the sources of a repository, their snapshots by time, and what is in these, as one tree.

==================================  =====================================================================
name                                meaning
==================================  =====================================================================
(empty)                             the root: users and hosts
``user@host:/path``                 a source, or a folder above sources
``user@host:/path/@MOMENT``         a snapshot of the source
``user@host:/path/@MOMENT/inside``  a file or folder of the snapshot
``ID/inside``                       the same by the ID of a snapshot or of an object; ``latest/inside``
==================================  =====================================================================

The slash before ``@`` may be left out: ``user@host:/path@latest/inside`` is the same name. ``MOMENT`` is ``latest``,
``latest~2``, a time (the newest snapshot that began until its end: ``@2026-11-02`` is that day's last), ``tag:KEY=VALUE``,
or the ID of a snapshot. A part of a source's path that looks like a moment itself is written with ``%40`` for its ``@``.
"""

import re

from pykopia.dataclass import dataclass
from pykopia.format.source import SourceInfo

_CLIENT = re.compile(r"[^/@]*@[^/:]*:")
_ROOT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/]*")
_TIME = r"\d{4}-\d{1,2}(?:-\d{1,2}(?:[ T][0-9:.]+)?)?(?:Z|[+-]\d{2}:?\d{2})?"
_MOMENT = re.compile(rf"(.*)@(latest(?:~\d{{1,6}})?|{_TIME}|[0-9a-f]{{32}}|tag:[^/]+|[^/]*[*?\[][^/]*)", re.DOTALL)
_ESCAPED = re.compile("%(25|40)")


@dataclass(frozen=True, slots=True)
class Name:
    """A name, taken apart."""

    client: str = ""
    """``user@host:``, for sources on other filesystems with the root of these (``user@host:s3://bucket``); empty for the root
    and for names by ID."""
    above: tuple[str, ...] = ()
    """Parts of the path of a source, or of a folder above sources."""
    moment: str = ""
    """Which snapshot of the source; with an empty ``client`` its ID. Empty for a source and for folders above sources."""
    inside: tuple[str, ...] = ()
    """The path in the snapshot."""

    @classmethod
    def parse(cls, text: str) -> "Name":
        """Take a name apart; anything is a name."""
        parts = [part for part in text.split("/") if part]
        client = _CLIENT.match(text)
        if client is None:
            return cls(moment=parts[0], inside=tuple(parts[1:])) if parts else cls()
        root = _ROOT.match(text, client.end())
        rest = text[root.end() if root else client.end() :]
        first = root.group() if root else ""
        if not root and rest[:1] not in ("", "/"):
            first, _, rest = rest.partition("/")  # a path of Windows
        above: list[str] = []
        moment = ""
        if first and (found := _MOMENT.fullmatch(first)):
            first, moment = found.groups()
        parts = [part for part in rest.split("/") if part]
        for number, part in enumerate(parts) if not moment else ():
            found = _MOMENT.fullmatch(part)
            if found is None:
                above.append(part)
                continue
            if found[1]:
                above.append(found[1])
            moment, parts = found[2], parts[number + 1 :]
            break
        else:
            parts = parts if moment else []
        return cls(client.group() + first, tuple(map(_plain, above)), moment, tuple(parts))

    def __str__(self) -> str:
        if not self.client:
            return "/".join((self.moment, *self.inside)) if self.moment else ""
        moment = (f"@{self.moment}",) if self.moment else ()
        return "/".join((self.client, *map(_escaped, self.above), *moment, *self.inside))

    @property
    def parent(self) -> "Name":
        """The name of the folder that holds this one; the root is its own parent."""
        if self.inside:
            return Name(self.client, self.above, self.moment, self.inside[:-1])
        if self.moment and self.client:
            return Name(self.client, self.above)
        return Name(self.client, self.above[:-1]) if self.above else Name()

    @property
    def last(self) -> str:
        """The last part of the name."""
        return self.inside[-1] if self.inside else str(self).rpartition("/")[2]

    @property
    def source(self) -> SourceInfo:
        """The source whose snapshots the name can choose from."""
        user, _, rest = self.client.partition("@")
        host, _, first = rest.partition(":")
        path = "/".join((first, *self.above)) or "/"
        return SourceInfo(host=host, user_name=user, path=path)

    def child(self, part: str) -> "Name":
        """Return the name of an entry of this folder of a snapshot."""
        return Name(self.client, self.above, self.moment, (*self.inside, part))


def name_of(source: SourceInfo, moment: str = "") -> Name:
    """Return the name of a source, or of one of its snapshots."""
    client = f"{source.user_name}@{source.host}:"
    root = _ROOT.match(source.path)
    first = root.group() if root else ""
    rest = source.path[len(first) :]
    if not root and rest[:1] != "/":
        first, _, rest = rest.partition("/")
    return Name(client + first, tuple(part for part in rest.split("/") if part), moment)


def _escaped(part: str) -> str:
    part = _ESCAPED.sub(r"%25\1", part)
    return part.replace("@", "%40") if _MOMENT.fullmatch(part) else part


def _plain(part: str) -> str:
    return _ESCAPED.sub(lambda found: "%" if found[1] == "25" else "@", part)


__all__ = ["Name", "name_of"]
