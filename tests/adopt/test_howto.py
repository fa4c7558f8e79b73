"""The documented commands alone adopt a database; and a command that is killed loses nothing."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, make_url, text

from bench.legacy import OldApplication, diagnosis_of, notes_of
from check_docs import read_page
from tests.cli.deployment import Cli, copy_dev, eventually, make_dev

ROOT = Path(__file__).resolve().parents[2]
HOWTO = (ROOT / "docs" / "howto-adopt.md").read_text(encoding="utf-8")
ROWS = 60
NEEDS_PASSPHRASE = ("adopt allow", "adopt cutover")


@pytest.fixture(scope="session")
def original(tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A development deployment that is only copied."""
    return make_dev(tmp_path_factory.mktemp("original"))


@pytest.fixture
def cli(original: Cli, tmp_path: Path) -> Cli:
    """A deployment that a test may change."""
    return copy_dev(original, tmp_path / "place")


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """An empty database, for what is the same on both."""
    (tmp_path / "app.db").touch()
    return f"sqlite:///{tmp_path}/app.db"


def _legacy(cli: Cli, url: str, rows: int = ROWS) -> None:
    config = cli.env["TWINLOCK_CONFIG"]
    subprocess.run(
        [sys.executable, "-m", "bench.legacy", config, url, "--rows", str(rows)],
        cwd=cli.folder,
        env={**cli._environment({}), "PYTHONPATH": f"{ROOT}:{ROOT / 'src'}"},
        check=True,
    )


def _old(cli: Cli, url: str) -> OldApplication:
    return OldApplication(url, (cli.folder / "old-key.pem").read_bytes())


def commands() -> list[str]:
    """The commands of the how-to, in order."""
    return [
        line.removeprefix("$ ")
        for block in read_page(HOWTO).blocks
        if block.info == "console"
        for line in block.text.splitlines()
        if line.startswith("$ ")
    ]


def _run(cli: Cli, command: str) -> dict[str, Any]:
    program, *arguments = shlex.split(command)
    assert program == "twinlock"
    if any(command.startswith(f"twinlock {verb}") for verb in NEEDS_PASSPHRASE):
        arguments += ["--passphrase-env", "PW"]
    return cli.ok(*arguments)


def _sql(url: str, statement: str, **values: Any) -> list[dict[str, Any]]:
    address = make_url(url)
    if address.drivername == "postgresql":
        address = address.set(drivername="postgresql+psycopg")
    engine = create_engine(address)
    try:
        with engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [dict(row) for row in result.mappings()] if result.returns_rows else []
    finally:
        engine.dispose()


def test_the_documented_commands_alone_adopt_a_database(cli: Cli, app_url: str) -> None:
    _legacy(cli, app_url)
    documented = commands()
    results: dict[str, dict[str, Any]] = {}
    for command in documented:
        if command.startswith("twinlock unseal-column"):
            _sql(app_url, "ALTER TABLE patients ADD COLUMN diagnosis_plain TEXT")
        results[command] = _run(cli, command)

    verbs = [shlex.split(command)[1:3] for command in documented]
    wanted = [
        "scan",
        "migration",
        "allow",
        "run",
        "status",
        "verify",
        "cutover",
        "contract",
        "report",
    ]
    assert [verb for verb in wanted if ["adopt", verb] not in verbs] == []
    (scan,) = (r["tables"][0] for c, r in results.items() if "scan" in c)
    assert (scan["rows"], scan["unknown_groups"], scan["problems"]) == (ROWS, [], [])
    (verify,) = (r["tables"][0] for c, r in results.items() if "verify" in c)
    assert (verify["opened"], verify["compared"]) == (ROWS // 2, ROWS // 2)
    (contract,) = (r for c, r in results.items() if "contract" in c)
    assert contract["dropped"] == {"patient": ["wrapped_dek"]}
    assert contract["old_keys"] == [{"name": "records-2021", "in_token": True, "unwraps": True}]
    plain = _sql(app_url, "SELECT id, diagnosis_plain FROM patients")
    assert {row["id"]: row["diagnosis_plain"] for row in plain} == {
        number: diagnosis_of(number, 0) for number in range(1, ROWS + 1)
    }
    assert "The old key records-2021 is in the token" in (cli.folder / "adoption.md").read_text()
    assert (cli.folder / "adopt.sql").read_text().startswith("-- ")
    compile((cli.folder / "adopt_migration.py").read_text(), "migration", "exec")


def test_a_run_that_is_killed_again_and_again_loses_nothing(cli: Cli, app_url: str) -> None:
    _legacy(cli, app_url, 300)
    cli.ok("adopt", "migration", "--execute")
    cli.ok("adopt", "allow", "--member", "weber", "--passphrase-env", "PW")
    old, revisions = _old(cli, app_url), dict.fromkeys(range(1, 301), 0)
    kills = 0
    for turn in range(6):
        before = _adopted(app_url)
        process = cli.start("adopt", "run", "--mode", "rewrap", "--batch", "10", "--rate", "400")
        _wait_for(lambda before=before: _adopted(app_url) > before, process)  # type: ignore[misc]
        number = 1 + (turn * 47) % 300
        revisions[number] += 1
        old.update(number, revisions[number])
        if process.poll() is None:
            process.kill()
            kills += 1
        process.communicate()
    assert kills >= 3
    assert cli.ok("adopt", "run", "--mode", "rewrap")["tables"][0]["rows_left"] == 0
    state = cli.ok("adopt", "status")["tables"][0]
    assert (state["rows_left"], state["last_run"]["state"]) == (0, "ended")
    assert cli.ok("adopt", "verify", "--sample", "all", "--member", "kim")["ok"] is True

    for column, says in (("diagnosis", diagnosis_of), ("notes", notes_of)):
        _sql(app_url, f"ALTER TABLE patients ADD COLUMN {column}_plain TEXT")
        into = f"{column}_plain"
        cli.ok("unseal-column", f"patient.{column}", "--into", into, "--member", "kim", "--yes")
        rows = _sql(app_url, f"SELECT id, revision, {into} AS said FROM patients")
        assert {row["id"]: row["said"] for row in rows} == {
            number: says(number, revision) for number, revision in revisions.items()
        }


def _adopted(url: str) -> int:
    query = "SELECT count(*) AS n FROM patients WHERE twinlock_dek IS NOT NULL"
    return int(_sql(url, query)[0]["n"])


def _wait_for(holds: Any, process: subprocess.Popen[str]) -> None:
    end = time.monotonic() + 60
    while not holds() and process.poll() is None:
        assert time.monotonic() < end, "nothing was adopted"
        time.sleep(0.02)


def test_what_cannot_be_adopted_is_told_by_every_verb(cli: Cli, sqlite_url: str) -> None:
    _legacy(cli, sqlite_url, 12)
    _sql(sqlite_url, "UPDATE patients SET ward = '9Z' WHERE id = 5")
    scan = cli.run("adopt", "scan", "--json")
    assert (scan.code, scan.json["tables"][0]["unknown_groups"]) == (3, ["5"])
    assert "No group is known for: 5" in cli.run("adopt", "scan").out
    refused = cli.run("adopt", "run", "--mode", "rewrap", "--json")
    assert (refused.code, refused.error) == (2, "adopt.not-migrated")
    cli.ok("adopt", "migration", "--execute")
    refused = cli.run("adopt", "run", "--mode", "rewrap", "--json")
    assert (refused.code, refused.error) == (3, "legacy.not-allowed")
    cli.ok("adopt", "allow", "--member", "weber", "--passphrase-env", "PW")

    run = cli.run("adopt", "run", "--mode", "rewrap", "--json")
    assert (run.code, run.json["tables"][0]["failed"]) == (3, 1)
    status = cli.run("adopt", "status", "--json")
    assert (status.code, status.json["tables"][0]["unknown_groups"]) == (3, ["5"])
    assert "adopt.unknown-group" in cli.run("adopt", "status").out
    signing = ("--member", "weber", "--passphrase-env", "PW", "--json")
    refused = cli.run("adopt", "cutover", *signing)
    assert (refused.code, refused.error) == (2, "adopt.legacy-left")
    refused = cli.run("adopt", "contract", "--execute", "--yes", "--json")
    assert (refused.code, refused.error) == (2, "adopt.not-cut-over")

    cut = cli.run("adopt", "cutover", "--accept", "patient/5", *signing)
    assert cut.code == 0
    assert cut.json["columns"] == ["patient.diagnosis", "patient.notes"]
    for verb in (("rollback", "--yes"), ("run", "--mode", "rewrap")):
        refused = cli.run("adopt", *verb, "--json")
        assert refused.error in ("adopt.cut-over", "legacy.cut-over")
    refused = cli.run("adopt", "contract", "--execute", "--yes", "--json")
    assert refused.error == "adopt.legacy-left"


def test_an_adoption_is_taken_back_by_its_verb(cli: Cli, sqlite_url: str) -> None:
    _legacy(cli, sqlite_url, 6)
    cli.ok("adopt", "migration", "--execute")
    cli.ok("adopt", "allow", "--member", "weber", "--passphrase-env", "PW")
    assert cli.ok("adopt", "allow", "--member", "weber", "--passphrase-env", "PW")["columns"] == []
    cli.ok("adopt", "run", "--mode", "reseal")
    refused = cli.run("adopt", "rollback", "--json")
    assert (refused.code, refused.error) == (2, "adopt.not-confirmed")
    assert cli.run("adopt", "rollback", given="y\n").code == 0
    assert cli.ok("adopt", "status")["tables"][0]["rows_left"] == 6
    made = cli.run("adopt", "report")
    assert made.code == 0
    assert "# Adoption" in made.out
    assert json.loads(cli.run("adopt", "report", "--json").out)["exposed"]


@pytest.fixture(scope="module")
def beside(original: Cli, tmp_path_factory: pytest.TempPathFactory) -> Cli:
    """A deployment with one legacy row, for commands that change nothing."""
    folder = tmp_path_factory.mktemp("beside")
    (folder / "app.db").touch()
    cli = copy_dev(original, folder / "place")
    _legacy(cli, f"sqlite:///{folder}/app.db", 1)
    return cli


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("adopt", "scan", "--adopt", "absent.toml"), "adopt.config-missing"),
        (("adopt", "migration"), "adopt.how"),
        (("adopt", "migration", "--execute", "-o", "x"), "adopt.how"),
        (("adopt", "scan", "--table", "nobody"), "adopt.no-table"),
        (("adopt", "verify", "--member", "kim", "--sample", "some"), "adopt.sample"),
        (("adopt", "run", "--mode", "magic"), "cli.usage"),
        (
            ("adopt", "allow", "--member", "weber", "--propose", "p"),
            "adopt.one-proposal",
        ),
    ],
)
def test_slips_are_explained(beside: Cli, arguments: tuple[str, ...], error: str) -> None:
    refused = beside.run(*arguments, "--json")
    assert (refused.code, refused.error) == (2, error)


def test_one_column_can_be_cut_over_by_itself(cli: Cli, sqlite_url: str) -> None:
    triggers = "SELECT count(*) AS n FROM sqlite_master WHERE type = 'trigger'"
    signing = ("--member", "weber", "--passphrase-env", "PW")
    _legacy(cli, sqlite_url, 4)
    cli.ok("adopt", "migration", "--execute")
    cli.ok("adopt", "allow", *signing)
    cli.ok("adopt", "run", "--mode", "reseal")
    _sql(sqlite_url, "UPDATE patients SET diagnosis_ct = diagnosis_tag WHERE id = 2")
    assert cli.ok("adopt", "cutover", "patient.notes", *signing)["columns"] == ["patient.notes"]
    assert _sql(sqlite_url, triggers)[0]["n"] == 3
    refused = cli.run("adopt", "cutover", *signing, "--json")
    assert refused.error == "adopt.legacy-left"
    accepted = ("--accept", "patient/2")
    assert cli.ok("adopt", "cutover", *signing, *accepted)["columns"] == ["patient.diagnosis"]
    assert _sql(sqlite_url, triggers)[0]["n"] == 0


def _children(parent: int) -> set[int]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        # State and parent; a zombie has ended.
        if fields[0] != "Z" and int(fields[1]) == parent:
            found.add(int(stat.parent.name))
    return found


def _alive(processes: set[int]) -> set[int]:
    return {pid for pid in processes if Path(f"/proc/{pid}").exists()}


def test_workers_end_when_the_command_that_started_them_is_killed(
    cli: Cli, postgres_schema_url: str
) -> None:
    _legacy(cli, postgres_schema_url, 400)
    cli.ok("adopt", "migration", "--execute")
    cli.ok("adopt", "allow", "--member", "weber", "--passphrase-env", "PW")
    slowly = ("--rate", "40", "--batch", "5")
    process = cli.start("adopt", "run", "--mode", "rewrap", "--workers", "2", *slowly)
    _wait_for(lambda: _adopted(postgres_schema_url) > 0, process)
    workers = _children(process.pid)
    assert len(workers) >= 2
    process.kill()
    process.communicate()
    eventually(lambda: not _alive(workers))
    assert cli.ok("adopt", "status")["tables"][0]["last_run"]["state"] in ("running", "interrupted")
    done = _adopted(postgres_schema_url)
    assert 0 < done < 400
    assert cli.ok("adopt", "run", "--mode", "rewrap")["tables"][0]["adopted"] == 400 - done
