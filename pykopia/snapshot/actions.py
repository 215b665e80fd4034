"""Actions of policies: programs that run before and after a snapshot, or a folder of it.

Facts: format 05 §10. A before action can name another folder that is taken instead, such as a snapshot of the file system;
the after action that belongs to it then cleans up. Every after action whose before action went well runs, whatever
happens in between.
"""

import logging
import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Callable, Mapping
from typing import Self

from pykopia.dataclass import dataclass
from pykopia.errors import ActionFailedError
from pykopia.format.policy import ActionCommand, ActionsPolicy

log = logging.getLogger(__name__)

DEFAULT_TIMEOUT_SECONDS = 180
"""For a policy that gives none."""
PATH_VARIABLE = "KOPIA_SNAPSHOT_PATH"
ESSENTIAL = "essential"
ASYNC = "async"
ROOT, FOLDER = "snapshot-root", "folder"


@dataclass(slots=True)
class _Pair:
    """A before action and its after action: they share an ID and a working folder."""

    kind: str
    source_path: str
    after: ActionCommand | None
    snapshot_path: str = ""
    snapshot_id: str = ""
    working_folder: str = ""


class Actions:
    """Runs the actions of one snapshot; safe for threads.

    Use it as a context manager: at its end the after actions run that have not run yet, that of the root last.
    """

    def __init__(
        self, root: str, *, enabled: bool, environment: Mapping[str, str], version: str, canceled: Callable[[], bool]
    ) -> None:
        """Prepare.

        Args:
            root: absolute path of the folder that the snapshot is of.
            enabled: whether this client allows programs to run.
            environment: variables that they get besides those of actions.
            version: what they are told as ``KOPIA_VERSION``.
            canceled: whether the caller asked to stop; ends a before action.
        """
        self._root = root
        self.enabled = enabled
        """Whether programs may run."""
        self._environment = {"PATH": os.defpath, **environment}
        self._version = version
        self._canceled = canceled
        self._lock = threading.Lock()
        self._open: dict[tuple[str, str], _Pair] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for key in reversed(list(self._open)):
            self._leave(key)

    # ------------------------------------------------------------------ the root

    def before_root(self, policy: ActionsPolicy) -> str | None:
        """Run what is to run before the snapshot; return the folder to take instead, None for the root itself.

        Raises:
            ActionFailedError: an essential action failed: there must be no snapshot.
            CanceledError: the caller asked to stop.
        """
        return self._enter((ROOT, ""), self._root, policy.before_snapshot_root, policy.after_snapshot_root)

    # ------------------------------------------------------------------ folders

    def before_folder(self, relative: str, policy: ActionsPolicy) -> str | None:
        """Run what is to run before a folder; return the folder to take instead, None for the folder itself.

        Args:
            relative: path below the root, empty for the root, such as ``/a/b`` below it.
            policy: of just this folder.

        Raises:
            ActionFailedError: an essential action failed: the folder can't be taken.
            CanceledError: the caller asked to stop.
        """
        path = self._root.removesuffix("/") + relative or "/"
        return self._enter((FOLDER, relative), path, policy.before_folder, policy.after_folder)

    def after_folder(self, relative: str) -> None:
        """Run what is to run after a folder; failures go to the log. Nothing for a folder that was not entered."""
        if self._open:  # what this folder has begun is there; mostly nothing is
            self._leave((FOLDER, relative))

    # ------------------------------------------------------------------ both

    def _enter(
        self, key: tuple[str, str], path: str, before: ActionCommand | None, after: ActionCommand | None
    ) -> str | None:
        if before is None and after is None:
            return None
        kind = key[0]
        if not self.enabled:
            for when, action in (("before", before), ("after", after)):
                if action is not None:
                    log.info("not running the %s-%s action of %s: disabled for this client", when, kind, path)
            return None
        pair = _Pair(kind, path, after, snapshot_path=path, snapshot_id=secrets.token_hex(8))
        pair.working_folder = tempfile.mkdtemp(prefix="kopia-action")
        try:
            other = None if before is None else self._before(pair, before)
        except BaseException:
            shutil.rmtree(pair.working_folder, ignore_errors=True)
            raise
        with self._lock:
            self._open[key] = pair
        return other

    def _before(self, pair: _Pair, action: ActionCommand) -> str | None:
        named = ""

        def told(line: str) -> None:
            nonlocal named
            variable, equals, value = line.partition("=")
            if equals and variable == PATH_VARIABLE:
                named = value

        self._run(pair, "before", action, told, self._canceled)
        if not named:
            return None
        if not os.path.isdir(named):
            raise ActionFailedError(
                f"{_label(pair, 'before')} named {named!r} as the folder to take instead, and that is no folder"
            )
        pair.snapshot_path = named
        log.info("taking %s instead of %s", named, pair.source_path)
        return os.path.abspath(named)

    def _leave(self, key: tuple[str, str]) -> None:
        with self._lock:
            pair = self._open.pop(key, None)
        if pair is None:
            return
        try:
            if pair.after is not None:
                # cleaning up goes on after a request to stop
                self._run(pair, "after", pair.after, lambda _: None, lambda: False)
        except ActionFailedError as error:
            log.error("%s", error)  # noqa: TRY400 -- the data is safe; the user needs the line, not a traceback
        finally:
            shutil.rmtree(pair.working_folder, ignore_errors=True)

    def _run(
        self,
        pair: _Pair,
        when: str,
        action: ActionCommand,
        tell: Callable[[str], None],
        canceled: Callable[[], bool],
    ) -> None:
        """Run an action as its mode says; report the lines that it prints."""
        from pykopia.snapshot.action_process import ActionProcess  # noqa: PLC0415 -- few policies have actions

        process = ActionProcess(
            label=_label(pair, when),
            words=_words(pair, when, action),
            folder=pair.working_folder,
            environment=self._environment | self._variables(pair, when),
            timeout_seconds=action.timeout_seconds or DEFAULT_TIMEOUT_SECONDS,
        )
        log.debug("running %s", process.label)
        if action.mode == ASYNC:
            process.start(process.words[-1] if action.script else "")  # its folder goes when the snapshot is done
            return
        try:
            process.run(tell, canceled)
        except ActionFailedError as error:
            if action.mode == ESSENTIAL:
                raise
            log.error("%s; it is not essential, so the snapshot goes on", error)  # noqa: TRY400

    def _variables(self, pair: _Pair, when: str) -> dict[str, str]:
        return {
            "KOPIA_ACTION": f"{when}-{pair.kind}",
            "KOPIA_SNAPSHOT_ID": pair.snapshot_id,
            "KOPIA_SOURCE_PATH": pair.source_path,
            PATH_VARIABLE: pair.snapshot_path,
            "KOPIA_VERSION": self._version,
        }


def _label(pair: _Pair, when: str) -> str:
    return f"the {when}-{pair.kind} action of {pair.source_path}"


def _words(pair: _Pair, when: str, action: ActionCommand) -> list[str]:
    """Return the command line of an action; a script is put into the working folder first."""
    if action.script:
        path = os.path.join(pair.working_folder, f"{when}-{pair.kind}.sh")
        with open(
            os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o700), "w", encoding="utf-8", newline=""
        ) as file:
            file.write(action.script)
        return [path] if action.script.startswith("#!") else ["sh", "-e", path]
    if action.command:
        return [action.command, *action.arguments]
    raise ActionFailedError(f"{_label(pair, when)} has neither a command nor a script; set it again by `policy set`")


__all__ = ["DEFAULT_TIMEOUT_SECONDS", "Actions"]
