"""``pykopia.late_dataclass`` makes what ``dataclasses`` makes."""

import copy
import dataclasses
import inspect
import pickle
import sys
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, field
from functools import partial
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

if typing.TYPE_CHECKING:
    from dataclasses import dataclass as late
else:
    from pykopia.late_dataclass import dataclass as late

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 13), reason="Python 3.13 has a fast dataclass of its own")

Decorator = Callable[..., Any]
MAKERS: dict[str, Any] = {"stdlib": dataclasses.dataclass, "late": late}

_options = st.fixed_dictionaries(
    {}, optional={name: st.booleans() for name in ("repr", "eq", "frozen", "kw_only", "slots")}
)
_field = st.fixed_dictionaries(
    {},
    optional={
        "value": st.sampled_from([{"default": 7}, {"default_factory": list}]),
        "init": st.booleans(),
        "repr": st.booleans(),
        "compare": st.booleans(),
        "hash": st.sampled_from([None, True, False]),
        "kw_only": st.booleans(),
    },
)


def _class(make: Decorator, options: dict[str, Any], fields: list[dict[str, Any]]) -> Any:  # noqa: ANN401
    members: dict[str, Any] = {
        "__annotations__": {},
        "__module__": __name__,
        "__qualname__": "Made",
        "__doc__": "Text.",
    }
    for number, known in enumerate(fields):
        name = f"field_{number}"
        members["__annotations__"][name] = "int"
        rest = {key: value for key, value in known.items() if key != "value"}
        members[name] = field(**known.get("value", {}), **rest)
    return make(**options)(type("Made", (), members))


def _outcome(act: Callable[[], object]) -> object:
    try:
        return act()
    except (AttributeError, TypeError, ValueError) as error:
        return type(error), str(error).replace("Made.__init__() ", "")


@given(options=_options, fields=st.lists(_field, max_size=4), given_values=st.integers(0, 4), by_name=st.booleans())
def test_classes_are_those_of_dataclasses(
    options: dict[str, Any], fields: list[dict[str, Any]], given_values: int, by_name: bool
) -> None:
    # a field without a default after one that has it is refused when the class is made, here when __init__ is
    order = [known for known in fields if "value" not in known] + [known for known in fields if "value" in known]
    classes = {name: _class(make, options, order) for name, make in MAKERS.items()}

    def seen(cls: Any) -> list[object]:  # noqa: ANN401
        names = [known.name for known in dataclasses.fields(cls)]

        def make() -> Any:  # noqa: ANN401
            if by_name:
                return cls(**dict.fromkeys(names[:given_values], 1))
            return cls(*range(given_values))

        def values(made: Any) -> list[object]:  # noqa: ANN401
            return [_outcome(partial(getattr, made, name, MISSING)) for name in names]

        found: list[object] = [
            [(known.name, known.init, known.repr, known.kw_only, known.default) for known in dataclasses.fields(cls)],
            str(inspect.signature(cls)),
            cls.__match_args__,
            cls.__dict__.get("__slots__"),
            {name for name in ("__eq__", "__hash__", "__setattr__") if name in cls.__dict__},
            cls.__hash__ is None,
            _outcome(lambda: values(make())),
            _outcome(lambda: [dataclasses.asdict(make()), values(dataclasses.replace(make()))]),
            _outcome(lambda: values(copy.copy(make()))),
        ]
        if "repr" not in options or options["repr"]:
            found.append(_outcome(lambda: repr(make())))
        if options.get("eq", True):
            found.append(_outcome(lambda: make() == make()))
            found.append(_outcome(lambda: hash(make()) == hash(make())))
        return found

    assert seen(classes["late"]) == seen(classes["stdlib"])


@late(frozen=True, slots=True, order=True)
class Point:
    """A point."""

    names: ClassVar[tuple[str, ...]] = ("x", "y")
    x: int
    y: int = 0
    tags: "list[str]" = field(default_factory=list, compare=False)


@late(frozen=True, slots=True, kw_only=True)
class Named(Point):
    """A point with a name."""

    name: str = ""

    def __post_init__(self) -> None:
        if self.name == "none":
            raise ValueError(self.name)


@dataclasses.dataclass(frozen=True)
class Strangers(Named):
    """What a user makes of it."""

    more: int = 3


def test_an_object_can_be_compared_pickled_and_matched() -> None:
    assert Point(1, 2) == Point(1, 2, ["a"]) != Point(1, 3)
    assert Point(1, 2) < Point(1, 3) <= Point(1, 3)
    assert hash(Point(1, 2)) == hash(Point(1, 2, ["a"]))
    assert Point(1).__eq__(3) is NotImplemented
    assert pickle.loads(pickle.dumps(Named(1, name="n"))) == Named(1, name="n")
    match Point(5, 6):
        case Point(x, y):
            assert (x, y) == (5, 6)
    assert repr(Named(1, name="n")) == "Named(x=1, y=0, tags=[], name='n')"


def test_a_frozen_object_does_not_change() -> None:
    point = Point(1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'y'"):
        del point.y
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.other = 2  # type: ignore[attr-defined]


def test_subclasses_by_dataclasses_work() -> None:
    made = Strangers(1, name="n", more=4)
    assert dataclasses.asdict(made) == {"x": 1, "y": 0, "tags": [], "name": "n", "more": 4}
    assert pickle.loads(pickle.dumps(made)) == made
    with pytest.raises(ValueError, match="none"):
        Strangers(1, name="none")
    with pytest.raises(TypeError, match="non-frozen"):
        dataclasses.dataclass(type("Loose", (Point,), {}))


def test_classes_of_two_kinds_are_not_mixed() -> None:
    with pytest.raises(TypeError, match="both must be frozen"):
        late(type("Loose", (Point,), {}))


def test_types_can_be_asked_for() -> None:
    assert typing.get_type_hints(Named.__init__) == {
        "x": int,
        "y": int,
        "tags": list[str],
        "name": str,
        "return": type(None),
    }
    assert Point.__init__ is Point.__init__
    assert Point.__init__.__qualname__ == "Point.__init__"


def test_own_methods_stay() -> None:
    @late(frozen=True)
    class Own:
        value: int

        def __repr__(self) -> str:
            return "own"

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 9

    assert (repr(Own(1)), Own(1) == 3, hash(Own(1))) == ("own", True, 9)


def test_a_class_stays_abstract() -> None:
    @late
    class Part(ABC):
        value: int

        @abstractmethod
        def act(self) -> None: ...

    @late
    class Whole(Part):
        def act(self) -> None: ...

    with pytest.raises(TypeError, match="abstract"):
        Part(1)  # type: ignore[abstract]
    assert Whole(2).value == 2


def test_defaults_that_change_are_refused() -> None:
    with pytest.raises(ValueError, match="mutable default"):
        late(type("Shared", (), {"__annotations__": {"values": list}, "values": []}))


def test_an_object_in_itself_has_a_representation() -> None:
    @late
    class Loop:
        items: list[Any]

    loop = Loop([])
    loop.items.append(loop)
    assert "..." in repr(loop)
