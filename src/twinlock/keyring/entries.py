"""Entries of the operating system's keyring. The only module that imports ``keyring``.

``keyring`` picks what keeps secrets here: Secret Service, KWallet, the macOS Keychain, the Windows
Credential Locker. It also has backends that keep nothing, or keep a file that anybody can read; it
does not recommend those (priority below 1), and they are refused here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeVar

from twinlock.core.secret import SecretText
from twinlock.errors import CallerError, EnvError

if TYPE_CHECKING:
    from keyring.backend import KeyringBackend

SERVICE: Final = "twinlock"
_T = TypeVar("_T")


def keyring_name() -> str:
    """Return what keeps entries here, such as ``SecretService Keyring``.

    Raises ``keyring.not-installed`` or ``keyring.no-backend``.
    """
    return str(_backend().name)


def read_entry(user: str) -> SecretText | None:
    """Return an entry, or None. The system may ask its user to unlock the keyring.

    Raises ``keyring.not-installed``, ``keyring.no-backend``, ``keyring.locked`` or
    ``keyring.failed``, as all functions here do.
    """
    backend = _backend()
    found = _asked(lambda: backend.get_password(SERVICE, user))
    return None if found is None else SecretText(found)


def write_entry(user: str, text: SecretText) -> None:
    """Write an entry and read it back; one that is there is replaced."""
    backend = _backend()
    _asked(lambda: backend.set_password(SERVICE, user, text.reveal()))
    kept = read_entry(user)
    if kept is None or kept.reveal() != text.reveal():
        raise _failed("did not keep what it was given")


def delete_entry(user: str) -> None:
    """Delete an entry that is there."""
    backend = _backend()
    _asked(lambda: backend.delete_password(SERVICE, user))


def _backend() -> KeyringBackend:
    try:
        import keyring
    except ModuleNotFoundError as error:
        raise CallerError(
            "keyring.not-installed",
            f"The system's keyring needs the package {error.name}, which is not installed here.",
            hint="Install it with `pip install 'twinlock[keyring,cli]'`, or use a key file.",
        ) from error
    try:
        chosen = _first(keyring.get_keyring())
        priority = chosen.priority
    except Exception as error:
        # A backend can be named in the environment, and may be any module.
        raise _no_backend(f"cannot be used ({type(error).__name__})") from error
    if priority < 1:
        raise _no_backend(f"is not in reach here: {chosen.name!r} keeps no secrets")
    return chosen


def _first(backend: KeyringBackend) -> KeyringBackend:
    """The first of a chain of backends, whose others may be files; else the backend itself."""
    from keyring.backends.chainer import ChainerBackend

    return next(iter(backend.backends), backend) if isinstance(backend, ChainerBackend) else backend


def _asked(call: Callable[[], _T]) -> _T:
    """Call the backend, and translate what it raises, which no two do alike."""
    from keyring.errors import InitError, KeyringLocked, NoKeyringError

    try:
        return call()
    except (KeyringLocked, InitError):
        failure = EnvError(
            "keyring.locked",
            "The system's keyring is locked or not set up, and nobody unlocked it.",
            hint="Unlock it (signing in to the desktop does) and run the command again.",
            retryable=True,
        )
    except NoKeyringError:
        failure = _no_backend("is not running")
    except Exception as error:  # noqa: BLE001 - raised again below, as one of ours
        failure = _failed(f"failed ({type(error).__name__})")
    # Raised out here and without a cause: what a backend says, and the frames that it came through,
    # may hold the key.
    raise failure


def _no_backend(what: str) -> EnvError:
    return EnvError(
        "keyring.no-backend",
        f"The system's keyring {what}.",
        hint="Use a key file here. `keyring diagnose` and `keyring --list-backends` say more.",
    )


def _failed(what: str) -> EnvError:
    return EnvError(
        "keyring.failed",
        f"The system's keyring {what}.",
        hint="Look at it with the system's own program, and use a key file until it works.",
        retryable=True,
    )
