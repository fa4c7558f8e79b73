"""Signing in with passkeys: what works, for whom, and for whom not."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from typing import Any

import cbor2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from tests.passkey.browser import AGENT, APPLICATION, SoftwareBrowser, decoded, encoded
from tests.passkey.site import KIM, UNKNOWN, WEBER, Json, Site, changed, refusal, sent
from tests.passkey.software import SoftwareAuthenticator
from tests.server.world import world_in_memory
from twinlock.core.enrolment import decode_enrolment
from twinlock.core.member_bundle import decode_member_bundle
from twinlock.core.secret import Secret
from twinlock.errors import CallerError, DataError
from twinlock.passkey.passkey import Passkey
from twinlock.server.passkey_records import decode_passkey_record
from twinlock.server.passkeys import PasskeyChallenge, PasskeyLogin

# --- what works -----------------------------------------------------------------------------------


def test_who_registered_signs_in_and_the_count_is_kept(site: Site) -> None:
    """R-PASSKEY-6, R-PASSKEY-7, R-PASSKEY-10."""
    for _ in range(2):
        signed = site.sign_in()
        assert signed.before == site.stored[0]
        before, after = (decode_passkey_record(raw) for raw in (signed.before, signed.after))
        assert after.sign_count > before.sign_count
        site.stored = [signed.after]


def test_what_is_stored_is_as_the_specification_writes_it(site: Site) -> None:
    """R-PASSKEY-10."""
    [credential_id] = site.browser.authenticator.credentials
    label, *items = cbor2.loads(site.stored[0])
    numbers = site.browser.authenticator.credentials[credential_id].key.public_key()
    point = numbers.public_numbers()
    cose = {1: 2, 3: -7, -1: 1, -2: point.x.to_bytes(32, "big"), -3: point.y.to_bytes(32, "big")}
    assert label == "twinlock/v1/passkey-login"
    assert items[:3] == [KIM, "agent.example", credential_id]
    assert cbor2.loads(items[3]) == cose
    assert items[5] == ["nfc", "usb"]


def test_one_touch_signs_in_and_gives_what_the_command_line_unlocks_with(site: Site) -> None:
    """R-PASSKEY-2, R-PASSKEY-4: the server sees the one, the agent the other."""
    salt = os.urandom(32)
    challenge = site.login.begin("kim", site.stored)
    response, prf = site.browser.sign_in(sent(challenge), salt)
    assert site.finish(challenge, response).after
    device = site.browser.authenticator
    passkey = Passkey(lambda: Secret(device.pin.encode()), devices=lambda: [device])
    [credential_id] = device.credentials
    assert passkey.evaluate("agent.example", credential_id, salt) == Secret(prf)
    for written in (encoded(prf), prf.hex()):
        assert written not in json.dumps(response)


def test_a_passkey_names_its_member_where_no_name_was_typed(site: Site) -> None:
    """R-PASSKEY-7."""
    challenge, response = site.answered(None)
    assert sent(challenge)["allow"] == []
    assert site.login.claimed_member(response) == KIM
    assert site.finish(challenge, response).before == site.stored[0]


def test_one_that_is_not_discoverable_names_nobody_and_signs_in_by_name() -> None:
    site = Site(SoftwareBrowser(SoftwareAuthenticator(room=0)))
    site.register()
    challenge, response = site.answered()
    assert site.login.claimed_member(response) is None
    assert site.finish(challenge, response)


@pytest.mark.parametrize("keeps", [True, False], ids=["its own", "none"])
def test_no_attestation_and_an_authenticators_own_are_taken(keeps: bool) -> None:
    site = Site(SoftwareBrowser(keeps_attestation=keeps))
    site.register()
    assert site.sign_in()


def test_a_count_that_stays_zero_is_none() -> None:
    """R-PASSKEY-7: passkeys that are copied between devices do not count."""
    site = Site(SoftwareBrowser(SoftwareAuthenticator(counting=False)))
    site.register()
    for _ in range(2):
        site.stored = [site.sign_in().after]


def test_nonces_are_drawn_and_challenges_can_be_kept_without_their_options(site: Site) -> None:
    """R-PASSKEY-6."""
    nonces = {site.login.begin("kim", site.stored).nonce for _ in range(3)}
    nonces |= {site.login.begin_registration().nonce}
    assert (len(nonces), {len(nonce) for nonce in nonces}) == (4, {32})
    challenge, response = site.answered()
    assert site.finish(PasskeyChallenge(challenge.nonce, challenge.begun), response)


def test_passkeys_that_a_member_has_are_not_registered_twice(site: Site) -> None:
    challenge = site.login.begin_registration(site.stored)
    assert [decoded(one["id"]) for one in sent(challenge)["exclude"]] == list(
        site.browser.authenticator.credentials
    )


def test_a_second_passkey_of_a_member_signs_in_too(site: Site) -> None:
    other = Site(SoftwareBrowser(), stored=site.stored)
    other.register()
    assert [s.sign_in().before for s in (site, other)] == site.stored


# --- what does not --------------------------------------------------------------------------------

OTHER_CLIENT = {
    "another application's page": {"page": "https://other.example"},
    "another agent": {"said": {"origin": "https://agent.example.evil"}},
    "the application itself": {"said": {"origin": APPLICATION}},
    "in a frame": {"said": {"cross_origin": True}},
    "under another page": {"said": {"topOrigin": APPLICATION}},
    "not verifying": {"verification": "discouraged"},
    "the other ceremony": {"said": {"type": "webauthn.other"}},
    "another challenge": {"said": {"challenge": bytes(32)}},
}


@pytest.mark.parametrize("name", OTHER_CLIENT)
def test_an_assertion_for_something_else_is_refused(site: Site, name: str) -> None:
    """R-PASSKEY-6, R-PASSKEY-7, R-PASSKEY-9: relayed, framed, without verification."""
    for attribute, value in OTHER_CLIENT[name].items():
        setattr(site.browser, attribute, value)
    answered = site.answered()
    refusal(lambda: site.finish(*answered))


@pytest.mark.parametrize("name", [name for name in OTHER_CLIENT if name != "not verifying"])
def test_a_registration_for_something_else_is_refused(name: str) -> None:
    """R-PASSKEY-6, R-PASSKEY-7."""
    site = Site()
    for attribute, value in OTHER_CLIENT[name].items():
        setattr(site.browser, attribute, value)
    refusal(site.register)


@pytest.mark.parametrize("flag", [1, 4], ids=["presence", "verification"])
def test_what_the_authenticator_does_not_state_is_not_taken_for_granted(
    site: Site, flag: int
) -> None:
    """R-PASSKEY-7."""
    site.browser.authenticator.forged = lambda flags: flags & ~flag
    answered = site.answered()
    refusal(lambda: site.finish(*answered))
    refusal(Site(site.browser).register)


def test_an_assertion_for_one_application_is_none_for_another(site: Site) -> None:
    """R-PASSKEY-6: though it keeps the same passkey, and was given the very nonce."""
    challenge, response = site.answered()
    other = Site(audience="https://other.example", stored=site.stored)
    refusal(lambda: other.finish(challenge, response))
    assert site.finish(challenge, response)


def test_a_registration_for_one_member_is_none_for_another() -> None:
    """R-PASSKEY-6."""
    site = Site()
    challenge = site.login.begin_registration()
    response = site.browser.register(sent(challenge), KIM)
    finish = site.login.finish_registration
    refusal(lambda: finish(challenge, response, member_id=WEBER))
    assert finish(challenge, response, member_id=KIM)


@pytest.mark.parametrize(
    ("passed", "is_taken"), [(0, True), (300, True), (301, False), (-1, False)]
)
def test_a_challenge_lives_for_five_minutes(site: Site, passed: int, is_taken: bool) -> None:
    """R-PASSKEY-6."""
    answered = site.answered()
    registering = site.login.begin_registration()
    made = site.browser.register(sent(registering), KIM)
    site.now += passed
    calls: list[Callable[[], object]] = [
        lambda: site.finish(*answered),
        lambda: site.login.finish_registration(registering, made, member_id=KIM),
    ]
    for call in calls:
        if is_taken:
            assert call()
        else:
            refusal(call)


@pytest.mark.parametrize("behind", [0, 1, 5])
def test_a_count_that_does_not_grow_is_refused(site: Site, behind: int) -> None:
    """R-PASSKEY-7: of two copies of a key, one is found out."""
    device = site.browser.authenticator
    device.counter = 100
    signed = site.sign_in()
    site.stored = [signed.after]
    # Being asked what it holds counts on this one, before each signature.
    device.counter = decode_passkey_record(signed.after).sign_count - 2 - behind
    answered = site.answered()
    refusal(lambda: site.finish(*answered))


def test_another_members_passkey_is_nobodys(site: Site) -> None:
    """R-PASSKEY-7: also when it is stored, or claimed, as this member's."""
    challenge, response = site.answered()
    finish, stored = site.login.finish, site.stored
    refusal(lambda: finish(challenge, response, member_id=WEBER, stored=stored))
    refusal(lambda: finish(challenge, response, member_id=None, stored=stored))
    refusal(lambda: finish(challenge, response, member_id=KIM, stored=[]))
    response["response"]["userHandle"] = encoded(WEBER + bytes(16))
    refusal(lambda: site.finish(challenge, response))


def test_a_passkey_of_another_agents_origin_is_not_offered_nor_taken(site: Site) -> None:
    record = cbor2.loads(site.stored[0])
    moved = cbor2.dumps([*record[:2], "other.example", *record[3:]])
    challenge, response = site.answered()
    finish = site.login.finish
    refusal(lambda: finish(challenge, response, member_id=KIM, stored=[moved]))
    shown = sent(site.login.begin("kim", [moved]))["allow"]
    assert shown == sent(site.login.begin("kim"))["allow"]


def test_whoever_has_the_applications_secrets_signs_in_as_nobody(site: Site) -> None:
    """R-PASSKEY-9: what stands for strangers can be signed for by nobody, and signs in nobody."""
    login = site.login
    key = ec.generate_private_key(ec.SECP256R1())
    point = key.public_key().public_numbers()
    x, y = (number.to_bytes(32, "big") for number in (point.x, point.y))
    public = cbor2.dumps({1: 2, 3: -7, -1: 1, -2: x, -3: y}, canonical=True)
    login._nobodys = replace(login._nobodys, public_key=public)
    challenge, response = site.answered()
    data = decoded(response["response"]["authenticatorData"])
    digest = sha256(decoded(response["response"]["clientDataJSON"])).digest()
    response["response"]["signature"] = encoded(key.sign(data + digest, ec.ECDSA(SHA256())))
    response["response"]["userHandle"] = None
    refusal(lambda: login.finish(challenge, response, member_id=KIM, stored=[]))


# --- what nobody else may learn -------------------------------------------------------------------

LEAKS = [
    {"prf": {"results": {"first": encoded(bytes(32))}}},
    {"prf": {"enabled": True, "results": {}}},
    {"prf": {"results": None}},
    {"hmacGetSecret": {"output1": encoded(bytes(32))}},
]


@pytest.mark.parametrize("results", LEAKS, ids=repr)
def test_a_response_with_what_unlocks_is_refused_whatever_else_it_is(
    site: Site, results: Json
) -> None:
    """R-PASSKEY-4: also where it would sign in, and where nothing else of it is right."""
    challenge, response = site.answered()
    leaking = changed(response, "clientExtensionResults", results)
    for one in (leaking, {"clientExtensionResults": results}):
        refusal(lambda o=one: site.finish(challenge, o), "passkey.prf-leaked")
        refusal(
            lambda o=one: site.login.finish_registration(challenge, o, member_id=KIM),
            "passkey.prf-leaked",
        )


@pytest.mark.parametrize("results", [None, ..., {}, {"prf": {"enabled": True}}, {"prf": 7}, []])
def test_what_extensions_say_otherwise_is_nobodys_concern(site: Site, results: Any) -> None:
    challenge, response = site.answered()
    assert site.finish(challenge, changed(response, "clientExtensionResults", results))


def test_strangers_are_answered_as_members_are_and_always_the_same(site: Site) -> None:
    """R-PASSKEY-9."""
    known = sent(site.login.begin("kim", site.stored))["allow"]
    [first], [again] = (sent(site.login.begin("nobody"))["allow"] for _ in range(2))
    [other] = sent(site.login.begin("somebody"))["allow"]
    elsewhere = PasskeyLogin(
        audience=APPLICATION, agent_origin=AGENT, unknown=Secret(os.urandom(32))
    )
    [apart] = sent(elsewhere.begin("nobody"))["allow"]
    assert first == again
    assert len({first["id"], other["id"], apart["id"], known[0]["id"]}) == 4
    for entry in (*known, first, other, apart):
        assert set(entry) == {"id", "transports"}
        assert len(decoded(entry["id"])) == 32
        assert entry["transports"]


def test_a_stranger_has_the_same_passkey_to_unlock_and_to_sign_in_with() -> None:
    """R-PASSKEY-9: who asks for both learns no more than who asks for one."""
    with world_in_memory() as world:
        login = PasskeyLogin(
            audience=APPLICATION, agent_origin=AGENT, unknown=world.vault.stranger_secret
        )
        for kinds in (["passkey"], ["device-key", "passkey"]):
            bundle = decode_member_bundle(world.vault.members.bundle("nobody", kinds))
            [blob] = bundle.blobs
            [_, credential_id, _] = dict(decode_enrolment(blob).factors)["passkey"]
            [entry] = sent(login.begin("nobody"))["allow"]
            assert decoded(entry["id"]) == credential_id


def test_transports_of_strangers_are_those_of_several_kinds_of_authenticators(site: Site) -> None:
    """R-PASSKEY-9."""
    begun = [site.login.begin(f"stranger {number}") for number in range(40)]
    kinds = {tuple(sent(challenge)["allow"][0]["transports"]) for challenge in begun}
    assert kinds == {("internal",), ("hybrid", "internal"), ("nfc", "usb")}


def test_neither_responses_nor_challenges_show_in_an_error(site: Site) -> None:
    """R-SECRET-3, R-PASSKEY-9."""
    challenge, response = site.answered()
    response["response"]["signature"] = encoded(b"a signature that is none")
    error = refusal(lambda: site.finish(challenge, response))
    assert response["rawId"] not in str(error)
    assert encoded(challenge.nonce) not in str(error)


def test_every_refusal_has_the_same_words(site: Site) -> None:
    """R-PASSKEY-9."""
    challenge, response = site.answered()
    finish = site.login.finish
    errors = [
        refusal(lambda: finish(challenge, response, member_id=None, stored=[])),
        refusal(lambda: finish(challenge, {}, member_id=KIM, stored=site.stored)),
        refusal(lambda: finish(PasskeyChallenge(bytes(32), 0), response, member_id=KIM, stored=[])),
    ]
    site.now += 301
    errors.append(refusal(lambda: site.finish(challenge, response)))
    assert len({str(error) for error in errors}) == 1


# --- what is stored, and set up -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "value"),
    [
        (1, bytes(15)),
        (2, "Agent.example"),
        (3, bytes(15)),
        (3, bytes(1024)),
        (4, "text"),
        (5, -1),
        (5, 2**32),
        (6, ["usb", "nfc"]),
        (6, ["usb", "usb"]),
        (6, ["pigeon"]),
        (6, None),
    ],
)
def test_a_stored_passkey_that_was_damaged_is_named_as_such(
    site: Site, item: int, value: Any
) -> None:
    """R-PASSKEY-10: that is no outsider's doing."""
    record = cbor2.loads(site.stored[0])
    record[item] = value
    with pytest.raises(DataError) as damaged:
        site.login.begin("kim", [cbor2.dumps(record)])
    assert damaged.value.code == "format.malformed"


@pytest.mark.parametrize(
    "origin",
    [
        "", "agent.example", "http://agent.example", "https://Agent.example", "https://192.0.2.1",
        "https://agent.example/", "https://agent.example:443", "https://agent.example:x",
        "https://kim@agent.example", "https://agent.example?", "https://[::1]", "https://",
    ],
)  # fmt: skip
def test_only_origins_that_passkeys_work_for_are_taken(origin: str) -> None:
    right = {"audience": APPLICATION, "agent_origin": AGENT, "unknown": UNKNOWN}
    for name in ("audience", "agent_origin"):
        with pytest.raises(CallerError) as refused:
            PasskeyLogin(**{**right, name: origin})
        assert refused.value.code == "passkey.origin"


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://agent.example:8443", "agent.example"),
        ("http://localhost:8000", "localhost"),
        ("http://agent.localhost", "agent.localhost"),
    ],
)
def test_the_domain_is_the_host_of_the_agents_origin(origin: str, host: str) -> None:
    """R-PASSKEY-3."""
    made = PasskeyLogin(audience=APPLICATION, agent_origin=origin, unknown=UNKNOWN)
    assert made.rp_id == host
