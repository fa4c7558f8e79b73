"""``guess-cost`` and ``token add-hardening-key`` on a real token."""

from __future__ import annotations

import pytest

from tests.cli.deployment import Cli


def test_guessing_is_measured_at_the_token_and_told_in_both_shapes(own: Cli) -> None:
    lacking = own.run("guess-cost", "--json")
    assert (lacking.code, lacking.error) == (2, "directory.no-key")

    made = own.ok("token", "add-hardening-key")
    assert made["role"] == "hardening"
    listed = own.fine("token", "list")["keys"]
    assert made["kid"] in [key["kid"] for key in listed if key["role"] == "hardening"]
    assert own.ok("token", "check")["ok"] is True

    found = own.ok("guess-cost", "--seconds", "0.1")
    assert found["kid"] == made["kid"]
    assert found["guesses_per_second"] == max(rate["per_second"] for rate in found["rates"])
    assert [rate["threads"] for rate in found["rates"]] == [1, 8]
    assert found["guesses_per_second_within_limits"] == pytest.approx(2 * 2000 / 3600)
    costs = {cost["bits"]: cost for cost in found["costs"]}
    assert set(costs) == {20, 40, 60}
    for bits, cost in costs.items():
        expected = 2 ** (bits - 1) / found["guesses_per_second"]
        assert cost["seconds"] == pytest.approx(expected, rel=1e-4)
        assert cost["seconds_within_limits"] > cost["seconds"]

    shown = own.run("guess-cost", "--seconds", "0.1")
    assert shown.code == 0
    assert "40 bits" in shown.out
    assert "within the limits" in shown.out
