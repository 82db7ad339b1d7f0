"""Which Ed25519 signatures count, at the edges where verifiers disagree.

Consensus is what libsodium does today: the equation without cofactor, S below the group's order,
no R or key of small order. A release that judged these otherwise would split the network, so this
pins it. Points and scalars are computed here in plain integers (RFC 8032, section 5.1).
"""

import hashlib

import pytest
from pouw.core.keys import verify_signature

P = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1)
KEY, NONCE = 12345678901234567890, 9876543210987654321

Point = tuple[int, int]


def add(one: Point, two: Point) -> Point:
    (x1, y1), (x2, y2) = one, two
    k = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P


def times(number: int, point: Point) -> Point:
    total = IDENTITY
    for bit in f"{number:b}":
        total = add(total, total)
        if bit == "1":
            total = add(total, point)
    return total


def lift(y: int) -> Point | None:
    """Return the point with this y and even x, if there is one."""
    square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None
    return (P - x if x & 1 else x), y


def torsion() -> Point:
    """Return a point of order 8."""
    for y in range(2, 100):
        point = lift(y)
        if point is not None:
            small = times(ORDER, point)
            if times(4, small) != IDENTITY:
                return small
    raise AssertionError("no point of order 8 below y = 100")


def base() -> Point:
    point = lift(4 * pow(5, -1, P) % P)
    assert point is not None
    return point


BASE, TORSION = base(), torsion()


def encoded(point: Point) -> bytes:
    return (point[1] | (point[0] & 1) << 255).to_bytes(32, "little")


def challenge(r: bytes, key: bytes, message: bytes) -> int:
    return int.from_bytes(hashlib.sha512(r + key + message).digest(), "little") % ORDER


def accepted(key: Point, r: Point, message: bytes, key_scalar: int, nonce: int) -> tuple[bool, int]:
    """Sign as if the torsion were not there; return the verdict and the challenge."""
    h = challenge(encoded(r), encoded(key), message)
    scalar = (nonce + h * key_scalar) % ORDER
    signature = encoded(r) + scalar.to_bytes(32, "little")
    return verify_signature(encoded(key), message, signature), h


def test_a_plain_signature_counts() -> None:
    verdict, _ = accepted(times(KEY, BASE), times(NONCE, BASE), b"m", KEY, NONCE)
    assert verdict


@pytest.mark.parametrize("number", range(4))
def test_torsion_in_r_is_refused(number: int) -> None:
    r = add(times(NONCE, BASE), TORSION)
    verdict, _ = accepted(times(KEY, BASE), r, bytes([number]), KEY, NONCE)
    assert not verdict, "a verifier with the cofactor would accept this"


def test_torsion_in_the_key_counts_only_where_the_challenge_removes_it() -> None:
    key = add(times(KEY, BASE), TORSION)
    verdicts = [
        accepted(key, times(NONCE, BASE), bytes([number]), KEY, NONCE) for number in range(48)
    ]
    assert [verdict for verdict, _ in verdicts] == [h % 8 == 0 for _, h in verdicts]
    assert {verdict for verdict, _ in verdicts} == {True, False}


@pytest.mark.parametrize("multiple", range(8))
def test_small_orders_are_refused(multiple: int) -> None:
    small = times(multiple, TORSION)
    for number in range(8):
        message = bytes([number])
        assert not accepted(times(KEY, BASE), small, message, KEY, 0)[0]
        assert not accepted(small, times(NONCE, BASE), message, 0, NONCE)[0]


def test_a_scalar_past_the_order_is_refused() -> None:
    key, r = times(KEY, BASE), times(NONCE, BASE)
    h = challenge(encoded(r), encoded(key), b"m")
    scalar = (NONCE + h * KEY) % ORDER + ORDER
    assert not verify_signature(encoded(key), b"m", encoded(r) + scalar.to_bytes(32, "little"))
