"""Help texts, made from the declarations of commands and flags."""

from collections.abc import Iterable

from pykopia.cli import tree, values
from pykopia.cli.formatting import duration
from pykopia.cli.parsing import Command, CommandLineError, Options, Parameter, arguments
from pykopia.cli.session import Session

_LEFT = 30
_WIDTH = 80


class HelpOptions(Options):
    """Arguments of `pykopia help`."""

    command = arguments("Command to show help for.")


def help_command(session: Session, options: HelpOptions) -> None:
    """Show help for the command that the arguments name."""
    path = tree.find(options.command)
    if len(path) <= len(options.command):
        unknown = options.command[len(path) - 1]
        message = f"unknown command {unknown!r}"
        from pykopia.cli.suggestions import hint  # noqa: PLC0415 -- only mistakes pay for it

        raise CommandLineError(message, hint(tree.ROOT, path, unknown))
    session.write(usage(path))


def usage(path: tuple[Command, ...], *, full: bool = False) -> str:
    """Return the help text of a command.

    Args:
        path: The commands from the program down to it.
        full: Whether hidden flags and commands are shown, and the commands within commands.
    """
    command = path[-1]
    lines = [f"usage: {_names(path)}{_signature(path)}", command.summary, ""]
    parameters = [each for level in reversed(path) for each in level.options.parameters]
    flags = [each for each in parameters if not each.positional and (full or not each.hidden)]
    positionals = [each for each in parameters if each.positional]
    if flags:
        lines += ["Flags:", *_columns((_flag_label(each), _flag_help(each)) for each in flags), ""]
    if positionals:
        lines += ["Arguments:", *_columns((f"  {each.label}", each.help) for each in positionals), ""]
    if command.children:
        lines.append("Commands:" if full else "Commands (--help-full shows all, with their flags):")
        lines += _commands(path, full=full)
        lines.append("")
    return "\n".join(lines)


def _commands(path: tuple[Command, ...], *, full: bool) -> Iterable[str]:
    rows: list[tuple[str, str]] = []
    for child in path[-1].children:
        if child.hidden and not full:
            continue
        if full:
            rows += _all_below((*path, child))
        else:
            names = ", ".join((child.name, *child.aliases))
            rows.append((f"  {names}", child.summary))
    return _columns(rows)


def _all_below(path: tuple[Command, ...]) -> list[tuple[str, str]]:
    if not path[-1].children:
        return [(f"  {' '.join(each.name for each in path[1:])}{_signature(path)}", path[-1].summary)]
    return [row for child in path[-1].children for row in _all_below((*path, child))]


def _names(path: tuple[Command, ...]) -> str:
    return " ".join(command.name for command in path)


def _signature(path: tuple[Command, ...]) -> str:
    command = path[-1]
    words = [
        f"{each.label}={_placeholder(each)}"
        for level in path[1:]
        for each in level.options.parameters
        if each.required and not each.positional
    ]
    words.append("[<flags>]")
    for each in command.options.parameters:
        if each.positional:
            label = each.label + ("..." if each.many else "")
            words.append(label if each.required else f"[{label}]")
    if command.children:
        words.append("<command> [<args> ...]")
    return " " + " ".join(words)


def _placeholder(parameter: Parameter) -> str:
    return parameter.placeholder or parameter.name.upper()


def _flag_label(parameter: Parameter) -> str:
    start = f"  -{parameter.short}, " if parameter.short else "      "
    if parameter.is_switch:
        return f"{start}--[no-]{parameter.name}"
    default = parameter.default
    if parameter.placeholder or parameter.many or default in {None, "", 0} or parameter.convert is values.duration:
        shown = _placeholder(parameter)
    else:
        shown = str(default)
    return f"{start}--{parameter.name}={shown}" + (" ..." if parameter.many else "")


def _flag_help(parameter: Parameter) -> str:
    text = parameter.help
    if parameter.allowed:
        text += f" One of {', '.join(parameter.allowed)}."
    if parameter.convert is values.duration and isinstance(parameter.default, int) and parameter.default:
        text += f" Default {duration(parameter.default)}."
    if parameter.is_switch and parameter.default:
        text += " On by default."
    if parameter.env:
        text += f" (${parameter.env})"
    return text


def _columns(rows: Iterable[tuple[str, str]]) -> Iterable[str]:
    from textwrap import wrap  # noqa: PLC0415 -- only help pays for it

    for left, right in rows:
        lines = wrap(right, _WIDTH - _LEFT - 2, break_long_words=False, break_on_hyphens=False) or [""]
        if len(left) > _LEFT:
            yield left
        else:
            yield f"{left:<{_LEFT}}  {lines.pop(0)}".rstrip()
        yield from (f"{'':<{_LEFT}}  {line}" for line in lines)


__all__ = ["HelpOptions", "help_command", "usage"]
