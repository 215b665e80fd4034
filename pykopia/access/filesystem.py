"""``kopia://``: the snapshots of a repository as a filesystem of fsspec, for reading.

>>> import fsspec, pykopia
>>> with pykopia.create("memory://seen", "a good password") as repository:
...     source = pykopia.SourceInfo(user_name="ann", host="box", path="/data")
...     with repository.writer() as writer:
...         table = writer.objects.write(b"x,y")
...         snapshot = repository.snapshots.put(source, {"table.csv": table}, writer=writer)
...     with fsspec.open("kopia://ann@box:/data@latest/table.csv", repo=repository, mode="r") as file:
...         file.read()
'x,y'
"""

import asyncio
import os
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Any, BinaryIO, NoReturn

from fsspec.asyn import AsyncFileSystem
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.spec import _Cached, make_instance

from pykopia.access.chunks import KEPT_BYTES
from pykopia.access.errors import reading
from pykopia.access.files import BUFFER, READ_AHEAD
from pykopia.access.names import Name
from pykopia.access.opened_files import CachedFile, KopiaFile
from pykopia.access.opening import Place, check_arguments, open_repository
from pykopia.access.view import Node, RepositoryView
from pykopia.api.repository import Repository
from pykopia.errors import PykopiaError, ReadOnlyRepositoryError, UsageError
from pykopia.format.directory import DIRECTORY, FILE, SYMLINK
from pykopia.snapshot.snapshot_path import TYPE_BITS

TYPES = {FILE: "file", DIRECTORY: "directory", SYMLINK: "link"}

Info = dict[str, Any]
Ranges = int | Sequence[int | None] | None


class _OnePerRepository(_Cached):  # type: ignore[misc]
    """Keeps fsspec from taking two open repositories for one because they print alike."""

    def __call__(self, *args: object, **options: object) -> "KopiaFileSystem":
        if isinstance(options.get("repo", args[0] if args else None), Repository):
            options["skip_instance_cache"] = True
        made: KopiaFileSystem = super().__call__(*args, **options)
        return made


class KopiaFileSystem(AsyncFileSystem, metaclass=_OnePerRepository):  # type: ignore[misc]
    """The snapshots of a repository; names as in ``pykopia.access.names``.

    The repository is opened at the first use and nothing is ever written to it. Snapshots that others take later are seen
    after ``invalidate_cache``. Listing never leaves a folder out because it can't be read: ``OSError`` is raised, unless the
    caller gives ``on_error``. Symbolic links are listed as ``link``; opening one reads the file that it leads to in its
    snapshot.
    """

    protocol = "kopia"
    root_marker = ""

    def __init__(
        self,
        repo: Place = None,
        *,
        options: Mapping[str, object] | None = None,
        secrets: Mapping[str, str] | None = None,
        cache_bytes: int = KEPT_BYTES,
        read_ahead: int = READ_AHEAD,
        **settings: object,
    ) -> None:
        """Take what opens the repository; nothing is opened.

        Args:
            repo: a URL or a folder, a connection file, a ``pykopia.Connection``, an open ``pykopia.Repository``; Kopia's
                default connection file when not given.
            options: what a URL can't say, see ``pykopia.connect``; no secrets.
            secrets: where ``password`` and secret options of the storage are, as ``env:NAME`` or ``file:PATH``. The password
                is ``KOPIA_PASSWORD`` or the one beside the connection file when not given.
            cache_bytes: bytes of chunks of files that are kept in memory.
            read_ahead: bytes that are fetched before they are asked for at most, once a file is read in a row; 0 for none.
            **settings: of fsspec.

        Raises:
            UsageError: an argument holds a secret, or can't name a repository.
        """
        if "password" in settings:
            raise UsageError(
                "a password can't be given, because arguments of filesystems are printed and logged: set KOPIA_PASSWORD, or "
                'say where it is, as secrets={"password": "file:PATH"}'
            )
        super().__init__(repo=repo, **settings)
        check_arguments(repo, options or {}, secrets or {})
        self._repo, self._options, self._secrets = repo, dict(options or {}), dict(secrets or {})
        self._cache_bytes, self.read_ahead = cache_bytes, read_ahead
        self._opening = threading.Lock()
        self._view: RepositoryView | None = None
        self._process = 0

    @property
    def view(self) -> RepositoryView:
        """The repository, opened when it is first used in a process."""
        with self._opening:
            if self._view is None or self._process != os.getpid():
                repository = open_repository(self._repo, self._options, self._secrets)
                self._view, self._process = RepositoryView(repository, self._cache_bytes), os.getpid()
            return self._view

    def close(self) -> None:
        """Close the repository, unless the caller has opened it; the next use opens it again."""
        with self._opening:
            view, self._view = self._view, None
        if view is not None:
            view.close()
            if view.repository is not self._repo:
                view.repository.close()

    def invalidate_cache(self, path: str | None = None) -> None:
        """See snapshots that were taken since the repository was opened."""
        if self._view is not None:
            self._view.refresh()

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        options = {**self.storage_options, "repo": self._repo}
        if isinstance(self._repo, Repository):
            options["repo"] = self._repo.connection
        return make_instance, (type(self), (), options)

    def __repr__(self) -> str:
        return f"<KopiaFileSystem of {'the default connection file' if self._repo is None else self._repo}>"

    @property
    def fsid(self) -> str:
        """The unique ID of the repository."""
        return f"kopia_{self.view.repository.unique_id.hex()}"

    # ------------------------------------------------------------------ names

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:  # noqa: ANN401 -- a name, or a list of names
        if isinstance(path, list):
            return [cls._strip_protocol(each) for each in path]
        return str(Name.parse(super()._strip_protocol(path)))

    @classmethod
    def _parent(cls, path: str) -> str:
        return str(Name.parse(cls._strip_protocol(path)).parent)

    def _node(self, path: str, *, follow: bool = False) -> tuple[Name, Node]:
        name = Name.parse(super()._strip_protocol(path))
        view = self.view
        with reading(str(name)):
            return name, view.followed(name) if follow else view.node(name)

    # ------------------------------------------------------------------ looking

    def info(self, path: str, **_: object) -> Info:
        """Return what is known of a file or folder; of a link also where it leads."""
        node = self._node(path)[1]
        found = _info(node)
        if node.entry is not None and node.entry.type == SYMLINK:
            with reading(node.name):
                found["destination"] = self.view.link(node.entry)
        return found

    def ls(self, path: str, detail: bool = True, **_: object) -> Any:  # noqa: ANN401 -- as fsspec has it
        """Return what a folder holds, or the file itself, sorted by name."""
        name, node = self._node(path, follow=True)
        if node.is_folder:
            with reading(node.name):
                found = [_info(each) for each in self.view.children(name, node)]
        else:
            found = [_info(node)]
        found.sort(key=lambda each: each["name"])
        return found if detail else [each["name"] for each in found]

    def exists(self, path: str, **_: object) -> bool:
        """Return whether there is such a name; raises where that can't be decided."""
        try:
            self._node(path)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return True

    lexists = exists

    def isdir(self, path: str) -> bool:
        """Return whether a name is a folder."""
        return self._type(path) == "directory"

    def isfile(self, path: str) -> bool:
        """Return whether a name is a file; a link is none."""
        return self._type(path) == "file"

    def _type(self, path: str) -> str:
        try:
            return str(_info(self._node(path)[1])["type"])
        except FileNotFoundError:
            return ""

    def walk(
        self,
        path: str,
        maxdepth: int | None = None,
        topdown: bool = True,
        on_error: str | Callable[[Exception], object] = "omit",
        detail: bool = False,
        **_: object,
    ) -> Iterator[tuple[str, Any, Any]]:
        """Yield each folder from ``path`` down with the folders and the files in it.

        Args:
            path: where to begin; nothing is yielded if it is not there, unless ``on_error`` is ``raise``.
            maxdepth: levels of folders.
            topdown: a folder before those in it; names removed from its folders are not walked.
            on_error: a function that is called with the error of a folder that can't be read; without one it is raised.
            detail: yield dictionaries of what ``info`` returns, in place of names.
        """
        if maxdepth is not None and maxdepth < 1:
            raise ValueError("maxdepth must be at least 1")
        try:
            name, node = self._node(path)
        except FileNotFoundError as error:
            if on_error == "raise":
                raise
            if callable(on_error):
                on_error(error)
            return
        if not node.is_folder:
            return
        steps = self._steps(name, node, maxdepth, on_error, detail=detail)
        yield from steps if topdown else reversed([*steps])

    def _steps(
        self, name: Name, node: Node, depth: int | None, on_error: object, *, detail: bool
    ) -> Iterator[tuple[str, Any, Any]]:
        def report(folder: str, error: PykopiaError) -> None:
            try:
                with reading(folder):
                    raise error
            except Exception as shown:
                if not callable(on_error):
                    raise
                on_error(shown)

        with reading(node.name):
            for folder, inside in self.view.walk(name, node, depth=depth, on_error=report):
                folders = {last: _info(each) for last, each in inside.items() if each.is_folder}
                files = {last: _info(each) for last, each in inside.items() if not each.is_folder}
                shown: Any = folders if detail else [*folders]
                yield folder, shown, files if detail else [*files]
                for gone in folders.keys() - {*shown}:
                    del inside[gone]

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        **_: object,
    ) -> Any:  # noqa: ANN401
        """Return the files below a folder, or the file itself, sorted by name; nothing where there is no such name."""
        try:
            name, node = self._node(path)
        except FileNotFoundError:
            return {} if detail else []
        found: dict[str, Info] = {}
        if not node.is_folder or (withdirs and node.name):
            found[node.name] = _info(node)
        if node.is_folder:
            with reading(node.name):
                for _folder, inside in self.view.walk(name, node, depth=maxdepth):
                    for each in inside.values():
                        if withdirs or not each.is_folder:
                            found[each.name] = _info(each)
        names = sorted(found)
        return {each: found[each] for each in names} if detail else names

    def du(
        self,
        path: str,
        total: bool = True,
        maxdepth: int | None = None,
        withdirs: bool = False,
        **_: object,
    ) -> Any:  # noqa: ANN401
        """Return the bytes of all files below a folder, or those of each; links do not count."""
        node = self._node(path)[1]
        if total and maxdepth is None and node.entry is not None and node.entry.summary is not None:
            return node.entry.summary.size
        found = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True)
        sizes = {name: info["size"] if info["type"] == "file" else 0 for name, info in found.items()}
        return sum(sizes.values()) if total else sizes

    def checksum(self, path: str) -> int:
        """Return a number that is equal for equal contents: of the object that a file or folder is."""
        return int(self.ukey(path)[:32], 16)

    def ukey(self, path: str) -> str:
        """Return a text that is equal for equal contents."""
        node = self._node(path, follow=True)[1]
        if node.entry is None:
            raise IsADirectoryError(f"{node.name} is a folder of snapshots: it has no checksum")
        return sha256(node.entry.object_id.encode()).hexdigest()

    def modified(self, path: str) -> datetime:
        """Return the time when a file was changed, in UTC; of a snapshot's root the time of the folder."""
        node = self._node(path)[1]
        if node.entry is None:
            raise IsADirectoryError(f"{node.name} is a folder of snapshots: it has no time")
        return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=node.entry.mtime_ns // 1000)

    created = modified

    # ------------------------------------------------------------------ reading

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, object] | None = None,
        cache_type: str | None = None,
        **_: object,
    ) -> BinaryIO:
        if mode not in ("rb", "r"):
            self._refuse()
        node = self._node(path, follow=True)[1]
        self._check_file(node)
        if cache_type is not None:
            made: BinaryIO = CachedFile(
                self, node.name, block_size=block_size, cache_type=cache_type, cache_options=cache_options
            )
            return made
        return KopiaFile(self, node.name, _info(node), self._reader(node), self.read_ahead, block_size or BUFFER)

    def _check_file(self, node: Node) -> None:
        if node.is_folder:
            raise IsADirectoryError(f"{node.name} is a folder")

    def _reader(self, node: Node) -> Any:  # noqa: ANN401 -- an ObjectReader
        assert node.entry is not None
        with reading(node.name):
            return self.view.reader(node.entry)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        """Return the bytes of a file from ``start`` to ``end``; negative numbers count from its end."""
        (found,) = self.cat_ranges([path], [start], [end], on_error="raise")
        assert isinstance(found, bytes)
        return found

    def cat_ranges(
        self,
        paths: list[str],
        starts: Ranges,
        ends: Ranges,
        max_gap: int | None = None,
        on_error: str = "return",
        **_: object,
    ) -> list[bytes | Exception]:
        """Return byte ranges of files; the chunks that hold them are fetched at the same time, each once.

        Args:
            paths: the files.
            starts: the first byte of each, or of all.
            ends: the byte after the last of each, or of all; None for the end of the file.
            max_gap: has no effect: chunks are what is fetched.
            on_error: ``return`` puts an error in the place of a range, anything else raises it.
        """
        if not isinstance(paths, list):
            raise TypeError("paths must be a list")
        firsts = [*starts] if isinstance(starts, Sequence) else [starts] * len(paths)
        lasts = [*ends] if isinstance(ends, Sequence) else [ends] * len(paths)
        results: list[bytes | Exception] = [b""] * len(paths)
        plans = []
        for index, (path, first, last) in enumerate(zip(paths, firsts, lasts, strict=True)):
            try:
                node = self._node(path, follow=True)[1]
                self._check_file(node)
                reader = self._reader(node)
            except (OSError, PykopiaError) as error:
                results[index] = error
                continue
            begin, end = slice(first, last).indices(reader.length)[:2]
            plans.append((index, node.name, reader, begin, end, reader.chunks(begin, end)))
        self.view.chunks.fetch_ahead(chunk for *_, chunks in plans[1:] for chunk in chunks)
        for index, name, reader, begin, end, chunks in plans:
            try:
                with reading(name):
                    results[index] = reader.cut(begin, end, chunks)
            except (OSError, PykopiaError) as error:
                results[index] = error
        if on_error != "return":
            for each in results:
                if isinstance(each, Exception):
                    raise each
        return results

    def get_file(
        self,
        rpath: str,
        lpath: Any,  # noqa: ANN401 -- a path or an open file
        callback: Any = DEFAULT_CALLBACK,  # noqa: ANN401
        **_: object,
    ) -> None:
        """Copy a file, or make the folder that one is, to this machine."""
        if self.isdir(rpath):
            os.makedirs(lpath, exist_ok=True)
            return
        with self.open(rpath) as file:
            callback.set_size(file.size)
            target = lpath if hasattr(lpath, "write") else open(lpath, "wb")  # noqa: SIM115 -- closed below
            try:
                shutil.copyfileobj(file, target, 4 << 20)
            finally:
                if target is not lpath:
                    target.close()
            callback.absolute_update(file.size)

    # ------------------------------------------------------------------ the same for event loops

    async def _info(self, path: str, **_: object) -> Info:
        return await asyncio.to_thread(self.info, path)

    async def _ls(self, path: str, detail: bool = True, **_: object) -> Any:  # noqa: ANN401
        return await asyncio.to_thread(self.ls, path, detail)

    async def _exists(self, path: str, **_: object) -> bool:
        return await asyncio.to_thread(self.exists, path)

    async def _find(self, path: str, maxdepth: int | None = None, withdirs: bool = False, **rest: Any) -> Any:  # noqa: ANN401
        return await asyncio.to_thread(self.find, path, maxdepth, withdirs, **rest)

    async def _walk(self, path: str, *args: Any, **rest: Any) -> AsyncIterator[tuple[str, Any, Any]]:  # noqa: ANN401
        for each in await asyncio.to_thread(lambda: [*self.walk(path, *args, **rest)]):
            yield each

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: object) -> bytes:
        return await asyncio.to_thread(self.cat_file, path, start, end)

    async def _cat_ranges(self, paths: list[str], starts: Ranges, ends: Ranges, **rest: Any) -> list[bytes | Exception]:  # noqa: ANN401
        return await asyncio.to_thread(self.cat_ranges, paths, starts, ends, **rest)

    async def _get_file(self, rpath: str, lpath: Any, **rest: Any) -> None:  # noqa: ANN401
        await asyncio.to_thread(self.get_file, rpath, lpath, **rest)

    # ------------------------------------------------------------------ what would write

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise ReadOnlyRepositoryError(
            "a snapshot can't be changed: kopia:// is for reading; take a new snapshot instead"
        )

    async def _refuse_later(self, *_: object, **__: object) -> NoReturn:
        self._refuse()

    mkdir = makedirs = rmdir = touch = mv = copy = cp_file = pipe = pipe_file = put = put_file = rm = rm_file = _refuse
    _mkdir = _makedirs = _cp_file = _copy = _pipe = _pipe_file = _put = _put_file = _rm = _rm_file = _refuse_later


def _info(node: Node) -> Info:
    """Return what fsspec calls the details of a name."""
    entry = node.entry
    if entry is None:
        return {"name": node.name, "size": 0, "type": "directory"}
    found: Info = {
        "name": node.name,
        "size": entry.size if entry.type != DIRECTORY else 0,
        "type": TYPES.get(entry.type, "other"),
        "mode": TYPE_BITS.get(entry.type, 0) | entry.mode,
        "mtime": entry.mtime_ns / 1e9,
        "created": entry.mtime_ns / 1e9,
        "mtime_ns": entry.mtime_ns,
        "uid": entry.uid,
        "gid": entry.gid,
        "islink": entry.type == SYMLINK,
        "object_id": entry.object_id,
    }
    if entry.summary is not None and entry.type == DIRECTORY:
        found["total_size"], found["total_files"] = entry.summary.size, entry.summary.files
    if node.snapshot is not None:
        found["snapshot"], found["incomplete"] = node.snapshot.id, node.snapshot.incomplete
        found["start_time_ns"] = node.snapshot.start_time_ns
    return found


__all__ = ["KopiaFileSystem"]
