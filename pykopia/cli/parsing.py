"""The command line, taken apart as Kopia takes it apart.

Flags are accepted anywhere once their command has been named, global ones everywhere; ``--flag value``,
``--flag=value``, ``--[no-]flag``, ``-f value``, ``-fvalue`` and joined short flags; after ``--`` all is an argument.
Neither argparse nor click has these rules, and both take longer to import than all of this (FEASIBILITY measured 24
and 54 ms of processor time against 14 ms of a bare interpreter), so the rules are spelled here. For the same reason
neither dataclasses nor enum is used: they would double the time that ``pykopia --version`` takes.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from typing import Any, ClassVar, TypeVar, cast

from pykopia.cli import values
from pykopia.errors import UsageError

T = TypeVar("T")
OptionsT = TypeVar("OptionsT", bound="Options")
Choices = Sequence[str] | Callable[[], Iterable[str]]


_SCRIPTS = ("completion-script-bash", "completion-script-zsh")


class CommandLineError(UsageError):
    """A command line that can't be understood: an unknown name, a missing or senseless value."""

    exit_code = 1  # as Kopia's

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(f"{message}; {hint}" if hint else message)


class Parameter:
    """One flag or argument: its name, how its text becomes a value, and what help says about it."""

    __slots__ = (
        "choices",
        "convert",
        "default",
        "env",
        "help",
        "hidden",
        "many",
        "name",
        "placeholder",
        "positional",
        "required",
        "short",
    )

    def __init__(self, default: object, help: str, convert: Callable[[str], object]) -> None:  # noqa: A002
        self.name, self.default, self.help, self.convert = "", default, help, convert
        self.choices: Choices | None = None
        self.env = self.placeholder = self.short = ""
        self.hidden = self.many = self.positional = self.required = False

    @property
    def is_switch(self) -> bool:
        """Whether the flag is a word of its own (``--flag``, ``--no-flag``) and takes no value."""
        return self.convert in {values.boolean, values.progress} and not self.positional and not self.many

    @property
    def allowed(self) -> tuple[str, ...]:
        """The texts to choose from; none when any text will do."""
        choices = self.choices() if callable(self.choices) else self.choices
        return tuple(choices or ())

    @property
    def label(self) -> str:
        """The name as it is written on the command line."""
        return f"<{self.name}>" if self.positional else f"--{self.name}"

    def value_of(self, text: str) -> object:
        """Return the value that ``text`` means here; raise `CommandLineError` when it means none."""
        if self.choices is not None and text not in self.allowed:
            message = f"{self.label} must be one of {', '.join(self.allowed)}; it is {text!r}"
            from pykopia.cli.suggestions import did_you_mean  # noqa: PLC0415 -- only mistakes pay for it

            raise CommandLineError(message, did_you_mean(text, self.allowed))
        try:
            return self.convert(text)
        except ValueError as error:
            message = f"{self.label} can't be understood: {error}"
            raise CommandLineError(message) from None


_CONVERTERS: dict[type, Callable[[str], object]] = {
    bool: values.boolean,
    int: values.integer,
    float: values.decimal,
    str: values.text,
}


def flag(
    default: T,
    help: str,  # noqa: A002
    *,
    kind: Callable[[str], object] | None = None,
    short: str = "",
    env: str = "",
    choices: Choices | None = None,
    placeholder: str = "",
    hidden: bool = False,
    required: bool = False,
) -> T:
    """Declare a flag as the value of a class attribute; its name is the attribute's with hyphens.

    Args:
        default: The value when the flag is not given; its type tells how texts are read unless ``kind`` does.
        help: What the flag does, for ``--help``.
        kind: A function of `pykopia.cli.values`.
        short: A single letter.
        env: Environment variable that serves when the flag is not given and the variable is not empty.
        choices: Texts to choose from, or a function that returns them.
        placeholder: Word that stands for the value in help texts.
        hidden: Whether only ``--help-full`` shows the flag.
        required: Whether a command line without it is refused.
    """
    parameter = Parameter(default, help, kind or _CONVERTERS[type(default)])
    parameter.short, parameter.env, parameter.choices = short, env, choices
    parameter.placeholder, parameter.hidden, parameter.required = placeholder, hidden, required
    return cast("T", parameter)


def flag_list(
    help: str,  # noqa: A002
    *,
    kind: Callable[[str], object] = values.text,
    env: str = "",
    placeholder: str = "",
    hidden: bool = False,
) -> list[Any]:
    """Declare a flag that may be given again and again; its value is the list in order."""
    parameter = Parameter([], help, kind)
    parameter.many, parameter.env, parameter.placeholder, parameter.hidden = True, env, placeholder, hidden
    return cast("list[Any]", parameter)


def argument(help: str, *, required: bool = True, kind: Callable[[str], object] = values.text) -> str:  # noqa: A002
    """Declare an argument: a value identified by its place. Arguments follow the order of the class."""
    parameter = Parameter("", help, kind)
    parameter.positional, parameter.required = True, required
    return cast("str", parameter)


def arguments(help: str, *, required: bool = False) -> list[str]:  # noqa: A002
    """Declare the argument that takes all that is left."""
    parameter = Parameter([], help, values.text)
    parameter.positional, parameter.many, parameter.required = True, True, required
    return cast("list[str]", parameter)


class Options:
    """Flags and arguments of a command, declared as class attributes and read as attributes of an instance."""

    parameters: ClassVar[tuple[Parameter, ...]] = ()

    def __init_subclass__(cls) -> None:
        """Collect what the class and its bases declare, bases first."""
        found: dict[str, Parameter] = {}
        for base in reversed(cls.__mro__):
            for name, value in vars(base).items():
                if isinstance(value, Parameter):
                    value.name = name.rstrip("_").replace("_", "-")
                    found[name] = value
        cls.parameters = tuple(found.values())
        cls._attributes = tuple(found)

    _attributes: ClassVar[tuple[str, ...]] = ()

    def __init__(self, given: Mapping[str, object] | None = None) -> None:
        for attribute, parameter in zip(self._attributes, self.parameters, strict=True):
            default = list(parameter.default) if isinstance(parameter.default, list) else parameter.default
            setattr(self, attribute, default if given is None else given.get(parameter.name, default))


class Command:
    """A command or a group of commands; what it runs is imported only when it was named."""

    __slots__ = ("_children", "_options", "aliases", "hidden", "name", "offline", "run_path", "summary")

    def __init__(
        self,
        name: str,
        summary: str,
        run: str = "",
        *children: "Command",
        options: "str | Callable[[], type[Options]]" = "",
        more: "Callable[[], tuple[Command, ...]] | None" = None,
        aliases: Sequence[str] = (),
        hidden: bool = False,
        offline: bool = False,
    ) -> None:
        """Describe a command.

        Args:
            name: Its name.
            summary: What it does, in a line.
            run: ``module:function`` within `pykopia.cli`; empty for a group.
            children: The commands of a group.
            options: ``module:class`` with the flags, within `pykopia.cli`, or a function that returns the class; empty when
                there are none.
            more: Makes the commands of a group once one of them is looked for.
            aliases: Other names.
            hidden: Whether only ``--help-full`` shows it.
            offline: Whether it works, with all commands below it, on a machine that is connected to no repository.
        """
        self.name, self.summary = name, summary
        self._children: tuple[Command, ...] | Callable[[], tuple[Command, ...]] = more or children
        self.aliases, self.hidden, self.offline = tuple(aliases), hidden, offline
        self.run_path, self._options = run, options

    @property
    def children(self) -> "tuple[Command, ...]":
        """The commands of a group."""
        if callable(self._children):
            self._children = self._children()
        return self._children

    def find(self, name: str) -> "Command | None":
        """Return the child called ``name``."""
        for child in self.children:
            if name == child.name or name in child.aliases:
                return child
        return None

    @property
    def run(self) -> Callable[..., int | None]:
        """The function to call with the session and, when it has any, the options."""
        return cast("Callable[..., int | None]", _imported(self.run_path))

    @property
    def takes_options(self) -> bool:
        """Whether `run` wants an ``options`` argument."""
        return bool(self._options)

    @property
    def options(self) -> type[Options]:
        """The class that declares the flags and arguments."""
        if not isinstance(self._options, str):
            return self._options()
        return cast("type[Options]", _imported(self._options)) if self._options else Options


class Invocation:
    """A command line that was understood."""

    __slots__ = ("command", "given", "path")

    def __init__(self, path: tuple[Command, ...], given: Mapping[str, object]) -> None:
        self.path, self.given = path, given
        self.command = path[-1]

    @property
    def name(self) -> str:
        """The full name of the command, such as ``snapshot create``."""
        return " ".join(command.name for command in self.path[1:])

    @property
    def is_offline(self) -> bool:
        """Whether the command works on a machine that is connected to no repository."""
        return any(command.offline for command in self.path)

    def options(self, kind: type[OptionsT]) -> OptionsT:
        """Return what was given for the flags that ``kind`` declares."""
        return kind(self.given)


class _Reader:
    """Tokens of a command line, one after the other."""

    def __init__(self, words: Sequence[str], shorts: dict[str, Parameter]) -> None:
        self.words, self.shorts, self.position = list(words), shorts, 0
        self.arguments_only = False

    def next(self) -> tuple[str, str, str | None] | None:
        """Return kind (``long``, ``short``, ``word``), name and joined value; None at the end."""
        while self.position < len(self.words):
            word = self.words[self.position]
            self.position += 1
            if self.arguments_only or word == "-" or not word.startswith("-"):
                return "word", word, None
            if word == "--":
                self.arguments_only = True
                continue
            if word.startswith("--"):
                name, equals, joined = word[2:].partition("=")
                return "long", name, joined if equals else None
            letter, rest = word[1], word[2:]
            known = self.shorts.get(letter)
            if rest and (known is None or known.is_switch):
                self.position -= 1
                self.words[self.position] = "-" + rest
                return "short", letter, None
            return "short", letter, rest or None
        return None

    def value(self) -> str | None:
        """Return the next word if it can be the value of a flag."""
        if self.position >= len(self.words):
            return None
        word = self.words[self.position]
        if word.startswith("-") and word != "-" and not self.arguments_only:
            return None
        self.position += 1
        return word


class _Parser:
    def __init__(self, root: Command, words: Sequence[str]) -> None:
        self.path = [root]
        self.longs: dict[str, Parameter] = {}
        self.shorts: dict[str, Parameter] = {}
        self.positionals: list[Parameter] = []
        self.given: dict[str, object] = {}
        self.filled = 0
        self.reader = _Reader(words, self.shorts)
        self.enter(root)

    def enter(self, command: Command) -> None:
        for parameter in command.options.parameters:
            if parameter.positional:
                self.positionals.append(parameter)
                continue
            self.longs[parameter.name] = parameter
            if parameter.short:
                self.shorts[parameter.short] = parameter

    def parse(self) -> None:
        while (token := self.reader.next()) is not None:
            kind, name, joined = token
            if kind == "word":
                self.word(name)
            elif kind == "long":
                self.long(name, joined)
            else:
                known = self.shorts.get(name)
                if known is None:
                    message = f"unknown flag '-{name}'{self.where()}"
                    raise CommandLineError(message)
                self.flag(known, f"-{name}", joined, inverted=False)

    def word(self, text: str) -> None:
        command = self.path[-1]
        if command.children:
            child = command.find(text)
            if child is None:
                from pykopia.cli.suggestions import hint  # noqa: PLC0415 -- only mistakes pay for it

                message = f"unknown command {text!r}{self.where()}"
                raise CommandLineError(message, hint(self.path[0], tuple(self.path), text))
            self.path.append(child)
            self.enter(child)
            return
        if self.filled >= len(self.positionals):
            message = f"unexpected argument {text!r}{self.where()}"
            flag = next((each for each in self.longs.values() if each.required and each.name not in self.given), None)
            raise CommandLineError(message, "" if flag is None else f"did you mean '--{flag.name}={text}'?")
        parameter = self.positionals[self.filled]
        if not text:
            message = f"argument {parameter.label} is empty{self.where()}; is a variable of your script not set?"
            raise CommandLineError(message)
        self.keep(parameter, parameter.value_of(text))
        if not parameter.many:
            self.filled += 1

    def long(self, name: str, joined: str | None) -> None:
        parameter, inverted = self.longs.get(name), False
        if parameter is None and name.startswith("no-"):
            parameter = self.longs.get(name[3:])
            inverted = True
        if parameter is None or (inverted and not parameter.is_switch):
            message = f"unknown flag '--{name}'{self.where()}"
            from pykopia.cli.suggestions import flag_hint  # noqa: PLC0415 -- only mistakes pay for it

            command = " ".join(each.name for each in self.path[1:])
            shown = [known for known, each in self.longs.items() if not each.hidden]
            raise CommandLineError(message, flag_hint(command, name, shown, list(self.longs)))
        self.flag(parameter, f"--{name}", joined, inverted=inverted)

    def flag(self, parameter: Parameter, written: str, joined: str | None, *, inverted: bool) -> None:
        if not parameter.many and parameter.name in self.given:
            message = f"flag {written!r} is given more than once"
            raise CommandLineError(message)
        if parameter.is_switch:
            value = joined is None or parameter.value_of(joined)
            self.keep(parameter, not value if inverted else value)
            return
        text = joined if joined is not None else self.reader.value()
        if text is None:
            message = f"flag {written!r} needs a value"
            raise CommandLineError(message)
        self.keep(parameter, parameter.value_of(text))

    def keep(self, parameter: Parameter, value: object) -> None:
        if parameter.many:
            cast("list[object]", self.given.setdefault(parameter.name, [])).append(value)
        else:
            self.given[parameter.name] = value

    def where(self) -> str:
        names = " ".join(command.name for command in self.path[1:])
        return f" for `pykopia {names}`" if names else ""

    def fill_from_environment(self, environment: Mapping[str, str]) -> None:
        for parameter in self.longs.values():
            if not parameter.env or parameter.name in self.given:
                continue
            text = environment.get(parameter.env, "")
            if not text:
                continue
            try:
                for line in text.splitlines() if parameter.many else [text]:
                    self.keep(parameter, parameter.value_of(line))
            except CommandLineError as error:
                message = f"environment variable {parameter.env}: {error}"
                raise CommandLineError(message) from None

    def fill_from_profile(self, name: str, flags: Mapping[str, Sequence[str]]) -> None:
        """Take flags that the line does not give from a profile; values are the texts that a line would have."""
        for key, texts in flags.items():
            parameter = self.longs.get(key)
            if parameter is None:
                message = f"the profile {name!r} sets --{key}, which is no flag{self.where() or ' of all commands'}"
                raise CommandLineError(message)
            if key in self.given:
                continue
            for text in texts:
                self.keep(parameter, parameter.value_of(text))

    def check_complete(self) -> None:
        command = self.path[-1]
        if command.children:
            group = " ".join(each.name for each in self.path[1:])
            names = ", ".join(each.name for each in command.children if not each.hidden)
            message = f"name a command of `pykopia {group}`: {names}"
            raise CommandLineError(message)
        missing = [each for each in self.longs.values() if each.required and each.name not in self.given]
        if missing:
            message = f"required flag(s) {', '.join(repr(each.label) for each in missing)} not given{self.where()}"
            raise CommandLineError(message)
        for parameter in self.positionals:
            if parameter.required and parameter.name not in self.given:
                message = f"required argument {parameter.label} not given{self.where()}"
                raise CommandLineError(message)


def parse(
    root: Command,
    words: Sequence[str],
    environment: Mapping[str, str],
    profile: Callable[[str, str], Mapping[str, Sequence[str]]] | None = None,
) -> Invocation:
    """Understand a command line.

    Args:
        root: The program: its children are the commands, its options the global flags.
        words: What was typed after the program's name.
        environment: Environment variables, for the flags that have one.
        profile: Returns the flags that a profile has for a command, by the names of both.

    Returns:
        The command with its values. With ``help`` or ``version`` among them nothing is demanded of the rest.

    Raises:
        CommandLineError: When an unknown name, a senseless value or something missing makes it unusable.
    """
    parser = _Parser(root, words)
    parser.parse()
    wants_help = any(
        parser.given.get(name) for name in ("help", "help-full", "help-long", "help-man", "version", *_SCRIPTS)
    )
    if not wants_help and len(parser.path) > 1:
        name = parser.given.get("profile") or environment.get("PYKOPIA_PROFILE", "")
        if name and profile is not None:
            command = " ".join(each.name for each in parser.path[1:])
            parser.fill_from_profile(str(name), profile(str(name), command))
        parser.fill_from_environment(environment)
        parser.check_complete()
    return Invocation(tuple(parser.path), parser.given)


def _imported(path: str) -> object:
    module, _, name = path.partition(":")
    return getattr(import_module(f"pykopia.cli.{module}"), name)


__all__ = [
    "Choices",
    "Command",
    "CommandLineError",
    "Invocation",
    "Options",
    "Parameter",
    "argument",
    "arguments",
    "flag",
    "flag_list",
    "parse",
]
