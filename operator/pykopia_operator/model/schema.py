"""Structural OpenAPI schemas, as CustomResourceDefinitions want them, from msgspec models."""

from typing import Any

import msgspec
from msgspec import inspect

Schema = dict[str, Any]


def schema_of(model: type[msgspec.Struct]) -> Schema:
    """Return the schema of a model, its references resolved and its fields sorted by name."""
    return _schema(inspect.type_info(model))


def _schema(node: inspect.Type) -> Schema:
    match node:
        case inspect.Metadata(type=inner, extra_json_schema=extra):
            found = _schema(inner) | (extra or {})
            if "x-kubernetes-int-or-string" in found:
                found = {"anyOf": [{"type": "integer"}, {"type": "string"}]} | {
                    key: value for key, value in found.items() if key not in {"type", "anyOf"}
                }
            return found
        case inspect.UnionType(types=types):
            some = [each for each in types if not isinstance(each, inspect.NoneType)]
            return _schema(some[0]) if len(some) == 1 else {}
        case inspect.StructType(fields=fields):
            return _struct(fields)
        case inspect.StrType(pattern=pattern, max_length=longest):
            return _given(type="string", pattern=pattern, maxLength=longest)
        case inspect.IntType(ge=least):
            return _given(type="integer", format="int64" if least == 600 else "int32", minimum=least)
        case inspect.BoolType():
            return {"type": "boolean"}
        case inspect.LiteralType(values=values):
            return {"type": "string", "enum": list(values)}
        case inspect.ListType(item_type=item, min_length=least, max_length=most):
            return _given(type="array", items=_schema(item), minItems=least, maxItems=most)
        case inspect.DictType(value_type=value):
            if isinstance(value, inspect.AnyType):
                return {"type": "object"}
            return {"type": "object", "additionalProperties": _schema(value)}
    raise TypeError(f"no schema for {node}")


def _struct(fields: tuple[inspect.Field, ...]) -> Schema:
    found: Schema = {"type": "object", "properties": {}}
    for each in sorted(fields, key=lambda field: field.encode_name):
        found["properties"][each.encode_name] = _schema(each.type)
    required = [each.encode_name for each in fields if each.required]
    return found | ({"required": required} if required else {})


def _given(**parts: Any) -> Schema:  # noqa: ANN401 -- parts of a schema
    return {key: value for key, value in parts.items() if value is not None}
