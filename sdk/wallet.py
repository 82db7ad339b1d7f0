"""The account that a program spends from: a key, and the network that the key is used on."""

import os
from dataclasses import dataclass, field
from pathlib import Path

from ..core.errors import UserError
from ..core.keys import PrivateKey, format_address
from ..genesis import Params
from ..genesis import network as find_network
from ..wallet import keystore


@dataclass(frozen=True, slots=True)
class Wallet:
    """One account. The key stays in this process's memory and is never printed."""

    key: PrivateKey = field(repr=False)
    params: Params = field(repr=False)

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], password: str, account: str | None = None
    ) -> "Wallet":
        """Unlock a wallet file, as `pouw wallet new` makes it; takes half a second.

        `account` is an account's label, the first account's without one. Raises UserError when the
        file cannot be read, the password is wrong, or there is no such account.
        """
        unlocked = keystore.unlock(Path(path), password)
        return cls(unlocked.key(account), unlocked.params)

    @classmethod
    def from_key(cls, key: PrivateKey, network: str) -> "Wallet":
        """Use a key that the program has itself. Raises UserError for an unknown network."""
        return cls(key, find_network(network))

    @property
    def address(self) -> str:
        """The account's address, bech32m."""
        return format_address(self.key.address, self.params.address_prefix)

    @property
    def network(self) -> str:
        """Name of the network."""
        return self.params.name

    def __str__(self) -> str:
        return f"{self.address} on {self.network}"


def as_wallet(wallet: Wallet | PrivateKey | None, network: str | None) -> Wallet | None:
    """Return what a client was given as a wallet.

    Raises UserError for a key without a network: a node must not choose what a key signs for.
    """
    if isinstance(wallet, PrivateKey):
        if network is None:
            raise UserError("say which network the key is for: network='devnet', for example")
        return Wallet.from_key(wallet, network)
    if wallet is not None and network is not None and wallet.network != network:
        raise UserError(f"the wallet is one of {wallet.network}, not {network}")
    return wallet
