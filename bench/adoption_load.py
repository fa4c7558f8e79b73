"""The old application at work while its table is adopted: one writer, and readers.

    python -m bench.adoption_load FOLDER ROWS

Reads ``adopt.toml`` and the old key in FOLDER. Until its input ends it updates random rows, adds
new ones behind ROWS, and reads pages of rows; then it prints what it did as one JSON object.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from pathlib import Path
from typing import Final

from sqlalchemy import Connection, create_engine, make_url, text

from bench.legacy import INSERT, UPDATE, OldApplication
from twinlock.adopt.reading import load_adoption

PAUSE: Final = 0.005
"""Seconds between two writes, and between two pages that a reader reads."""
INSERT_EACH: Final = 4
"""Every so manieth write is a new row."""
READERS: Final = 2


def main(folder: str, rows: str) -> dict[str, int]:
    """Work until stdin ends; returns how many rows were updated, inserted and read."""
    path = Path(folder)
    url = load_adoption(path / "adopt.toml").database_url or ""
    old = OldApplication(url, (path / "old-key.pem").read_bytes())
    done = {"updated": 0, "inserted": 0, "read": 0}
    stop = threading.Event()
    threads = [threading.Thread(target=_write, args=(old, int(rows), done, stop))]
    threads += [
        threading.Thread(target=_read, args=(old, int(rows), done, stop)) for _ in range(READERS)
    ]
    for thread in threads:
        thread.start()
    sys.stdin.read()
    stop.set()
    for thread in threads:
        thread.join()
    return done


def _connect(url: str) -> Connection:
    return create_engine(make_url(url).set(drivername="postgresql+psycopg")).connect()


def _write(old: OldApplication, rows: int, done: dict[str, int], stop: threading.Event) -> None:
    chance, following = random.Random(), rows + 1
    with _connect(old.url) as connection:
        while not stop.is_set():
            if done["updated"] % INSERT_EACH == INSERT_EACH - 1:
                with connection.begin():
                    connection.execute(INSERT, old.row(following, 0))
                following += 1
                done["inserted"] += 1
            with connection.begin():
                _update(connection, old, chance.randint(1, rows))
            done["updated"] += 1
            time.sleep(PAUSE)


def _update(connection: Connection, old: OldApplication, number: int) -> None:
    query = text("SELECT revision FROM patients WHERE id = :id FOR UPDATE")
    revision = connection.execute(query, {"id": number}).scalar_one()
    connection.execute(UPDATE, old.row(number, revision + 1))


def _read(old: OldApplication, rows: int, done: dict[str, int], stop: threading.Event) -> None:
    chance = random.Random()
    query = text("SELECT * FROM patients WHERE id >= :first ORDER BY id LIMIT 50")
    with _connect(old.url) as connection:
        while not stop.is_set():
            with connection.begin():
                first = chance.randint(1, rows)
                done["read"] += len(connection.execute(query, {"first": first}).all())
            time.sleep(PAUSE)


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
