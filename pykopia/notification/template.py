"""The part of Go's template language that notification templates use.

``{{ .Name.Other }}``, pipelines to functions (``{{ .Size | bytes }}``), ``range``, ``if``, ``else``, ``end``, comments,
texts in quotes, and ``-`` for blanks that go. A name that the values lack gives an error, as in Kopia.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from pykopia.errors import UsageError

Function = Callable[[Any], Any]
_ACTION = re.compile(r"\{\{(-(?=\s))?\s*(.*?)\s*((?<=\s)-)?\}\}", re.DOTALL)
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|`[^`]*`|\||[^\s|]+')


class TemplateError(UsageError):
    """A notification template that can't be read or rendered."""


class _Block(NamedTuple):
    kind: str
    pipeline: str
    body: list["_Node"]
    other: list["_Node"]


_Node = str | tuple[str, str] | _Block


def render(text: str, values: object, functions: Mapping[str, Function]) -> str:
    """Return a template with values in it.

    Args:
        text: the template.
        values: what ``.`` is: attributes and keys are found by their names.
        functions: by name, of one argument.

    Raises:
        TemplateError: the template can't be read, or names what is not there.
    """
    return "".join(_written(parse(text), values, values, functions))


def parse(text: str) -> list[_Node]:
    """Return the parts of a template.

    Raises:
        TemplateError: it can't be read.
    """
    root: list[_Node] = []
    current = root
    stack: list[tuple[_Block, list[_Node]]] = []
    position, trims = 0, False
    for found in _ACTION.finditer(text):
        plain = text[position : found.start()]
        plain = plain.lstrip() if trims else plain
        current.append(plain.rstrip() if found[1] else plain)
        position, trims = found.end(), bool(found[3])
        action = found[2]
        word, _, rest = action.partition(" ")
        if action.startswith("/*"):
            continue
        if word in {"range", "if"}:
            block = _Block(word, rest.strip(), [], [])
            current.append(block)
            stack.append((block, current))
            current = block.body
        elif word == "else" and stack and not rest.strip():
            current = stack[-1][0].other
        elif word == "end" and stack:
            current = stack.pop()[1]
        elif word in {"else", "end", "with", "define", "template", "block", ""}:
            raise TemplateError(f"a notification template has {{{{{action}}}}}, which can't be used there")
        else:
            current.append(("action", action))
    rest = text[position:]
    if "{{" in rest or "}}" in rest:
        raise TemplateError("a notification template has {{ without }}")
    current.append(rest.lstrip() if trims else rest)
    if stack:
        raise TemplateError(f"a notification template has {{{{{stack[-1][0].kind}}}}} without {{{{end}}}}")
    return root


def _written(nodes: Sequence[_Node], here: object, root: object, functions: Mapping[str, Function]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, str):
            yield node
        elif isinstance(node, _Block):
            value = _value(node.pipeline, here, root, functions)
            if node.kind == "if":
                yield from _written(node.body if _is_true(value) else node.other, here, root, functions)
            elif not value:
                yield from _written(node.other, here, root, functions)
            else:
                for each in value:
                    yield from _written(node.body, each, root, functions)
        else:
            yield _text(_value(node[1], here, root, functions))


def _is_true(value: object) -> bool:
    return bool(value)


def _text(value: object) -> str:
    if value is None:
        return "<nil>"
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _value(pipeline: str, here: object, root: object, functions: Mapping[str, Function]) -> Any:  # noqa: ANN401
    commands: list[list[str]] = [[]]
    for word in _TOKEN.findall(pipeline):
        if word == "|":
            commands.append([])
        else:
            commands[-1].append(word)
    value: Any = None
    for number, words in enumerate(commands):
        if not words:
            raise TemplateError(f"a notification template has an empty part in {{{{{pipeline}}}}}")
        first, arguments = words[0], [_operand(word, here, root) for word in words[1:]]
        if number:
            arguments.append(value)
        if first in functions:
            if len(arguments) != 1:
                raise TemplateError(f"the function {first} of a notification template takes one value")
            value = functions[first](arguments[0])
        elif len(words) == 1 and not number:
            value = _operand(first, here, root)
        else:
            raise TemplateError(f"a notification template uses {first!r}, which is no function that is known")
    return value


def _operand(word: str, here: object, root: object) -> Any:  # noqa: ANN401
    if word[0] in '"`':
        return word[1:-1]
    if word.lstrip("-").isdecimal():
        return int(word)
    if word == "$":
        return root
    value = root if word.startswith("$.") else here
    if not word.startswith((".", "$.")):
        raise TemplateError(f"a notification template uses {word!r}, which is no function that is known")
    for name in word.lstrip("$").split("."):
        if not name:
            continue
        if value is None:
            raise TemplateError(f"a notification template asks for {word}, and what is before {name} is nothing")
        if isinstance(value, Mapping):
            if name not in value:
                raise TemplateError(f"a notification template asks for {word}, and there is no {name}")
            value = value[name]
        else:
            raise TemplateError(f"a notification template asks for {word}, and there is no {name}")
    return value


__all__ = ["Function", "TemplateError", "parse", "render"]
