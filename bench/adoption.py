"""A legacy database on PostgreSQL, adopted under load while the run is killed again and again.

    scripts/run scripts/with-postgres python -m bench.adoption --rows 200000 --kills 20

By the commands of docs/howto-adopt.md, as processes of their own. Afterwards a member opens every
row, and each says what it must by its id and revision; the columns are cut over; an old row is put
back from a backup, and refused by name. Figures go into bench/results.json, beside those of others.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from bench.adoption_speed import SESSIONS, URL, adoption_speed
from bench.figures import Figure, figure
from bench.legacy import ADOPT_TOML, OldApplication, begin, diagnosis_of, make_old_key, notes_of
from bench.world import World, another_vault, make_world
from twinlock.adopt.levels import any_legacy
from twinlock.adopt.old_rows import read_old
from twinlock.adopt.reading import load_adoption
from twinlock.adopt.site import Site, open_site
from twinlock.adopt.stored import stored_items
from twinlock.adopt.templates import Row
from twinlock.errors import DataError
from twinlock.server.setup import write_config
from twinlock.server.vault import Vault
from twinlock.token.pkcs11_token import Pkcs11Token

RESULTS: Final = Path(__file__).parent / "results.json"
PREFIX: Final = "adopt."
_PAGE: Final = 400
_TURNS: Final = 0.2
"""At most so many seconds behind a kill's mark: kills come at any moment of a batch."""


@dataclass(frozen=True)
class Proof:
    """A deployment, the old application's database, and the folder where the commands run."""

    world: World
    folder: Path
    old: OldApplication
    rows: int

    def command(self, *arguments: str) -> list[str]:
        """Return a ``twinlock`` command."""
        return [sys.executable, "-m", "twinlock.cli.main", *arguments, "--json"]

    @property
    def environment(self) -> dict[str, str]:
        """Where the commands find deployment and members."""
        config = self.world.folder / "twinlock.toml"
        return os.environ | {
            "TWINLOCK_CONFIG": str(config),
            "TWINLOCK_HOME": str(self.world.folder),
        }

    def run(self, *arguments: str) -> dict[str, Any]:
        """Run a command that must succeed; returns its result."""
        done = subprocess.run(
            self.command(*arguments),
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(
                f"{arguments} ended with {done.returncode}: {done.stdout}{done.stderr}"
            )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def adopted(self) -> int:
        """Count the rows that have an adopted head."""
        with begin(self.old.url) as connection:
            query = "SELECT count(*) FROM patients WHERE twinlock_dek IS NOT NULL"
            return int(connection.exec_driver_sql(query).scalar_one())


def prove(world: World, url: str, rows: int, kills: int, workers: int) -> dict[str, Figure]:
    """Adopt, kill, compare, cut over; raises when anything is not as it must be."""
    proof = _prepare(world, url, rows)
    proof.run("adopt", "scan", "--sample", "100")
    proof.run("adopt", "migration", "--execute")
    proof.run("adopt", "allow", "--member", "weber")
    with begin(url) as connection:
        backup = dict(
            connection.exec_driver_sql("SELECT * FROM patients WHERE id = 17").mappings().one()
        )
    began = time.monotonic()
    with _load(proof) as load:
        for number in range(kills):
            _run_and_kill(proof, workers, (number + 1) * rows // (kills + 1))
            _say(f"killed {number + 1} times, {proof.adopted()} of {rows} rows adopted")
        last = proof.run("adopt", "run", "--mode", "rewrap", "--workers", str(workers))
    # What the old application wrote while the last run ended.
    left = last["tables"][0]["rows_left"]
    final = proof.run("adopt", "run", "--mode", "rewrap")["tables"][0]
    seconds = time.monotonic() - began
    _say(f"adopted in {seconds:.0f} s; {left} rows were left for the last run; load: {load}")
    if final["rows_left"] or final["failed"]:
        raise RuntimeError(f"the adoption is not whole: {final}")
    with another_vault(world, sessions=SESSIONS) as vault, _site(proof, vault) as site:
        total = _compare_all(proof, vault, site)
        proof.run("adopt", "verify", "--sample", "1%", "--member", "weber", "--approve")
        proof.run("adopt", "cutover", "--member", "weber")
        _put_back(proof, vault, site, backup)
    return {
        "adopt.rows": figure([total], "rows"),
        "adopt.kills": figure([kills], "kills", "20"),
        "adopt.seconds": figure([seconds], "s"),
        "adopt.rows_written_meanwhile": figure([load["updated"] + load["inserted"]], "rows"),
    }


def _prepare(world: World, url: str, rows: int) -> Proof:
    """Make the old application's key and rows, and ``adopt.toml``."""
    folder = world.folder / "proof"
    folder.mkdir()
    if not (world.folder / "twinlock.toml").exists():
        write_config(world.folder / "twinlock.toml", world.config)
    token = world.vault.token
    if not isinstance(token, Pkcs11Token):
        raise TypeError("the proof runs on a PKCS#11 token")
    key_id = os.urandom(6)
    old = OldApplication(url, make_old_key(token, key_id))
    (folder / "old-key.pem").write_bytes(old.public_pem)
    groups = dict.fromkeys(("authority", "everywhere", "first", "second"), "bench")
    text = ADOPT_TOML.format(url=url, key_id=key_id.hex(), **groups)
    (folder / "adopt.toml").write_text(text.replace('["{ward}", "bench"]', '"{ward}"'))
    old.create_table()
    began = time.monotonic()
    old.insert_with(2, rows)
    _say(f"{rows} rows made in {time.monotonic() - began:.0f} s")
    return Proof(world, folder, old, rows)


@contextmanager
def _load(proof: Proof) -> Iterator[dict[str, int]]:
    """Have the old application work meanwhile; what it did is told afterwards."""
    told: dict[str, int] = {}
    with subprocess.Popen(
        [sys.executable, "-m", "bench.adoption_load", proof.folder, str(proof.rows)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield told
        finally:
            said, _ = process.communicate("")
        told.update(json.loads(said))


def _run_and_kill(proof: Proof, workers: int, mark: int) -> None:
    """Start a run, and kill it at a random moment after ``mark`` rows are adopted.

    Sometimes the whole group of processes, sometimes the first alone: its workers must end then.
    """
    command = proof.command("adopt", "run", "--mode", "rewrap", "--workers", str(workers))
    chance = random.Random()
    with subprocess.Popen(
        command,
        cwd=proof.folder,
        env=proof.environment,
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        while process.poll() is None and proof.adopted() < mark:
            time.sleep(0.2)
        time.sleep(chance.random() * _TURNS)
        if process.poll() is not None:
            raise RuntimeError("a run ended before it was killed; take more rows or fewer kills")
        if chance.random() < 0.5:
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()


@contextmanager
def _site(proof: Proof, vault: Vault) -> Iterator[Site]:
    with open_site(load_adoption(proof.folder / "adopt.toml"), vault) as site:
        yield site


def _compare_all(proof: Proof, vault: Vault, site: Site) -> int:
    """Open every row with the member's releases; each must say what it must. Returns how many."""
    [table] = site.tables
    total, began, page = 0, time.monotonic(), list[Row]()
    with site.database.read() as connection:
        if table.count(connection, any_legacy(table)):
            raise RuntimeError("there are legacy rows")
        for row in table.rows(connection):
            page.append(row)
            if len(page) == _PAGE:
                total += _compare(proof, vault, site, page)
                page = []
                if total % (50 * _PAGE) == 0:
                    _say(f"{total} rows compared, {time.monotonic() - began:.0f} s")
    if page:
        total += _compare(proof, vault, site, page)
    _say(f"{total} rows say what they must, {time.monotonic() - began:.0f} s")
    return total


def _compare(proof: Proof, vault: Vault, site: Site, rows: Sequence[Row]) -> int:
    [table] = site.tables
    items = [item for row in rows for item in stored_items(table, row)]
    request = vault.request(items)
    opened = vault.open(request, proof.world.agent.release(request))
    revisions = _revisions(proof, [row["id"] for row in rows])
    for row, record in zip(rows, opened, strict=True):
        said = {column: record.data(column).reveal().decode() for column in record.columns}
        number, revision = row["id"], revisions[row["id"]]
        must = {"diagnosis": diagnosis_of(number, revision), "notes": notes_of(number, revision)}
        if _digest(said) != _digest(must):
            raise RuntimeError(f"row {number} says something else after its adoption")
    return len(rows)


def _revisions(proof: Proof, numbers: Sequence[int]) -> dict[int, int]:
    """Read what the old application counts, and adoption never looks at."""
    with begin(proof.old.url) as connection:
        query = "SELECT id, revision FROM patients WHERE id = ANY(%(numbers)s)"
        found = connection.exec_driver_sql(query, {"numbers": list(numbers)})
        return {row[0]: row[1] for row in found}


def _digest(said: Mapping[str, str]) -> bytes:
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).digest()


def _put_back(proof: Proof, vault: Vault, site: Site, backup: Mapping[str, Any]) -> None:
    """Put an old row back as a database writer would; it must be refused by name."""
    [table] = site.tables
    row = {**backup, **dict.fromkeys(table.settings.targets)}
    with begin(proof.old.url) as connection:
        names = [name for name in row if name != "id"]
        values = ", ".join(f"{name} = %({name})s" for name in names)
        connection.exec_driver_sql(f"UPDATE patients SET {values} WHERE id = %(id)s", row)
    site.use_legacy()
    try:
        read_old(vault, table, site.keys, [row])
    except DataError as error:
        if error.code != "legacy.cut-over":
            raise
        _say(f"an old row from a backup: {error.message}")
        return
    raise RuntimeError("an old row from a backup was read after the cut-over")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def write_results(found: Mapping[str, Figure], path: Path = RESULTS) -> None:
    """Put figures into the results file, and leave those of others as they are."""
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    figures = {name: one.to_json() for name, one in found.items()}
    path.write_text(json.dumps(known | figures, indent=2) + "\n", encoding="utf-8")


def main() -> int:
    """Prove, measure, write the results."""
    parser = argparse.ArgumentParser(prog="bench.adoption", description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=21, help="of the speed; 0: do not measure")
    options = parser.parse_args()
    url = os.environ.get(URL)
    if not url:
        parser.error(f"{URL} is not set: run it with scripts/with-postgres")
    with tempfile.TemporaryDirectory(prefix="twinlock-adoption-") as folder:
        world = make_world(Path(folder))
        found = adoption_speed(world, options.rounds) if options.rounds else {}
        if options.rows:
            found |= prove(world, url, options.rows, options.kills, options.workers)
        world.vault.close()
    write_results(found)
    for name, one in found.items():
        print(f"{name}: {one.median:.4g} {one.unit} ({one.low:.4g} to {one.high:.4g}) {one.target}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
