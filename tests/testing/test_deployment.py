"""A deployment in memory behaves like one on an HSM, and costs a test little."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from twinlock import AllOf, Context, DataError
from twinlock.core.ports import KeyRole, OuterSuite
from twinlock.core.primitives import Kem, p256_point, rsa_oaep_encrypt, verify
from twinlock.errors import CallerError, EnvError
from twinlock.testing import MemoryClock, MemoryToken, memory_vault

DIAGNOSIS = Context(table="patient", record="4711", column="diagnosis")


@pytest.fixture(scope="module")
def deployment():
    with memory_vault() as made:
        yield made


@pytest.mark.parametrize("suite", ["rsa-oaep", "token-aes"])
@pytest.mark.parametrize("name", ["weber", "kim"])
def test_each_member_of_a_group_opens_what_was_sealed_for_it(deployment, suite, name) -> None:
    vault = deployment.vault
    sealed = vault.seal("I48.0", to=deployment.groups["cardiology"], context=DIAGNOSIS, suite=suite)
    request = vault.request([(DIAGNOSIS, sealed)])
    [opened] = vault.open(request, deployment.member(name).release(request))
    assert opened.text().reveal() == "I48.0"


def test_who_is_not_in_the_group_opens_nothing(deployment) -> None:
    sealed = deployment.vault.seal("x", to=deployment.groups["cardiology"], context=DIAGNOSIS)
    request = deployment.vault.request([(DIAGNOSIS, sealed)])
    with pytest.raises(CallerError) as caught:
        deployment.officer.release(request)
    assert caught.value.code == "record.no-lock"


def test_two_members_open_an_and_lock_together(deployment) -> None:
    vault, groups = deployment.vault, deployment.groups
    both = AllOf(groups["cardiology"], groups["data-office"])
    request = vault.request([(DIAGNOSIS, vault.seal("x", to=both, context=DIAGNOSIS))])
    bundle = request.bind(deployment.kim.hello())
    share = deployment.officer.agent.help_with(request.assist(deployment.officer.hello(), bundle))
    [opened] = vault.open(request, deployment.kim.release(bundle, shares=[share]))
    assert opened.text().reveal() == "x"


def test_an_application_that_asks_for_releases_gets_them_from_the_releasing_member(
    deployment,
) -> None:
    vault = deployment.vault
    sealed = vault.seal("x", to=deployment.groups["cardiology"], context=DIAGNOSIS)

    def application(ask) -> str:
        request = vault.request([(DIAGNOSIS, sealed)])
        [opened] = vault.open(request, ask(request))
        return str(opened.text().reveal())

    with deployment.kim.releasing() as by_kim:
        assert application(deployment.answer) == "x"
        with deployment.weber.releasing() as by_weber:
            assert application(deployment.answer) == "x"
        assert application(deployment.answer) == "x"
    assert (len(by_kim), len(by_weber)) == (2, 1)
    with pytest.raises(CallerError) as caught:
        application(deployment.answer)
    assert caught.value.code == "testing.nobody-releases"


def test_a_block_that_raises_ends_the_releasing(deployment) -> None:
    with pytest.raises(ZeroDivisionError), deployment.kim.releasing():
        raise ZeroDivisionError
    with pytest.raises(CallerError) as caught:
        deployment.answer(b"")
    assert caught.value.code == "testing.nobody-releases"


def test_an_unknown_member_is_named_in_an_error(deployment) -> None:
    with pytest.raises(CallerError) as caught:
        deployment.member("tom")
    assert caught.value.code == "testing.no-member"


def test_groups_and_members_are_the_callers_choice() -> None:
    groups = {"ward 3": ["ada", "bo"], "pharmacy": ["cy", "ada"]}
    with memory_vault(groups=groups, kem=Kem.MLKEM768_X25519) as deployment:
        assert set(deployment.members) == {"ada", "bo", "cy"}
        state = deployment.vault.group_state(deployment.groups["pharmacy"])
        assert {m.member.name for m in state.members.values()} == {"ada", "cy"}
        sealed = deployment.vault.seal("x", to=deployment.groups["ward 3"], context=DIAGNOSIS)
        request = deployment.vault.request([(DIAGNOSIS, sealed)])
        [opened] = deployment.vault.open(request, deployment.member("bo").release(request))
        assert opened.ok


def test_a_clock_that_is_given_runs_vault_and_agents() -> None:
    clock = MemoryClock(1_800_000_000)
    with memory_vault(clock=clock) as deployment:
        sealed = deployment.vault.seal("x", to=deployment.groups["cardiology"], context=DIAGNOSIS)
        request = deployment.vault.request([(DIAGNOSIS, sealed)])
        release = deployment.kim.release(request)
        clock.forward(121)
        with pytest.raises(DataError) as caught:
            deployment.vault.open(request, release)
    assert caught.value.code == "release.expired"


def test_closing_locks_the_agents_and_leaves_no_file() -> None:
    deployment = memory_vault()
    folder = Path(deployment.config.folder)
    assert list(folder.glob("*.member"))
    deployment.close()
    assert not folder.exists()
    with pytest.raises(CallerError) as caught:
        deployment.weber.agent.card()
    assert caught.value.code == "agent.locked"
    deployment.close()


def test_two_deployments_do_not_know_each_other() -> None:
    with memory_vault() as one, memory_vault() as other:
        sealed = one.vault.seal("x", to=one.groups["cardiology"], context=DIAGNOSIS)
        [refused] = other.vault.request([(DIAGNOSIS, sealed)]).asked
        assert refused.error is not None
        request = one.vault.request([(DIAGNOSIS, sealed)])
        with pytest.raises(CallerError) as caught:
            other.weber.release(request)
    assert caught.value.code == "hello.foreign"


# --- the token ------------------------------------------------------------------------------------


def test_another_connection_keeps_long_lived_keys_and_has_no_transport_keys() -> None:
    token = MemoryToken()
    signing = token.generate_key(KeyRole.LOG)
    transport = token.generate_transport_key()
    other = token.reconnect()
    with pytest.raises(CallerError) as unloaded:
        other.sign(signing.kid, b"m")
    assert unloaded.value.code == "token.key-not-loaded"
    other.load_keys([signing])
    verify(p256_point(signing.public), b"m", other.sign(signing.kid, b"m"))
    block = rsa_oaep_encrypt(transport.public, transport.oaep_hash, bytes(32))
    with pytest.raises(EnvError) as caught, other.opening(transport.kid, block):
        pass
    assert (caught.value.code, caught.value.retryable) == ("token.transport-gone", True)
    assert (other.serial, other.objects) == (token.serial, 1)


@pytest.mark.parametrize(
    "use",
    [
        lambda token: token.sign(bytes(16), b""),
        lambda token: token.load_keys([]),
        lambda token: token.generate_transport_key(),
        lambda token: token.destroy_transport_key(bytes(16)),
        lambda token: token.generate_key(KeyRole.LOG),
        lambda token: token.opening(bytes(16), b"").__enter__(),
    ],
)
def test_a_closed_token_does_nothing(use) -> None:
    token = MemoryToken()
    token.close()
    with pytest.raises(CallerError) as caught:
        use(token)
    assert caught.value.code == "token.closed"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"kid": b"another kid 0123"}, "token.key-missing"),
        ({"kid": b"short"}, "token.key-malformed"),
        ({"public": b""}, "token.key-malformed"),
        ({"role": KeyRole.AUDIT}, "token.key-policy"),
    ],
)
def test_a_key_that_is_not_the_tokens_is_refused(change: dict, code: str) -> None:
    import dataclasses

    token = MemoryToken()
    key = token.generate_key(KeyRole.LOG)
    with pytest.raises((CallerError, EnvError)) as caught:
        token.load_keys([dataclasses.replace(key, **change)])
    assert caught.value.code == code


def test_tokens_of_one_process_share_rsa_keys_and_no_token_uses_one_twice() -> None:
    one, other = MemoryToken(), MemoryToken()
    mine = [one.generate_transport_key().public for _ in range(2)]
    theirs = [other.generate_transport_key().public for _ in range(2)]
    assert mine == theirs
    assert len(set(mine)) == 2
    wrapping = one.generate_key(KeyRole.WRAPPING, OuterSuite.RSA_OAEP_SHA256, rsa_bits=2048)
    assert wrapping.public not in mine


def test_threads_that_open_at_once_leave_nothing_behind() -> None:
    token = MemoryToken()
    transport = token.generate_transport_key()
    block = rsa_oaep_encrypt(transport.public, transport.oaep_hash, bytes(32))
    before, inside = token.objects, threading.Barrier(8)

    def work() -> None:
        with token.opening(transport.kid, block):
            inside.wait()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert token.objects == before
