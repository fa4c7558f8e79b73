"""Names say what things are; modules and functions stay small; nothing is left for later."""

from __future__ import annotations

import ast
import io
import re
import tokenize

from tests.habits.source import ROOT, Module, modules

FORBIDDEN = re.compile(r"(manager|helper|util|misc|common|impl)s?$", re.IGNORECASE)
LATER = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
FAMILIES = {"TwinlockError", "CallerError", "DataError", "EnvError"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def _text(module: Module) -> str:
    return (ROOT / module.path).read_text(encoding="utf-8")


def _classes(module: Module) -> list[ast.ClassDef]:
    return [node for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef)]


def _length(node: Function) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def _beyond(lengths: dict[str, int], nine_of_ten: int, most: int) -> list[str]:
    """The names that break the rule: none is longer than ``most``, one in ten than the other."""
    longest_first = sorted(lengths, key=lambda name: -lengths[name])
    too_long = [name for name in longest_first if lengths[name] > most]
    longish = [name for name in longest_first if lengths[name] > nine_of_ten]
    return [f"{name}: {lengths[name]}" for name in [*too_long, *longish[len(lengths) // 10 :]]]


def test_no_module_or_class_is_called_manager_helper_or_utils() -> None:
    named = [
        f"{module.path}: {name}"
        for module in modules()
        for name in [module.name.split(".")[-1], *(node.name for node in _classes(module))]
        if FORBIDDEN.search(name)
    ]
    assert named == []


def test_every_error_class_ends_in_error() -> None:
    misnamed = [
        f"{module.path}: {node.name}"
        for module in modules()
        for node in _classes(module)
        if any(isinstance(base, ast.Name) and base.id in FAMILIES for base in node.bases)
        and not node.name.endswith("Error")
    ]
    assert misnamed == []


def test_no_comment_puts_work_off() -> None:
    later = [
        f"{module.path}:{token.start[0]} {token.string}"
        for module in modules()
        for token in tokenize.generate_tokens(io.StringIO(_text(module)).readline)
        if token.type == tokenize.COMMENT and LATER.search(token.string)
    ]
    assert later == []


def test_modules_stay_small() -> None:
    lengths = {module.path: len(_text(module).splitlines()) for module in modules()}
    assert _beyond(lengths, nine_of_ten=300, most=500) == []


def test_functions_stay_small() -> None:
    lengths = {
        f"{module.path}:{node.lineno} {node.name}": _length(node)
        for module in modules()
        for node in ast.walk(module.tree)
        if isinstance(node, Function)
    }
    assert _beyond(lengths, nine_of_ten=40, most=100) == []


def test_every_module_and_every_public_name_has_a_docstring() -> None:
    missing = [
        f"{module.path}: {getattr(node, 'name', 'the module')}"
        for module in modules()
        for node in [module.tree, *module.tree.body]
        if isinstance(node, ast.Module | Function | ast.ClassDef)
        and not getattr(node, "name", "").startswith("_")
        and not ast.get_docstring(node)
    ]
    assert missing == []
