"""The checks of the documentation find what they look for."""

from __future__ import annotations

from pathlib import Path

import pytest

import check_docs
import untested

GOOD = """# A Page: with *marks*

See [the other](other.md#second-part), [here](#a-page-with-marks) and [there](https://a.example/x).

```python run
value = 1
```

Not a link: `[x](nowhere.md)`.

```python run
assert value == 1
```
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty repository."""
    (tmp_path / "other.md").write_text("# Other\n\n## Second part\n")
    monkeypatch.setattr(check_docs, "ROOT", tmp_path)
    return tmp_path


def _problems(root: Path, text: str) -> list[str]:
    path = root / "page.md"
    path.write_text(text)
    page = check_docs.read_page(text)
    return [*check_docs.broken_links(path, page), *check_docs.broken_code(path, page)]


def test_a_good_page_has_no_problems(root: Path) -> None:
    assert _problems(root, GOOD) == []


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[x](missing.md)", "missing.md does not exist"),
        ("[x](other.md#third)", "other.md#third does not exist"),
        ("[x](#nowhere)", "#nowhere does not exist"),
        ("```python\nif:\n```", "invalid syntax"),
        ("```python run\nraise SystemExit(3)\n```", "does not run"),
    ],
)
def test_a_broken_page_is_told_apart(root: Path, text: str, said: str) -> None:
    (problem,) = _problems(root, text)
    assert said in problem


def test_requirements_are_compared_with_the_tests_that_mention_them(tmp_path: Path) -> None:
    for folder in ("docs", "tests/area", "attacks"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "docs" / "spec.md").write_text("R-ENV-1 ... R-ENV-10 ... R-ENV-2 ... R-LOG-1")
    (tmp_path / "tests" / "area" / "test_it.py").write_text('"""R-ENV-1, and R-ENV-99."""')
    (tmp_path / "attacks" / "swap.py").write_text("# R-LOG-1")
    found = untested.coverage(tmp_path)
    assert found.defined == ["R-ENV-1", "R-ENV-2", "R-ENV-10", "R-LOG-1"]
    assert found.untested == ["R-ENV-2", "R-ENV-10"]
    assert found.unknown == ["R-ENV-99"]
