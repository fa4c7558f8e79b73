"""A program's way to the member routes: where it posts, what it takes for an answer, TLS."""

from __future__ import annotations

import datetime
import hashlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from tests.http.test_members import WORDS, kim
from tests.http.ward import BASE, Ward, client_of, service_of, ward_in_memory
from twinlock.agent.scram import Scram
from twinlock.agent.ways import NewWay
from twinlock.core.member_change import Login
from twinlock.errors import CallerError, DataError, TwinlockError
from twinlock.integrations import member_posts
from twinlock.integrations.channel_binding import end_point_binding
from twinlock.integrations.member_answers import ServiceFailedError, ServiceRefusedError
from twinlock.integrations.member_client import MemberService


def code_of(call: Any, *given: Any, **named: Any) -> str:
    with pytest.raises(TwinlockError) as caught:
        call(*given, **named)
    return caught.value.code


@pytest.mark.parametrize(
    "url",
    [
        "http://clinic.example/twinlock/",
        "ftp://localhost/",
        "clinic.example",
        "https://",
        "https://user:password@clinic.example/",
        "https://clinic.example/?a=b",
        "https://clinic.example/#a",
        "http://127.0.0.1.evil.example/",
        "http://[::2]/",
        "http://\x00/",
    ],
)
def test_secrets_go_over_tls_or_stay_on_this_computer(url: str) -> None:
    """R-HTTP-25."""
    assert code_of(MemberService, url, "kim") == "member-service.url"


@pytest.mark.parametrize(
    ("url", "asked"),
    [
        ("https://clinic.example/twinlock/member", "https://clinic.example/twinlock/member/offer"),
        ("https://clinic.example", "https://clinic.example/offer"),
        ("http://localhost:8000/m/", "http://localhost:8000/m/offer"),
        ("http://app.localhost/", "http://app.localhost/offer"),
        ("http://127.0.0.9/", "http://127.0.0.9/offer"),
        ("http://[::1]/", "http://[::1]/offer"),
    ],
)
def test_routes_lie_under_the_address(url: str, asked: str) -> None:
    seen: list[str] = []
    service = MemberService(url, "kim", client=answering({}, seen=seen))
    assert code_of(service.offer) == "member-service.answer"
    assert seen == [asked]


def answering(
    said: Any, status: int = 200, kind: str = "application/json", seen: list[str] | None = None
) -> httpx.Client:
    """A client whose server always says this."""

    def answer(request: httpx.Request) -> httpx.Response:
        if seen is not None:
            seen.append(str(request.url))
        headers = {"content-type": kind, "location": "https://elsewhere.example/"}
        if isinstance(said, bytes):
            return httpx.Response(status, content=said, headers=headers)
        return httpx.Response(status, json=said, headers=headers)

    return httpx.Client(transport=httpx.MockTransport(answer), follow_redirects=True)


def service_with(*given: Any, **named: Any) -> MemberService:
    return MemberService("https://a.example/", "kim", client=answering(*given, **named))


PROBLEM = "application/problem+json"
TOLD = {"code": "scram.refused", "detail": "no\x1b[2J", "hint": "x" * 600, "retryable": True}


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        (b"", 200, "application/json"),
        (b"{", 200, "application/json"),
        ([1], 200, "application/json"),
        ({"bundle": 5}, 200, "application/json"),
        ({"bundle": "AA=="}, 200, "application/json"),
        ({"bundle": "A"}, 200, "application/json"),
        (TOLD, 403, "text/html"),
        (b"<h1>", 502, "text/html"),
        ({"code": "Not a code"}, 403, PROBLEM),
        ({"code": "a." + "b" * 600}, 403, PROBLEM),
        ({}, 307, "application/json"),
        (b"[" * 100_000, 200, "application/json"),
    ],
)
def test_what_is_no_answer_of_these_routes_is_said_to_be_none(
    said: Any, status: int, kind: str
) -> None:
    """R-HTTP-25: and no redirect is followed."""
    seen: list[str] = []
    service = MemberService("https://a.example/", "kim", client=answering(said, status, kind, seen))
    assert code_of(service.bundle, ["password"]) == "member-service.answer"
    assert seen == ["https://a.example/bundle"]


@pytest.mark.parametrize(
    "said",
    [
        {"kid": "AA"},
        {"kid": "AA", "directory": 1},
        {"kid": "AA", "directory": [["AA"]]},
        {"kid": "AA", "directory": [["AA", 1]]},
    ],
)
def test_a_directory_is_pairs_of_bytes(said: Any) -> None:
    assert code_of(service_with(said).offer) == "member-service.answer"


def test_a_message_is_a_text() -> None:
    assert code_of(service_with({"session": 1}).first, "x") == "member-service.answer"


def test_what_a_server_says_is_passed_on_without_what_moves_a_cursor() -> None:
    """R-HTTP-25."""
    with pytest.raises(ServiceRefusedError) as caught:
        service_with(TOLD, 401, PROBLEM).final("x")
    assert (caught.value.code, caught.value.message) == ("scram.refused", "no [2J")
    assert len(caught.value.hint) == 500
    with pytest.raises(ServiceFailedError) as failed:
        service_with({"code": "http.busy", "retryable": True}, 503, PROBLEM).change(b"x")
    assert (failed.value.code, failed.value.message, failed.value.retryable) == (
        "http.busy",
        "",
        True,
    )


def test_an_answer_without_end_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    """R-HTTP-25."""
    monkeypatch.setattr(member_posts, "MAX_ANSWER", 1000)
    service = service_with(b'{"bundle": "' + b"A" * 1000 + b'"}')
    assert code_of(service.bundle, ["password"]) == "member-service.answer"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (httpx.ConnectError("no"), "member-service.unreachable"),
        (httpx.ReadTimeout("slow"), "member-service.unreachable"),
        (httpx.DecodingError("gzip"), "member-service.answer"),
    ],
)
def test_a_server_that_cannot_be_reached_is_said_to_be_so(error: Exception, code: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error

    client = httpx.Client(transport=httpx.MockTransport(fail))
    with MemberService("https://a.example/", "kim", client=client) as service:
        assert code_of(service.offer) == code
    # It was given, so it stays open.
    assert not client.is_closed


def test_a_client_of_its_own_is_closed() -> None:
    with MemberService("https://a.example/", "kim") as service:
        own = service.client
    assert own.is_closed


# --- channel binding ------------------------------------------------------------------------------


def certificate(key: Any, algorithm: Any, folder: Path, name: str = "localhost") -> Path:
    """A self-signed certificate and its key, as PEM in one file."""
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, algorithm)
    )
    path = folder / f"{name}.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return path


def der_of(path: Path) -> bytes:
    return x509.load_pem_x509_certificate(path.read_bytes()).public_bytes(
        serialization.Encoding.DER
    )


@pytest.mark.parametrize(
    ("algorithm", "hashed"),
    [
        (hashes.SHA256(), "sha256"),
        (hashes.SHA384(), "sha384"),
        (hashes.SHA3_256(), "sha3_256"),
    ],
)
def test_a_certificate_is_bound_by_the_hash_of_its_signature(
    tmp_path: Path, algorithm: Any, hashed: str
) -> None:
    """R-SCRAM-7: RFC 5929 section 4.1."""
    path = certificate(ec.generate_private_key(ec.SECP256R1()), algorithm, tmp_path)
    der = der_of(path)
    expected = hashlib.new(hashed, der).digest()
    for given in (der, path.read_bytes()):
        assert end_point_binding(given).data == expected


@pytest.mark.parametrize("weak", [4, 5], ids=["MD5", "SHA-1"])
def test_a_weak_hash_of_a_certificate_is_replaced(tmp_path: Path, weak: int) -> None:
    """R-SCRAM-7: RFC 5929 section 4.1; a certificate is made to say that it was signed so."""
    path = certificate(rsa.generate_private_key(65537, 2048), hashes.SHA256(), tmp_path)
    with_rsa = bytes.fromhex("2a864886f70d0101")
    der = der_of(path).replace(with_rsa + b"\x0b", with_rsa + bytes([weak]))
    assert der != der_of(path)
    assert end_point_binding(der).data == hashlib.sha256(der).digest()


def test_what_nothing_can_be_bound_to_is_refused(tmp_path: Path) -> None:
    path = certificate(ed25519.Ed25519PrivateKey.generate(), None, tmp_path)
    for given in (der_of(path), b"", b"no certificate", b"-----BEGIN CERTIFICATE-----"):
        with pytest.raises(DataError) as caught:
            end_point_binding(given)
        assert caught.value.code == "scram.certificate"


@contextmanager
def serving_tls(app: Any, path: Path) -> Iterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, log_level="critical", ssl_certfile=str(path), ssl_keyfile=str(path)
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()
        listening.close()


@pytest.fixture
def ward() -> Iterator[Ward]:
    with ward_in_memory() as made:
        yield made


def test_an_exchange_is_bound_to_the_certificate_that_the_client_saw(
    ward: Ward, tmp_path: Path
) -> None:
    """R-SCRAM-7: a man in the middle with a certificate of its own gets nowhere."""
    own = certificate(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256(), tmp_path)
    theirs = certificate(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256(), tmp_path, "x")
    app = ward.application(binding=end_point_binding(own.read_bytes()))
    trust = ssl.create_default_context()
    for path in (own, theirs):
        trust.load_verify_locations(str(path))
    scram = Scram(WORDS)
    login = Login("scram", scram.new_verifier().to_text().reveal())
    with (
        serving_tls(app, own) as port,
        # The same application behind another certificate: the one in the middle.
        serving_tls(app, theirs) as middle,
        httpx.Client(verify=trust) as client,
        httpx.Client(verify=trust) as led_astray,
    ):
        service = MemberService(f"https://localhost:{port}{BASE}", "kim", client=client)
        way = NewWay([ward.password(service)])
        kim(ward).ways.enrol(way, logins=[login], send=service.change)
        scram.meet("kim", service, binding=service.binding())
        assert [who.way for who in ward.signed_in] == ["scram"]
        astray = MemberService(f"https://localhost:{middle}{BASE}", "kim", client=led_astray)
        with pytest.raises(CallerError) as caught:
            Scram(WORDS).meet("kim", astray, binding=astray.binding())
        assert caught.value.code == "scram.refused"
        # Bound to one certificate, it takes no answer from behind another.
        service._posts._base = astray._posts._base
        assert code_of(service.first, "n,,n=kim,r=x") == "member-service.certificate"
    assert len(ward.signed_in) == 1


def test_without_tls_there_is_nothing_to_bind_to(ward: Ward) -> None:

    assert service_of(client_of(ward.application())).binding() is None
