"""One blinded evaluation, and the check that the token's key was used for it.

PKCS#11 multiplies and returns an x-coordinate; it makes no proof of what it multiplied with. So the
client asks for two points and accepts the first answer only if the second fits to it.

**What is sent.** G is the generator, n its prime order, K = kG the pinned public key, P the point
that stands for the password, not infinity. r, s, t are uniform in 1..n-1. B1 is rP; B2 is T + sG,
where T is the one of tP and -tP whose y is even. Of B1 and B2 the one with even y is sent, so that
nothing tells them apart; their order is drawn. From an answer x1 to B1 the client takes N, a root
of x(N) = x(r^-1 lift(x1)). It accepts the answer x2 to B2 exactly if x2 is x(tN + sK) or
x(tN - sK). If both answers are k times what was sent, N is kP or -kP, and x2 is one of the two.

**Claim.** A server that makes x(N) another than x(kP) is accepted with probability at most
4/(n-2), less than 2^-253, whatever it knows: k, P with its logarithm, and which point is which.

**Proof.** Write P = pG and T = wpG; w is t or -t, determined by t, and uniform in a set W that
holds exactly one of every pair {w, -w}. r is independent of (s, t), so that fixing r, the server's
coins and the order changes nothing; the answer x1 then fixes m with N = mG up to its sign, and
m != pk, m != -pk by assumption. The server saw B2 = bG with b = e(wp + s) for a sign e, b != 0. For
each of the two signs and each w in W there is one s that gives this b, and it is allowed unless it
is 0, which happens for one of these n-1 pairs (w, e), since W holds one of b/p and -b/p. All n-2
pairs that are left are equally likely, for (s, t) is uniform. Let x2 be x(yG); if no point has x2,
or tN + sK and tN - sK are infinity, there is nothing to prove. Accepting means that for signs c, d

    cy = dwm + sk = dwm + (eb - wp)k = w(dm - pk) + ebk.

(tN is wmG or -wmG, and each sign of tN, sK and y is covered by c and d.) As dm != pk, each of the
eight choices of (c, d, e) has at most one solution w. Those of (c, d, e) and (-c, d, -e) are
negatives of each other, so that at most one of the two lies in W. Hence at most four of the n-2
pairs are accepted.

The proof is the project's own and waits for a review from outside.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Protocol

from twinlock.core.hardening.curve import (
    Point,
    add,
    decode_point,
    encode_coordinate,
    encode_point,
    even,
    lift,
    negative,
)
from twinlock.core.ports import Randomness
from twinlock.core.primitives import P256_ORDER, AgreementKey, agreement_key, equal
from twinlock.core.secret import Secret
from twinlock.errors import DataError

_SCALAR_SIZE: Final = 32


class Evaluate(Protocol):
    """The round trip to the token: x-coordinates of k times two points, in their order.

    ``kid`` names k; points are uncompressed, 65 bytes, x-coordinates 32 bytes. Whatever comes back
    is checked.
    """

    def __call__(self, kid: bytes, first: bytes, second: bytes) -> tuple[bytes, bytes]:
        """Evaluate both points. Raises ``hardening.*`` when the server refuses."""
        ...


@dataclass(frozen=True, slots=True)
class BlindedPoints:
    """Two points under way: ``sent`` goes to the server, the rest stays here and is used once."""

    sent: tuple[bytes, bytes]
    _r: int = field(repr=False)
    _t: AgreementKey = field(repr=False)
    _s: AgreementKey = field(repr=False)
    _swapped: bool = field(repr=False)

    def accept(self, public: bytes, answers: tuple[bytes, bytes]) -> Secret:
        """Return x(kP), 32 bytes, if the answers were made with the k of ``public``.

        ``public`` is K, 65 bytes, from the verified token directory. Raises DataError
        ``factor.hardening`` for any others, in whatever way they are wrong.
        """
        first, second = reversed(answers) if self._swapped else answers
        try:
            image = encode_point(lift(first))
            unblinded = agreement_key(pow(self._r, -1, P256_ORDER)).x_of(image)
            if not self._fits(encode_point(lift(unblinded)), public, second):
                raise _another_key()
        except DataError as error:
            raise _another_key() from error
        return Secret(unblinded)

    def _fits(self, unblinded: bytes, public: bytes, answer: bytes) -> bool:
        """Tell whether ``answer`` is the x-coordinate of tN + sK or tN - sK."""
        left, right = lift(self._t.x_of(unblinded)), lift(self._s.x_of(public))
        return _is_x_of(add(left, right), answer) | _is_x_of(add(left, negative(right)), answer)


def blind(point: Point, randomness: Randomness) -> BlindedPoints:
    """Blind P for one evaluation. Draws r, t and s, then the order.

    Raises DataError ``factor.hardening`` where T and sG cancel out: begin anew.
    """
    r, t, s = (_scalar(randomness) for _ in range(3))
    encoded, multiplied, masking = encode_point(point), agreement_key(t), agreement_key(s)
    masked = add(lift(multiplied.x_of(encoded)), decode_point(masking.public))
    if masked is None:
        raise _another_key()
    first = encode_point(lift(agreement_key(r).x_of(encoded)))
    second = encode_point(even(masked))
    swapped = randomness(1)[0] % 2 == 1
    sent = (second, first) if swapped else (first, second)
    return BlindedPoints(sent, r, multiplied, masking, swapped)


def _scalar(randomness: Randomness) -> int:
    """Draw from 1 to the order - 1, uniformly: what is outside is drawn again."""
    while True:
        scalar = int.from_bytes(randomness(_SCALAR_SIZE), "big")
        if 0 < scalar < P256_ORDER:
            return scalar


def _is_x_of(point: Point | None, x: bytes) -> bool:
    return point is not None and equal(encode_coordinate(point[0]), x)


def _another_key() -> DataError:
    return DataError(
        "factor.hardening",
        "The server's answer was not made with the token's hardening key.",
        hint="Do not try again and again: tell the operator. Nothing about the password left this "
        "computer.",
    )
