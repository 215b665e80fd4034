"""Mutation testing: small faults are put into a module, one at a time, and its tests must notice each.

python -m tests.mutation [--most 60] [--seed 1] [MODULE...]

Each mutant is imported in a forked process in the place of the module, and the module's tests run against it until the first
one fails. Mutants of error messages, annotations and docstrings are not made. What survives is printed with its line.
"""

import argparse
import ast
import contextlib
import copy
import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).parents[1]
SECONDS = 120
"""After which a mutant counts as noticed: it never ends."""

TESTS = {
    "pykopia.format.retention": ["tests/format/test_retention.py"],
    "pykopia.format.indirect": ["tests/format/test_indirect.py"],
    "pykopia.format.object_id": ["tests/format/test_object_id.py"],
    "pykopia.format.content_id": ["tests/format/test_content_id.py"],
    "pykopia.format.pack": ["tests/format/test_pack.py"],
    "pykopia.format.deflate": ["tests/format/test_compression.py"],
    "pykopia.format.maintenance_plan": ["tests/format/test_maintenance_plan.py"],
    "pykopia.snapshot.restore_decision": ["tests/snapshot/test_restore_decision.py"],
}
"""Modules with decisions and decoders, and the tests that are to hold them."""

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Add, ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv,
    ast.LShift: ast.RShift, ast.RShift: ast.LShift, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
}  # fmt: skip


@dataclass(frozen=True)
class Mutant:
    """A module with one change."""

    line: int
    change: str
    source: str


def changed(node: ast.AST) -> ast.AST | None:
    """Return a node with a fault, None where none is made."""
    new = copy.copy(node)
    match new:
        case ast.Compare(ops=[only]) if type(only) in COMPARISONS:
            new.ops = [COMPARISONS[type(only)]()]
        case ast.BoolOp(op=operator):
            new.op = ast.Or() if isinstance(operator, ast.And) else ast.And()
        case ast.BinOp(op=operator) if type(operator) in OPERATORS:
            new.op = OPERATORS[type(operator)]()
        case ast.UnaryOp(op=ast.Not()):
            return new.operand
        case ast.Constant(value=bool(value)):
            new.value = not value
        case ast.Constant(value=int(value)):
            new.value = value + 1
        case ast.Constant(value=str(value)) | ast.Constant(value=bytes(value)) if value:
            new.value = value[:-1]
        case ast.Continue():
            return ast.copy_location(ast.Break(), node)
        case ast.Break():
            return ast.copy_location(ast.Continue(), node)
        case ast.Return(value=ast.expr() as value) if ast.unparse(value) != "None":
            new.value = ast.Constant(None)
        case _:
            return None
    return new


def places(node: ast.AST) -> Iterator[tuple[ast.AST, str, int | None, ast.AST]]:
    """Yield parent, field, position and node of all that may be changed."""
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "type_params"}:
            continue
        for position, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.JoinedStr):
                continue
            if isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant):
                continue  # a docstring
            if isinstance(child, ast.Assign) and any(
                isinstance(each, ast.Name) and each.id == "__all__" for each in child.targets
            ):
                continue
            yield node, field, position, child
            yield from places(child)


def mutants(source: str) -> list[Mutant]:
    """Return all mutants of a module."""
    tree = ast.parse(source)
    made = []
    for parent, field, position, node in places(tree):
        new = changed(node)
        if new is None:
            continue
        _put(parent, field, position, new)
        before, after = (ast.unparse(each) for each in (node, new))
        made.append(Mutant(getattr(node, "lineno", 0), f"{before}  ->  {after}", ast.unparse(tree)))
        _put(parent, field, position, node)
    return made


def _put(parent: ast.AST, field: str, position: int | None, node: ast.AST) -> None:
    if position is None:
        setattr(parent, field, node)
    else:
        getattr(parent, field)[position] = node


def is_noticed(module: str, mutant: Mutant) -> bool:
    """Run the tests of a module against a mutant in a process of its own."""
    child = os.fork()
    if not child:
        status = 1
        with contextlib.suppress(BaseException), open(os.devnull, "w") as nothing:
            os.dup2(nothing.fileno(), 1)
            os.dup2(nothing.fileno(), 2)
            signal.alarm(SECONDS)
            status = _run(module, mutant.source)
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) != 0


def _run(module: str, source: str) -> int:
    import pytest

    path = PROJECT / (module.replace(".", "/") + ".py")

    class Finder(importlib.abc.MetaPathFinder):
        def find_spec(self, name: str, *_: object) -> importlib.machinery.ModuleSpec | None:
            return importlib.util.spec_from_loader(name, Loader(), origin=str(path)) if name == module else None

    class Loader(importlib.abc.Loader):
        def exec_module(self, loaded: object) -> None:
            loaded.__file__ = str(path)  # type: ignore[attr-defined]
            exec(compile(source, str(path), "exec"), loaded.__dict__)

    sys.meta_path.insert(0, Finder())
    early = "ignore::pytest.PytestAssertRewriteWarning"  # hypothesis is imported already
    return int(pytest.main(["-q", "-x", "-n", "0", "-p", "no:randomly", "-W", early, "-m", "not slow", *TESTS[module]]))


def main() -> int:
    """Print how many mutants the tests notice, and those that they do not."""
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    parser.add_argument("--most", type=int, default=60, help="mutants of each module, drawn by chance")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("module", nargs="*", default=list(TESTS))
    options = parser.parse_args()
    os.environ["HYPOTHESIS_PROFILE"] = "few"
    os.chdir(PROJECT)
    import hypothesis  # noqa: F401 -- before forking: each process would import it again
    import pytest  # noqa: F401

    all_noticed = all_made = 0
    for module in options.module:
        made = mutants((PROJECT / (module.replace(".", "/") + ".py")).read_text())
        if is_noticed(module, Mutant(0, "", (PROJECT / (module.replace(".", "/") + ".py")).read_text())):
            raise SystemExit(f"the tests of {module} fail without a mutant")
        chosen = sorted(
            random.Random(options.seed).sample(made, min(options.most, len(made))), key=lambda each: each.line
        )
        survivors = [each for each in chosen if not is_noticed(module, each)]
        print(
            f"{module}: {len(chosen) - len(survivors)} of {len(chosen)} noticed ({len(made)} can be made)", flush=True
        )
        for each in survivors:
            print(f"  line {each.line}: {each.change}", flush=True)
        all_noticed += len(chosen) - len(survivors)
        all_made += len(chosen)
    print(f"{all_noticed} of {all_made} noticed: {100 * all_noticed // max(all_made, 1)} %")
    return 0


if __name__ == "__main__":
    sys.exit(main())
