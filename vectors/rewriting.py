"""Enrolments of one factor whose parameters somebody rewrote."""

from __future__ import annotations

from functools import partial
from typing import Any, Protocol

from twinlock.core import cbor


class WithParameters(Protocol):
    """Makes the enrolment with other parameters; everything else in it stays."""

    def __call__(self, *parameters: Any) -> bytes:
        """Return the enrolment with these parameters."""
        ...


def rewriting(raw: bytes) -> tuple[list[Any], WithParameters]:
    """Return the parameters of an enrolment's one factor, and what puts others in their place."""
    aad = cbor.decode(cbor.decode(raw)[1])
    ((_, parameters),) = aad[5]
    return parameters, partial(_rewritten, raw)


def _rewritten(raw: bytes, *parameters: Any) -> bytes:
    label, aad, nonce, sealed = cbor.decode(raw)
    *head, ((kind, _),) = cbor.decode(aad)
    return cbor.encode([label, cbor.encode([*head, [[kind, list(parameters)]]]), nonce, sealed])
