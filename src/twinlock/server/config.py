"""``twinlock.toml``: where token and store are, what is accepted, and what is pinned outside them.

The file and the pins beside it are what a database writer cannot change. Paths are relative to the
file's own folder. It holds no secret: the PIN comes from a file, the environment or a prompt.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from twinlock.core.ports import OuterSuite
from twinlock.errors import CallerError, EnvError

SUITE_NAMES: Final[Mapping[str, frozenset[OuterSuite]]] = {
    "rsa-oaep": frozenset({OuterSuite.RSA_OAEP_SHA1, OuterSuite.RSA_OAEP_SHA256}),
    "token-aes": frozenset({OuterSuite.TOKEN_AES}),
}
DEFAULT_SESSIONS: Final = 8
MAX_ATTEMPTS: Final = (1 << 20) - 1

_KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "deployment": frozenset({"id", "identity", "environment"}),
    "token": frozenset({"uri", "profile", "reserved", "pin-file", "pin-env", "sessions"}),
    "store": frozenset({"url"}),
    "suites": frozenset({"seal", "accept"}),
    "writer": frozenset({"name", "key"}),
    "pins": frozenset({"file"}),
    "hardening": frozenset({"account-per-hour", "source-per-hour", "key-per-hour"}),
    "sign-in": frozenset({"account-per-hour", "source-per-hour"}),
    "agent": frozenset({"host", "in-server"}),
}
DEFAULT_AGENT_HOST: Final = "localhost"
_ENVIRONMENTS: Final = ("production", "development")


@dataclass(frozen=True, slots=True, kw_only=True)
class HardeningLimits:
    """How many password attempts an account, a source and a hardening key have in a clock hour.

    A dishonest client tries two passwords with one attempt.
    """

    account_per_hour: int = 20
    source_per_hour: int = 200
    key_per_hour: int = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class SignInLimits:
    """How many tries to sign in and fetched ways in an account and a source have in an hour."""

    account_per_hour: int = 60
    source_per_hour: int = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """A deployment's configuration."""

    folder: Path
    deployment_id: bytes
    identity: bytes
    production: bool
    token_uri: str
    token_profile: str | None
    token_reserved: str | None
    pin_file: Path | None
    pin_env: str | None
    sessions: int
    store_url: str
    seal_suite: str
    accept: frozenset[OuterSuite]
    writer_name: str
    writer_key: Path
    pins: Path
    hardening: HardeningLimits = HardeningLimits()
    sign_in: SignInLimits = SignInLimits()
    agent_host: str = DEFAULT_AGENT_HOST
    """The host of the browser's agent: the RP ID of members' passkeys."""
    agent_in_server: bool = False
    """Whether members' agents may be run by this server at all; their groups must allow it too."""


def load_config(path: str | Path) -> Config:
    """Read a configuration. Raises CallerError ``config.*``, EnvError ``config.unreadable``."""
    file = Path(path)
    try:
        table = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CallerError(
            "config.missing",
            f"There is no configuration {file}.",
            hint="Run `twinlock init`, or name the file with --config.",
        ) from error
    except OSError as error:
        raise EnvError(
            "config.unreadable", f"{file} cannot be read.", hint="Check its permissions."
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise CallerError(
            "config.invalid",
            f"{file} is not valid TOML: {error}.",
            hint="See docs/configuration.md.",
        ) from error
    return _Reader(file.parent.resolve(), table).config()


@dataclass(frozen=True, slots=True)
class _Reader:
    folder: Path
    table: Mapping[str, Any]

    def config(self) -> Config:
        self._check_names()
        seal = self._text("suites", "seal", "rsa-oaep")
        accept = self._list("suites", "accept", [seal])
        return Config(
            folder=self.folder,
            deployment_id=self._hex("deployment", "id", 16),
            identity=self._hex("deployment", "identity", 32),
            production=self._environment() == "production",
            token_uri=self._text("token", "uri"),
            token_profile=self._optional("token", "profile"),
            token_reserved=self._optional("token", "reserved"),
            pin_file=self._path("token", "pin-file"),
            pin_env=self._optional("token", "pin-env"),
            sessions=self._number("token", "sessions", DEFAULT_SESSIONS),
            store_url=self._store_url(),
            seal_suite=_suite_name(seal),
            accept=frozenset().union(*(SUITE_NAMES[_suite_name(name)] for name in accept)),
            writer_name=self._text("writer", "name", "application"),
            writer_key=self._path("writer", "key") or self.folder / "writer.key",
            pins=self._path("pins", "file") or self.folder / "pins",
            hardening=self._hardening(),
            sign_in=self._sign_in(),
            agent_host=self._text("agent", "host", DEFAULT_AGENT_HOST),
            agent_in_server=self._flag("agent", "in-server"),
        )

    def _hardening(self) -> HardeningLimits:
        usual = HardeningLimits()
        section, most = "hardening", MAX_ATTEMPTS
        return HardeningLimits(
            account_per_hour=self._number(
                section, "account-per-hour", usual.account_per_hour, most
            ),
            source_per_hour=self._number(section, "source-per-hour", usual.source_per_hour, most),
            key_per_hour=self._number(section, "key-per-hour", usual.key_per_hour, most),
        )

    def _sign_in(self) -> SignInLimits:
        usual = SignInLimits()
        section, most = "sign-in", MAX_ATTEMPTS
        return SignInLimits(
            account_per_hour=self._number(
                section, "account-per-hour", usual.account_per_hour, most
            ),
            source_per_hour=self._number(section, "source-per-hour", usual.source_per_hour, most),
        )

    def _check_names(self) -> None:
        """Refuse what nobody would read: a misspelt setting must not fall back to a default."""
        for section in self.table:
            if section not in _KNOWN:
                raise _invalid(f"it has the unknown section {section!r}")
            for key in self._section(section):
                if key not in _KNOWN[section]:
                    raise _invalid(f"[{section}] has the unknown key {key!r}")

    def _environment(self) -> str:
        environment = self._text("deployment", "environment", "production")
        if environment not in _ENVIRONMENTS:
            raise _invalid(f"[deployment] environment is none of {', '.join(_ENVIRONMENTS)}")
        return environment

    def _section(self, section: str) -> Mapping[str, Any]:
        found = self.table.get(section, {})
        if not isinstance(found, dict):
            raise _invalid(f"[{section}] is not a section")
        return found

    def _optional(self, section: str, key: str) -> str | None:
        value = self._section(section).get(key)
        if value is not None and not isinstance(value, str):
            raise _invalid(f"[{section}] {key} is not a text")
        return value

    def _text(self, section: str, key: str, default: str | None = None) -> str:
        value = self._optional(section, key)
        if value is None and default is None:
            raise _invalid(f"[{section}] {key} is missing")
        return value if value is not None else str(default)

    def _list(self, section: str, key: str, default: list[str]) -> list[str]:
        value = self._section(section).get(key, default)
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            raise _invalid(f"[{section}] {key} is not a list of texts")
        return value

    def _number(self, section: str, key: str, default: int, most: int = 1024) -> int:
        value = self._section(section).get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
            raise _invalid(f"[{section}] {key} is not a number from 1 to {most}")
        return value

    def _flag(self, section: str, key: str) -> bool:
        value = self._section(section).get(key, False)
        if not isinstance(value, bool):
            raise _invalid(f"[{section}] {key} is not true or false")
        return value

    def _hex(self, section: str, key: str, size: int) -> bytes:
        try:
            value = bytes.fromhex(self._text(section, key))
        except ValueError:
            value = b""
        if len(value) != size:
            raise _invalid(f"[{section}] {key} is not {size} bytes in hexadecimal")
        return value

    def _path(self, section: str, key: str) -> Path | None:
        value = self._optional(section, key)
        return None if value is None else self.folder / value

    def _store_url(self) -> str:
        url = self._text("store", "url")
        prefix = "sqlite:///"
        relative = url.startswith(prefix) and not url.startswith(prefix + "/")
        return f"{prefix}{self.folder / url.removeprefix(prefix)}" if relative else url


def _suite_name(name: str) -> str:
    if name not in SUITE_NAMES:
        raise _invalid(f"{name!r} is no suite; there are {', '.join(SUITE_NAMES)}")
    return name


def _invalid(why: str) -> CallerError:
    return CallerError(
        "config.invalid",
        f"The configuration cannot be used: {why}.",
        hint="See docs/configuration.md.",
    )


def render_config(config: Config) -> str:
    """Return the TOML of a new configuration, with relative paths where they are inside."""
    lines = [
        "# Twinlock. Keep this file and the pins beside it out of the database's reach.",
        "[deployment]",
        f'id = "{config.deployment_id.hex()}"',
        f'identity = "{config.identity.hex()}"',
        f'environment = "{"production" if config.production else "development"}"',
        "",
        "[token]",
        f"uri = {_quoted(config.token_uri)}",
        *_optional_line("profile", config.token_profile),
        *_optional_line("reserved", config.token_reserved),
        *_optional_line("pin-file", _relative(config.pin_file, config.folder)),
        *_optional_line("pin-env", config.pin_env),
        f"sessions = {config.sessions}",
        "",
        "[store]",
        f"url = {_quoted(config.store_url)}",
        "",
        "[suites]",
        f"seal = {_quoted(config.seal_suite)}",
        f"accept = [{', '.join(_quoted(name) for name in suite_names(config.accept))}]",
        "",
        "[writer]",
        f"name = {_quoted(config.writer_name)}",
        f"key = {_quoted(str(_relative(config.writer_key, config.folder)))}",
        "",
        "[pins]",
        f"file = {_quoted(str(_relative(config.pins, config.folder)))}",
        "",
        *_hardening_lines(config.hardening),
        *_sign_in_lines(config.sign_in),
        *_agent_lines(config),
    ]
    return "\n".join(lines)


def _hardening_lines(limits: HardeningLimits) -> list[str]:
    """The section of the limits, where they are not the usual ones."""
    if limits == HardeningLimits():
        return []
    return [
        "[hardening]",
        f"account-per-hour = {limits.account_per_hour}",
        f"source-per-hour = {limits.source_per_hour}",
        f"key-per-hour = {limits.key_per_hour}",
        "",
    ]


def _sign_in_lines(limits: SignInLimits) -> list[str]:
    """The section of these limits, where they are not the usual ones."""
    if limits == SignInLimits():
        return []
    return [
        "[sign-in]",
        f"account-per-hour = {limits.account_per_hour}",
        f"source-per-hour = {limits.source_per_hour}",
        "",
    ]


def _agent_lines(config: Config) -> list[str]:
    """The section of the agents, where it says something else than the usual."""
    host, in_server = config.agent_host, config.agent_in_server
    if (host, in_server) == (DEFAULT_AGENT_HOST, False):
        return []
    return [
        "[agent]",
        *([f"host = {_quoted(host)}"] if host != DEFAULT_AGENT_HOST else []),
        *(["in-server = true"] if in_server else []),
        "",
    ]


def accept_suites(names: list[str]) -> frozenset[OuterSuite]:
    """Return the outer suites that these names stand for. Raises ``config.invalid``."""
    return frozenset().union(*(SUITE_NAMES[_suite_name(name)] for name in names))


def with_identity(config: Config, identity: bytes) -> Config:
    """Return the configuration with another pinned identity fingerprint."""
    return replace(config, identity=identity)


def suite_names(suites: frozenset[OuterSuite]) -> list[str]:
    """Return the names that stand for these outer suites, as in the configuration."""
    return [name for name, members in SUITE_NAMES.items() if members <= suites]


def _optional_line(key: str, value: str | Path | None) -> list[str]:
    return [] if value is None else [f"{key} = {_quoted(str(value))}"]


def _relative(path: Path | None, folder: Path) -> Path | None:
    if path is None:
        return None
    return path.relative_to(folder) if path.is_relative_to(folder) else path


def _quoted(text: str) -> str:
    """A TOML basic string: JSON's escapes are a subset of TOML's, which adds U+007F."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
