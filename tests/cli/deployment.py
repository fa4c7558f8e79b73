"""A deployment to run the command line on, as real processes or in this one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from twinlock.cli.main import app

PASSPHRASE = "canary passphrase seven words"
CSV = """id,ward,age,finding,outcome
P1,3B,54,atrial fibrillation CANARY-ONE,"discharged, after 5 days"
P2,3B,76,pneumonia CANARY-TWO,transferred
P3,4A,61,fracture CANARY-THREE,discharged
"""
CLEARED = tuple(
    f"TWINLOCK_{name}"
    for name in ("CONFIG", "HOME", "RUN_DIR", "DEBUG", "SERVICE", "CARD", "PASSKEY")
)
"""What the environment of whoever runs the tests must not say."""
CANARIES = (PASSPHRASE, "CANARY-ONE", "CANARY-TWO", "CANARY-THREE")


@dataclass
class Result:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """The one JSON object on stdout."""
        value = json.loads(self.out)
        assert isinstance(value, dict)
        return value

    @property
    def error(self) -> str:
        """The code of the error, from JSON or from the line on stderr."""
        if self.out.startswith("{"):
            return str(self.json["error"]["code"])
        line = next(x for x in self.err.splitlines() if x.startswith("error: "))
        return line.rpartition("[")[2].rstrip("]")


@dataclass
class Cli:
    """The command line in a folder, with an environment."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)

    def start(self, *arguments: object, **settings: Any) -> subprocess.Popen[str]:
        """Start a command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, "-m", "twinlock.cli.main", *map(str, arguments)],
            cwd=self.folder,
            env=self._environment(settings.pop("env", {})),
            stdin=settings.pop("stdin", subprocess.DEVNULL),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **settings,
        )

    def run(
        self, *arguments: object, env: Mapping[str, str] | None = None, given: str | None = None
    ) -> Result:
        """Run a command as a process of its own."""
        stdin = subprocess.DEVNULL if given is None else subprocess.PIPE
        with self.start(*arguments, env=env or {}, stdin=stdin) as process:
            out, err = process.communicate(given, timeout=120)
        return Result(process.returncode, out, err)

    def here(
        self, *arguments: object, env: Mapping[str, str] | None = None, given: str | None = None
    ) -> Result:
        """Run a command in this process; not for those that use the token."""
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            result = CliRunner(env=self._own(env or {})).invoke(
                app, [str(a) for a in arguments], input=given, prog_name="twinlock"
            )
        finally:
            os.chdir(before)
        return Result(result.exit_code, result.stdout, result.stderr)

    def ok(self, *arguments: object, **settings: Any) -> dict[str, Any]:
        """Run a command that must succeed as a process; return its JSON."""
        result = self.run(*arguments, "--json", **settings)
        assert result.code == 0, result
        return result.json

    def fine(self, *arguments: object, **settings: Any) -> dict[str, Any]:
        """Run a command that must succeed in this process; return its JSON."""
        result = self.here(*arguments, "--json", **settings)
        assert result.code == 0, result
        return result.json

    def _own(self, env: Mapping[str, str]) -> dict[str, str | None]:
        cleared: dict[str, str | None] = dict.fromkeys(CLEARED)
        # Set here, so that a command in this process does not set it for the tests after it.
        own = {"SOFTHSM2_CONF": os.environ.get("SOFTHSM2_CONF", "/dev/null")}
        # Nor does a command look into the keyring of whoever runs the tests.
        own["TWINLOCK_KEYRING"] = "0"
        return {**cleared, **own, **self.env, **env}

    def _environment(self, env: Mapping[str, str]) -> dict[str, str]:
        wanted = {**os.environ, **self._own({}), **self.env, **env}
        if "SOFTHSM2_CONF" not in self.env and "SOFTHSM2_CONF" not in env:
            wanted["SOFTHSM2_CONF"] = None
        source = str(Path(__file__).resolve().parents[2] / "src")
        wanted["PYTHONPATH"] = os.pathsep.join([source, os.environ.get("PYTHONPATH", "")])
        return {name: value for name, value in wanted.items() if value is not None}

    def file(self, name: str, content: str | bytes) -> Path:
        """Write a file in the folder."""
        path = self.folder / name
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path


def make_dev(folder: Path) -> Cli:
    """Make a deployment with ``twinlock dev`` in ``folder``/d, and a table file beside it."""
    made = Cli(folder, {"PW": PASSPHRASE}).run("dev", "d", "--passphrase-env", "PW", "--json")
    assert made.code == 0, made
    return _in(folder)


def copy_dev(original: Cli, folder: Path) -> Cli:
    """Copy a deployment with its token; the files that say where they are follow."""
    old, new = original.folder / "d", folder / "d"
    shutil.copytree(old, new, ignore=shutil.ignore_patterns("run"))
    for name in ("softhsm2.conf", "twinlock.toml", "env"):
        path = new / name
        path.write_text(path.read_text().replace(str(old), str(new)))
    return _in(folder)


def _in(folder: Path) -> Cli:
    base = folder / "d"
    env = {
        "PW": PASSPHRASE,
        "SOFTHSM2_CONF": str(base / "softhsm2.conf"),
        "TWINLOCK_CONFIG": str(base / "twinlock.toml"),
        "TWINLOCK_HOME": str(base / "members"),
    }
    cli = Cli(folder, env)
    cli.file("patients.csv", CSV)
    return cli


def seal_patients(cli: Cli, table: str, *options: str) -> dict[str, Any]:
    """Seal the table file's findings and outcomes as ``table`` for ward, or as ``options`` say."""
    ways = options or ("--to", "ward")
    return cli.ok(
        "seal",
        *("--csv", "patients.csv", "--id", "id", "--columns", "finding,outcome"),
        *("--table", table, *ways),
    )


def eventually(holds: Callable[[], bool], seconds: float = 60) -> None:
    """Wait until something another process does has happened."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.05)
