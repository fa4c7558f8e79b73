"""A pytest plugin that writes down which logs the membership's own tests replay, and with what end.

Run with ``-p tests.web.recording`` and the file's name in RECORDED_LOGS: one JSON object a line,
each log once. Every rule that those tests try is thereby tried by another implementation too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from twinlock.core import membership
from twinlock.core.membership import GroupState, PinnedHead, SignedEntry, log
from twinlock.errors import DataError, TwinlockError

_written: dict[str, None] = {}
_replay, _apply = log.replay, log.apply


def recording_replay(
    entries: Iterable[bytes],
    *,
    deployment_id: bytes,
    start: GroupState | None = None,
    log_key: bytes | None = None,
    pins: Iterable[PinnedHead] = (),
) -> GroupState:
    """Replay and write down."""
    given = {"entries": list(entries), "pins": list(pins)}
    _write(given["entries"], deployment_id, start, log_key, given["pins"])
    return _replay(
        given["entries"],
        deployment_id=deployment_id,
        start=start,
        log_key=log_key,
        pins=given["pins"],
    )


def recording_apply(
    state: GroupState, signed: SignedEntry, *, log_key: bytes | None = None
) -> GroupState:
    """Apply, and write down what replaying the entry's bytes comes to."""
    _write([signed.encode()], state.deployment_id, state, log_key, [])
    return _apply(state, signed, log_key=log_key)


def pytest_configure() -> None:
    """Take the place of both functions before a test module imports them."""
    for module in (membership, log):
        module.replay, module.apply = recording_replay, recording_apply


def pytest_unconfigure(config: pytest.Config) -> None:
    """Write the file."""
    Path(os.environ["RECORDED_LOGS"]).write_text("\n".join(_written), encoding="utf-8")


def _write(
    entries: list[bytes],
    deployment_id: bytes,
    start: GroupState | None,
    log_key: bytes | None,
    pins: list[PinnedHead],
) -> None:
    if len(pins) > 1 or any(pin.seq < (start.seq if start else 0) for pin in pins):
        return
    given: dict[str, Any] = {
        "entries": [entry.hex() for entry in entries],
        "deployment": deployment_id.hex(),
    }
    if start is not None:
        given["start"] = membership.encode_state(start).hex()
    if log_key is not None:
        given["log_key"] = log_key.hex()
    for pin in pins:
        given["pin"] = {"group_id": pin.group_id.hex(), "seq": pin.seq, "head": pin.head.hex()}
    try:
        state = _replay(
            entries, deployment_id=deployment_id, start=start, log_key=log_key, pins=pins
        )
        outcome = {"value": membership.encode_state(state).hex()}
    except DataError as error:
        outcome = {"code": error.code, "reason": str(getattr(error, "reason", ""))}
    except TwinlockError:
        return
    _written[json.dumps({"given": given, "outcome": outcome})] = None
