"""Factors: what a member knows or has. One file per factor behind two small Protocols.

A factor turns public parameters, which the enrolment keeps, into 32 secret bytes, which nobody
keeps. Adding one touches its own file, one family of vectors and one line of the spec.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

from twinlock.core.ports import Randomness
from twinlock.core.secret import Secret

Parameters = list[Any]
"""Public, deterministic CBOR; authenticated by the enrolment that holds them."""


@dataclass(frozen=True, slots=True)
class Place:
    """The enrolment that a factor's output is for: three ids of 16 bytes.

    ``signing_kid``: the id of the signing key that it leads to; known only while it is being made.
    """

    deployment_id: bytes
    member_id: bytes
    enrolment_id: bytes
    signing_kid: bytes = field(default=b"", compare=False)


@runtime_checkable
class Factor(Protocol):
    """One factor, held by a member while unlocking."""

    @property
    def kind(self) -> str:
        """The stable name in enrolments: ``passphrase``, ``device-key``, ``smart-card``."""
        ...

    def output(self, parameters: Parameters, place: Place) -> Secret:
        """Return this factor's 32 bytes for an enrolment's parameters.

        Raises ``factor.parameters`` when they are outside the compiled-in floors and ceilings.
        """
        ...


class EnrollableFactor(Factor, Protocol):
    """A factor that a new enrolment can be made with."""

    def new_parameters(self, randomness: Randomness, place: Place) -> Parameters:
        """Choose fresh parameters, such as a salt, for the enrolment at ``place``."""
        ...
