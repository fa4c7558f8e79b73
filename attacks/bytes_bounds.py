"""Malformed, huge, deeply nested and truncated messages at every boundary (see bounds_child)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from attacks.bounds_child import GENERAL_DECODER
from attacks.harness import Mutation, Trial, attack
from attacks.legacy import PLACES, adopted
from attacks.world import World
from twinlock.agent.state import load_state
from twinlock.core.membership import encode_state
from twinlock.core.proposal import Proposal
from twinlock.core.release import split_signed
from twinlock.core.request import decode_bundle, decode_request
from twinlock.errors import DataError
from twinlock.server import setup
from twinlock.server.records import Sealed, SealedRow

_REFUSED = (
    "deployment.card-malformed",
    "format.malformed",
    "format.too-large",
    "format.version",
    "invitation.malformed",
    "key-file.damaged",
    "suite.unknown",
)


@contextmanager
def _general_decoder() -> Iterator[None]:
    os.environ[GENERAL_DECODER] = "1"
    try:
        yield
    finally:
        del os.environ[GENERAL_DECODER]


@attack(
    id="hostile-messages",
    claim="boundaries",
    attack=22,
    says="truncated, nested, huge and foreign messages, with little memory and time",
    mutations=[Mutation("messages are decoded by a general CBOR decoder", _general_decoder)],
    databases=False,
)
def hostile_messages(world: World, trial: Trial) -> None:
    """Every decoder that bytes from outside reach, with a genuine message to cut up."""
    folder = world.folder / "messages"
    folder.mkdir(exist_ok=True)
    for name, message in _genuine(world).items():
        (folder / name).write_bytes(message)
    command = [sys.executable, "-m", "attacks.bounds_child", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    for line in done.stdout.splitlines():
        boundary, kind, outcome = json.loads(line)
        with trial.attempt(kind, *_REFUSED) as attempt:
            if not outcome.startswith("broken"):
                raise DataError(outcome, f"{boundary} refused it")
            attempt.broke()
    _truncated_files(world, trial)


def _truncated_files(world: World, trial: Trial) -> None:
    for name in ("note-rsa-oaep", "scan-token-aes"):
        place = world.place(name)
        raw = world.database.path(place).read_bytes()
        for size in (*range(0, 1200, 13), *range(1200, len(raw), 997)):
            if size < len(raw):
                world.database.path(place).write_bytes(raw[:size])
                with trial.attempt("truncated", *_REFUSED, "data.not-authentic") as attempt:
                    attempt.says(world.read(place) != {})


def _genuine(world: World) -> dict[str, bytes]:
    """One genuine message for every boundary."""
    place, both = world.place("ward-only-rsa-oaep"), world.place("both-rsa-oaep")
    kim, olga, weber = (world.agents[name] for name in ("kim", "olga", "weber"))
    value, row = world.stored(place), world.stored(world.place("row-rsa-oaep"))
    assert isinstance(value, Sealed)
    assert isinstance(row, SealedRow)
    request = world.vault.request([(both.context, world.stored(both))])
    bundle = request.bind(kim.hello())
    share = olga.help_with(request.assist(olga.hello(), bundle))
    release = kim.release(bundle, shares=[share]).raw
    world.open(request, release, both)
    message = decode_bundle(bundle).request
    item = decode_request(message).items[0]
    with adopted(world) as old:
        rewrapped = old.rewrap(PLACES[0])
    ward = world.groups["ward"].group_id
    entry = world.database.rows("twinlock_log_entries", group_id=ward)[0]["signed_entry"]
    home = world.folder / "devices" / "kim"
    state = (home / "kim.member").read_bytes()
    return {
        "value": value.raw,
        "row head": row.head,
        "adopted row": rewrapped.head,
        "file": world.database.path(world.place("note-rsa-oaep")).read_bytes(),
        "core": item.core,
        "header": item.header,
        "context": item.context,
        "hello": kim.hello(),
        "request": message,
        "request bundle": bundle,
        "group bundle": world.vault.group_bundle(kim.hello()),
        "signed release": release,
        "release": split_signed(release)[0],
        "share": split_signed(share)[0],
        "log entry": entry,
        "proposal": Proposal(entry).encode(),
        "member card": kim.card(),
        "group state": encode_state(world.vault.group_states()[ward]),
        "member state": state,
        "enrolment": load_state(home / "kim.member").enrolments[0].raw,
        "audit line": world.database.rows("twinlock_audit_lines")[-1]["line"],
        "invitation": weber.admin.invite(ward).to_text().reveal().encode(),
        "deployment card": setup.deployment_card(world.config).to_text().encode(),
        "device key file": (home / "device.key").read_bytes().rstrip(),
    }
