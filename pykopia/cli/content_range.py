"""Which contents a command works on."""

from pykopia.cli.parsing import CommandLineError, Options, flag

_ALL = ("", "{")
_WITHOUT_PREFIX = ("0", "g")
_WITH_PREFIX = ("g", "{")


class ContentRangeFlags(Options):
    """Flags that choose contents by their prefix letter."""

    prefix = flag("", "Only contents with this prefix letter.")
    prefixed = flag(False, "Only contents with a prefix letter.")
    non_prefixed = flag(False, "Only contents without a prefix letter.")

    @property
    def bounds(self) -> tuple[str, str]:
        """First ID and the one after the last."""
        if self.prefixed:
            return _WITH_PREFIX
        if self.non_prefixed:
            return _WITHOUT_PREFIX
        if not self.prefix:
            return _ALL
        if len(self.prefix) > 1 or not "g" <= self.prefix <= "z":
            message = f"--prefix must be a letter from g to z; it is {self.prefix!r}"
            raise CommandLineError(message)
        return self.prefix, self.prefix + "{"


__all__ = ["ContentRangeFlags"]
