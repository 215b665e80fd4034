"""The kopia section by dotted paths in ``spec.external.parameters``, for clusters whose CRD lacks the section."""

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from msgspec import inspect

from pykopia_operator.decide.objects import Obj
from pykopia_operator.errors import InvalidObjectError


def kopia_from_parameters(parameters: Mapping[str, str], model: type[Any]) -> Obj:
    """Return the kopia section that parameters spell.

    Args:
        parameters: texts by dotted paths, such as ``retain.daily``; lists and open objects are JSON.
        model: of the section.

    Raises:
        InvalidObjectError: a path is unknown or a text is not of its type.
    """
    known = dict(_leaves(inspect.type_info(model)))
    found: Obj = {}
    for path, text in parameters.items():
        if path not in known:
            near = difflib.get_close_matches(path, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise InvalidObjectError(f"external.parameters.{path} is not a field of the kopia section{hint}")
        *parents, last = path.split(".")
        place = found
        for each in parents:
            place = place.setdefault(each, {})
        place[last] = _value(path, text, known[path])
    return found


def _leaves(node: inspect.Type, path: str = "") -> Iterator[tuple[str, inspect.Type]]:
    node = _plain(node)
    if isinstance(node, inspect.StructType):
        for each in node.fields:
            yield from _leaves(each.type, f"{path}.{each.encode_name}".lstrip("."))
    else:
        yield path, node


def _plain(node: inspect.Type) -> inspect.Type:
    while True:
        if isinstance(node, inspect.Metadata):
            node = node.type
        elif isinstance(node, inspect.UnionType):
            some = [each for each in node.types if not isinstance(each, inspect.NoneType)]
            texts = [each for each in some if isinstance(each, inspect.StrType)]
            node = (texts or some)[0]
        else:
            return node


def _value(path: str, text: str, node: inspect.Type) -> Any:  # noqa: ANN401 -- what the field holds
    if isinstance(node, inspect.StrType | inspect.LiteralType):
        return text
    if isinstance(node, inspect.BoolType):
        if text in {"true", "false"}:
            return text == "true"
        raise InvalidObjectError(f'external.parameters.{path} must be "true" or "false"')
    if isinstance(node, inspect.IntType):
        try:
            return int(text)
        except ValueError:
            raise InvalidObjectError(f"external.parameters.{path} must be a whole number") from None
    try:
        return json.loads(text)
    except ValueError as error:
        raise InvalidObjectError(f"external.parameters.{path} is not JSON: {error}") from None
