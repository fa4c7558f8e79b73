"""What lives in memory never stands in for an HSM in production."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from twinlock import Vault
from twinlock.core.ports import OuterSuite
from twinlock.errors import CallerError, TwinlockError
from twinlock.server.config import Config, render_config
from twinlock.testing import MemoryToken, memory_vault
from twinlock.testing.guard import refuse_production


def config_for(folder: Path, *, production: bool) -> Config:
    return Config(
        folder=folder,
        deployment_id=bytes(16),
        identity=bytes(32),
        production=production,
        token_uri="pkcs11:token=none?module-path=/nonexistent.so",
        token_profile=None,
        token_reserved=None,
        pin_file=None,
        pin_env=None,
        sessions=3,
        store_url="sqlite://",
        seal_suite="token-aes",
        accept=frozenset({OuterSuite.TOKEN_AES}),
        writer_name="ward application",
        writer_key=folder / "writer.key",
        pins=folder / "pins",
    )


STARTS = {"the token": MemoryToken, "the vault": memory_vault}


@pytest.fixture
def named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], None]:
    def name(production: bool) -> None:
        file = tmp_path / "twinlock.toml"
        file.write_text(render_config(config_for(tmp_path, production=production)))
        monkeypatch.setenv("TWINLOCK_CONFIG", str(file))

    return name


@pytest.mark.parametrize("start", sorted(STARTS))
def test_nothing_starts_with_a_production_configuration(start: str, tmp_path: Path) -> None:
    """R-SRV-9."""
    with pytest.raises(CallerError) as caught:
        STARTS[start](config_for(tmp_path, production=True))
    assert caught.value.code == "testing.production"


@pytest.mark.parametrize("value", ["production", "PRODUCTION", " production\n"])
@pytest.mark.parametrize("start", sorted(STARTS))
def test_nothing_starts_in_a_production_environment(
    start: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TWINLOCK_ENV", value)
    with pytest.raises(CallerError) as caught:
        STARTS[start]()
    assert caught.value.code == "testing.production"


@pytest.mark.parametrize("start", sorted(STARTS))
def test_nothing_starts_beside_a_named_production_configuration(
    start: str, named: Callable[[bool], None]
) -> None:
    named(True)
    with pytest.raises(CallerError) as caught:
        STARTS[start]()
    assert caught.value.code == "testing.production"


def test_a_token_does_not_reconnect_in_production(monkeypatch: pytest.MonkeyPatch) -> None:
    token = MemoryToken()
    monkeypatch.setenv("TWINLOCK_ENV", "production")
    with pytest.raises(CallerError) as caught:
        token.reconnect()
    assert caught.value.code == "testing.production"


@pytest.mark.parametrize("content", [None, "not = [toml", "[deployment]\nid = 'short'\n"])
def test_a_configuration_that_cannot_be_read_is_not_taken_for_development(
    content: str | None, tmp_path: Path
) -> None:
    file = tmp_path / "twinlock.toml"
    if content is not None:
        file.write_text(content)
    with pytest.raises(CallerError) as caught:
        refuse_production(None, {"TWINLOCK_CONFIG": str(file)})
    assert caught.value.code.startswith("config.")


@pytest.mark.parametrize("environment", [{}, {"TWINLOCK_ENV": "test"}, {"TWINLOCK_CONFIG": ""}])
def test_a_development_environment_is_let_through(environment: dict[str, str]) -> None:
    refuse_production(None, environment)


def test_a_development_configuration_lends_its_suites_and_writer(
    named: Callable[[bool], None], tmp_path: Path
) -> None:
    named(False)
    with memory_vault(config_for(tmp_path, production=False)) as deployment:
        config = deployment.vault.config
        assert (config.seal_suite, config.accept) == ("token-aes", {OuterSuite.TOKEN_AES})
        assert (config.writer_name, config.sessions) == ("ward application", 3)
        assert config.production is False


@pytest.mark.parametrize(
    "uri", ["memory", "memory:", "", "pkcs11:token=memory", "pkcs11:?module-name=memory"]
)
@pytest.mark.parametrize("production", [True, False])
def test_no_token_address_leads_to_the_memory_token(
    uri: str, production: bool, tmp_path: Path
) -> None:
    config = replace(config_for(tmp_path, production=production), token_uri=uri)
    with memory_vault() as deployment:
        url = f"sqlite:///{tmp_path}/store.db"
        config = replace(
            config,
            deployment_id=deployment.config.deployment_id,
            identity=deployment.config.identity,
            store_url=url,
        )
        _copy_directory(deployment.vault, url)
    with Vault.connect(config) as vault, pytest.raises(TwinlockError) as caught:
        vault.token.sign(bytes(16), b"")
    assert caught.value.code.startswith("token.")


def _copy_directory(vault: Vault, url: str) -> None:
    from twinlock.store import SqlStore

    with SqlStore.connect(url, create=True) as store:
        for row in vault.store.directory.statements():
            store.directory.add_statement(row.kid, row.role, row.statement, row.signature)


def test_nothing_outside_of_testing_can_name_the_memory_token() -> None:
    import twinlock

    root = Path(str(twinlock.__file__)).parent
    naming = [
        str(path.relative_to(root))
        for path in sorted(root.rglob("*.py"))
        if path.parent.name != "testing"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if "twinlock.testing" in _imported(node)
    ]
    assert naming == []


def _imported(node: ast.AST) -> str:
    if isinstance(node, ast.ImportFrom):
        return f"{node.module}.{' '.join(alias.name for alias in node.names)}"
    if isinstance(node, ast.Import):
        return " ".join(alias.name for alias in node.names)
    return ""


def test_a_connected_vault_has_not_loaded_the_testing_package(tmp_path: Path) -> None:
    file = tmp_path / "twinlock.toml"
    config = replace(
        config_for(tmp_path, production=True), store_url=f"sqlite:///{tmp_path}/store.db"
    )
    file.write_text(render_config(config))
    program = (
        "import sys, twinlock\n"
        "from twinlock.store import SqlStore\n"
        f"SqlStore.connect({config.store_url!r}, create=True).close()\n"
        f"twinlock.Vault.connect({str(file)!r}).close()\n"
        "sys.exit(any(name.startswith('twinlock.testing') for name in sys.modules))\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
    assert done.returncode == 0
