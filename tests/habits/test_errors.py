"""Error codes are a contract: written out where they are raised, and listed in docs/errors.md."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import list_errors
from tests.habits.source import PACKAGE, ROOT, modules

BARE = {"ValueError", "RuntimeError", "Exception", "KeyError", "AssertionError", "OSError"}


def test_every_code_is_written_out_well_formed_and_of_one_family() -> None:
    assert list_errors.problems(list_errors.raised(PACKAGE)) == []


def test_the_table_of_errors_is_what_the_source_raises() -> None:
    in_browser = list_errors.raised_in_browser(list_errors.BROWSER_SOURCE)
    expected = list_errors.table(list_errors.raised(PACKAGE), in_browser)
    assert (ROOT / "docs" / "errors.md").read_text(encoding="utf-8") == expected, (
        "run scripts/list_errors.py"
    )


def test_every_error_says_what_happened_and_what_to_do_next() -> None:
    silent = [
        f"{item.where} {item.code}"
        for item in list_errors.raised(PACKAGE)
        if not item.message or not item.hint
    ]
    assert silent == []


def test_nothing_raises_an_error_without_a_code() -> None:
    bare = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        # The border to the primitives raises what they raise, and translates both at once.
        if module.name != "twinlock.core.primitives"
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Raise) and _raised_name(node) in BARE
    ]
    assert bare == []


def test_nothing_relies_on_assert() -> None:
    asserts = [
        f"{module.path}:{node.lineno}"
        for module in modules()
        # The tests that twinlock.testing offers to others are made of asserts.
        if not module.name.startswith("twinlock.testing")
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Assert)
    ]
    assert asserts == []


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ('CallerError("good.code", "m", hint="h")', []),
        ("CallerError(code, 'm')", ["the code is not written out"]),
        ('EnvError("NotGood", "m")', ["not of the form"]),
        ('DataError("a.b", "m"); EnvError("a.b", "m")', ["a.b is a DataError elsewhere"]),
        ('errors.DataError("a.b" if x else "c.d", "m")', []),
    ],
)
def test_slips_in_codes_are_found(source: str, said: list[str], tmp_path: Path) -> None:
    package = tmp_path / "src" / "twinlock"
    package.mkdir(parents=True)
    (package / "module.py").write_text(source)
    found = list_errors.problems(list_errors.raised(package))
    assert len(found) == len(said)
    assert all(part in line for part, line in zip(said, found, strict=True))


def _raised_name(node: ast.Raise) -> str:
    raised = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
    return raised.id if isinstance(raised, ast.Name) else ""
