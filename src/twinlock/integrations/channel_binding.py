"""What both ends of a TLS connection know of it: the server's certificate (RFC 5929, 4.1).

An application binds SCRAM to the certificate that its members' computers see; behind a proxy that
ends TLS, that is the proxy's.
"""

from __future__ import annotations

import hashlib
import re
import ssl
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.x509 import load_der_x509_certificate

from twinlock.core.scram.exchange import ChannelBinding
from twinlock.errors import DataError

_KIND: Final = "tls-server-end-point"
_PEM: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----", re.ASCII
)
_REPLACED: Final = frozenset({"md5", "sha1"})


def end_point_binding(certificate: bytes) -> ChannelBinding:
    """Return the binding to a server's certificate, given as DER or PEM (the first of a chain).

    Raises DataError ``scram.certificate`` for what is none, or one whose signature has no hash
    that RFC 5929 knows of, such as Ed25519.
    """
    try:
        der = _der(certificate)
        algorithm = load_der_x509_certificate(der).signature_hash_algorithm
    except (ValueError, UnsupportedAlgorithm) as error:
        raise _unusable() from error
    if algorithm is None:
        raise _unusable()
    name = "sha256" if algorithm.name in _REPLACED else algorithm.name.replace("-", "_")
    return ChannelBinding(_KIND, hashlib.new(name, der).digest())


def _der(raw: bytes) -> bytes:
    pem = _PEM.search(raw.decode("ascii", "replace"))
    return raw if pem is None else ssl.PEM_cert_to_DER_cert(pem[0])


def _unusable() -> DataError:
    return DataError(
        "scram.certificate",
        "Nothing can be bound to this certificate.",
        hint="Give the server's own certificate, with an RSA or ECDSA signature.",
    )
