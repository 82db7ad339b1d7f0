"""Ed25519 keys, signatures (RFC 8032, through libsodium) and addresses.

One library decides consensus: verifiers disagree on edge cases (small-order keys, non-canonical
scalars), so signatures are checked by libsodium alone. An address is the BLAKE3 hash of the public
key; people see it as bech32m (BIP-350) under the network's prefix.
"""

from typing import Final

import bech32
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from .errors import UserError
from .hashing import digest

PUBLIC_KEY_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
ADDRESS_BYTES: Final = 32

_BECH32M_CONSTANT: Final = 0x2BC830A3  # BIP-350
_CHECKSUM_SYMBOLS: Final = 6


class PrivateKey:
    """An Ed25519 private key made from a 32-byte seed. Never printed, never encoded on the wire."""

    __slots__ = ("_key",)

    def __init__(self, seed: bytes) -> None:
        """Raises UserError unless `seed` is 32 bytes."""
        if len(seed) != PUBLIC_KEY_BYTES:
            raise UserError(f"a private key is 32 bytes, not {len(seed)}")
        self._key = SigningKey(seed)

    @property
    def public(self) -> bytes:
        """The 32-byte public key."""
        return bytes(self._key.verify_key)

    @property
    def address(self) -> bytes:
        """The 32-byte address of the public key."""
        return address_of(self.public)

    def sign(self, message: bytes) -> bytes:
        """Return the 64-byte signature of `message`."""
        return self._key.sign(message).signature

    def __repr__(self) -> str:
        return f"PrivateKey(public={self.public.hex()})"


def verify_signature(public_key: bytes, message: bytes, signature: bytes) -> bool:
    """Tell whether `signature` (64 bytes) is the key's (32 bytes) over `message`."""
    try:
        VerifyKey(public_key).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def address_of(public_key: bytes) -> bytes:
    """Return the 32-byte address of a public key: H("address", key)."""
    return digest("address", public_key)


def format_address(address: bytes, prefix: str) -> str:
    """Write an address as bech32m text under a network's prefix ("pouw1…").

    Raises UserError unless `address` is 32 bytes.
    """
    symbols = bech32.convertbits(address, 8, 5)
    if symbols is None or len(address) != ADDRESS_BYTES:
        raise UserError("an address is 32 bytes")
    expanded = bech32.bech32_hrp_expand(prefix)
    checksum = (
        bech32.bech32_polymod([*expanded, *symbols, *bytes(_CHECKSUM_SYMBOLS)]) ^ _BECH32M_CONSTANT
    )
    tail = [(checksum >> 5 * (5 - i)) & 31 for i in range(_CHECKSUM_SYMBOLS)]
    return f"{prefix}1" + "".join(bech32.CHARSET[s] for s in [*symbols, *tail])


def parse_address(text: str, prefix: str) -> bytes:
    """Read a bech32m address of this network. Raises UserError saying what is wrong with it."""
    lowered = text.strip().lower()
    if text.strip() not in (lowered, lowered.upper()):
        raise UserError(f"'{text}' mixes upper and lower case: copy the address again")
    found_prefix, separator, data = lowered.rpartition("1")
    if not separator or not found_prefix or any(c not in bech32.CHARSET for c in data):
        raise UserError(f"'{text}' is not an address: expected {prefix}1… (bech32m)")
    symbols = [bech32.CHARSET.index(c) for c in data]
    if found_prefix != prefix:
        raise UserError(f"'{text}' is an address of another network: this one uses {prefix}1…")
    if bech32.bech32_polymod([*bech32.bech32_hrp_expand(prefix), *symbols]) != _BECH32M_CONSTANT:
        raise UserError(f"'{text}' has a typing error: its checksum does not match")
    address = bech32.convertbits(symbols[:-_CHECKSUM_SYMBOLS], 5, 8, False)
    if address is None or len(address) != ADDRESS_BYTES:
        raise UserError(f"'{text}' is not an address: wrong length")
    return bytes(address)
