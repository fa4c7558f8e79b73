"""The tests that TypeScript has of its own (web/test), run by Node.js."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.web.peer import WEB, missing


def test_the_typescript_tests_hold(tmp_path: Path) -> None:
    if why := missing():
        pytest.skip(why)
    built = tmp_path / "test"
    subprocess.run(["node", "build.mjs", "--tests", f"--out={built}"], cwd=WEB, check=True)
    files = sorted(str(path) for path in built.rglob("*.test.mjs"))
    run = subprocess.run(
        ["node", "--test", "--test-reporter=tap", *files],
        cwd=WEB,
        check=False,
        capture_output=True,
        text=True,
    )
    failures = re.findall(
        r"^\s*not ok .*(?:\n(?!\s*(?:not )?ok ).*){0,25}", run.stdout, re.MULTILINE
    )
    assert run.returncode == 0, "\n".join(failures) + run.stderr
    assert re.search(r"^# pass [1-9]", run.stdout, re.MULTILINE)
