"""The pytest plugin, as an application's own tests meet it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from twinlock.testing import plugin

WARD_ROUND = """
import twinlock as tl

CONTEXT = tl.Context(table="patient", record=1, column="diagnosis")

def test_ward_round(vault, weber):
    sealed = vault.seal("I48.0", to=vault.group("cardiology"), context=CONTEXT)
    request = vault.request([(CONTEXT, sealed.to_bytes())], purpose="ward round")
    [opened] = vault.open(request, weber.release(request))
    assert opened.text().reveal() == "I48.0"

def test_answered(twinlock_deployment, vault, kim, officer):
    sealed = vault.seal("x", to=vault.group("data-office"), context=CONTEXT)
    request = vault.request([(CONTEXT, sealed)])
    with officer.releasing():
        assert vault.open(request, twinlock_deployment.answer(request))[0].ok
    assert kim.name == "kim"
"""

UNUSED = """
import sys

def test_nothing_was_loaded():
    heavy = {"cryptography", "cbor2", "sqlalchemy", "alembic", "pkcs11", "precis_i18n"}
    assert heavy & set(sys.modules) == set()
    mine = {name for name in sys.modules if name.startswith("twinlock")}
    assert mine == {"twinlock", "twinlock.testing", "twinlock.testing.plugin"}
"""

OWN_FIXTURES = """
import pytest

@pytest.fixture
def vault():
    return "the application's own vault"

@pytest.fixture
def kim():
    return "the application's own kim"

def test_own_fixtures_win_and_the_rest_still_works(vault, kim, weber, twinlock_deployment):
    assert vault == "the application's own vault"
    assert kim == "the application's own kim"
    assert weber.name == "weber"
    assert twinlock_deployment.weber is weber
"""

FRESH = """
import pytest

seen = []

@pytest.mark.parametrize("run", [1, 2])
def test_each_test_has_a_deployment_of_its_own(run, twinlock_deployment):
    seen.append(twinlock_deployment.config.deployment_id)
    assert len(seen) == len(set(seen)) == run
"""

TEMPORARY = """
def test_it_is_production(vault):
    raise SystemExit("unreachable")
"""


def run_pytest(folder: Path, source: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_application.py").write_text(source)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-W", "error", "-p", plugin.__name__, "."],
        cwd=folder,
        env={
            **{k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"},
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("source", [WARD_ROUND, UNUSED, OWN_FIXTURES, FRESH])
def test_an_applications_tests_pass(source: str, tmp_path: Path) -> None:
    done = run_pytest(tmp_path, source)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_fixtures_refuse_to_start_in_production(tmp_path: Path) -> None:
    done = run_pytest(tmp_path, TEMPORARY, TWINLOCK_ENV="production")
    assert done.returncode == 1
    assert "testing.production" in done.stdout
    assert "unreachable" not in done.stdout


def test_the_fixtures_are_listed_with_their_meaning(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--fixtures", "-p", plugin.__name__, str(tmp_path)],
        cwd=tmp_path,
        env={
            **{k: v for k, v in os.environ.items() if k != "PYTEST_ADDOPTS"},
            "PYTHONPATH": os.pathsep.join(sys.path),
            "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    for fixture in ("twinlock_deployment", "vault", "weber", "kim", "officer"):
        assert f"{fixture} " in done.stdout


def test_the_package_names_the_plugin_for_pytest() -> None:
    project = Path(__file__).parents[2] / "pyproject.toml"
    import tomllib

    entry_points = tomllib.loads(project.read_text())["project"]["entry-points"]
    assert entry_points["pytest11"] == {"twinlock": plugin.__name__}
