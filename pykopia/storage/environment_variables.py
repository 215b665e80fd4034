"""Reading one variable of the environment: empty is unset, content or path, truth values."""

from collections.abc import Callable, Mapping

from pykopia.errors import InvalidEnvironmentError

_TRUE = frozenset({"true", "1", "yes", "on"})
_FALSE = frozenset({"false", "0", "no", "off", ""})


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
        value, path = self._environment.get(name, ""), self.text(name)
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


def _trimmed(name: str, value: str) -> str:
    return value.strip("\r\n") if name.endswith("PASSWORD") else value.strip()


__all__ = ["Variables"]
