"""What ``doctor`` found, for people and for programs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Probe:
    """A finding. ``held`` is None when it was not tried because something it needs is missing."""

    name: str
    held: bool | None
    detail: str
    needed_for: str


@dataclass(frozen=True, slots=True)
class SuiteVerdict:
    """Whether the token carries a suite, and why (not)."""

    suite: str
    carried: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Guarantee:
    """A promise to the deployment, whether this token keeps it (None: untried), and why."""

    text: str
    held: bool | None
    reason: str


@dataclass(frozen=True, slots=True)
class DoctorReport:
    """What ``doctor`` found. ``grade`` is None when the token is not usable."""

    token: str
    serial: str
    module: str
    profile: str
    profile_tried: bool
    probes: tuple[Probe, ...]
    suites: tuple[SuiteVerdict, ...]
    guarantees: tuple[Guarantee, ...]
    missing: tuple[str, ...]
    grade: str | None
    usable: bool

    def to_dict(self) -> dict[str, Any]:
        """The report for ``--json``."""
        return asdict(self)

    def lines(self) -> list[str]:
        """The report for people."""
        measured = "measured" if self.profile_tried else "from its manual, not measured by us"
        lines = [
            f"{self.token}, serial {self.serial}, through {self.module}",
            f"profile {self.profile} ({measured})",
            "",
        ]
        marks = {True: "holds", False: "FALLS", None: "untried"}
        lines += [f"  {marks[p.held]:8}{p.name}: {p.detail}" for p in self.probes]
        lines += ["", "suites"]
        lines += [
            f"  {'carries' if s.carried else 'lacks':8}{s.suite}: {s.reason}" for s in self.suites
        ]
        lines += ["", "guarantees"]
        lines += [f"  {marks[g.held]:8}{g.text}: {g.reason}" for g in self.guarantees]
        return [*lines, "", self._verdict()]

    def _verdict(self) -> str:
        if not self.usable:
            return f"Not usable. Missing: {'; '.join(self.missing)}."
        if self.grade == "A":
            return "Grade A: no key can be read, even by whoever runs calls in the live process."
        return (
            "Grade B: keys meet only inside the token as long as the server is honest; "
            f"a live takeover reads them. What falls: {'; '.join(self.missing)}."
        )
