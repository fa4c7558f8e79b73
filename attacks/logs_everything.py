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
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from attacks.harness import Mutation, Trial, attack, weakened
from attacks.world import PASSPHRASE, PIN, World
from twinlock.server import setup

_DUMP: Final = re.compile(rb"^ {4}[0-9A-F]{8}  ((?:[0-9A-F]{2} ){1,16})", re.MULTILINE)
_CALL: Final = re.compile(rb"^\d+: (C_\w+)$", re.MULTILINE)
_PHASES: Final = ("join", "seal-rsa-oaep", "seal-token-aes", "open", "fail")
_KINDS: Final = ("dek", "release key", "session key", "secret", "content", "pin", "passphrase")
_MODULE: Final = sys.modules[__name__]
weakness = ""
"""The weakened build that the ceremony's process runs."""


def _weak(name: str) -> Mutation:
    return Mutation(name, lambda: weakened((_MODULE, "weakness", name)))


@dataclass(frozen=True, slots=True)
class Logs:
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
    job = {"home": str(world.folder / "devices"), "passphrase": PASSPHRASE, "pin": PIN}
    logs = ceremony(world, "attacks.logs_ceremony", weakness, job, _PHASES, _KINDS)
    search(trial, logs, _by_nature)
    if not trial.weakened:
        must_show(logs, [("join", "C_Login", "pin"), ("open", "C_Decrypt", "content")])


def search(trial: Trial, logs: Logs, by_nature: Callable[[str, str], bool]) -> None:
    """Look for every canary; ``by_nature`` tells which kinds a call of PKCS#11 shows anyway."""
    for spied in logs.spied.values():
        for kind, values in logs.canaries.items():
            with trial.attempt("PKCS#11 calls") as attempt:
                shown = [data for name, data in spied if not by_nature(name, kind)]
                attempt.says(any(value in data for data in shown for value in values))
    for name, text in logs.texts.items():
        for values in logs.canaries.values():
            with trial.attempt(name) as attempt:
                attempt.says(any(_holds(text, value) for value in values))


def _by_nature(call: str, kind: str) -> bool:
    if kind == "pin":
        return call == "C_Login"
    return kind == "content" and call in ("C_Encrypt", "C_Decrypt")


def must_show(logs: Logs, said: Sequence[tuple[str, str, str]]) -> None:
    """What the threat model says that a spy sees must be there: else the search is blind.

    ``said``: phase, call, kind.
    """
    for phase, call, kind in said:
        shown = [data for name, data in logs.spied[phase] if name == call]
        if not any(value in data for data in shown for value in logs.canaries[kind]):
            raise LookupError(f"no {kind} in {call}: the documents or the search are wrong")


def ceremony(
    world: World,
    module: str,
    weakness: str,
    job: Mapping[str, object],
    phases: Sequence[str],
    kinds: Sequence[str],
) -> Logs:
    """Run a module's ceremony in a process of its own, with the spy between it and the token.

    ``kinds`` are those of which there must be canaries.
    """
    folder = world.folder / "logs"
    folder.mkdir()
    uri = spied(world, world.config.token_uri)
    setup.write_config(
        folder / "twinlock.toml", replace(world.config, folder=folder, token_uri=uri)
    )
    (folder / "job.json").write_text(json.dumps(job))
    done = subprocess.run(
        [sys.executable, "-m", module, str(folder), weakness],
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
        return _read(folder, done.stdout + done.stderr, phases, kinds)
    finally:
        shutil.rmtree(folder)


def spied(world: World, uri: str) -> str:
    """Return a URI of the world's module with the spy in front of it."""
    spy = os.environ.get("TWINLOCK_SPY_MODULE") or "/usr/lib/x86_64-linux-gnu/pkcs11-spy.so"
    return uri.replace(world.token_place.module, spy)


def _read(folder: Path, said: str, phases: Sequence[str], kinds: Sequence[str]) -> Logs:
    canaries = json.loads((folder / "canaries.json").read_text())
    named = {v for kind, values in canaries.items() for v in values if kind != "secret"}
    canaries["secret"] = set(canaries["secret"]) - named
    found = {kind: [bytes.fromhex(v) for v in values] for kind, values in canaries.items()}
    for kind in kinds:
        if not found.get(kind):
            raise LookupError(f"the ceremony made no {kind}")
    logging = (folder / "python.log").read_bytes() + said.encode()
    return Logs(
        found,
        {phase: list(_calls((folder / f"spy-{phase}.log").read_bytes())) for phase in phases},
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
