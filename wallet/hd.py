"""Hierarchical keys: SLIP-0010 for Ed25519, where every step is hardened.

Accounts lie at m/44'/1347376471'/account'. The coin number is the ASCII of "POUW", 0x504F5557; it
is not registered in SLIP-0044. All networks share it: a transaction names its chain, so none can
be replayed on another. https://github.com/satoshilabs/slips/blob/master/slip-0010.md
"""

import hmac
from collections.abc import Sequence
from typing import Final

from ..core.errors import UserError
from ..core.keys import PrivateKey

PURPOSE: Final = 44  # BIP-44
COIN_TYPE: Final = int.from_bytes(b"POUW", "big")
MAX_INDEX: Final = 2**31 - 1

_MASTER_KEY: Final = b"ed25519 seed"
_HARDENED: Final = 1 << 31


def derive(seed: bytes, path: Sequence[int]) -> tuple[bytes, bytes]:
    """Return the 32-byte private key and 32-byte chain code at a path of hardened steps.

    `seed` is 16 to 64 bytes; `path` holds indices without the hardening bit, () for the master.
    Raises UserError when either is out of bounds.
    """
    if not 16 <= len(seed) <= 64:
        raise UserError(f"a seed is 16 to 64 bytes, not {len(seed)}")
    node = hmac.digest(_MASTER_KEY, seed, "sha512")
    for index in path:
        if not 0 <= index <= MAX_INDEX:
            raise UserError(f"no key has index {index}: choose 0 to {MAX_INDEX}")
        step = b"\0" + node[:32] + (index | _HARDENED).to_bytes(4, "big")
        node = hmac.digest(node[32:], step, "sha512")
    return node[:32], node[32:]


def account_key(seed: bytes, account: int) -> PrivateKey:
    """Return the key of an account of this seed: m/44'/COIN_TYPE'/account'."""
    return PrivateKey(derive(seed, (PURPOSE, COIN_TYPE, account))[0])


def account_path(account: int) -> str:
    """Write an account's path as other wallets do."""
    return f"m/{PURPOSE}'/{COIN_TYPE}'/{account}'"
