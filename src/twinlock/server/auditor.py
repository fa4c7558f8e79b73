"""Writing the audit chain ahead of opening, signing its head, and verifying all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from twinlock.core import audit
from twinlock.core.audit import AuditLine
from twinlock.core.ports import Clock, KeyRole, Token
from twinlock.core.primitives import p256_point, verify
from twinlock.core.release import decode_release, release_digest, split_signed
from twinlock.core.statements import Directory
from twinlock.errors import DataError
from twinlock.store.sql import SqlStore
from twinlock.store.values import AuditLine as StoredAuditLine

SIGN_EVERY_SECONDS: Final = 60
SIGN_EVERY_LINES: Final = 1000
OPENING: Final = "opening"
USED_REQUESTS_KEPT: Final = 86400
"""Seconds for which a used request is remembered beyond its expiry of two minutes, by which it is
refused anyway: a clock that is set back by less changes nothing."""


class Auditor:
    """Keeps one deployment's audit chain."""

    def __init__(
        self,
        deployment_id: bytes,
        store: SqlStore,
        token: Callable[[], Token],
        directory: Callable[[], Directory],
        clock: Clock,
    ) -> None:
        self._deployment_id = deployment_id
        self._store = store
        self._token = token
        self._directory = directory
        self._clock = clock
        self._signed_at = clock()
        self._signed_seq = self._last_seq = -1

    def admit(self, request_id: bytes, not_after: int, digest: bytes, release: bytes) -> None:
        """Consume a request and write its line, in one transaction, before anything is opened.

        Raises DataError ``release.replayed`` when the request was answered before.
        """
        line = self._store.audit.consume_request(
            request_id, not_after, self._builder(digest, release, OPENING)
        )
        self._last_seq = line.seq

    def note(self, digest: bytes, outcome: str) -> None:
        """Add a line without a release: how an opening ended, or that old keys open something."""
        self._last_seq = self._store.audit.append_line(self._builder(digest, b"", outcome)).seq

    def head(self) -> bytes:
        """Return the last line's hash, for agents to carry in their next release."""
        return self._store.audit.tail().last_hash

    def sign_when_due(self) -> None:
        """Sign the chain's head if a minute or a thousand lines have passed."""
        due_by_time = self._clock() - self._signed_at >= SIGN_EVERY_SECONDS
        due_by_lines = self._last_seq - self._signed_seq >= SIGN_EVERY_LINES
        if self._last_seq > self._signed_seq and (due_by_time or due_by_lines):
            self.sign_head()

    def sign_head(self) -> None:
        """Sign the chain's present head with the token's audit key; forget old used requests."""
        tail, now = self._store.audit.tail(), self._clock()
        if tail.next_seq == 0:
            return
        seq = tail.next_seq - 1
        statement = audit.head_statement(self._deployment_id, seq, tail.last_hash, now)
        key = self._directory().current(KeyRole.AUDIT)
        self._store.audit.add_head(seq, tail.last_hash, now, self._token().sign(key.kid, statement))
        self._signed_at, self._signed_seq = now, seq
        self._store.audit.purge_requests(now - USED_REQUESTS_KEPT)

    def _builder(
        self, digest: bytes, release: bytes, outcome: str
    ) -> Callable[[int, bytes], StoredAuditLine]:
        def build(seq: int, previous: bytes) -> StoredAuditLine:
            line = AuditLine(seq, previous, self._clock(), digest, release, outcome).encode()
            return StoredAuditLine(line, audit.line_hash(line))

        return build


@dataclass(slots=True)
class AuditReport:
    """What verifying found. ``gaps`` name members' releases that they signed and that are missing.

    ``signed_seq`` is the last line that a signed head covers, -1 for none.
    """

    lines: int = 0
    releases: int = 0
    heads: int = 0
    signed_seq: int = -1
    problems: list[str] = field(default_factory=list)
    gaps: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True when nothing was found."""
        return not self.problems and not self.gaps


def verify_audit(
    store: SqlStore,
    directory: Directory,
    deployment_id: bytes,
    *,
    on_line: Callable[[int], None] | None = None,
) -> AuditReport:
    """Verify chain, signed heads and members' own counters; name each line that is wrong.

    ``on_line`` is told the number of each line that was passed.
    """
    report = AuditReport()
    hashes = _HeadCheck(store, directory, deployment_id, report)
    agents: dict[bytes, dict[bytes, int]] = {}
    try:
        for line, digest in audit.walk_chain(entry.line for entry in store.audit.lines()):
            report.lines += 1
            hashes.passing(line.seq, digest)
            if line.release:
                report.releases += 1
                _follow_agent(line, agents, report)
            if on_line is not None:
                on_line(line.seq)
        _check_tail(store.audit.tail().next_seq, report)
    except DataError as error:
        report.problems.append(error.message)
    hashes.ended(report.lines)
    return report


def _check_tail(next_seq: int, report: AuditReport) -> None:
    if next_seq != report.lines:
        report.problems.append(
            f"the chain ends with line {report.lines - 1}, but its writer was at line "
            f"{next_seq - 1}: its end was cut off"
        )


def _follow_agent(
    line: AuditLine, agents: dict[bytes, dict[bytes, int]], report: AuditReport
) -> None:
    """Follow each agent's own count. A member may have several agents (a browser, a program), each
    with a count of its own; ``agents`` holds, per member, the last release of each.
    """
    release = decode_release(split_signed(line.release)[0])
    known = agents.setdefault(release.member_id, {})
    # Every agent begins after no release at all.
    counter = known.pop(release.previous, 0 if release.previous == bytes(32) else None)
    if counter is None or release.counter != counter + 1:
        reached = max(known.values(), default=0) if counter is None else counter
        report.gaps.append(
            f"line {line.seq}: member {release.member_id.hex()} signed release "
            f"{release.counter} after {reached}; those between are missing here"
        )
    known[release_digest(line.release)] = release.counter


class _HeadCheck:
    """Compares signed heads with the chain while it passes."""

    def __init__(
        self, store: SqlStore, directory: Directory, deployment_id: bytes, report: AuditReport
    ) -> None:
        self._heads = self._verified(store, directory, deployment_id, report)
        self._next = next(self._heads, None)
        self._report = report

    @staticmethod
    def _verified(
        store: SqlStore, directory: Directory, deployment_id: bytes, report: AuditReport
    ) -> Iterator[tuple[int, bytes]]:
        points = [
            p256_point(e.key.public) for e in directory.entries if e.key.role is KeyRole.AUDIT
        ]
        for head in sorted(store.audit.heads(), key=lambda h: h.seq):
            statement = audit.head_statement(deployment_id, head.seq, head.hash, head.time)
            if any(_matches(point, statement, head.signature) for point in points):
                yield head.seq, head.hash
            else:
                report.problems.append(f"the signed head of line {head.seq} is not authentic")

    def passing(self, seq: int, digest: bytes) -> None:
        while self._next is not None and self._next[0] <= seq:
            if self._next == (seq, digest):
                self._report.heads += 1
                self._report.signed_seq = seq
            else:
                self._report.problems.append(
                    f"line {self._next[0]} is not the one whose head was signed: "
                    "it or a line before it was replaced"
                )
            self._next = next(self._heads, None)

    def ended(self, lines: int) -> None:
        if self._next is not None:
            self._report.problems.append(
                f"the chain ends with line {lines - 1}, but line {self._next[0]} was signed: "
                "its end was cut off"
            )


def _matches(point: bytes, statement: bytes, signature: bytes) -> bool:
    try:
        verify(point, statement, signature)
    except DataError:
        return False
    return True
