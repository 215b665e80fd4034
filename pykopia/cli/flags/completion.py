"""Arguments of `completion`."""

from pykopia.cli.parsing import Options, argument
from pykopia.cli.values import shell


class CompletionOptions(Options):
    """Arguments of `completion`."""

    shell = argument("The shell: bash, zsh or fish.", kind=shell)


__all__ = ["CompletionOptions"]
