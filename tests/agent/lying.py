"""A server that lies: it holds the token, so it can sign whatever the identity key may sign."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from tests.server.world import DIAGNOSIS, World
from twinlock.agent.agent import Agent
from twinlock.agent.factors import DeviceKey
from twinlock.core.envelope import decode_header, new_header
from twinlock.core.membership import Policy
from twinlock.core.ports import OuterSuite, TransportKey
from twinlock.core.primitives import sha256
from twinlock.core.request import (
    RequestBundle,
    RequestItem,
    RequestMessage,
    decode_bundle,
    decode_request,
)
from twinlock.core.statements import Statement, transport_statement


@dataclass
class Liar:
    """Asks kim's agent, freshly unlocked, for one value; tests change what is sent."""

    world: World
    agent: Agent
    hello: bytes
    bundle: RequestBundle
    message: RequestMessage
    transport: TransportKey
    begin: int
    nonce: bytes
    signs_with: bytes
    extra: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def asking(cls, world: World, **unlock: Any) -> Liar:
        agent = unlocked(world, "kim", **unlock)
        hello = agent.hello()
        sealed = world.vault.seal("I48.0", to=world.ward, context=DIAGNOSIS)
        bundle = decode_bundle(world.asked((DIAGNOSIS, sealed), purpose="ward round").bind(hello))
        nonce = agent._state.sessions[-1].nonce
        key, _ = world.vault._transport.stated_to(nonce)
        identity = world.vault.directory.identity.kid
        made = world.vault._transport._current.made
        return cls(
            world, agent, hello, bundle, decode_request(bundle.request), key, made, nonce, identity
        )

    def say(self, **changes: Any) -> None:
        """Change the request message."""
        self.message = replace(self.message, **changes)

    def send(self, **changes: Any) -> None:
        """Change the bundle around the message."""
        self.bundle = replace(self.bundle, **changes)

    def state(
        self,
        *,
        key: TransportKey | None = None,
        life: tuple[int, int] = (0, 3600),
        nonce: bytes | None = None,
        deployment: bytes | None = None,
        signer: bytes | None = None,
    ) -> None:
        """Have the token state a transport key; ``life`` is relative to now."""
        now, key = self.world.clock(), key or self.transport
        raw = transport_statement(
            deployment or self.world.config.deployment_id,
            key,
            now + life[0],
            now + life[1],
            nonce or self.nonce,
        )
        signature = self.world.vault.token.sign(signer or self.signs_with, raw)
        self.send(transport=Statement(raw, signature))
        self.say(transport_kid=key.kid, transport_digest=sha256(key.public))

    def item(self, **changes: Any) -> None:
        """Change the one record that is asked for."""
        self.say(items=(replace(self.message.items[0], **changes),))

    def lock(self, **changes: Any) -> None:
        """Change the lock of the one record."""
        header = decode_header(self.message.items[0].header)
        [lock] = header.locks
        new = new_header(
            header.commitment,
            header.outer_suite,
            header.wrapping_kid,
            (replace(lock, **changes),),
        )
        self.item(header=new.raw)

    def encoded(self) -> bytes:
        return replace(self.bundle, request=self.message.encode()).encode()


def unlocked(world: World, name: str, **options: Any) -> Agent:
    """A second run of a member's agent."""
    key = DeviceKey(world.founding.folder / f"{name}.key")
    return Agent.unlock(name, key, clock=world.clock, **options)


def other_item(world: World) -> RequestItem:
    """An item as another, genuine request has it."""
    sealed = world.vault.seal("other", to=world.ward, context=replace(DIAGNOSIS, record="1"))
    asked = world.asked((replace(DIAGNOSIS, record="1"), sealed))
    [item] = decode_request(decode_bundle(asked.bind(world.weber.hello())).request).items
    return item


def rules(**floors: Any) -> Policy:
    """A group's policy that accepts every suite."""
    return Policy(outer_suites=frozenset(OuterSuite), **floors)
