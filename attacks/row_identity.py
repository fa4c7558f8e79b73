"""An admin of another group, with the live server, offers a token of his own."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from attacks.building import group
from attacks.forge import Taken, take
from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.people import Insider
from attacks.powers import OwnToken, directory_of
from attacks.row_keys import add_statement
from attacks.world import World
from twinlock.agent import examine
from twinlock.core import sealing
from twinlock.core.membership import (
    Policy,
    SetIdentity,
    countersign_input,
    next_entry,
    sign_entry,
    with_countersignature,
)
from twinlock.core.ports import KeyRole
from twinlock.core.primitives import aes_key_unwrap, gcm_open, sha256
from twinlock.core.release import decode_release, split_signed
from twinlock.core.request import (
    GroupNews,
    decode_bundle,
    decode_hello,
    decode_request,
)
from twinlock.core.segments import cut_ciphertext
from twinlock.errors import DataError


@attack(
    id="identity-by-another-group",
    claim="live-own-agent",
    attack=36,
    says="an admin of one group vouches for his own token, and asks for another group's records",
    mutations=[
        Mutation(
            "the agent asks one group about the token, not the record's own",
            lambda: weakened((examine, "_check_tokens", nothing)),
        )
    ],
)
def identity_by_another_group(world: World, trial: Trial) -> None:
    """Eve founds a club with Kim in it, and names her own token there; she wants ward records."""
    policy = Policy(outer_suites=world.config.accept)
    club = group(world, "club", policy, "eve", "kim")
    own = OwnToken(world.config.deployment_id)
    eve, kim = Insider.of(world, "eve"), world.agents["kim"]
    state = world.vault.group_states()[club.group_id]
    entry = next_entry(
        state, SetIdentity(own.fingerprint), actor_id=eve.member_id, time=world.clock()
    )
    signed = sign_entry(entry, eve.keys.signing, eve.member_id)
    news = with_countersignature(signed, own.log.sign(countersign_input(signed)))
    place = world.place("ward-only-rsa-oaep")
    hello = kim.hello()
    request = world.vault.request([(place.context, world.stored(place))])
    honest = decode_bundle(request.bind(hello))
    key, statement = own.transport(decode_hello(hello).agent_nonce)
    asked = replace(
        decode_request(honest.request), transport_kid=key.kid, transport_digest=sha256(key.public)
    )
    forged = replace(
        honest,
        request=asked.encode(),
        transport=statement,
        directory=own.directory(),
        news=(GroupNews(club.group_id, (news.encode(),)),),
    )
    with trial.attempt("another group's token", "group.identity") as attempt:
        release = decode_release(split_signed(kim.release(forged.encode()).raw)[0])
        session_key = own.decrypt(release.session_key)
        aes_key_unwrap(session_key, release.items[0].wrapped_release_key)
        attempt.broke()


def _dek_in_clear(_: bytes, dek: bytes) -> bytes:
    return dek + bytes(8)


@attack(
    id="own-wrapping-key",
    claim="all-idle",
    attack=36,
    says="the token's identity key made to state the attacker's wrapping key; records follow",
    mutations=[
        Mutation(
            "a DEK is not wrapped under a release key before the outer lock",
            lambda: weakened((sealing, "aes_key_wrap", _dek_in_clear)),
        )
    ],
)
def own_wrapping_key(world: World, trial: Trial) -> None:
    """Whoever has the HSM interface can have anything signed. The group's lock still stands."""
    own = OwnToken(world.config.deployment_id)
    suite = world.vault.token.rsa_oaep_suite
    identity = directory_of(world.config).identity
    key = own.key(KeyRole.WRAPPING, suite)
    token = world.vault.token
    statement = own.state(key, lambda raw: token.sign(identity.kid, raw))
    add_statement(world.database, statement)
    world.restart()
    for place in world.places:
        if place.suite == "rsa-oaep" and place.layout != "file":
            world.database.put(place, world.seal(place))
            taken = take(world, place)
            assert taken.head.header.wrapping_kid == key.kid
            with trial.attempt("the outer lock opened with his own key") as attempt:
                wrapped = own.decrypt(taken.head.outer)[:40]
                attempt.says(
                    _decrypts(taken, place.context.encode(world.config.deployment_id), wrapped)
                )


def _decrypts(taken: Taken, context: bytes, wrapped: bytes) -> bool:
    """Whether what the attacker holds decrypts the content: as it is, or as a key of itself."""
    (column, field), *_ = taken.fields.items()
    core = taken.head.core.raw
    part = cut_ciphertext(core, context, column, field.prefix, field.ciphertext)[0]
    for key in (wrapped[:32], wrapped[8:], sha256(wrapped)):
        with suppress(DataError):
            gcm_open(key, part.nonce, part.ciphertext, part.aad)
            return True
    return False
