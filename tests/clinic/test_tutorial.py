"""docs/tutorial.md does what it says: every block of it is run here, in a browser too."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.clinic.serving import BUILT, ROOT, chromium
from tests.clinic.tutorial import Tutorial
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey, Passphrase
from twinlock.integrations.http_client import AgentAuth

SCRIPT = ROOT / "web" / "test" / "e2e" / "clinic-tutorial.mjs"
SHOWN = [
    {"name": "Abara, Ada", "diagnosis": "I48.0 atrial fibrillation"},
    {"name": "Brandt, Leo", "diagnosis": "I35.0 aortic stenosis"},
]


def test_the_tutorial_works_block_by_block(tmp_path: Path) -> None:
    folder = tmp_path / "ward"
    folder.mkdir()
    tutorial = Tutorial(folder)
    names = {"models.py", "fill.py", "app.py", "agent.py", "page.html", "page.js", "test_app.py"}
    assert set(tutorial.write_files()) == names
    said = tutorial.run("sh run")
    assert "\n1\n0\n" in said
    assert "1 passed" in said
    with tutorial.served():
        _read_as_weber(tutorial)
        _look_in_a_browser(tutorial)
        assert '"code": "http.release-needed"' in tutorial.run("sh run-served")
        _refused_by_name(tutorial)


@contextmanager
def _signed_in(tutorial: Tutorial) -> Iterator[httpx.Client]:
    """A client that is signed in as weber and answers with weber's agent."""
    address = f"http://127.0.0.1:{tutorial.ports[0]}"
    with _agent(tutorial) as agent, httpx.Client(base_url=address, auth=AgentAuth(agent)) as client:
        client.post("/sign-in/weber")
        yield client


def _agent(tutorial: Tutorial) -> Agent:
    """weber's agent, on a copy of the files, as in another browser."""
    home = tutorial.folder / "copy"
    shutil.copytree(tutorial.folder / "twinlock-dev" / "members", home, dirs_exist_ok=True)
    return Agent.unlock("weber", DeviceKey(home / "weber.key"), Passphrase(tutorial.passphrase))


def _read_as_weber(tutorial: Tutorial) -> None:
    with _signed_in(tutorial) as client:
        assert client.get("/patients").json() == SHOWN


def _refused_by_name(tutorial: Tutorial) -> None:
    with _signed_in(tutorial) as client:
        answer = client.get("/patients")
    assert (answer.status_code, answer.json()["code"]) == (500, "data.not-authentic")


def _look_in_a_browser(tutorial: Tutorial) -> None:
    node, browser = shutil.which("node"), chromium()
    if node is None or browser is None or not BUILT.exists():
        pytest.skip("step 6 needs Node.js, Chromium and `make web`; the steps before it worked")
    members = tutorial.folder / "twinlock-dev" / "members"
    given = {
        "page": f"{tutorial.origin}/page.html",
        "files": [str(members / "weber.member"), str(members / "weber.key")],
        "passphrase": tutorial.passphrase,
        "shown": [f"{one['name']}: {one['diagnosis']}" for one in SHOWN],
        "chromium": browser,
    }
    done = subprocess.run(
        [node, str(SCRIPT), json.dumps(given)],
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
