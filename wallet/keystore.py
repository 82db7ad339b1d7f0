"""The wallet file: one seed phrase under a password, and the accounts that were taken from it.

The entropy of the phrase is encrypted with AES-256-GCM (NIST SP 800-38D) under a key that scrypt
(RFC 7914) makes from the password. Network, key-derivation numbers and the list of accounts stand
in the clear, so that balances can be shown without the password; the encryption authenticates them
too, so a foreign receiving address slipped into the list is noticed when the wallet is unlocked. A
checksum tells a damaged file from a wrong password.
"""

import secrets
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from Crypto.Cipher import AES
from Crypto.Protocol.KDF import scrypt

from ..core.codec import encode
from ..core.errors import UserError
from ..core.hashing import digest
from ..core.keys import PrivateKey, address_of, format_address
from ..genesis import Params, network
from .hd import MAX_INDEX, account_key
from .mnemonic import entropy_phrase, phrase_entropy, phrase_seed
from .private_file import read_bounded, replace, write_new

FORMAT: Final = "pouw-keystore"
VERSION: Final = 1
MAX_ACCOUNTS: Final = 1_000
MAX_LABEL_CHARS: Final = 64
MAX_FILE_BYTES: Final = 1 << 20
MAX_KDF_MEMORY: Final = 256 << 20
"""Bytes that reading a file may make scrypt take, whatever the file asks for."""

_KEY_BYTES: Final = 32
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12


class ScryptCost(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a guess at the password costs: 128 · n · r bytes of memory, p times."""

    n: Annotated[int, msgspec.Meta(ge=2, le=1 << 20)]
    r: Annotated[int, msgspec.Meta(ge=1, le=32)]
    p: Annotated[int, msgspec.Meta(ge=1, le=4)]

    def check(self) -> None:
        """Raise UserError where the numbers are not scrypt's or ask for too much memory."""
        if self.n & (self.n - 1) or 128 * self.n * self.r > MAX_KDF_MEMORY:
            raise UserError(f"the wallet file asks for scrypt with n = {self.n}, r = {self.r}")


STANDARD_COST: Final = ScryptCost(n=1 << 17, r=8, p=1)
"""128 MiB and half a second: what OWASP's password storage sheet asks of scrypt."""


@dataclass(frozen=True, slots=True)
class Account:
    """What anybody may know of one account."""

    index: int
    """Last step of its path."""
    label: str
    public_key: bytes
    """32 bytes."""

    @property
    def address(self) -> bytes:
        """The account's 32-byte address."""
        return address_of(self.public_key)


@dataclass(frozen=True, slots=True)
class Keystore:
    """A locked wallet: what its file shows without the password."""

    path: Path
    params: Params
    accounts: tuple[Account, ...]

    def account(self, label: str) -> Account:
        """Return an account by its label. Raises UserError naming those that there are."""
        return _find(self.accounts, label)


class UnlockedWallet:
    """An open wallet: the accounts and their private keys, in this process's memory only."""

    __slots__ = ("_entropy", "_keys", "accounts", "params")

    def __init__(self, params: Params, accounts: tuple[Account, ...], entropy: bytes) -> None:
        seed = phrase_seed(entropy_phrase(entropy))
        self.params = params
        self.accounts = accounts
        self._entropy = entropy
        self._keys = {account.index: account_key(seed, account.index) for account in accounts}

    @property
    def phrase(self) -> str:
        """The words that bring every account back; whoever reads them owns the money."""
        return entropy_phrase(self._entropy)

    def account(self, label: str) -> Account:
        """Return an account by its label. Raises UserError naming those that there are."""
        return _find(self.accounts, label)

    def key(self, label: str | None = None) -> PrivateKey:
        """Return an account's private key, the first account's without a label."""
        account = self.accounts[0] if label is None else self.account(label)
        return self._keys[account.index]

    def __repr__(self) -> str:
        return f"UnlockedWallet({self.params.name}, {len(self.accounts)} accounts)"


def create(
    path: Path,
    params: Params,
    phrase: str,
    password: str,
    label: str = "main",
    cost: ScryptCost = STANDARD_COST,
) -> UnlockedWallet:
    """Write a new wallet file with one account, from a new phrase or one that is restored.

    Raises UserError when the phrase is not valid, password or label are not usable, or the file
    exists already.
    """
    entropy = phrase_entropy(phrase)
    accounts = _extend((), entropy, label)
    write_new(path, _seal(params, accounts, entropy, password, cost))
    return UnlockedWallet(params, accounts, entropy)


def load(path: Path) -> Keystore:
    """Read what a wallet file shows without its password; only unlocking proves it genuine.

    Raises UserError when the file is absent, foreign, damaged or from a later version.
    """
    return _keystore(path, _read(path))


def unlock(path: Path, password: str) -> UnlockedWallet:
    """Open a wallet file. Raises UserError as `load`, or when the password is wrong."""
    return _open(path, password)[1]


def add_account(path: Path, password: str, label: str) -> UnlockedWallet:
    """Take the next account from the seed and write it to the file, under a fresh salt.

    Raises UserError as `unlock`, or when the label is taken or not usable.
    """
    file, wallet = _open(path, password)
    entropy = phrase_entropy(wallet.phrase)
    accounts = _extend(wallet.accounts, entropy, label)
    replace(path, _seal(wallet.params, accounts, entropy, password, file.kdf))
    return UnlockedWallet(wallet.params, accounts, entropy)


_Hex12: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{24}\Z")]
_Hex16: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}\Z")]
_Hex32: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
_HexEntropy: TypeAlias = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{8}){4,8}\Z")]


class _Encrypted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    salt: _Hex16
    nonce: _Hex12
    ciphertext: _HexEntropy
    tag: _Hex16


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    index: Annotated[int, msgspec.Meta(ge=0, le=MAX_INDEX)]
    label: str
    public_key: _Hex32
    address: str


class _Kind(msgspec.Struct, frozen=True):
    format: Literal["pouw-keystore"]
    version: int


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    format: str
    version: int
    network: str
    kdf: ScryptCost
    accounts: Annotated[tuple[_Entry, ...], msgspec.Meta(min_length=1, max_length=MAX_ACCOUNTS)]
    encrypted: _Encrypted
    checksum: str

    def header(self) -> bytes:
        """What the encryption authenticates beside the entropy."""
        cost = [self.kdf.n, self.kdf.r, self.kdf.p]
        entries = [[a.index, a.label, a.public_key, a.address] for a in self.accounts]
        return encode([self.format, self.version, self.network, cost, entries])

    def expected_checksum(self) -> str:
        sealed = self.encrypted
        parts = [sealed.salt, sealed.nonce, sealed.ciphertext, sealed.tag]
        return digest("keystore", self.header(), encode(parts)).hex()


def _read(path: Path) -> _File:
    data = read_bounded(path, MAX_FILE_BYTES)
    try:
        kind = msgspec.json.decode(data, type=_Kind)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise UserError(f"{path} is not a wallet file, or is damaged") from None
    if kind.version != VERSION:
        raise UserError(f"{path} has version {kind.version}: this program reads {VERSION}")
    try:
        file = msgspec.json.decode(data, type=_File)
        expected = file.expected_checksum()
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise _damaged(path) from None
    if file.checksum != expected:
        raise _damaged(path)
    file.kdf.check()
    return file


def _keystore(path: Path, file: _File) -> Keystore:
    params = network(file.network)
    accounts = tuple(
        Account(entry.index, entry.label, bytes.fromhex(entry.public_key))
        for entry in file.accounts
    )
    for account, entry in zip(accounts, file.accounts, strict=True):
        if entry.address != format_address(account.address, params.address_prefix):
            raise _damaged(path)
    return Keystore(path, params, accounts)


def _open(path: Path, password: str) -> tuple[_File, UnlockedWallet]:
    file = _read(path)
    shown = _keystore(path, file)
    sealed = file.encrypted
    key = _stretch(password, bytes.fromhex(sealed.salt), file.kdf)
    cipher = AES.new(key, AES.MODE_GCM, nonce=bytes.fromhex(sealed.nonce))
    cipher.update(file.header())
    try:
        entropy = cipher.decrypt_and_verify(
            bytes.fromhex(sealed.ciphertext), bytes.fromhex(sealed.tag)
        )
    except ValueError:
        raise UserError(f"wrong password for {path}") from None
    wallet = UnlockedWallet(shown.params, shown.accounts, entropy)
    for account in shown.accounts:
        if wallet.key(account.label).public != account.public_key:
            raise UserError(f"account '{account.label}' in {path} does not come from its words")
    return file, wallet


def _seal(
    params: Params,
    accounts: tuple[Account, ...],
    entropy: bytes,
    password: str,
    cost: ScryptCost,
) -> bytes:
    if not password:
        raise UserError("choose a password: an empty one protects nothing")
    cost.check()
    entries = tuple(
        _Entry(
            account.index,
            account.label,
            account.public_key.hex(),
            format_address(account.address, params.address_prefix),
        )
        for account in accounts
    )
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    unsealed = _Encrypted(salt.hex(), nonce.hex(), "", "")  # not part of what is authenticated
    file = _File(FORMAT, VERSION, params.name, cost, entries, unsealed, "")
    cipher = AES.new(_stretch(password, salt, cost), AES.MODE_GCM, nonce=nonce)
    cipher.update(file.header())
    ciphertext, tag = cipher.encrypt_and_digest(entropy)
    encrypted = _Encrypted(salt.hex(), nonce.hex(), ciphertext.hex(), tag.hex())
    file = msgspec.structs.replace(file, encrypted=encrypted)
    file = msgspec.structs.replace(file, checksum=file.expected_checksum())
    return msgspec.json.format(msgspec.json.encode(file), indent=2) + b"\n"


def _extend(accounts: tuple[Account, ...], entropy: bytes, label: str) -> tuple[Account, ...]:
    if not 1 <= len(label) <= MAX_LABEL_CHARS or not label.isprintable():
        raise UserError(f"a label is 1 to {MAX_LABEL_CHARS} printable characters")
    if any(account.label == label for account in accounts):
        raise UserError(f"there is an account '{label}' already: choose another label")
    if len(accounts) >= MAX_ACCOUNTS:
        raise UserError(f"a wallet file holds at most {MAX_ACCOUNTS} accounts")
    index = max((account.index for account in accounts), default=-1) + 1
    key = account_key(phrase_seed(entropy_phrase(entropy)), index)
    return (*accounts, Account(index, label, key.public))


def _find(accounts: tuple[Account, ...], label: str) -> Account:
    for account in accounts:
        if account.label == label:
            return account
    known = ", ".join(account.label for account in accounts)
    raise UserError(f"no account '{label}' in this wallet: it has {known}")


def _stretch(password: str, salt: bytes, cost: ScryptCost) -> bytes:
    """Return the AES key. The password is normalised, so that every keyboard gives one key."""
    try:
        secret = unicodedata.normalize("NFKC", password).encode()
    except UnicodeEncodeError:
        raise UserError("the password has characters that are not Unicode text") from None
    return scrypt(secret, salt, _KEY_BYTES, N=cost.n, r=cost.r, p=cost.p)


def _damaged(path: Path) -> UserError:
    return UserError(f"{path} is damaged: use a copy of it, or restore the wallet from its words")
