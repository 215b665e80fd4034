"""One run of the program: its streams, its environment, its flags, and the repository it is connected to."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, BinaryIO, Protocol, TextIO, TypeVar

from pykopia.cli.global_flags import GlobalFlags
from pykopia.cli.parsing import CommandLineError, Invocation, Options
from pykopia.cli.streams import OutputClosed, OutputError

if TYPE_CHECKING:
    from datetime import tzinfo
    from logging import Logger
    from pathlib import Path

    from pykopia.api.repository import Repository
    from pykopia.cli.error_notifications import Recipients

OptionsT = TypeVar("OptionsT", bound=Options)

DANGEROUS = (
    "this command can corrupt or destroy the repository and is not needed for normal use; "
    "set --dangerous-commands=enabled to run it nevertheless"
)


class LineOfProgress(Protocol):
    """A line of progress on the terminal."""

    def clear(self) -> None:
        """Take the line away: something else is to be written."""


class Session:
    """Surroundings of a command: its only access to the process."""

    def __init__(
        self,
        invocation: Invocation,
        *,
        environment: Mapping[str, str],
        stdin: TextIO,
        stdout: TextIO,
        stderr: TextIO,
    ) -> None:
        self.invocation, self.environment = invocation, environment
        self.stdin, self.stdout, self.stderr = stdin, stdout, stderr
        self.flags = invocation.options(GlobalFlags)
        self.canceled = False
        self.progress: LineOfProgress | None = None
        """The line of progress that is on the terminal now; messages clear it first."""
        self.repository: Repository | None = None
        """Repository that ``open`` returned last."""
        self.opened_ns = 0
        """When that was, nanoseconds since 1970."""
        self.recipients: Recipients | None = None
        """Who is notified if the command fails; known when the repository was closed."""
        self.failure_is_reported = False
        """Whether a report of the failure went to the same recipients."""

    def options(self, kind: type[OptionsT]) -> OptionsT:
        """Return the values of flags that a command above this one declares."""
        return self.invocation.options(kind)

    # --- places ---

    @property
    def config_file(self) -> str:
        """The path of the connection file; a bare name is one in the user's configuration folder."""
        name = self.flags.config_file
        if "/" in name:
            return name
        base = self.environment.get("XDG_CONFIG_HOME") or f"{self.environment.get('HOME') or '/'}/.config"
        return f"{base}/kopia/{name}"

    @property
    def config_path(self) -> "Path":
        """The connection file."""
        from pathlib import Path  # noqa: PLC0415 -- `--version` and `--help` do without

        return Path(self.config_file)

    @property
    def log_folder(self) -> "Path":
        """Where log files go."""
        from pathlib import Path  # noqa: PLC0415

        return Path(self.flags.log_dir) if self.flags.log_dir else self.cache_root

    @property
    def cache_root(self) -> "Path":
        """Where the cache folders of connections lie unless flags say otherwise."""
        return self._user_folder("XDG_CACHE_HOME", ".cache")

    def expand_user(self, path: str) -> str:
        """Return ``path`` with a leading ``~`` replaced by the user's home."""
        home = self.environment.get("HOME", "")
        return home + path[1:] if home and path.startswith("~") else path

    def _user_folder(self, variable: str, fallback: str) -> "Path":
        from pathlib import Path  # noqa: PLC0415

        base = self.environment.get(variable) or str(Path(self.environment.get("HOME") or "/") / fallback)
        return Path(base) / "kopia"

    # --- output ---

    @property
    def log(self) -> "Logger":
        """The log: messages for people, on stderr and in the log file."""
        import logging  # noqa: PLC0415 -- `--version` and `--help` do without

        return logging.getLogger("pykopia.cli")

    def write(self, text: str = "", *, end: str = "\n") -> None:
        """Print a result to stdout."""
        try:
            self.stdout.write(text + end)
        except OSError as error:
            raise _output_error(error) from error

    def write_bytes(self, data: bytes | bytearray | memoryview) -> None:
        """Print bytes to stdout as they are."""
        try:
            self.stdout.flush()
            self.binary_stdout.write(data)
        except OSError as error:
            raise _output_error(error) from error

    def flush(self) -> None:
        """Write what was printed so far.

        Raises:
            OutputClosed: The reader is gone.
            OutputError: The output can't be written.
        """
        try:
            self.stdout.flush()
        except OSError as error:
            raise _output_error(error) from error

    def tell(self, text: str) -> None:
        """Write to stderr; a stderr that can't be written to disturbs nothing."""
        from pykopia.cli import streams  # noqa: PLC0415

        streams.tell(self.stderr, text)

    def name(self, text: str, *, stream: "TextIO | None" = None) -> str:
        """Return a name from a snapshot or source as it is to be printed: quoted on a terminal if need be."""
        return quoted(text) if (stream or self.stdout).isatty() else text

    def escape(self, text: str) -> str:
        """Return a line with names in it as it is to be printed: on a terminal without control characters."""
        return escaped(text) if self.stdout.isatty() else text

    @property
    def binary_stdout(self) -> BinaryIO:
        """Stdout for bytes."""
        return self.stdout.buffer

    @property
    def binary_stdin(self) -> BinaryIO:
        """Stdin for bytes."""
        return self.stdin.buffer

    def colors(self, stream: TextIO) -> bool:
        """Return whether to color what goes to a stream."""
        from pykopia.cli import colors  # noqa: PLC0415 -- `--version` and `--help` do without

        flags = self.flags
        return colors.wanted(stream, self.environment, force=flags.force_color, disable=flags.disable_color)

    def size(self, length: float) -> str:
        """Return a length in bytes as the user wants sizes printed."""
        from pykopia.cli import formatting  # noqa: PLC0415

        wanted = self.environment.get("KOPIA_BYTES_STRING_BASE_2", "")
        return formatting.size(length, base_2=wanted in {"1", "t", "T", "true", "True", "TRUE"})

    def time(self, nanoseconds: int, *, milliseconds: bool = False) -> str:
        """Return a time in the zone that the user wants."""
        from pykopia.cli import formatting  # noqa: PLC0415

        return formatting.timestamp(nanoseconds, self.zone, milliseconds=milliseconds)

    @property
    def zone(self) -> "tzinfo | None":
        """The zone of the times printed; None: this machine's."""
        from pykopia.cli import formatting  # noqa: PLC0415

        return formatting.time_zone(self.flags.timezone)

    # --- the repository ---

    def open(self) -> "Repository":
        """Open the repository that the connection file names.

        Raises:
            NotConnectedError: There is no connection file.
        """
        from pykopia import clock  # noqa: PLC0415
        from pykopia.api.opening import open_for  # noqa: PLC0415
        from pykopia.cli import early, passwords  # noqa: PLC0415
        from pykopia.errors import NotConnectedError  # noqa: PLC0415

        path = self.config_path
        if not path.exists():
            raise NotConnectedError(self.not_connected)
        password = passwords.for_opening(self)
        self.opened_ns = clock.now()
        self.repository = open_for(
            path,
            password,
            upgrade_owner_id=self.flags.upgrade_owner_id,
            gets=early.gets_ahead(self.invocation.name),
            lists=early.lists_ahead(self.invocation.name),
            meanwhile=lambda: early.import_ahead(self.invocation.name),
        )
        self.repository.call_before_close(self._keep_recipients)
        return self.repository

    def _keep_recipients(self, error: BaseException | None) -> None:
        from pykopia.cli import error_notifications  # noqa: PLC0415

        if self.repository and error_notifications.are_wanted(
            self.flags.error_notifications, terminal=self.stdout.isatty()
        ):
            self.recipients = error_notifications.recipients_of(self.repository, error)

    @property
    def not_connected(self) -> str:
        """The message for a machine without a connection file."""
        return f"repository is not connected: there is no {self.config_file}; use `pykopia repository connect`"

    def require_dangerous_commands(self) -> None:
        """Refuse to go on unless the user allowed what can destroy a repository."""
        if self.flags.dangerous_commands != "enabled":
            raise CommandLineError(DANGEROUS)

    @property
    def purpose(self) -> str:
        """Purpose of this run, as write sessions record it."""
        return f"cli:{self.invocation.name}"


def quoted(text: str) -> str:
    r"""Return ``text`` as it is, or, if it has control characters, in quotes with these escaped.

    Raw control characters in names could rewrite what the terminal shows.

    >>> print(quoted("two\nlines"), quoted("plain name"))
    'two\nlines' plain name
    """
    if text.isprintable():
        return text
    plain = escaped(text)
    return text if plain == text else f"'{plain}'"


def escaped(text: str) -> str:
    r"""Return ``text`` with its control characters spelled.

    >>> print(escaped("can't read two\nlines"))
    can't read two\nlines
    """
    if text.isprintable():
        return text
    # surrogates stand for bytes that are not UTF-8, and are printed as these bytes
    return "".join(
        each if each.isprintable() or "\ud800" <= each <= "\udfff" else _ESCAPES.get(each) or _escape(ord(each))
        for each in text
    )


_ESCAPES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def _escape(code: int) -> str:
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def _output_error(error: OSError) -> Exception:
    return OutputClosed() if isinstance(error, BrokenPipeError) else OutputError(error.strerror or str(error))


__all__ = ["DANGEROUS", "Session", "escaped", "quoted"]
