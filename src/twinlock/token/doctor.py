"""``doctor``: what a token really does, found by doing, in session objects of the runtime role.

The report names the suites and guarantees that the token carries, grades it, and says what falls
and why. Grade A: no key can be read at any level, even by whoever runs PKCS#11 calls in the live
process. Grade B: keys meet only inside the token as long as the server is honest.
"""

from __future__ import annotations

import os
from typing import Final

from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.errors import EnvError, TwinlockError
from twinlock.token import levels, probes
from twinlock.token.ck import Cka, Ckm
from twinlock.token.keys import KeyRing
from twinlock.token.lab import Lab, laboratory
from twinlock.token.pkcs11_token import Pkcs11Token
from twinlock.token.probes import NotHeldError, ProbeSpec
from twinlock.token.report import DoctorReport, Guarantee, Probe, SuiteVerdict
from twinlock.token.returns import CallError, translating

EVERYTHING: Final = "everything"
GRADE_A: Final = "grade A"
NARROW: Final = "wrapping keys that answer one mechanism"
INFORMATION: Final = "choosing a profile"
HARDENING: Final = "hardening passwords"
VERIFIERS: Final = "keeping SCRAM verifiers"
PERSISTENT: Final = "making persistent keys"
SUITE_NAMES: Final = {
    OuterSuite.RSA_OAEP_SHA1: "rsa-oaep-sha1",
    OuterSuite.RSA_OAEP_SHA256: "rsa-oaep-sha256",
    OuterSuite.TOKEN_AES: "token-aes",
}

PROBES: Final = (
    ProbeSpec("RSA transport key as a session object", EVERYTHING, probes.transport_key),
    ProbeSpec("RSA-OAEP unwrap of an AES key", EVERYTHING, probes.session_key_unwrap),
    ProbeSpec("AES key wrap (RFC 3394)", EVERYTHING, probes.key_wrap_vector),
    ProbeSpec("AES-GCM decryption", EVERYTHING, probes.gcm_decrypt),
    ProbeSpec("ECDSA P-256 signatures", EVERYTHING, probes.ecdsa_sign),
    ProbeSpec("damaged GCM data are refused", EVERYTHING, probes.damaged_gcm, refusal=True),
    ProbeSpec(
        "damaged wrapped keys are refused", EVERYTHING, probes.damaged_key_wrap, refusal=True
    ),
    ProbeSpec("session objects die with their session", EVERYTHING, probes.objects_die),
    ProbeSpec("sessions share their objects", EVERYTHING, probes.other_sessions_see),
    ProbeSpec(
        "RSA-OAEP decryption with SHA-1",
        SUITE_NAMES[OuterSuite.RSA_OAEP_SHA1],
        probes.oaep_decrypt("sha1"),
    ),
    ProbeSpec(
        "RSA-OAEP decryption with SHA-256",
        SUITE_NAMES[OuterSuite.RSA_OAEP_SHA256],
        probes.oaep_decrypt("sha256"),
    ),
    ProbeSpec("damaged RSA blocks are refused", "rsa-oaep", probes.damaged_oaep, refusal=True),
    ProbeSpec(
        "a DEK born, wrapped and used in the token",
        SUITE_NAMES[OuterSuite.TOKEN_AES],
        probes.token_aes,
    ),
    *(
        ProbeSpec(
            f"{levels.NAMES[level]} cannot be read",
            GRADE_A,
            levels.cannot_be_read(level),
            refusal=True,
        )
        for level in levels.LEVELS
    ),
    *(
        ProbeSpec(
            f"{levels.NAMES[level]} has one usage",
            GRADE_A,
            levels.has_one_usage(level),
            refusal=True,
        )
        for level in levels.LEVELS
    ),
    ProbeSpec(
        "attributes cannot be changed later", GRADE_A, levels.cannot_be_changed, refusal=True
    ),
    ProbeSpec(
        "a copy cannot have other attributes", GRADE_A, levels.cannot_be_copied, refusal=True
    ),
    ProbeSpec("forms of unwrap template", INFORMATION, levels.forms_of_unwrap_template),
    ProbeSpec(
        "no raw RSA on the wrapping key", NARROW, probes.only_oaep(Ckm.RSA_X_509), refusal=True
    ),
    ProbeSpec(
        "no PKCS#1 v1.5 on the wrapping key", NARROW, probes.only_oaep(Ckm.RSA_PKCS), refusal=True
    ),
    ProbeSpec(
        "the wrapping key does not unwrap",
        NARROW,
        probes.wrapping_key_unwraps_nothing,
        refusal=True,
    ),
    ProbeSpec("no ECB on the AES wrapping key", NARROW, probes.only_gcm, refusal=True),
    ProbeSpec("ECDH1 without a KDF, read as a coordinate", HARDENING, probes.hardening),
    ProbeSpec(
        "the hardening key does not sign",
        HARDENING,
        probes.hardening_key_signs_nothing,
        refusal=True,
    ),
    ProbeSpec("AES-GCM with a nonce of the server's", VERIFIERS, probes.verifiers),
    ProbeSpec(
        "the verifier key does not wrap",
        VERIFIERS,
        probes.verifier_key_wraps_nothing,
        refusal=True,
    ),
)


def examine(token: Pkcs11Token, *, deep: bool = False) -> DoctorReport:
    """Try everything and report. ``deep`` also makes persistent keys, and destroys them again.

    Raises EnvError only for a token that cannot be reached; what it refuses is in the report.
    """
    with translating(), laboratory(token) as lab:
        found = [_try(spec, lab) for spec in PROBES]
    if deep:
        found += [_persistent(token, *kind) for kind in _persistent_kinds(token)]
    suites = tuple(_suite_verdict(suite, found) for suite in OuterSuite)
    base = _all_held(found, EVERYTHING)
    usable = base and any(verdict.carried for verdict in suites)
    grade_a = _all_held(found, GRADE_A)
    wanted = (EVERYTHING, GRADE_A) if usable else (EVERYTHING, *SUITE_NAMES.values())
    return DoctorReport(
        token=f"{token.info.manufacturer} {token.info.model}",
        serial=token.serial,
        module=f"{token.module.path} ({token.module.description} {token.module.version})",
        profile=token.profile.name,
        profile_tried=token.profile.tried,
        probes=tuple(found),
        suites=suites,
        guarantees=_guarantees(found),
        missing=tuple(
            f"{p.name} ({p.detail})" for p in found if p.held is False and p.needed_for in wanted
        ),
        grade=("A" if grade_a else "B") if usable else None,
        usable=usable,
    )


def _falls(probe: Probe, wanted: tuple[str, ...]) -> bool:
    return probe.held is not True and probe.needed_for in wanted


def _try(spec: ProbeSpec, lab: Lab) -> Probe:
    try:
        return Probe(spec.name, True, spec.run(lab), spec.needed_for)
    except NotHeldError as found:
        return Probe(spec.name, False, str(found), spec.needed_for)
    except CallError as failed:
        return Probe(spec.name, None if spec.refusal else False, str(failed), spec.needed_for)


def _all_held(found: list[Probe], needed_for: str) -> bool:
    return all(probe.held is True for probe in found if probe.needed_for == needed_for)


def _suite_verdict(suite: OuterSuite, found: list[Probe]) -> SuiteVerdict:
    name = SUITE_NAMES[suite]
    needs = (EVERYTHING, name) if suite is OuterSuite.TOKEN_AES else (EVERYTHING, name, "rsa-oaep")
    lacking = [probe for probe in found if _falls(probe, needs)]
    if not lacking:
        return SuiteVerdict(name, True, "every probe of it held")
    return SuiteVerdict(name, False, ", ".join(probe.name for probe in lacking))


_GUARANTEES: Final = (
    (
        "damaged data are refused and told from a failing token",
        (
            "damaged GCM data are refused",
            "damaged wrapped keys are refused",
            "damaged RSA blocks are refused",
        ),
    ),
    (
        "what a request unwraps is gone after it",
        ("session objects die with their session",),
    ),
    *(
        (
            f"a live takeover does not read {levels.NAMES[level]}",
            (f"{levels.NAMES[level]} cannot be read", f"{levels.NAMES[level]} has one usage"),
        )
        for level in levels.LEVELS
    ),
    (
        "usages cannot be added to a key that exists",
        ("attributes cannot be changed later", "a copy cannot have other attributes"),
    ),
    (
        "wrapping keys answer one mechanism only",
        (
            "no raw RSA on the wrapping key",
            "no PKCS#1 v1.5 on the wrapping key",
            "the wrapping key does not unwrap",
            "no ECB on the AES wrapping key",
        ),
    ),
    (
        "passwords can be hardened by the token",
        (
            "ECDH1 without a KDF, read as a coordinate",
            "the hardening key does not sign",
        ),
    ),
    (
        "SCRAM verifiers can be locked by the token",
        (
            "AES-GCM with a nonce of the server's",
            "the verifier key does not wrap",
        ),
    ),
)


def _guarantees(found: list[Probe]) -> tuple[Guarantee, ...]:
    by_name = {probe.name: probe for probe in found}
    return tuple(_guarantee(text, [by_name[name] for name in names]) for text, names in _GUARANTEES)


def _guarantee(text: str, on: list[Probe]) -> Guarantee:
    """Fallen if one of its probes fell, unknown if one was not tried."""
    falling = [probe for probe in on if probe.held is not True]
    held = None if any(probe.held is None for probe in falling) else not falling
    if any(probe.held is False for probe in falling):
        held = False
    details = dict.fromkeys(probe.detail for probe in falling or on)
    return Guarantee(text, held, "; ".join(details))


def _persistent_kinds(token: Pkcs11Token) -> list[tuple[KeyRole, OuterSuite | None]]:
    return [
        (KeyRole.IDENTITY, None),
        (KeyRole.HARDENING, None),
        (KeyRole.VERIFIER, None),
        (KeyRole.WRAPPING, token.rsa_oaep_suite),
        (KeyRole.WRAPPING, OuterSuite.TOKEN_AES),
    ]


def _persistent(token: Pkcs11Token, role: KeyRole, suite: OuterSuite | None) -> Probe:
    """Make a persistent key with the policy, check it as at start-up, destroy it."""
    name = f"a persistent {role.value} key{f' ({SUITE_NAMES[suite]})' if suite else ''}"
    ring = KeyRing(token.profile, os.urandom)
    try:
        with translating(), token.pool.main() as login:
            key = ring.generate(login, role, suite, 2048)
            for handle in login.session.find({Cka.ID: key.kid}):
                login.calls.destroy(handle)
    except EnvError as error:
        return Probe(name, False, str(error), PERSISTENT)
    except TwinlockError as error:
        return Probe(name, None, str(error), PERSISTENT)
    return Probe(name, True, "made with the policy, checked, destroyed", PERSISTENT)
