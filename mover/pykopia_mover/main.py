"""Entry of the mover: reads the settings, runs the operations one by one, reports how each ended."""

import contextlib
import logging
import os
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn, TextIO

from pykopia import __version__, clock
from pykopia.errors import PykopiaError
from pykopia.signals import hand_over
from pykopia_mover import cache as caches
from pykopia_mover import sections
from pykopia_mover.additional_args import parse_additional_args
from pykopia_mover.backup import backup
from pykopia_mover.cache import CachePlace
from pykopia_mover.discovery import discover
from pykopia_mover.explain import Place, explained, in_settings
from pykopia_mover.failures import CODES, MoverError, config_error
from pykopia_mover.loading import load_connection_document, load_policy_files
from pykopia_mover.maintenance import maintain
from pykopia_mover.manual import parse_manual_config
from pykopia_mover.memory import keep_small
from pykopia_mover.metrics import metrics_text, push_metrics, write_metrics
from pykopia_mover.output import ENTRIES, LEVELS, LibraryLog, Output
from pykopia_mover.redaction import RedactingStream, Redactor
from pykopia_mover.report import Notes, Outcome, Report
from pykopia_mover.restore import restore
from pykopia_mover.run import INTERRUPTED, TERMINATED, Context, Places, Stop
from pykopia_mover.settings import Environment, Settings, require

OPERATIONS: Final[dict[str, Callable[[Context], Outcome]]] = {
    "backup": backup,
    "discover": discover,
    "maintenance": maintain,
    "restore": restore,
}
DIRECTIONS: Final = {"source": "backup", "destination": "restore", "maintenance": "maintenance"}
NEED_NO_VOLUME: Final = frozenset({"maintenance", "discover"})

GRACE_SECONDS: Final = 15
"""Seconds after a signal in which the run should end. Then another thread reports the end, and ends the process."""
LAST_SECONDS: Final = 3
"""Seconds for that report, in case a write to the log or the termination message does not return."""
NEVER: Final = logging.CRITICAL + 1
"""Level of a logger that logs nothing."""
HOLD_NAME: Final = "exit-debug-if-removed"

USAGE: Final = """usage: pykopia-mover OPERATION...

  backup        take a snapshot of DATA_DIR and let older ones expire
  restore       put a snapshot into DATA_DIR
  maintenance   free what no snapshot needs
  discover      list what is in the repository

Operations run in the order in which they are given. Everything else comes from the environment; the variables are in
the README. DIRECTION=source, destination or maintenance takes the place of the arguments.
"""


def main(early: Sequence[int] = ()) -> NoReturn:
    """Run with the environment and arguments of the process, and end it; ``early`` are signals that arrived before."""
    keep_small()
    redactor = Redactor.of_environment(Environment(os.environ))
    log = sys.stdout
    # whatever writes to these, a traceback of the interpreter too, goes by the redactor; lines of the log do so one by one
    sys.stdout, sys.stderr = _redacting(sys.stdout, redactor), _redacting(sys.stderr, redactor)
    stop = Stop()
    _listen(stop, early)
    status = run(sys.argv[1:], os.environ, stdout=log, redactor=redactor, stop=stop)
    sys.stdout.flush()
    sys.stderr.flush()
    # threads of a library that wait for a server must not hold the process up
    os._exit(status)


def _redacting(stream: Any, redactor: Redactor) -> Any:  # noqa: ANN401 -- text streams
    stream.reconfigure(errors="backslashreplace")
    return RedactingStream(stream, redactor)


def _listen(stop: Stop, early: Sequence[int]) -> None:
    def later(seconds: float, action: Callable[..., object], *arguments: object) -> None:
        timer = threading.Timer(seconds, action, args=arguments)
        timer.daemon = True
        timer.start()

    def give_up(status: int) -> None:
        later(LAST_SECONDS, os._exit, status)
        with contextlib.suppress(Exception):
            stop.give_up()
        os._exit(status)

    def ask(number: int) -> None:  # in a thread of its own: an event that is set in the handler may wait for ever
        code = INTERRUPTED if number == signal.SIGINT else TERMINATED
        stop.ask(code)
        later(GRACE_SECONDS, give_up, CODES[code].status)

    hand_over(ask)
    for number in early:
        ask(number)


def run(
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    stdout: TextIO,
    redactor: Redactor | None = None,
    stop: Stop | None = None,
    places: Places | None = None,
) -> int:
    """Run the mover and return the exit status; only the arguments are used, nothing of the process."""
    variables = Environment(environment)
    redactor = redactor or Redactor.of_environment(variables)
    stop, places = stop or Stop(), places or Places()
    output = Output(stdout, redactor)
    if words and words[0] in {"--help", "-h"}:
        stdout.write(USAGE)
        return 0
    if list(words) == ["--version"]:
        stdout.write(f"pykopia {__version__}\n")
        return 0
    with _library_log(output):
        try:
            return _run(words, variables, output, redactor, stop, places)
        finally:
            output.close()


def _run(
    words: Sequence[str],
    environment: Environment,
    output: Output,
    redactor: Redactor,
    stop: Stop,
    places: Places,
) -> int:
    basics = environment.basics()
    output.json_lines, output.times = basics.json_lines, basics.log_times
    started = clock.monotonic()
    told = _Told(basics.termination_log, output, redactor, stop)
    op = words[0] if words else "none"
    notes = Notes(Place())
    stop.give_up = lambda: told.given_up(op, notes, None, started)
    try:
        operations, direction = wanted_operations(words, basics.direction, output)
        op = operations[0]
        if basics.debug_hold:
            return _hold(op, output, [places.temporary, basics.cache_dir], stop)
        prepared = _prepare(environment, output, redactor, places, stop, operations)
    except Exception as error:  # noqa: BLE001 -- every end has its message and status
        outcome = _failed(error, notes, output, None)
        output.lines(sections.environment_status(environment, log_settings=[]))
        report = Report.of(op, outcome, notes.known, seconds=clock.monotonic() - started)
        told.ended(report, None)
        return report.code.status
    try:
        with _temporary_folder(prepared.cache):
            for operation in operations:
                context = replace(
                    prepared,
                    op=operation,
                    notes=Notes(prepared.notes.known.place),
                    direction=direction,
                    started=clock.monotonic(),
                )
                stop.give_up = partial(told.given_up, operation, context.notes, context, context.started)
                report = _perform(context)
                told.ended(report, context)
                if report.code.status:
                    return report.code.status
    finally:
        caches.forget(prepared.cache)
    return 0


@contextlib.contextmanager
def _temporary_folder(cache: CachePlace) -> Iterator[None]:
    """Put temporary files on the cache volume where the pod has no folder for them."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        before, tempfile.tempdir = tempfile.tempdir, str(cache.folder) if cache.folder is not None else None
        try:
            yield
        finally:
            tempfile.tempdir = before
    else:
        yield


def wanted_operations(words: Sequence[str], direction: str, output: Output) -> tuple[tuple[str, ...], bool]:
    """Return the operations, and whether ``DIRECTION`` asked for them (rules M-002 to M-004).

    Raises:
        MoverError: an operation is unknown, or there is none.
    """
    for word in words:
        if word not in OPERATIONS:
            raise MoverError("usage", f"unknown operation: {word}", f"The operations are {', '.join(OPERATIONS)}")
    if direction:
        if direction not in DIRECTIONS:
            raise config_error(
                f"DIRECTION is {direction!r}, which is none of {', '.join(DIRECTIONS)}", "Correct it, or leave it out"
            )
        operation = DIRECTIONS[direction]
        if words and list(words) != [operation]:
            output.warning(f"DIRECTION={direction} takes the place of the arguments {' '.join(words)}")
        return (operation,), True
    if not words:
        raise config_error(f"no operation: give one of {', '.join(OPERATIONS)}, or set DIRECTION")
    return tuple(words), False


# ---------------------------------------------------------------------- before the operations


def _prepare(
    environment: Environment,
    output: Output,
    redactor: Redactor,
    places: Places,
    stop: Stop,
    operations: Sequence[str],
) -> Context:
    settings, warnings = environment.settings()
    output.level = LEVELS[settings.log_level]
    cache = caches.find_place(settings, temporary_root=places.temporary)
    _show(environment, settings, cache, output)
    output.line(f"pykopia-mover {__version__}: {' '.join(operations)}")
    for warning in warnings:
        output.warning(warning)
    if cache.warning:
        output.warning(cache.warning)
    require(settings)
    additional = parse_additional_args(settings.additional_args, ignore_unknown=settings.ignore_unknown_args)
    if additional.unknown:
        output.warning(f"unknown flags in KOPIA_ADDITIONAL_ARGS, ignored: {', '.join(additional.unknown)}")
    if additional.log_level:
        if additional.log_level not in LEVELS:
            raise config_error(f"KOPIA_ADDITIONAL_ARGS: --log-level can't be {additional.log_level!r}")
        output.level = LEVELS[additional.log_level]
    if not output.wants(LEVELS["debug"]):
        logging.getLogger(ENTRIES).setLevel(
            NEVER
        )  # there may be a million of them, and the backup lists the first ones
    manual = parse_manual_config(settings.manual_config)
    files = load_policy_files(settings, places, output)
    custom_ca = bool(settings.custom_ca or settings.kopia_custom_ca)
    return Context(
        op=operations[0],
        environment=environment,
        settings=settings,
        manual=manual,
        additional=additional,
        files=files,
        output=output,
        redactor=redactor,
        places=places,
        stop=stop,
        cache=cache,
        notes=Notes(Place(url=settings.repository, custom_ca=custom_ca)),
        document=load_connection_document(settings, places, output, redactor),
    )


def _show(environment: Environment, settings: Settings, cache: CachePlace, output: Output) -> None:
    folder = cache.folder or Path(settings.cache_dir)
    writable = not cache.warning
    log_dir_exists = writable and output.open_file(
        folder / "logs",
        level=settings.file_log_level,
        max_files=settings.log_dir_max_files,
        max_age=settings.log_dir_max_age,
    )
    output.lines(
        sections.environment_setup(environment, settings.cache_dir, writable=writable, log_dir_exists=log_dir_exists)
    )
    output.lines(sections.environment_status(environment, log_settings=sections.log_configuration(settings)))


def _hold(op: str, output: Output, folders: Sequence[Path], stop: Stop) -> int:
    """Do nothing until a file is removed, so that a person can look around (rule M-005).

    Raises:
        MoverError: there is no folder for that file.
    """
    folder = next((each for each in folders if os.access(each, os.W_OK | os.X_OK)), None)
    if folder is None:
        raise config_error("DEBUG_MOVER needs a folder that can be written to", "Mount an emptyDir at /tmp")
    flag, copy = folder / HOLD_NAME, folder / "entry.sh"
    flag.touch()
    with contextlib.suppress(OSError):
        shutil.copy(sys.argv[0], copy)
    output.line("=== DEBUG_MOVER: this mover does nothing ===")
    output.line(f"Look around with `kubectl exec`; remove {flag} to end it. {copy} is a copy of the launcher:")
    output.line(f"`DEBUG_MOVER=0 {copy} {op}` runs the mover")
    while flag.exists() and not stop.wait(1):
        pass
    return CODES[stop.code].status if stop() else 0


# ---------------------------------------------------------------------- an operation


def _perform(context: Context) -> Report:
    try:
        outcome = OPERATIONS[context.op](context)
    except Exception as error:  # noqa: BLE001 -- every end has its message and status
        outcome = _failed(error, context.notes, context.output, context)
    _tell_cache(context)
    return Report.of(context.op, outcome, context.notes.known, seconds=clock.monotonic() - context.started)


def _tell_cache(context: Context) -> None:
    """Add the size of the cache to the result, and warn if the cache is full: whatever runs, it is slower then."""
    cache = context.cache
    if cache.folder is None:
        return
    used = caches.used_bytes(cache.folder)
    context.notes.add(cache={"bytes": used, "limit": cache.capacity})
    if caches.is_short(cache) and not context.stop():
        context.output.warning(
            f"the cache is full: {used} of {cache.capacity} bytes; it works on, slower. Raise cacheCapacity"
        )


def _failed(error: Exception, notes: Notes, output: Output, context: Context | None) -> Outcome:
    """Return the outcome for an error; after a request to stop, that request is the reason."""
    told = explained(error, notes.known.place)
    code = told.code
    if context is not None and context.stop():
        code = CODES[context.stop.code]
        if code.name == TERMINATED and context.cache.folder is not None and caches.is_short(context.cache):
            code = CODES["cache-exhausted"]
            output.warning("the cache is exhausted: raise cacheCapacity (KOPIA_CACHE_CAPACITY_BYTES)")
    if code.name == "internal":
        output.debug("internal error")
        logging.getLogger(__name__).debug("internal error", exc_info=error)
    return Outcome(message=str(told), result="failure", code=code)


class _Told:
    """Reports how operations ended: in the log, to the operator, and to Prometheus."""

    def __init__(self, path: Path, output: Output, redactor: Redactor, stop: Stop) -> None:
        self._path = path
        self._output, self._redactor, self._stop = output, redactor, stop
        self._lock = threading.Lock()
        self._given_up = False
        self._last: Report | None = None
        """Of the operation before the current one."""
        self._all: Report | None = None
        """Of all operations before the current one."""

    def ended(self, report: Report, context: Context | None) -> None:
        """Report one operation, and in the termination message those before it too."""
        with self._lock:
            if self._given_up:
                threading.Event().wait()  # the other thread ends the process
            self._stop.give_up = lambda: None
            report = self._write(report)
            if context is not None:
                _tell_metrics(report, context, self._output)
            self._close(report)

    def given_up(self, op: str, notes: Notes, context: Context | None, started: float) -> None:
        """Report an operation that goes on after a request to stop: a server does not answer, or a disk hangs."""
        error = MoverError(
            self._stop.code,
            f"{op} was told to stop and did not end within {GRACE_SECONDS} seconds: something that it waits for "
            "does not answer",
        )
        with self._lock:
            self._given_up = True
            outcome = _failed(error, notes, self._output, context)
            self._close(self._write(Report.of(op, outcome, notes.known, seconds=clock.monotonic() - started)))

    def _write(self, report: Report) -> Report:
        """Write the result of all operations so far; return the report of this one with what is known from those before."""
        report = replace(report, warnings=tuple(self._output.warnings)).following(self._last)
        whole = report.after(self._all)
        with contextlib.suppress(OSError):
            _write_termination(self._path, whole.to_json(self._redactor))
        self._last, self._all = report, whole
        return report

    def _close(self, report: Report) -> None:
        self._output.closing(report.summary())
        if report.result == "failure":
            self._output.error(report.digest())
        else:
            self._output.closing([report.digest()])


def _write_termination(path: Path, data: bytes) -> None:
    # never made anew: where the kubelet has none, it is never read
    flags = os.O_WRONLY | os.O_TRUNC | (os.O_CREAT if path.parent != Path("/dev") else 0)
    descriptor = os.open(path, flags, 0o644)
    with open(descriptor, "wb") as file:
        file.write(data)


def _tell_metrics(report: Report, context: Context, output: Output) -> None:
    settings = context.settings
    if not (settings.metrics_file or settings.metrics_push_url):
        return
    labels = {
        "namespace": settings.owner_namespace,
        "name": settings.owner_name,
        "repository": report.repository.get("id", ""),
        "identity": report.identity,
    }
    text = metrics_text(report, labels={name: value for name, value in labels.items() if value}, now_ns=clock.now())
    try:
        if settings.metrics_file:
            write_metrics(Path(settings.metrics_file), text, operation=report.op)
        if settings.metrics_push_url:
            # what groups runs at the gateway must be the same for a failure, which may know neither repository nor identity
            grouping = {"namespace": settings.owner_namespace, "name": settings.owner_name}
            push_metrics(
                settings.metrics_push_url,
                text,
                labels={"operation": report.op, **grouping},
                authorities=context.environment.authorities(),
            )
    except (OSError, ValueError, PykopiaError) as error:
        output.warning(f"metrics could not be delivered: {error}")


@contextlib.contextmanager
def _library_log(output: Output):  # type: ignore[no-untyped-def]  # noqa: ANN202
    """Pass the library's log on to the output."""
    logger = logging.getLogger("pykopia")
    handler = LibraryLog(output, in_settings)
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG if output.level <= LEVELS["debug"] else logging.INFO)
    entries = logging.getLogger(ENTRIES)
    entries_level = entries.level
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
        entries.setLevel(entries_level)
        logger.propagate = propagate


__all__ = ["DIRECTIONS", "OPERATIONS", "USAGE", "main", "run", "wanted_operations"]
