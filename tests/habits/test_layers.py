"""Imports point inwards only (docs/adr/0002-layers.md), and each border has one module."""

from __future__ import annotations

import ast
import sys

import pytest

from tests.habits.source import Import, Module, imports, modules, targets

MAY_IMPORT: dict[str, set[str]] = {
    "errors": set(),
    "files": {"errors"},
    "core": {"errors", "core"},
    "token": {"errors", "core", "token"},
    "card": {"errors", "core", "token", "card"},
    "passkey": {"errors", "core", "passkey"},
    "sharing": {"errors", "core", "sharing"},
    "keyring": {"errors", "core", "keyring"},
    "store": {"errors", "core", "store"},
    "agent": {"errors", "files", "core", "agent"},
    "server": {"errors", "files", "core", "token", "store", "agent", "server"},
    "testing": {
        "errors",
        "files",
        "core",
        "token",
        "store",
        "agent",
        "server",
        "integrations",
        "testing",
        "",
    },
    "adopt": {"errors", "files", "core", "token", "store", "agent", "server", "adopt", ""},
    "integrations": {
        "errors",
        "files",
        "core",
        "token",
        "store",
        "agent",
        "server",
        "adopt",
        "integrations",
        "",
    },
    "cli": {
        "errors",
        "files",
        "core",
        "token",
        "card",
        "passkey",
        "keyring",
        "sharing",
        "store",
        "agent",
        "server",
        "adopt",
        "integrations",
        "cli",
        "",
    },
    "": {"errors", "files", "core", "token", "store", "agent", "server", ""},
}
"""Layer -> the layers that it may import. The empty name is ``twinlock`` itself, the public API."""

MEMBER_PACKAGES = {"cryptography", "cbor2", "precis_i18n"}
"""The dependencies of the package without extras."""

CORE_FORBIDDEN = {
    *("os", "time", "datetime", "pathlib", "socket", "random", "logging", "io", "tempfile"),
    *("subprocess", "threading", "asyncio", "secrets", "shutil", "getpass", "platform"),
}
BORDERS = {
    "cryptography.hazmat": {"twinlock.core.primitives"},
    "pkcs11": {"twinlock.token.binding"},
    "fido2": {
        "twinlock.passkey.asking",
        "twinlock.passkey.authenticator",
        "twinlock.passkey.failures",
    },
    "webauthn": {"twinlock.server.passkey_responses"},
    "keyring": {"twinlock.keyring.entries"},
}
"""A third-party package -> the only modules that may import it."""

STANDARD = frozenset(sys.stdlib_module_names)


def _layer(dotted: str) -> str | None:
    """The layer that a dotted name belongs to; None outside the project."""
    parts = dotted.split(".")
    if parts[0] != "twinlock":
        return None
    return parts[1] if len(parts) > 1 and parts[1] in MAY_IMPORT else ""


def _reached(entry: Import) -> set[str]:
    """The layers that an import reaches: ``from twinlock import token`` reaches into token."""
    if entry.target != "twinlock":
        layer = _layer(entry.target)
        return set() if layer is None else {layer}
    return {name if name in MAY_IMPORT else "" for name in entry.names or ("",)}


def _said(module: Module, entry: Import) -> str:
    return f"{module.path}:{entry.line} imports {entry.target}"


def test_a_module_imports_only_from_the_layers_inside_its_own() -> None:
    outward = [
        _said(module, entry)
        for module in modules()
        for entry in imports(module)
        if not _reached(entry) <= MAY_IMPORT[_layer(module.name) or ""]
    ]
    assert outward == []


def test_every_package_of_the_project_has_a_layer() -> None:
    top = {module.name.split(".")[1] for module in modules() if "." in module.name}
    assert top <= set(MAY_IMPORT)


def test_each_border_to_a_foreign_package_has_one_module() -> None:
    crossed = [
        _said(module, entry)
        for module in modules()
        for entry in imports(module)
        for package, allowed in BORDERS.items()
        if module.name not in allowed
        and any(name == package or name.startswith(f"{package}.") for name in targets(entry))
    ]
    assert crossed == []


@pytest.mark.parametrize("package", BORDERS)
def test_the_module_at_each_border_does_cross_it(package: str) -> None:
    crossing = {
        module.name
        for module in modules()
        for entry in imports(module)
        if any(name == package or name.startswith(f"{package}.") for name in targets(entry))
    }
    assert crossing == BORDERS[package]


def test_the_core_has_no_clock_no_environment_and_no_io() -> None:
    core = [module for module in modules() if _layer(module.name) == "core"]
    reached = [
        _said(module, entry)
        for module in core
        for entry in imports(module)
        if entry.target.split(".")[0] in CORE_FORBIDDEN
    ]
    called = [
        f"{module.path}:{node.lineno} calls {node.func.id}"
        for module in core
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"open", "print", "input"}
    ]
    assert core
    assert reached + called == []


@pytest.mark.parametrize("layer", ["core", "agent"])
def test_what_a_member_installs_needs_three_packages(layer: str) -> None:
    foreign = [
        _said(module, entry)
        for module in modules()
        if _layer(module.name) == layer
        for entry in imports(module)
        if (root := entry.target.split(".")[0]) not in STANDARD
        and root not in {"twinlock", *MEMBER_PACKAGES}
    ]
    assert foreign == []


def test_nothing_is_imported_by_star() -> None:
    starred = [_said(m, entry) for m in modules() for entry in imports(m) if "*" in entry.names]
    assert starred == []
