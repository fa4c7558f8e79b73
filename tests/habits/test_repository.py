"""What the repository promises around its code: commands, licences, no build output."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.habits.source import ROOT

TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)
CALL = re.compile(r"\bmake((?: +[a-z][a-z-]*(?![\w=./]))+)")
CODE = re.compile(r"```.*?```|`[^`\n]+`", re.DOTALL)
BUILD_OUTPUT = re.compile(
    r"(^|/)(__pycache__|\.venv|\.tools|build|dist|node_modules)/|\.(so|o|pyc|whl)$"
)
READ_BY_PEOPLE = ("README.md", "CONTRIBUTING.md")


def _tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True
    )
    return [name for name in listed.stdout.split("\0") if name]


@pytest.mark.parametrize("page", READ_BY_PEOPLE)
def test_every_make_command_on_a_page_exists(page: str) -> None:
    code = "\n".join(CODE.findall((ROOT / page).read_text(encoding="utf-8")))
    said = {word for call in CALL.findall(code) for word in call.split()}
    known = set(TARGET.findall((ROOT / "Makefile").read_text(encoding="utf-8")))
    assert said, f"{page} names no command"
    assert said <= known


def test_no_build_output_is_in_the_repository() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    assert [name for name in _tracked() if BUILD_OUTPUT.search(name)] == []


def test_the_version_is_the_changelog_s_newest_or_unreleased() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## \[([^\]]+)\]", changelog, re.MULTILINE)
    assert headings[0] in {"Unreleased", project["version"]}


def test_every_package_is_locked_by_version_and_hash() -> None:
    for lock in sorted((ROOT / "requirements").glob("*.txt")):
        entries = re.split(r"\n(?=\S)", lock.read_text(encoding="utf-8"))
        pinned = [entry for entry in entries if not entry.startswith("#")]
        assert pinned
        assert [e for e in pinned if "==" not in e or "--hash=sha256:" not in e] == []


def test_every_script_can_be_run() -> None:
    scripts = [ROOT / ".ci" / "run", *sorted((ROOT / "scripts").iterdir())]
    shell = [path for path in scripts if path.is_file() and _starts_with_shebang(path)]
    assert shell
    assert [path.name for path in shell if not path.stat().st_mode & 0o111] == []


def _starts_with_shebang(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"#!"
