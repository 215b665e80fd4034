"""Dataclasses whose methods are made when they are needed, for Python 3.11 and 3.12; see ``pykopia.dataclass``.

What is private in ``dataclasses`` and used here does not change any more in these versions of Python.
"""

import abc
import dataclasses
import inspect
import operator
import sys
from collections.abc import Callable, Iterable
from dataclasses import MISSING, Field, FrozenInstanceError
from functools import partial
from reprlib import recursive_repr
from types import MethodType, SimpleNamespace
from typing import Any

_FIELDS = "__dataclass_fields__"
_PARAMETERS = "__dataclass_params__"
_FROM_FACTORY: Any = dataclasses._HAS_DEFAULT_FACTORY  # type: ignore[attr-defined]  # noqa: SLF001
_FIELD: Any = dataclasses._FIELD  # type: ignore[attr-defined]  # noqa: SLF001


def dataclass(
    cls: type | None = None,
    /,
    *,
    repr: bool = True,  # noqa: A002 -- its name in dataclasses
    eq: bool = True,
    order: bool = False,
    frozen: bool = False,
    kw_only: bool = False,
    slots: bool = False,
) -> Any:  # noqa: ANN401 -- type checkers see the one of dataclasses
    """Make a class a dataclass, as ``dataclasses.dataclass`` does with the same arguments."""
    make = partial(_made, with_repr=repr, with_eq=eq, order=order, frozen=frozen, kw_only=kw_only, slots=slots)
    return make if cls is None else make(cls)


def _made(cls: type, *, with_repr: bool, with_eq: bool, order: bool, frozen: bool, kw_only: bool, slots: bool) -> type:
    fields = _fields_of(cls, frozen=frozen, kw_only=kw_only)
    written = set(cls.__dict__)
    if cls.__dict__.get("__hash__") is None and "__eq__" in written:
        written.discard("__hash__")  # Python put it there, beside __eq__
    if slots:
        cls = _with_slots(cls, fields)
    setattr(cls, _FIELDS, {field.name: field for field in fields})
    parameters = {
        "init": True,
        "repr": with_repr,
        "eq": with_eq,
        "order": order,
        "unsafe_hash": False,
        "frozen": frozen,
    }
    setattr(
        cls,
        _PARAMETERS,
        SimpleNamespace(**parameters, match_args=True, kw_only=kw_only, slots=slots, weakref_slot=False),
    )
    values = _values_of([field for field in fields if field.compare])
    methods: dict[str, Any] = {
        "__init__": _LateInit(cls),
        "__match_args__": tuple(field.name for field in fields if field.init and not field.kw_only),
    }
    if with_repr:
        methods["__repr__"] = _repr_of([field.name for field in fields if field.repr])
    if with_eq:
        methods["__eq__"] = _comparison(operator.eq, values)
        hashed = [field for field in fields if (field.compare if field.hash is None else field.hash)]
        methods["__hash__"] = _hash_of(_values_of(hashed)) if frozen else None
    if order:
        for comparison in (operator.lt, operator.le, operator.gt, operator.ge):
            methods[f"__{comparison.__name__}__"] = _comparison(comparison, values)
    if frozen:
        methods["__setattr__"], methods["__delattr__"] = _refusals(cls, frozenset(field.name for field in fields))
        if slots:
            methods["__getstate__"], methods["__setstate__"] = _state_functions()
    for name, method in methods.items():
        if name not in written:
            if callable(method):
                method.__name__, method.__qualname__ = name, f"{cls.__qualname__}.{name}"
            setattr(cls, name, method)
    return abc.update_abstractmethods(cls)


def _fields_of(cls: type, *, frozen: bool, kw_only: bool) -> "list[Field[Any]]":
    """Return the fields of a class, those of its bases first, and make defaults the attributes of the class."""
    fields: dict[str, Field[Any]] = {}
    for base in cls.__mro__[-1:0:-1]:
        if _FIELDS in base.__dict__:
            if getattr(base, _PARAMETERS).frozen != frozen:
                raise TypeError(f"{cls.__name__} and {base.__name__}: both must be frozen, or none")
            fields.update(getattr(base, _FIELDS))
    for name, annotation in inspect.get_annotations(cls).items():
        field: Field[Any] = dataclasses._get_field(cls, name, annotation, kw_only)  # type: ignore[attr-defined]  # noqa: SLF001
        if field._field_type is not _FIELD:  # type: ignore[attr-defined]  # noqa: SLF001 -- of the class, not of its objects
            continue
        fields[name] = field
        if field.default is not MISSING:
            setattr(cls, name, field.default)
        elif isinstance(cls.__dict__.get(name), Field):
            delattr(cls, name)
    return list(fields.values())


def _with_slots(cls: type, fields: "Iterable[Field[Any]]") -> type:
    """Return a class made anew: slots can't be added to one."""
    inherited = {name for base in cls.__mro__[1:] for name in base.__dict__.get("__slots__", ())}
    names = [field.name for field in fields]
    members = {name: value for name, value in cls.__dict__.items() if name not in {*names, "__dict__", "__weakref__"}}
    members["__slots__"] = tuple(name for name in names if name not in inherited)
    made: type = type(cls)(cls.__name__, cls.__bases__, members)
    made.__qualname__ = cls.__qualname__
    return made


class _LateInit:
    """``__init__`` of a class, until the first object is made."""

    __slots__ = ("_cls",)

    def __init__(self, cls: type) -> None:
        self._cls = cls

    def __get__(self, instance: object, owner: type | None = None) -> Any:  # noqa: ANN401 -- a function
        init = _init_of(self._cls)
        self._cls.__init__ = init  # type: ignore[misc]
        return init if instance is None else MethodType(init, instance)


def _init_of(cls: type) -> Callable[..., None]:
    fields: list[Field[Any]] = [*getattr(cls, _FIELDS).values()]
    parameters = getattr(cls, _PARAMETERS)
    names: dict[str, Any] = {"_set": object.__setattr__, "_FROM_FACTORY": _FROM_FACTORY}
    this = "__dataclass_self__" if any(field.name == "self" for field in fields) else "self"
    arguments: list[list[str]] = [[], []]
    body = []
    for field in fields:
        name, value = field.name, field.name
        argument = name
        if field.default is not MISSING:
            names[f"_default_{name}"] = field.default
            argument = f"{name}=_default_{name}"
        elif field.default_factory is not MISSING:
            names[f"_default_{name}"] = field.default_factory
            argument = f"{name}=_FROM_FACTORY"
            value = f"_default_{name}() if {name} is _FROM_FACTORY else {name}"
        if field.init:
            arguments[bool(field.kw_only)].append(argument)
        elif field.default_factory is not MISSING:
            value = f"_default_{name}()"
        elif field.default is not MISSING and parameters.slots:
            value = f"_default_{name}"
        else:
            continue
        body.append(f"_set({this}, {name!r}, {value})" if parameters.frozen else f"{this}.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        body.append(f"{this}.__post_init__()")
    signature = ", ".join([this, *arguments[False], *(["*", *arguments[True]] if arguments[True] else [])])
    lines = [f"  def __init__({signature}):", *(f"   {line}" for line in body or ["pass"]), "  return __init__"]
    made: dict[str, Any] = {}
    # the module's names, so that annotations can be resolved; all else that the function needs is an argument around it
    module = sys.modules[cls.__module__].__dict__
    exec(f"def make({', '.join(names)}):\n" + "\n".join(lines), module, made)  # noqa: S102 -- as dataclasses do
    init: Callable[..., None] = made["make"](**names)
    init.__qualname__ = f"{cls.__qualname__}.__init__"
    init.__annotations__ = {field.name: field.type for field in fields if field.init} | {"return": None}
    return init


def _values_of(fields: "list[Field[Any]]") -> Callable[[object], object]:
    """Return what gives the values of some fields of an object: a tuple, but the value itself where there is one field."""
    return operator.attrgetter(*(field.name for field in fields)) if fields else lambda _: ()


def _repr_of(names: list[str]) -> Callable[[Any], str]:
    @recursive_repr()
    def represent(self: object) -> str:
        return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"

    return represent


def _comparison(
    compared: Callable[[Any, Any], Any], values: Callable[[object], object]
) -> Callable[[Any, object], object]:
    def compare(self: object, other: object) -> object:
        if other.__class__ is self.__class__:
            return compared(values(self), values(other))
        return NotImplemented

    return compare


def _hash_of(values: Callable[[object], object]) -> Callable[[Any], int]:
    def hashed(self: object) -> int:
        return hash(values(self))

    return hashed


def _refusals(
    cls: Any,  # noqa: ANN401 -- a class
    names: frozenset[str],
) -> tuple[Callable[..., None], Callable[..., None]]:
    def refuse_to_set(self: object, name: str, value: object) -> None:
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot assign to field {name!r}")
        super(cls, self).__setattr__(name, value)

    def refuse_to_delete(self: object, name: str) -> None:
        if type(self) is cls or name in names:
            raise FrozenInstanceError(f"cannot delete field {name!r}")
        super(cls, self).__delattr__(name)

    return refuse_to_set, refuse_to_delete


def _state_functions() -> tuple[Callable[[Any], list[object]], Callable[[Any, list[object]], None]]:
    """Return what pickles and unpickles: without it, slots would be set as attributes, which is refused."""

    def state(self: Any) -> list[object]:  # noqa: ANN401 -- of any dataclass
        return [getattr(self, field.name) for field in dataclasses.fields(self)]

    def set_state(self: Any, values: list[object]) -> None:  # noqa: ANN401 -- of any dataclass
        for field, value in zip(dataclasses.fields(self), values, strict=True):
            object.__setattr__(self, field.name, value)

    return state, set_state


__all__ = ["dataclass"]
