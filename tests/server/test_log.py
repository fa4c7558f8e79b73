"""What the operator's log says about refusals, and what it does not."""

from __future__ import annotations

import logging

import pytest

from twinlock import Context, DataError
from twinlock.testing import MemoryDeployment

CONTEXT = Context(table="patient", column="diagnosis", record="4711")


def test_the_operators_log_names_the_check_that_refused_a_record(
    twinlock_deployment: MemoryDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    vault = twinlock_deployment.vault
    stored = vault.seal("I48.0", to=vault.group("cardiology"), context=CONTEXT)
    elsewhere = Context(table="patient", column="diagnosis", record="4712")
    with caplog.at_level(logging.WARNING, logger="twinlock"):
        vault.request([(elsewhere, stored), (CONTEXT, stored)])
    [line] = [record.getMessage() for record in caplog.records]
    assert "data.not-authentic" in line
    assert "signature: does not match" in line
    assert "I48.0" not in line
    assert "4712" not in line


def test_the_operators_log_notes_a_release_that_was_refused(
    twinlock_deployment: MemoryDeployment, caplog: pytest.LogCaptureFixture
) -> None:
    vault, weber = twinlock_deployment.vault, twinlock_deployment.weber
    stored = vault.seal("I48.0", to=vault.group("cardiology"), context=CONTEXT)
    request = vault.request([(CONTEXT, stored)])
    release = weber.release(request)
    vault.open(request, release)
    with caplog.at_level(logging.WARNING, logger="twinlock"), pytest.raises(DataError):
        vault.open(request, release)
    assert [record.getMessage() for record in caplog.records] == [
        "release refused: release.replayed"
    ]
