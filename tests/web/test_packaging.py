"""The wheel brings the browser agent along, whole."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from twinlock.integrations import agent_site

ROOT = Path(__file__).parents[2]


def test_a_wheel_has_every_file_that_the_agents_site_serves(tmp_path: Path) -> None:
    if not (ROOT / "web" / "dist" / "agent.html").is_file():
        pytest.skip("the browser agent is not built: make web")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True)
    [wheel] = tmp_path.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    place = "twinlock/integrations/agent_site_files/"
    packed = {name.removeprefix(place) for name in names if name.startswith(place)}
    assert packed == set(agent_site._TYPES)
