"""An admin of another group, with the live server, offers a token of his own."""

from __future__ import annotations

from dataclasses import replace

from attacks.harness import Mutation, Trial, attack, nothing, weakened
from attacks.people import Insider
from attacks.powers import OwnToken
from attacks.world import World, group
from twinlock.agent import examine
from twinlock.core.membership import (
    Policy,
    SetIdentity,
    countersign_input,
    next_entry,
    sign_entry,
    with_countersignature,
)
from twinlock.core.primitives import aes_key_unwrap, sha256
from twinlock.core.release import decode_release, split_signed
from twinlock.core.request import (
    GroupNews,
    decode_bundle,
    decode_hello,
    decode_request,
)


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
