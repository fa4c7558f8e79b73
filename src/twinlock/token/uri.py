"""``pkcs11:`` URIs (RFC 7512): which module, which token, where its PIN comes from.

Parsed strictly: an attribute that Twinlock does not use is an error, since ignoring it could pick
another token than the one that was meant. A PIN never stands in a URI.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote_to_bytes

from twinlock.errors import CallerError

_PATH: Final = ("token", "serial", "manufacturer", "model", "slot-id")
_QUERY: Final = ("module-path", "module-name", "pin-source")
_VALUE: Final = re.compile(r"(?:[A-Za-z0-9\-._~:\[\]@!$'()*+,=&/?|]|%[0-9A-Fa-f]{2})*\Z")
_MODULE_NAME: Final = re.compile(r"[A-Za-z0-9_.\-]+\Z")


@dataclass(frozen=True, slots=True)
class TokenUri:
    """A parsed URI; what is None matches any token."""

    token: str | None = None
    serial: str | None = None
    manufacturer: str | None = None
    model: str | None = None
    slot_id: int | None = None
    module_path: str | None = None
    module_name: str | None = None
    pin_source: str | None = None

    def __str__(self) -> str:
        path = [f"{name}={_quoted(value)}" for name, value in self._given(_PATH)]
        query = [f"{name}={_quoted(value)}" for name, value in self._given(_QUERY)]
        return "pkcs11:" + ";".join(path) + ("?" + "&".join(query) if query else "")

    def _given(self, names: tuple[str, ...]) -> list[tuple[str, str]]:
        values = ((name, getattr(self, name.replace("-", "_"))) for name in names)
        return [(name, str(value)) for name, value in values if value is not None]


def parse_uri(text: str) -> TokenUri:
    """Parse an RFC 7512 URI. Raises CallerError ``token.uri`` for anything that is not one."""
    scheme, colon, rest = text.partition(":")
    if not colon or scheme.lower() != "pkcs11":
        raise _refused("it does not begin with `pkcs11:`")
    path, question, query = rest.partition("?")
    given = _attributes(path, ";", _PATH)
    given.update(_attributes(query, "&", _QUERY) if question else {})
    slot = given.pop("slot-id", None)
    if slot is not None and not re.fullmatch(r"[0-9]{1,19}", slot, re.ASCII):
        raise _refused("slot-id is not a number")
    name = given.get("module-name")
    if name is not None and not _MODULE_NAME.match(name):
        raise _refused("module-name is not the name of a library")
    return TokenUri(
        slot_id=int(slot) if slot is not None else None,
        **{key.replace("-", "_"): value for key, value in given.items()},
    )


def _attributes(text: str, separator: str, known: tuple[str, ...]) -> dict[str, str]:
    found: dict[str, str] = {}
    for item in text.split(separator) if text else []:
        name, equals, value = item.partition("=")
        if name == "pin-value":
            raise _refused(
                "it holds a PIN",
                hint="URIs end up in logs. Put the PIN in a file that only the service may read "
                "and name it with `pin-source=file:/path`.",
            )
        if not equals or name not in known:
            raise _refused(f"{name!r} is not an attribute that is used here")
        if name in found:
            raise _refused(f"{name} is given twice")
        found[name] = _decoded(name, value)
    return found


def _decoded(name: str, value: str) -> str:
    if not _VALUE.match(value):
        raise _refused(f"{name} holds a character that must be percent-encoded")
    try:
        decoded = unquote_to_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise _refused(f"{name} is not UTF-8") from None
    if "\x00" in decoded or not decoded:
        raise _refused(f"{name} is empty or holds a zero byte")
    return decoded


def _quoted(value: str) -> str:
    return quote(value, safe="/:@")


def _refused(why: str, *, hint: str = "") -> CallerError:
    return CallerError(
        "token.uri",
        f"This is not a usable token URI: {why}.",
        hint=hint or "Example: pkcs11:token=records;serial=4711?module-path=/usr/lib/hsm.so",
    )
