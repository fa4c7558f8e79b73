"""Everything logged: PKCS#11 calls through a spy, SQL, logging, exceptions, reprs. No secret in it.

The spy (OpenSC's pkcs11-spy) stands between Twinlock and the token, in a process of its own. What
it shows by nature is checked to be no more than this: the PIN in C_Login, and content that the
token encrypts or decrypts. No release key, no DEK and no other secret is in any call.
"""

from __future__ import annotations

import base64
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.world import PASSPHRASE, PIN, World
from twinlock.server import setup

_DUMP: Final = re.compile(rb"^ {4}[0-9A-F]{8}  ((?:[0-9A-F]{2} ){1,16})", re.MULTILINE)
_CALL: Final = re.compile(rb"^\d+: (C_\w+)$", re.MULTILINE)
_PHASES: Final = ("join", "seal-rsa-oaep", "seal-token-aes", "open", "fail")
_MODULE: Final = sys.modules[__name__]
weakness = ""
"""The weakened build that the ceremony's process runs."""


def _weak(name: str) -> Mutation:
    return Mutation(name, lambda: weakened((_MODULE, "weakness", name)))


@dataclass(frozen=True, slots=True)
class _Logs:
    """What one ceremony left. ``spied``: per phase, each PKCS#11 call's name and bytes."""

    canaries: Mapping[str, Sequence[bytes]]
    spied: Mapping[str, Sequence[tuple[str, bytes]]]
    texts: Mapping[str, bytes]


@attack(
    id="logs-everything",
    claim="live-own-agent",
    attack=20,
    says="a whole ceremony with every call, statement, error and object logged",
    mutations=[
        _weak("secrets show themselves"),
        _weak("W is the DEK"),
        _weak("release keys travel in the clear"),
        _weak("release keys are created in the token"),
    ],
)
def logs_everything(world: World, trial: Trial) -> None:
    """Every secret that the process made is looked for in every log, in every common form."""
    logs = _ceremony(world)
    for phase in _PHASES:
        for kind, values in logs.canaries.items():
            with trial.attempt("PKCS#11 calls") as attempt:
                calls = logs.spied[phase]
                shown = [data for name, data in calls if not _by_nature(name, kind)]
                attempt.says(any(value in data for data in shown for value in values))
    for name, text in logs.texts.items():
        for values in logs.canaries.values():
            with trial.attempt(name) as attempt:
                attempt.says(any(_holds(text, value) for value in values))
    if not trial.weakened:
        _check_what_is_said(logs)


def _by_nature(call: str, kind: str) -> bool:
    if kind == "pin":
        return call == "C_Login"
    return kind == "content" and call in ("C_Encrypt", "C_Decrypt")


def _check_what_is_said(logs: _Logs) -> None:
    """What the threat model says that a spy sees must be there: else the search is blind."""
    for phase, call, kind in (
        ("join", "C_Login", "pin"),
        ("open", "C_Decrypt", "content"),
    ):
        shown = [data for name, data in logs.spied[phase] if name == call]
        if not any(value in data for data in shown for value in logs.canaries[kind]):
            raise LookupError(f"no {kind} in {call}: the documents or the search are wrong")


def _ceremony(world: World) -> _Logs:
    folder = world.folder / "logs"
    folder.mkdir()
    spy = os.environ.get("TWINLOCK_SPY_MODULE") or "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so"
    uri = world.config.token_uri.replace(world.token_place.module, spy)
    setup.write_config(
        folder / "twinlock.toml", replace(world.config, folder=folder, token_uri=uri)
    )
    job = {"home": str(world.folder / "devices"), "passphrase": PASSPHRASE, "pin": PIN}
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-m", "attacks.logs_ceremony", str(folder), weakness],
        cwd=Path(__file__).parent.parent,
        env={
            **os.environ,
            "PKCS11SPY": world.token_place.module,
            "PKCS11SPY_OUTPUT": str(folder / "spy.log"),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the ceremony failed: {done.stderr}")
    try:
        return _read(folder, done.stdout + done.stderr)
    finally:
        for path in sorted(folder.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        folder.rmdir()


def _read(folder: Path, said: str) -> _Logs:
    canaries = json.loads((folder / "canaries.json").read_text())
    named = {v for kind, values in canaries.items() for v in values if kind != "secret"}
    canaries["secret"] = set(canaries["secret"]) - named
    found = {kind: [bytes.fromhex(v) for v in values] for kind, values in canaries.items()}
    for kind in ("dek", "release key", "session key", "secret", "content", "pin", "passphrase"):
        if not found.get(kind):
            raise LookupError(f"the ceremony made no {kind}")
    logging = (folder / "python.log").read_bytes() + said.encode()
    return _Logs(
        found,
        {phase: list(_calls((folder / f"spy-{phase}.log").read_bytes())) for phase in _PHASES},
        {
            "logging, SQL and tracebacks": logging + (folder / "tracebacks.log").read_bytes(),
            "reprs": (folder / "reprs.log").read_bytes(),
            "local variables in tracebacks": (folder / "locals.log").read_bytes(),
        },
    )


def _calls(log: bytes) -> Iterator[tuple[str, bytes]]:
    """Each call of a spy's log: its name, and all the bytes that it dumped."""
    begins = list(_CALL.finditer(log))
    for number, begin in enumerate(begins):
        end = begins[number + 1].start() if number + 1 < len(begins) else len(log)
        dumped = _DUMP.findall(log, begin.start(), end)
        yield begin[1].decode(), b"".join(bytes.fromhex(line.decode()) for line in dumped)


def _holds(text: bytes, value: bytes) -> bool:
    return any(form in text for form in _forms(value))


def _forms(value: bytes) -> Iterator[bytes]:
    """Raw, hexadecimal, base64, and as Python writes bytes."""
    yield value
    yield value.hex().encode()
    yield value.hex().upper().encode()
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            whole = encode(bytes(shift) + value)
            # The characters at both ends also depend on what stands beside the value.
            yield whole[4 if shift else 0 : len(whole) - 4]
    yield repr(value)[2:-1].encode()
    yield repr(b"'" + value)[3:-1].encode()
