"""A server behind a token that fails when told to; run by test_faults.py in a process of its own.

    python -m tests.server.faulty FOLDER CONTROL

FOLDER holds the deployment, CONTROL is the file that switches the shim's faults on. Prints JSON:
by scenario, what each of several attempts ended with.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import twinlock as tl
from twinlock.core.audit import decode_line

SCENARIOS = {
    "session handle invalid while unwrapping": "C_UnwrapKey:2+:0xB3",
    "no session opens": "C_OpenSession:1+:0x32",
    "token pulled while decrypting": "C_Decrypt:1+:0xE0",
    "logged out behind our back": "C_UnwrapKey:1+:0x101",
    "one device error": "C_Decrypt:1:0x30",
    "no memory": "C_DecryptInit:1+:0x31",
    "general error that is no data's": "C_DecryptInit:1+:0x05",
}


class Rules:
    """The shim's control file; replaced whole, as it asks for."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def say(self, rule: str) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(rule + "\n")
        new.replace(self.path)

    def none(self) -> None:
        self.path.unlink(missing_ok=True)


def attempt(work: Callable[[], str]) -> str:
    try:
        return work()
    except tl.TwinlockError as error:
        retryable = getattr(error, "retryable", False)
        return f"{error.code}{' (retryable)' if retryable else ''}"


def main(folder: Path, control: Path) -> None:
    rules = Rules(control)
    rules.none()
    context = tl.Context(table="patient", record=1, column="diagnosis")
    with (
        tl.Vault.connect(folder / "twinlock.toml") as vault,
        tl.Agent.unlock("kim", tl.DeviceKey(folder / "kim.key")) as kim,
    ):
        ward = vault.group("cardiology")
        stored = vault.seal("I48.0", to=ward, context=context, suite="token-aes").to_bytes()

        def opened() -> str:
            request = vault.request([(context, stored)])
            [item] = vault.open(request, kim.release(request))
            return str(item.text().reveal())

        def sealed() -> str:
            vault.seal("x", to=ward, context=context, suite="token-aes")
            return "sealed"

        results: dict[str, list[str]] = {"before": [attempt(opened)]}
        for name, rule in SCENARIOS.items():
            request = vault.request([(context, stored)])
            release = kim.release(request)
            rules.say(rule)
            failed = attempt(lambda r=request, s=release: str(vault.open(r, s)[0].text().reveal()))
            rules.none()
            last = [decode_line(line.line) for line in vault.store.audit.lines()][-2:]
            results[name] = [failed, *(line.outcome for line in last)]
            results[f"{name}, afterwards"] = [attempt(opened) for _ in range(4)]
        rules.say("C_GenerateKey:1+:0x30")
        results["sealing"] = [attempt(sealed)]
        rules.none()
        results["sealing"].append(attempt(sealed))
    print(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
