"""The vault: the application's side of Twinlock."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Final, Self

from twinlock.agent.agent import Release
from twinlock.core.context import Context, require_nfc
from twinlock.core.envelope import Layout
from twinlock.core.locks import Target
from twinlock.core.membership import GroupState, PinnedHead
from twinlock.core.ports import Clock, Randomness, Token
from twinlock.core.primitives import SigningKey
from twinlock.core.proposal import Proposal, decode_proposal
from twinlock.core.request import Hello, RequestBundle, decode_hello
from twinlock.core.sealing import Sealer
from twinlock.core.secret import Secret
from twinlock.core.statements import Directory
from twinlock.errors import CallerError, DataError
from twinlock.files import whole_file
from twinlock.server import log
from twinlock.server.attempts import SignIns
from twinlock.server.auditor import Auditor, AuditReport, verify_audit
from twinlock.server.ceremony import Ceremony, release_bytes
from twinlock.server.config import Config, load_config
from twinlock.server.decoys import Decoys
from twinlock.server.groups import Group, GroupBook
from twinlock.server.hardening import Hardening
from twinlock.server.legacy import LegacyData, LegacyRow, LegacySource
from twinlock.server.members import Members
from twinlock.server.memory import ReadMemory
from twinlock.server.opened import Opened
from twinlock.server.pins import FilePins, Pins
from twinlock.server.records import (
    RecordReader,
    Sealed,
    SealedRow,
    Stored,
    sealed_row,
    sealed_value,
    write_file_head,
)
from twinlock.server.requests import Asked, Desk, Request
from twinlock.server.sealing import Sealing, To, content_bytes
from twinlock.server.setup import connect_token, read_writer_key
from twinlock.server.token_side import TokenSide
from twinlock.server.transport import TransportKeys
from twinlock.server.verifiers import VerifierLocks
from twinlock.store.sql import SqlStore

_CHUNK: Final = 1 << 16


class Vault:
    """Seals for groups, asks members, opens in the token. Safe for many threads.

    The token is connected when it is first needed: sealing with rsa-oaep never needs it.
    """

    def __init__(
        self,
        config: Config,
        store: SqlStore,
        connect_token: Callable[[], Token],
        *,
        pins: Pins,
        writer: SigningKey | None,
        clock: Clock = lambda: int(time.time()),
        randomness: Randomness = os.urandom,
    ) -> None:
        self._config = config
        self._store = store
        self._clock = clock
        self._randomness = randomness
        self._memory = ReadMemory()
        self._held = held = TokenSide(config, store, connect_token, clock)
        named = config.deployment_id
        self._groups = GroupBook(named, store, pins, held.directory)
        self._transport = TransportKeys(named, held.token, held.directory, clock)
        self._auditor = Auditor(named, store, held.token, held.directory, clock)
        self._ceremony = Ceremony(
            self._states, held.token, self._auditor, self._transport.forget, clock
        )
        self._hardening = Hardening(
            config.hardening, store, held.token, held.directory_with_statements, clock
        )
        self._sign_ins = SignIns(config.sign_in, store, clock)
        self._verifiers = VerifierLocks(named, held.token, held.directory)
        self._decoys = Decoys(
            named,
            store,
            lambda account: self._hardening.offer(account).kid,
            lambda: config.agent_host,
        )
        self._members = Members(
            named,
            store,
            self._groups,
            held.token,
            held.identity_with_statements,
            self._verifiers,
            self._decoys,
            clock,
        )
        self._legacy_data: LegacyData | None = None
        self._sealing = Sealing(config, store, writer, held.token, held.directory, randomness)

    @classmethod
    def connect(cls, config: str | Path | Config) -> Self:
        """Connect by ``twinlock.toml``. Raises ``config.*``, ``store.*`` or ``file.*``."""
        settings = config if isinstance(config, Config) else load_config(config)
        return cls(
            settings,
            SqlStore.connect(settings.store_url),
            lambda: connect_token(settings),
            pins=FilePins(settings.pins),
            writer=read_writer_key(settings.writer_key),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Destroy this process's transport keys, log out of the token, close the store."""
        self._held.close(self._transport.retire_all)
        self._store.close()

    # --- parts -------------------------------------------------------------------------------

    @property
    def config(self) -> Config:
        """The configuration."""
        return self._config

    @property
    def clock(self) -> Clock:
        """The clock that this vault goes by."""
        return self._clock

    @property
    def store(self) -> SqlStore:
        """The store, for administration."""
        return self._store

    @property
    def token(self) -> Token:
        """The token, connected and with the directory's keys loaded."""
        return self._held.token()

    @property
    def directory(self) -> Directory:
        """The verified token directory, read again every minute: keys may be added meanwhile."""
        return self._held.directory()

    def read_directory_again(self) -> None:
        """Have the directory read at its next use: it was just changed here."""
        self._held.read_again()

    @property
    def auditor(self) -> Auditor:
        """The audit chain's writer."""
        return self._auditor

    @property
    def hardening(self) -> Hardening:
        """The token's side of passwords (SPEC 24)."""
        return self._hardening

    @property
    def sign_ins(self) -> SignIns:
        """The limits on tries to sign in."""
        return self._sign_ins

    @property
    def members(self) -> Members:
        """Members' ways in, as far as they are kept here (SPEC 28)."""
        return self._members

    @property
    def verifiers(self) -> VerifierLocks:
        """SCRAM verifiers, locked by the token (SPEC 27)."""
        return self._verifiers

    @property
    def stranger_secret(self) -> Secret:
        """32 bytes of this deployment that answers about names of strangers are drawn from."""
        return self._decoys.secret

    # --- groups ------------------------------------------------------------------------------

    def group(self, name: str) -> Group:
        """Return a trusted group by name. Raises CallerError ``group.unknown``."""
        return self._groups.by_name(name, self._clock())

    def group_state(self, group: Group) -> GroupState:
        """Return a group's verified state. Raises CallerError ``group.unknown``."""
        state = self._states().get(group.group_id)
        if state is None:
            raise CallerError(
                "group.unknown",
                f"This server does not trust group {group.name!r}.",
                hint="See `twinlock group list`; trust one with `twinlock group trust`.",
            )
        return state

    def group_states(self) -> Mapping[bytes, GroupState]:
        """Return all trusted groups' verified states, by id."""
        return self._states()

    def trust_group(self, pin: PinnedHead) -> GroupState:
        """Begin to trust a group that others founded; ``pin`` was compared with its admin."""
        return self._groups.trust(pin)

    def append(self, proposal: bytes | Proposal) -> GroupState:
        """Verify, countersign and append a member's proposal. Raises ``log.*`` or ``group.*``."""
        decoded = decode_proposal(proposal) if isinstance(proposal, bytes) else proposal
        return self._groups.append(decoded, self.token)

    def group_bundle(self, hello: bytes) -> bytes:
        """Return what the agent that said ``hello`` needs to follow its groups."""
        said = decode_hello(hello)
        since = {head.group_id: head.seq for head in said.heads}
        return self._groups.bundle(said.member_id, since, self._held.statements()).encode()

    # --- sealing -----------------------------------------------------------------------------

    def seal(
        self,
        value: str | bytes,
        *,
        to: To,
        context: Context,
        suite: str | None = None,
    ) -> Sealed:
        """Seal one value. ``to``: each entry is one way in (OR); ``AllOf`` needs all its groups.

        Raises CallerError ``seal.*``, ``context.*``, ``group.*`` or ``writer.*``.
        """
        if context.column is None:
            raise CallerError(
                "context.column",
                "A single value needs a context with a column.",
                hint="Name the column, or seal the whole row with seal_row().",
            )
        plaintext = {context.column: content_bytes(value)}
        head, fields = self._sealing.sealer(suite).seal_fields(
            context.encode(self._config.deployment_id),
            Layout.VALUE,
            plaintext,
            self._targets(to, suite),
        )
        return sealed_value(head, fields[context.column])

    def seal_row(
        self,
        values: Mapping[str, str | bytes],
        *,
        to: To,
        context: Context,
        suite: str | None = None,
    ) -> SealedRow:
        """Seal several columns of a row under one DEK; ``context`` has no column.

        Write-once: to change a column, seal the row anew. Raises like ``seal``.
        """
        return self._seal_row(self._sealing.sealer(suite), values, to, context, suite)

    def seal_rows(
        self,
        rows: Iterable[tuple[Context, Mapping[str, str | bytes]]],
        count: int,
        *,
        to: To,
        suite: str | None = None,
    ) -> Iterator[SealedRow]:
        """Seal at most ``count`` rows as they are asked for; one after that raises ``seal.count``.

        Uses of the wrapping key are counted in this call, so that sealing itself writes nothing:
        the rows can go into the store in one transaction. Raises like ``seal``.
        """
        self._targets(to, suite)
        sealer = self._sealing.sealer(suite, count)

        def sealed() -> Iterator[SealedRow]:
            for number, (context, values) in enumerate(rows):
                if number == count:
                    raise CallerError(
                        "seal.count",
                        f"There are more than the {count} rows that were announced.",
                        hint="Leave the source alone while it is being sealed, and start again.",
                    )
                yield self._seal_row(sealer, values, to, context, suite)

        return sealed()

    def seal_file(
        self,
        source: BinaryIO | Iterable[bytes],
        destination: str | Path,
        *,
        to: To,
        context: Context,
        suite: str | None = None,
    ) -> None:
        """Seal a stream into a file, in constant memory; it appears whole or not at all."""
        if context.column is None:
            raise CallerError(
                "context.column", "A file needs a context with a column.", hint="Name one."
            )
        chunks = iter(lambda: source.read(_CHUNK), b"") if hasattr(source, "read") else source
        raw = context.encode(self._config.deployment_id)
        targets = self._targets(to, suite)
        with (
            whole_file(Path(destination)) as output,
            self._sealing.sealer(suite).seal_stream(raw, context.column, targets) as sealing,
        ):
            output.write(write_file_head(sealing.head, sealing.prefix))
            for piece in sealing.segments(chunks):
                output.write(piece)

    # --- opening -----------------------------------------------------------------------------

    def request(
        self,
        items: Iterable[tuple[Context, Stored]],
        *,
        purpose: str = "",
        groups: Iterable[Group] | None = None,
    ) -> Request:
        """Ask for records: check each as far as is possible without a member.

        ``groups``: whose records these are. Locks and writers of other groups do not count then;
        without it those of every trusted group do, so that the admins of any of them can author
        records for its members. A record that is refused here (forged, damaged, of a suite not
        accepted) stays in the request with its error, and is not asked for. Raises CallerError
        ``request.size``.
        """
        require_nfc("purpose", purpose)
        states = self._states()
        if groups is not None:
            wanted = {group.group_id for group in groups}
            states = {group_id: s for group_id, s in states.items() if group_id in wanted}
        reader = RecordReader(self._config.deployment_id, self._config.accept, states, self._memory)
        asked = []
        for context, stored in items:
            try:
                asked.append(Asked(context, reader.read(context, stored)))
            except DataError as error:
                log.record_refused(context, error)
                asked.append(Asked(context, None, error))
        self._held.know(a.record.head.header.wrapping_kid for a in asked if a.record)
        return Request(self._desk(), asked, purpose)

    def open(self, request: Request, release: Release | bytes) -> list[Opened]:
        """Open a request's records in the token, with a member's release.

        Returns one ``Opened`` per record in the request's order; a record that failed carries its
        error, the others open. Raises DataError ``release.*`` when the release itself is refused,
        EnvError when token or store fail. A release opens once.
        """
        return self._ceremony.open(request, release_bytes(release))

    # --- adopting ----------------------------------------------------------------------------

    def use_legacy(self, source: LegacySource) -> None:
        """Say which old data this deployment adopts; before ``open_legacy`` and ``rewrap``."""
        self._legacy_data = LegacyData(
            source,
            deployment_id=self._config.deployment_id,
            states=self._states,
            token=self._held.token,
            wrapping_keys=lambda: self.directory.wrapping_keys,
            auditor=self._auditor,
        )

    def require_legacy(self, table: str, columns: Iterable[str]) -> None:
        """Raise DataError ``legacy.cut-over`` or ``legacy.not-allowed`` unless legacy rows of all
        these columns may be read now."""
        self._legacy.require_allowed(table, columns)

    def open_legacy(self, items: Iterable[tuple[Context, LegacyRow]]) -> list[Opened]:
        """Open rows that still have their old lock alone, with the old key and no member.

        Contexts are those of whole rows. Allowed only while the log of the authority group says so
        for every column of a row; a row that is not allowed (``legacy.cut-over``,
        ``legacy.not-allowed``) or damaged carries its error, the others open. Each call writes a
        line to the audit chain before anything is opened. Nobody vouches for what comes out.
        Raises CallerError ``legacy.*`` or ``context.*``, EnvError.
        """
        return self._legacy.open(list(items))

    def rewrap(
        self,
        items: Iterable[tuple[Context, LegacyRow, To]],
        *,
        suite: str | None = None,
        check: bool = True,
    ) -> list[bytes | DataError]:
        """Take rows from their old lock to new ones for their groups, with no member.

        Returns for each row the value to store beside it, which ``AdoptedRow`` takes as ``head``,
        or why there is none: ``legacy.*``. A row needs the same permission as ``open_legacy``,
        since this vault's writer key signs for it. The DEK stays inside the token. ``check``
        decrypts every column under what came out, before it is signed. Works in the caller's
        thread: call it from several for more. Raises CallerError ``legacy.same-key`` and like
        ``seal``, EnvError.
        """
        legacy, rows = self._legacy, list(items)
        return legacy.rewrap(
            [(context, row) for context, row, _ in rows],
            [self._targets(to, suite) for _, _, to in rows],
            self._sealing.sealer(suite, max(1, len(rows))),
            check=check,
        )

    @property
    def _legacy(self) -> LegacyData:
        if self._legacy_data is None:
            raise CallerError(
                "legacy.not-configured",
                "This vault was not told of any old data.",
                hint="Call use_legacy() with the keys and the authority of adopt.toml.",
            )
        return self._legacy_data

    def open_file(
        self, request: Request, release: Release | bytes, destination: str | Path
    ) -> None:
        """Open a request's one sealed file to a path, in constant memory. Raises like ``open``."""
        self._ceremony.open_file(request, release_bytes(release), Path(destination))

    def verify_audit(self, *, on_line: Callable[[int], None] | None = None) -> AuditReport:
        """Verify the whole audit chain; ``on_line`` is told the number of each line passed."""
        return verify_audit(
            self._store, self.directory, self._config.deployment_id, on_line=on_line
        )

    # --- inside ------------------------------------------------------------------------------

    def _seal_row(
        self,
        sealer: Sealer,
        values: Mapping[str, str | bytes],
        to: To,
        context: Context,
        suite: str | None,
    ) -> SealedRow:
        if context.column is not None or not values:
            raise CallerError(
                "context.row",
                "A row is sealed under a context without a column, with at least one value.",
                hint="Leave out the column: a row's columns share one DEK.",
            )
        head, fields = sealer.seal_fields(
            context.encode(self._config.deployment_id),
            Layout.ROW,
            {column: content_bytes(value) for column, value in values.items()},
            self._targets(to, suite),
        )
        return sealed_row(head, fields)

    def _targets(self, to: To, suite: str | None) -> list[Target]:
        states = self._groups.states(self._clock(), fresh=False)
        return self._sealing.targets(to, suite, states)

    def _states(self) -> Mapping[bytes, GroupState]:
        return self._groups.states(self._clock())

    def _desk(self) -> Desk:
        return Desk(
            self._config.deployment_id,
            self._states,
            self._transport.stated_to,
            self._request_bundle,
            self._clock,
            self._randomness,
        )

    def _request_bundle(self, raw: bytes, hello: Hello, groups: set[bytes]) -> RequestBundle:
        _, statement = self._transport.stated_to(hello.agent_nonce)
        since = {head.group_id: head.seq for head in hello.heads}
        news = tuple(self._groups.news(group_id, since) for group_id in sorted(groups))
        keys = self._groups.sealed_keys(hello.member_id, groups)
        return RequestBundle(
            raw, statement, tuple(self._held.statements()), news, keys, self._auditor.head()
        )
