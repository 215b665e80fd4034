import pytest

from pykopia.cli import values
from pykopia.cli.parsing import (
    Command,
    CommandLineError,
    Invocation,
    Options,
    Parameter,
    argument,
    arguments,
    flag,
    flag_list,
    parse,
)


class ProgramFlags(Options):
    help = flag(False, "Help.")
    verbose = flag(False, "Talk.", env="APP_VERBOSE")
    password = flag("", "Secret.", short="p", env="APP_PASSWORD")


class GroupFlags(Options):
    depth = flag(1, "Depth.")


class RunFlags(Options):
    quick = flag(True, "Quick.", short="q")
    all = flag(False, "All.", short="a")
    count = flag(0, "Count.", short="n", env="APP_COUNT")
    share = flag(0.0, "Share.")
    wait = flag(0, "Wait.", kind=values.duration)
    tag = flag_list("Tag.", env="APP_TAGS")
    color = flag("red", "Color.", choices=("red", "green"))
    source = argument("Source.", required=False)
    rest = arguments("Rest.")


class StoreFlags(Options):
    path = flag("", "Path.", required=True, env="APP_PATH")


class ItemFlags(Options):
    first = argument("First.")
    others = arguments("Others.", required=True)


class _Local(Command):
    """A command whose options lie in this module."""

    __slots__ = ("kind",)

    def __init__(self, name: str, *children: Command, kind: type[Options], aliases: tuple[str, ...] = ()) -> None:
        super().__init__(name, "Summary.", "", *children, aliases=aliases)
        self.kind = kind

    @property
    def options(self) -> type[Options]:
        return self.kind


ROOT = _Local(
    "app",
    _Local("run", kind=RunFlags, aliases=("go",)),
    _Local("group", _Local("store", kind=StoreFlags), kind=GroupFlags),
    _Local("item", kind=ItemFlags),
    kind=ProgramFlags,
)


def parsed(line: str, **environment: str) -> Invocation:
    return parse(ROOT, line.split(), environment)


def run_flags(line: str, **environment: str) -> RunFlags:
    return parsed(line, **environment).options(RunFlags)


def refused(line: str, **environment: str) -> str:
    with pytest.raises(CommandLineError) as caught:
        parsed(line, **environment)
    assert caught.value.exit_code == 1
    return str(caught.value)


def test_defaults_stand_when_nothing_is_given() -> None:
    flags = run_flags("run")
    assert (flags.quick, flags.all, flags.count, flags.tag, flags.color, flags.source) == (
        True,
        False,
        0,
        [],
        "red",
        "",
    )


def test_lists_of_defaults_are_not_shared() -> None:
    run_flags("run").tag.append("x")
    assert run_flags("run").tag == []


def test_values_follow_a_blank_or_an_equals_sign() -> None:
    assert run_flags("run --count 3").count == run_flags("run --count=3").count == run_flags("run -n3").count == 3
    assert run_flags("run --color=green").color == "green"
    assert parsed("run --password=").options(ProgramFlags).password == ""
    assert parsed("run --password=a=b").options(ProgramFlags).password == "a=b"


def test_global_flags_stand_anywhere() -> None:
    for line in ("--verbose run", "run --verbose", "run x --verbose y"):
        assert parsed(line).options(ProgramFlags).verbose


def test_flags_of_a_group_stand_before_and_after_its_command() -> None:
    for line in ("group --depth 4 store --path x", "group store --path x --depth 4"):
        invocation = parsed(line)
        assert invocation.options(GroupFlags).depth == 4
        assert invocation.name == "group store"


def test_flags_of_a_command_are_unknown_before_it() -> None:
    assert "unknown flag '--count'" in refused("--count 3 run")


def test_switches_can_be_negated() -> None:
    assert not run_flags("run --no-quick").quick
    assert run_flags("run --quick").quick
    assert not run_flags("run --quick=false").quick
    assert run_flags("run --no-quick=false").quick


def test_only_switches_can_be_negated() -> None:
    assert "unknown flag '--no-count'" in refused("run --no-count")


def test_short_flags_can_be_joined() -> None:
    flags = run_flags("run -aqn5 src")
    assert (flags.all, flags.quick, flags.count, flags.source) == (True, True, 5, "src")


def test_flags_and_arguments_mix() -> None:
    flags = run_flags("run one --all two -n 7 three")
    assert (flags.source, flags.rest, flags.all, flags.count) == ("one", ["two", "three"], True, 7)


def test_after_two_hyphens_everything_is_an_argument() -> None:
    flags = run_flags("run -- --all -n")
    assert (flags.source, flags.rest, flags.all) == ("--all", ["-n"], False)


def test_a_single_hyphen_is_an_argument() -> None:
    assert run_flags("run -").source == "-"


def test_an_at_sign_reads_no_file() -> None:
    assert run_flags("run @/etc/hostname").source == "@/etc/hostname"


def test_repeated_list_flags_add_up() -> None:
    assert run_flags("run --tag a --tag=b").tag == ["a", "b"]


def test_other_flags_must_not_be_repeated() -> None:
    assert "more than once" in refused("run --count 1 --count 2")
    assert "more than once" in refused("run --all --no-all")


def test_aliases_name_the_same_command() -> None:
    assert parsed("go").name == "run"


def test_the_environment_serves_where_the_line_is_silent() -> None:
    assert run_flags("run", APP_COUNT="5").count == 5
    assert run_flags("run --count 1", APP_COUNT="5").count == 1
    assert run_flags("run", APP_COUNT="").count == 0
    assert run_flags("run", APP_TAGS="a\nb").tag == ["a", "b"]
    assert parsed("run", APP_VERBOSE="1").options(ProgramFlags).verbose
    assert parsed("group store", APP_PATH="/x").options(StoreFlags).path == "/x"


def test_senseless_variables_are_named() -> None:
    assert "APP_COUNT" in refused("run", APP_COUNT="many")
    assert "APP_VERBOSE" in refused("run", APP_VERBOSE="maybe")


def test_values_are_checked() -> None:
    assert "'x' is not a number" in refused("run --count x")
    assert "not a duration" in refused("run --wait 5")
    assert "red, green" in refused("run --color blue")
    assert "did you mean 'green'?" in refused("run --color greem")


def test_missing_values_are_told() -> None:
    assert "flag '--count' needs a value" in refused("run --count")
    assert "flag '-n' needs a value" in refused("run -n --all")


def test_unknown_names_come_with_a_hint() -> None:
    assert "did you mean 'group'?" in refused("grup store")
    assert "did you mean '--count'?" in refused("run --cuont 3")
    assert "unknown flag '-z' for `pykopia run`" in refused("run -z")


def test_missing_parts_are_told() -> None:
    assert "'--path'" in refused("group store")
    assert "<first>" in refused("item")
    assert "<others>" in refused("item a")
    assert "store" in refused("group")


def test_too_many_arguments_are_told() -> None:
    assert "unexpected argument 'x'" in refused("group store --path p x")


def test_help_demands_nothing() -> None:
    assert parsed("group store --help").options(ProgramFlags).help
    assert parsed("group --help").path[-1].name == "group"


def test_a_senseless_line_is_refused_even_with_help() -> None:
    assert "unknown flag" in refused("group store --help --bogus")


def test_no_value_of_a_secret_is_repeated_in_messages() -> None:
    assert "hunter2" not in refused("run --password hunter2 --bogus")
    assert "hunter2" not in refused("run --password hunter2 --password hunter2")


def test_parameters_know_how_they_are_written() -> None:
    labels = {parameter.name: parameter.label for parameter in RunFlags.parameters}
    assert labels["count"] == "--count"
    assert labels["source"] == "<source>"
    assert all(isinstance(parameter, Parameter) for parameter in RunFlags.parameters)
