"""`completion`: scripts that let a shell complete commands and flags, and the manual page."""

from collections.abc import Iterator, Sequence

from pykopia import __version__
from pykopia.cli import tree
from pykopia.cli.flags.completion import CompletionOptions
from pykopia.cli.parsing import Command, Parameter
from pykopia.cli.session import Session


def completion(session: Session, options: CompletionOptions) -> None:
    """Print the script for a shell; ``eval "$(pykopia completion bash)"`` uses it at once."""
    session.write({"bash": bash, "zsh": zsh, "fish": fish}[options.shell](), end="")


def paths(path: Sequence[Command] = (tree.ROOT,)) -> Iterator[Sequence[Command]]:
    """Yield all commands that help texts show, with those above them."""
    yield path
    for child in path[-1].children:
        yield from paths([*path, child])


def _flags(path: Sequence[Command]) -> list[Parameter]:
    found = [each for level in path for each in level.options.parameters]
    return [each for each in found if not each.positional and not each.hidden]


def _words(path: Sequence[Command]) -> list[str]:
    commands = [child.name for child in path[-1].children if not child.hidden]
    flags = [f"--{each.name}" for each in _flags(path)]
    negations = [f"--no-{each.name}" for each in _flags(path) if each.is_switch and each.default]
    return [*commands, *sorted({*flags, *negations})]


def _values() -> dict[str, list[str]]:
    """Return what flags may be, by flag: of flags that mean the same wherever they are."""
    found: dict[str, set[str]] = {}
    for path in paths():
        for each in _flags(path):
            if each.allowed:
                found.setdefault(f"--{each.name}", set()).update(each.allowed)
    return {name: sorted(values) for name, values in sorted(found.items())}


def _name(path: Sequence[Command]) -> str:
    return " ".join(command.name for command in path[1:])


def bash() -> str:
    """Return the script for bash."""
    cases = "".join(
        f"        {_quoted(name)}) words={_quoted(' '.join(_words(path)))} ;;\n" for name, path in _by_name()
    )
    values = "".join(
        f'        {name}) COMPREPLY=($(compgen -W {_quoted(" ".join(choices))} -- "$current")); return ;;\n'
        for name, choices in _values().items()
    )
    commands = " ".join(name.replace(" ", "/") for name, _ in _by_name() if name)
    return f"""# bash completion of pykopia {__version__}
_pykopia() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} previous=${{COMP_WORDS[COMP_CWORD-1]}} command="" words="" word
    if [[ $current == "=" ]]; then current=""; fi
    if [[ $previous == "=" ]]; then previous=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    case $previous in
{values}    esac
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        if [[ " {commands} " == *" ${{command:+$command/}}$word "* ]]; then
            command="${{command:+$command/}}$word"
        fi
    done
    case ${{command//\\// }} in
{cases}    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
    if [[ $current != -* && ${{#COMPREPLY[@]}} -eq 0 ]]; then
        compopt -o default 2>/dev/null
    fi
}}
complete -F _pykopia pykopia
"""


def _by_name() -> list[tuple[str, Sequence[Command]]]:
    return [(_name(path), path) for path in paths()]


def zsh() -> str:
    """Return the script for zsh, which runs that of bash."""
    return "#compdef pykopia\nautoload -U +X bashcompinit && bashcompinit\n" + bash()


def fish() -> str:
    """Return the script for fish."""
    lines = [f"# fish completion of pykopia {__version__}", "complete -c pykopia -f"]
    for path in paths():
        seen = " and ".join(f"__fish_seen_subcommand_from {name}" for name in _name(path).split())
        condition = f"-n {_quoted(seen.replace(' and ', '; and '))}" if seen else "-n __fish_use_subcommand"
        lines += [
            f"complete -c pykopia {condition} -a {child.name} -d {_quoted(child.summary)}"
            for child in path[-1].children
            if not child.hidden
        ]
        if not path[-1].children or len(path) == 1:
            condition = condition if len(path) > 1 else ""
            for each in path[-1].options.parameters:
                if each.positional or each.hidden:
                    continue
                short = f" -s {each.short}" if each.short else ""
                choices = (
                    f" -x -a {_quoted(' '.join(each.allowed))}" if each.allowed else "" if each.is_switch else " -r -F"
                )
                words = f"complete -c pykopia {condition} -l {each.name}{short}{choices} -d {_quoted(each.help)}"
                lines.append(" ".join(words.split()))
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


# --- the manual page -------------------------------------------------------------------------------------------------


def manual_page() -> str:
    """Return the manual page in the language of man."""
    lines = [
        f'.TH "PYKOPIA" "1" "" "pykopia {__version__}" "User Commands"',
        ".SH NAME",
        r"pykopia \- backups in Kopia's repository format",
        ".SH SYNOPSIS",
        r".B pykopia",
        r"[\fIFLAGS\fR] \fICOMMAND\fR [\fIARGUMENTS\fR]",
        ".SH GLOBAL FLAGS",
    ]
    lines += [text for each in _shown([tree.ROOT]) for text in _manual_flag(each)]
    lines.append(".SH COMMANDS")
    for path in paths():
        if len(path) == 1 or path[-1].children or any(each.hidden for each in path):
            continue
        arguments = " ".join(rf"\fI{_roff(each.label)}\fR" for each in path[-1].options.parameters if each.positional)
        lines += [f'.SS "{_roff(_name(path))}"', rf"\fBpykopia {_roff(_name(path))}\fR {arguments}".rstrip(), ".PP"]
        lines.append(_roff(path[-1].summary))
        lines += [text for each in _shown(path[1:]) for text in _manual_flag(each)]
    return "\n".join(lines) + "\n"


def _shown(path: Sequence[Command]) -> list[Parameter]:
    return [each for level in path for each in level.options.parameters if not each.positional and not each.hidden]


def _manual_flag(parameter: Parameter) -> list[str]:
    value = "" if parameter.is_switch else rf"=\fI{_roff(parameter.placeholder or parameter.name.upper())}\fR"
    name = rf"\fB\-\-{_roff(parameter.name)}\fR{value}"
    short = rf"\fB\-{parameter.short}\fR, " if parameter.short else ""
    return [".TP", short + name, _roff(parameter.help)]


def _roff(text: str) -> str:
    escaped = text.replace("\\", r"\e").replace("-", r"\-")
    return r"\&" + escaped if escaped.startswith((".", "'")) else escaped


__all__ = ["bash", "completion", "fish", "manual_page", "paths", "zsh"]
