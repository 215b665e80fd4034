"""Reading variables of the environment: empty is unset, content or path, truth values; and how a backend does so."""

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.options import StorageOptions

if TYPE_CHECKING:
    import configparser

URLConfig: TypeAlias = Mapping[str, Any]
"""What a URL says, by Kopia's JSON names; empty where it says nothing."""

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off", ""})


_LINE_BREAKS = {ord("\r"): None, ord("\n"): None}


class Variables:
    """The variables of an environment, and what there is to warn of.

    Args:
        environment: Names and values.
        read_file: Returns the content of a file, or nothing if there is none.
    """

    def __init__(self, environment: Mapping[str, str], read_file: Callable[[str], str | None]) -> None:
        self._environment, self._read_file = environment, read_file
        self.warnings: list[str] = []

    def warn(self, message: str) -> None:
        """Keep a warning, once."""
        if message not in self.warnings:
            self.warnings.append(message)

    def text(self, *names: str) -> str:
        """Return the first of several variables that is set, or an empty text.

        Blanks and line breaks around a value come from ``echo KEY | base64`` and from editors: no service has keys, names or
        regions with them. A password may begin or end with a blank, but no login can send a line break.
        """
        return next((value for name in names if (value := _trimmed(name, self._environment.get(name, "")))), "")

    def set_name(self, *names: str) -> str:
        """Return the name of the first variable that is set, or the first name."""
        return next((name for name in names if self.text(name)), names[0])

    def required(self, *names: str, what: str) -> str:
        """Return the first of several variables that is set.

        Raises:
            InvalidEnvironmentError: None is.
        """
        found = self.text(*names)
        if not found:
            raise InvalidEnvironmentError(names[0], f"must be defined: it is {what}, a key of the repository Secret")
        return found

    def flag(self, name: str) -> bool:
        """Return a truth value; what is neither true nor false counts as false, with a warning."""
        value = self.text(name).strip().lower()
        if value not in _TRUE | _FALSE:
            self.warn(f"{name} is taken as false: it must be true or false")
        return value in _TRUE

    def over(self, of_url: str, *names: str, normal: Callable[[str], str] = str.strip) -> str:
        """Return the first variable that is set, or what the URL says; warn where the two differ."""
        value = normal(self.text(*names))
        if value and of_url and value != of_url:
            self.warn(f"{self.set_name(*names)} ({value}) is taken instead of what KOPIA_REPOSITORY says ({of_url})")
        return value or of_url

    def content(self, name: str) -> str:
        """Return the value of a variable, or of the file that it names by an absolute path.

        Raises:
            InvalidEnvironmentError: It names a file that can't be read.
        """
        value = self._environment.get(name, "")
        path = value.strip()
        if not path.startswith("/") or "\n" in path:
            return value
        try:
            found = self._read_file(path)
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no text"
            raise InvalidEnvironmentError(name, f"names the file {path}, which can't be read: {reason}") from None
        if found is None:
            raise InvalidEnvironmentError(name, f"names the file {path}, and there is none")
        return found

    def file(self, path: str) -> str | None:
        """Return the content of a file, or nothing if it can't be had."""
        try:
            return self._read_file(path)
        except (OSError, UnicodeDecodeError):
            return None

    def json_object(self, name: str) -> dict[str, Any]:
        """Return the JSON object of a variable, or of the file it names; no part of it is ever in a message.

        Raises:
            InvalidEnvironmentError: It holds no JSON object.
        """
        content = self.content(name)
        try:
            found = json.loads(content)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise InvalidEnvironmentError(
                name, "is malformed: it must be the JSON object of credentials, or a file with it"
            )
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class EnvironmentBackend:
    """Turns variables into the options of one backend."""

    rank: int
    """Place in the order in which backends are considered where no URL says which is meant; the lowest first."""
    variables: tuple[str, ...]
    """All variables that it reads."""
    needs: tuple[tuple[str, ...], ...]
    """Without a URL, one variable of each group says where the repository is."""
    make: Callable[[Variables, URLConfig], StorageOptions]
    ambient: frozenset[str] = frozenset()
    """Variables that clusters set for whatever runs in them: no sign that this backend is meant."""
    completed: Callable[[Variables, str], str] = lambda _, url: url
    """Adds to a URL what variables say and it can't be parsed without."""
    placeholder: str = ""
    """Stands in a URL that says nothing but which backend."""
    legacy: Callable[[str], str] | None = None
    """Prefix under which older movers put a repository, by that of its URL; None where they put it in the same place."""

    def enough(self, variables: Variables) -> bool:
        """Return True if the variables say where the repository is, without a URL."""
        return all(variables.text(*names) for names in self.needs)

    def options(self, variables: Variables, of_url: ConnectionInfo | None) -> StorageOptions:
        """Return the options of variables over those of the URL."""
        return self.make(variables, {} if of_url is None else of_url.config)


def folder_of(path: str) -> str:
    """Return the path of a folder without a slash at its end."""
    path = path.strip()
    return path.rstrip("/") or path[:1]


def check_folder(name: str, path: str) -> None:
    """Refuse a path that is not absolute.

    Raises:
        InvalidEnvironmentError: It is relative, or holds ``..``.
    """
    if not path.startswith("/") or ".." in path.split("/"):
        raise InvalidEnvironmentError(name, f"is {path!r} and must be an absolute path, without '..'")


def parse_ini(text: str) -> "configparser.ConfigParser | None":
    """Return an INI file, or nothing if the text is none."""
    import configparser  # noqa: PLC0415 -- few backends need it

    parser = configparser.ConfigParser(interpolation=None, strict=False, delimiters=("=",), default_section="\0")
    try:
        parser.read_string(text)
    except configparser.Error:
        return None
    return parser


def _trimmed(name: str, value: str) -> str:
    if name.endswith("PASSWORD"):
        return value.strip("\r\n")
    if name.endswith("_DATA"):  # lines of a file
        return value.strip()
    return value.translate(_LINE_BREAKS).strip()  # `base64` breaks long keys and tokens into lines


__all__ = ["EnvironmentBackend", "URLConfig", "Variables", "check_folder", "folder_of", "parse_ini"]
