"""Entry of the program: understand the line, run the command, turn errors into a line and an exit status."""

import gc
import os
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn, TextIO

from pykopia import __version__
from pykopia.cli import early, streams
from pykopia.signals import Interrupter, Stopped

if TYPE_CHECKING:
    from pykopia.cli.parsing import Invocation
    from pykopia.cli.session import Session

READER_GONE = 141
"""Exit status when the reader of our output went away: 128 and the number of SIGPIPE, as shells count."""

_HELP = frozenset({"--help", "--help-full", "--help-long", "--help-man", "--version"})
_YOUNG_OBJECTS = 100_000
"""New objects after which cycles are looked for: the modules of a command make some, and all of them stay."""


def main() -> NoReturn:
    """Run the program with what the process was given, and end it."""
    interrupter = Interrupter()
    interrupter.install()
    try:
        gc.set_threshold(_YOUNG_OBJECTS)
        streams.prepare()
        status = run(sys.argv[1:], environment=os.environ, stdin=sys.stdin, stdout=sys.stdout, stderr=sys.stderr)
        interrupter.uninstall()
    except Stopped as stopped:  # before the log was there, or after it was closed
        streams.tell(sys.stderr, f"{stopped}\n")
        status = stopped.status
    streams.close_quietly(sys.stdout, sys.stderr)
    gc.freeze()  # or the end of the process would look for cycles in all that goes with it anyway
    sys.exit(status)


def run(words: Sequence[str], *, environment: Mapping[str, str], stdin: TextIO, stdout: TextIO, stderr: TextIO) -> int:
    """Run a command line and return the exit status; nothing is taken from the process but what is given here."""
    if not _HELP.intersection(words):
        early.begin(words, environment)
    from pykopia.cli import tree  # noqa: PLC0415 -- while the key is being derived
    from pykopia.cli.parsing import CommandLineError, parse  # noqa: PLC0415
    from pykopia.cli.session import Session  # noqa: PLC0415

    try:
        environment = _with_profile(words, environment)
        invocation = parse(
            tree.ROOT, words, environment, lambda name, command: _profile_flags(name, command, environment)
        )
    except CommandLineError as error:
        end = " try --help" if str(error).endswith("?") else "; try --help"
        streams.tell(stderr, f"pykopia: error: {error}{end}\n")
        return error.exit_code
    session = Session(invocation, environment=environment, stdin=stdin, stdout=stdout, stderr=stderr)
    try:
        status = _dispatch(session, invocation)
        session.flush()
    except streams.OutputClosed:
        streams.silence(stdout)
        return READER_GONE
    except streams.OutputError as error:
        streams.silence(stdout)
        streams.tell(stderr, f"can't write the output: {error}\n")
        return 1
    return status


def _with_profile(words: Sequence[str], environment: Mapping[str, str]) -> Mapping[str, str]:
    """Return the environment with the variables of the profile that the line or the environment names."""
    name = early.value_of(words, "--profile", "-P") or environment.get("PYKOPIA_PROFILE", "")
    if not name:
        return environment
    from pykopia.cli import profiles  # noqa: PLC0415 -- only those who use profiles pay for it

    return {**environment, **profiles.load(name, environment).environment}


def _profile_flags(name: str, command: str, environment: Mapping[str, str]) -> Mapping[str, Sequence[str]]:
    from pykopia.cli import profiles  # noqa: PLC0415

    return {key: profiles.texts(value) for key, value in profiles.load(name, environment).flags_of(command).items()}


def _dispatch(session: "Session", invocation: "Invocation") -> int:
    flags = session.flags
    if flags.version:
        session.write(__version__)
        return 0
    if flags.help_man or flags.completion_script_bash or flags.completion_script_zsh:
        from pykopia.cli import completion  # noqa: PLC0415

        if flags.help_man:
            session.write(completion.manual_page(), end="")
        else:
            session.write(completion.bash() if flags.completion_script_bash else completion.zsh(), end="")
        return 0
    if flags.help or flags.help_full or flags.help_long or len(invocation.path) == 1:
        from pykopia.cli.help import usage  # noqa: PLC0415

        session.write(usage(invocation.path, full=flags.help_full or flags.help_long))
        return 0
    if not invocation.is_offline and not os.path.lexists(session.config_file) and not flags.json_log_console:
        from pykopia.errors import NotConnectedError  # noqa: PLC0415

        session.tell(session.not_connected + "\n")  # before the modules of the command are imported
        return NotConnectedError.exit_code
    return _run_logged(session, invocation)


def _run_logged(session: "Session", invocation: "Invocation") -> int:
    from pykopia.cli import logs  # noqa: PLC0415 -- `--version` and `--help` do without
    from pykopia.cli.global_flags import without_effect  # noqa: PLC0415
    from pykopia.errors import PykopiaError  # noqa: PLC0415

    handlers = logs.start(session)
    log = session.log
    log.debug("pykopia %s: %s", __version__, invocation.name)
    if warning := without_effect(session.flags):
        log.warning("%s", warning)
    try:
        command = invocation.command
        arguments = (invocation.options(command.options),) if command.takes_options else ()
        status = command.run(session, *arguments)
        session.flush()
        status = status or _status_of_damage(session)
        _tell_mended(session)
    except (streams.OutputClosed, streams.OutputError):
        raise
    except PykopiaError as error:
        log.debug("error", exc_info=error)
        log.error("%s", error)  # noqa: TRY400 -- a person reads the message; the file has the traceback
        _notify(session, error, str(error))
        return error.exit_code
    except OSError as error:
        log.debug("error", exc_info=error)
        log.error("%s", _os_error_text(error))  # noqa: TRY400
        _notify(session, error, _os_error_text(error))
        return 1
    except Stopped as stopped:
        log.error("%s", stopped)  # noqa: TRY400
        return stopped.status
    except Exception as error:
        log.debug("internal error", exc_info=error)
        log.error("internal error in `%s`: %s: %s", invocation.name, type(error).__name__, error)  # noqa: TRY400
        _notify(session, error, f"internal error: {type(error).__name__}: {error}")
        return 1
    finally:
        logs.stop(handlers)
    return status or 0


def _notify(session: "Session", error: Exception, text: str) -> None:
    """Tell the recipients that the repository names of a failure."""
    if session.recipients is not None and not session.failure_is_reported:
        from pykopia.cli import error_notifications  # noqa: PLC0415 -- few repositories name any

        error_notifications.send(
            session.recipients,
            session.invocation.name,
            error,
            text,
            started_ns=session.opened_ns,
            zone=session.zone,
        )


def _status_of_damage(session: "Session") -> int:
    """Return the status of a command that went well but could not see all indexes or manifests, 0 when it could."""
    if session.repository is None:
        return 0
    damaged = [
        *session.repository.contents.indexes.known_damage.values(),
        *session.repository.manifests.known_damage.values(),
    ]
    return next((error.exit_code for error in damaged), 0)


def _tell_mended(session: "Session") -> None:
    """Name what error correction had to mend; it is whole in memory only, and damaged in storage still."""
    mended = {} if session.repository is None else session.repository.sealer.sealer.mended
    if mended:
        session.log.warning(
            "error correction mended %d contents or blobs while they were read: %s; `content rewrite` stores contents anew "
            "before more damage comes",
            len(mended),
            " ".join(sorted(mended)),
        )


def _os_error_text(error: OSError) -> str:
    text = error.strerror or str(error)
    return f"{error.filename}: {text}" if error.filename else text


__all__ = ["READER_GONE", "main", "run"]
