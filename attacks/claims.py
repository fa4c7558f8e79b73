"""The claims: what each takeover yields. One key per row of the table in the threat model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Claim:
    """One row: what the attacker has, and what may be learnt of it."""

    key: str
    attacker: str
    yields: str


_ROWS: Final = (
    Claim(
        "database",
        "database, any mix of snapshots",
        "no contents; no offline password test (unless some system stores a hash of the same "
        "password, or StoredKey unencrypted)",
    ),
    Claim("hsm", "HSM interface with PIN", "nothing"),
    Claim(
        "all-idle",
        "database + HSM interface + server, no member active",
        "nothing; passwords alone: guesses at token speed, in numbers; SCRAM alone and foreign "
        "login hashes: offline speed",
    ),
    Claim(
        "all-recorded",
        "the same + all recorded traffic, after the transport key died",
        "nothing (members with scram-alone: what they may open)",
    ),
    Claim(
        "live-own-agent",
        "the same, LIVE, agent on its own origin or a program",
        "exactly the DEKs released meanwhile; no key that opens another",
    ),
    Claim(
        "live-served-agent",
        "the same, LIVE, agent page served by the taken server",
        "the members who visit meanwhile",
    ),
    Claim(
        "live-server-agent",
        "the same, LIVE, agent in the server, or SCRAM there",
        "all that the members may open who are logged in or log in meanwhile, by their groups' "
        "policies or not, until they revoke; nothing of those who had logged out or stay away",
    ),
    Claim(
        "live-quorum",
        "live + k-1 members of a quorum group",
        "nothing beyond DEKs that k approved, counted within one sharing",
    ),
    Claim(
        "hsm-then-member",
        "HSM interface for a while, LATER a member's key of that time",
        "content existing then, until incident is over; afterwards nothing else",
    ),
    Claim(
        "factor-no-hsm",
        "a member's factors (of any time since the last member-rekey) + database, no HSM",
        "nothing; of whoever has a password, not even the member's keys",
    ),
    Claim(
        "password-database",
        "database, any mix of snapshots, and a list that holds the members' passwords",
        "nothing: no hardened password, no login and no SCRAM account can be tested",
    ),
    Claim(
        "password-hsm",
        "the same + HSM interface",
        "passwords at the token's speed, in numbers, and with them the members who have a password "
        "alone; SCRAM passwords at the speed of PBKDF2. Nobody who has a second factor",
    ),
    Claim(
        "scram-alone",
        "the server that ends SCRAM, or StoredKey and a recorded exchange, + the enrolment",
        "ClientKey, and with it whoever has scram alone: inherent",
    ),
    Claim(
        "scram-second-factor",
        "the same, members with a second factor; and a server that lies in the exchange",
        "ClientKey; no member, no password at less than what the enrolment pins, no session of "
        "another channel",
    ),
    Claim(
        "password-server",
        "a server that lies to members who enrol, change and unlock a password",
        "nothing of the password. With the HSM interface, live: passwords of those who enrol "
        "meanwhile can be tested offline",
    ),
    Claim(
        "accounts",
        "whoever may ask an honest server",
        "so many guesses as its limits allow; not whether an account exists, but for a SCRAM "
        "verifier brought in with another count, and, while a hardening key retires, a password "
        "that did not move yet; times are reported",
    ),
    Claim(
        "recovery",
        "fewer contacts than are needed, an admin, the server, database WRITE and the HSM "
        "interface; somebody before a device who says to be the member",
        "nothing. As many contacts as are needed, with changed agents, or who take another for the "
        "member while the server hides the notice: that member",
    ),
    Claim(
        "removed-member",
        "a removed member's secrets + current database + HSM interface",
        "what is not re-sealed yet; with old copies or kept release keys: content of its time "
        "until relock",
    ),
    Claim(
        "old-way-in",
        "an old factor of a member, every snapshot, database WRITE and the HSM interface, after "
        "the member changed or revoked it",
        "changed: is the member still, since changing keeps the keys, also by arriving on a "
        "computer that knows nothing at a server whose database was set back. Revoked: what was "
        "sealed before, as long as it is not re-sealed; nothing sealed afterwards",
    ),
    Claim(
        "database-write",
        "database WRITE",
        "denial of service, and a record put back to an earlier genuine state where no version is "
        "in the context; no foreign plaintext, no key or member substituted, no unnoticed "
        "rollback of a group",
    ),
    Claim(
        "device",
        "a member's device, unlocked, + HSM interface + database",
        "what that member alone may open: inherent",
    ),
    Claim(
        "adopted",
        "database WRITE, every backup, the HSM interface; columns were adopted and cut over",
        "with the old key in the token's reach, by that key alone: what was not written anew; once "
        "it is gone: nothing. The application reads no legacy row and no foreign plaintext",
    ),
    Claim(
        "web-session",
        "a signed-in user's session cookie and recorded traffic; or a page elsewhere that sends "
        "requests from the user's browser",
        "nothing that is sealed, except with the cookie AND the bytes of a release that was "
        "posted for an unsafe request and not used yet: that request as it is; no other one of the "
        "user is answered or repeated",
    ),
    Claim(
        "agent-origin",
        "scripts in the application's pages, its server too, while a member's agent is unlocked on "
        "an origin of its own",
        "exactly the DEKs that the agent releases meanwhile: within its budget, or with a click of "
        "its member in its own window; no key, no file, no decision",
    ),
    Claim(
        "boundaries",
        "whoever can send bytes",
        "a refusal with a stable code, fast and in bounded memory; never ciphertext, an empty "
        "value or wrong plaintext as if it were data",
    ),
)

CLAIMS: Final[dict[str, Claim]] = {claim.key: claim for claim in _ROWS}
