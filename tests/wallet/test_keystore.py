"""The wallet file: what it hides, what it authenticates, and every way it can be damaged."""

import hashlib
import itertools
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from Crypto.Cipher import AES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pouw.core.errors import UserError
from pouw.core.keys import PrivateKey, format_address, verify_signature
from pouw.genesis import NETWORKS, TINY
from pouw.wallet import keystore
from pouw.wallet.hd import derive
from pouw.wallet.keystore import ScryptCost, UnlockedWallet, add_account, create, load, unlock
from pouw.wallet.mnemonic import generate_phrase, phrase_entropy, phrase_seed

PHRASE = "legal winner thank year wave sausage worth useful legal winner thank yellow"
PASSWORD = "correct horse"
CHEAP = ScryptCost(n=16, r=1, p=1)
"""So that hundreds of unlocks take no time; the file format is the same."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "wallet.json"


@pytest.fixture
def wallet(path: Path) -> UnlockedWallet:
    return create(path, TINY, PHRASE, PASSWORD, cost=CHEAP)


def rewrite(path: Path, change: Callable[[Any], None]) -> None:
    """Change the file as an attacker would: with the checksum made to fit again."""
    content = json.loads(path.read_bytes())
    change(content)
    path.write_text(json.dumps(content))
    file = msgspec.json.decode(path.read_bytes(), type=keystore._File)
    content["checksum"] = file.expected_checksum()
    path.write_text(json.dumps(content))


def test_keys_are_the_documented_derivation(path: Path, wallet: UnlockedWallet) -> None:
    key = PrivateKey(derive(phrase_seed(PHRASE), (44, 1347376471, 0))[0])
    opened = unlock(path, PASSWORD)
    assert opened.key().public == wallet.key("main").public == key.public
    assert opened.phrase == PHRASE
    assert opened.params == TINY
    assert verify_signature(key.public, b"m", opened.key().sign(b"m"))


def test_locked_wallet_shows_accounts(path: Path, wallet: UnlockedWallet) -> None:
    shown = load(path)
    assert shown.params == TINY
    assert shown.accounts == wallet.accounts
    assert shown.account("main").address == wallet.key().address
    text = json.loads(path.read_text())["accounts"][0]["address"]
    assert text == format_address(wallet.key().address, "xpouw")


def test_several_accounts_from_one_seed(path: Path, wallet: UnlockedWallet) -> None:
    add_account(path, PASSWORD, "savings")
    opened = add_account(path, PASSWORD, "miner")
    assert [a.label for a in opened.accounts] == ["main", "savings", "miner"]
    assert [a.index for a in opened.accounts] == [0, 1, 2]
    again = unlock(path, PASSWORD)
    assert len({again.key(label).public for label in ("main", "savings", "miner")}) == 3
    assert again.key("miner").public == again.account("miner").public_key
    assert again.key().public == wallet.key().public
    with pytest.raises(UserError, match="no account 'x' in this wallet: it has main, savings"):
        again.key("x")
    with pytest.raises(UserError, match="no account 'x'"):
        load(path).account("x")


def test_every_write_has_its_own_salt_and_nonce(path: Path, wallet: UnlockedWallet) -> None:
    before = json.loads(path.read_text())["encrypted"]
    add_account(path, PASSWORD, "savings")
    after = json.loads(path.read_text())["encrypted"]
    for field in ("salt", "nonce", "ciphertext", "tag"):
        assert before[field] != after[field]


def test_file_is_private_and_created_once(path: Path, wallet: UnlockedWallet) -> None:
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    content = path.read_bytes()
    with pytest.raises(UserError, match="never overwritten"):
        create(path, TINY, generate_phrase(), PASSWORD, cost=CHEAP)
    assert path.read_bytes() == content
    add_account(path, PASSWORD, "savings")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_nothing_secret_is_in_the_file_or_shown(path: Path, wallet: UnlockedWallet) -> None:
    content = path.read_bytes()
    seed = phrase_seed(PHRASE)
    private = derive(seed, (44, 1347376471, 0))[0]
    secrets = [phrase_entropy(PHRASE), seed, private, PASSWORD.encode()]
    for secret in secrets:
        assert secret not in content
        assert secret.hex().encode() not in content
    for word in set(PHRASE.split()):
        assert f'"{word}"'.encode() not in content and f" {word} ".encode() not in content
    assert "legal" not in repr(wallet) + str(wallet)
    assert private.hex() not in repr(wallet)


def test_crash_while_adding_an_account_leaves_the_old_wallet(
    path: Path, wallet: UnlockedWallet
) -> None:
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from pouw.wallet import keystore\n"
        "Path.replace = lambda *arguments: os._exit(9)\n"
        f"keystore.add_account(Path(sys.argv[1]), {PASSWORD!r}, 'savings')\n"
    )
    before = path.read_bytes()
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=False)
    assert done.returncode == 9
    assert path.read_bytes() == before
    assert [a.label for a in unlock(path, PASSWORD).accounts] == ["main"]
    assert len(add_account(path, PASSWORD, "savings").accounts) == 2


@pytest.mark.parametrize(
    "wrong", ["", "correct hors", "Correct horse", "correct horse ", "x" * 999]
)
def test_wrong_password(path: Path, wallet: UnlockedWallet, wrong: str) -> None:
    with pytest.raises(UserError, match="wrong password"):
        unlock(path, wrong)
    with pytest.raises(UserError, match="wrong password"):
        add_account(path, wrong, "savings")
    assert [a.label for a in load(path).accounts] == ["main"]


def test_password_in_any_unicode_form(path: Path) -> None:
    create(path, TINY, PHRASE, "caf\u00e9 \u2460", cost=CHEAP)
    assert unlock(path, "cafe\u0301 1").phrase == PHRASE


def test_passwords_that_cannot_be(path: Path) -> None:
    with pytest.raises(UserError, match="empty"):
        create(path, TINY, PHRASE, "", cost=CHEAP)
    with pytest.raises(UserError, match="Unicode"):
        create(path, TINY, PHRASE, "\udc80", cost=CHEAP)
    assert not path.exists()


def test_phrase_is_checked_before_anything_is_written(path: Path) -> None:
    with pytest.raises(UserError, match="checksum"):
        create(path, TINY, "legal " * 12, PASSWORD, cost=CHEAP)
    assert not path.exists()


@pytest.mark.parametrize("label", ["", "x" * 65, "a\nb", "\x1b[2J"])
def test_labels_that_cannot_be(path: Path, wallet: UnlockedWallet, label: str) -> None:
    with pytest.raises(UserError, match="label"):
        add_account(path, PASSWORD, label)


def test_label_taken(path: Path, wallet: UnlockedWallet) -> None:
    with pytest.raises(UserError, match="already"):
        add_account(path, PASSWORD, "main")


def test_number_of_accounts_is_bounded(
    path: Path, wallet: UnlockedWallet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keystore, "MAX_ACCOUNTS", 1)
    with pytest.raises(UserError, match="at most 1 accounts"):
        add_account(path, PASSWORD, "savings")


@pytest.mark.parametrize("network", list(NETWORKS))
def test_every_network(path: Path, network: str) -> None:
    create(path, NETWORKS[network], PHRASE, PASSWORD, cost=CHEAP)
    assert unlock(path, PASSWORD).params.name == network


@pytest.mark.parametrize("words", [12, 24])
def test_new_phrases(path: Path, words: int) -> None:
    phrase = generate_phrase(words)
    create(path, TINY, phrase, PASSWORD, cost=CHEAP)
    assert unlock(path, PASSWORD).phrase == phrase


def test_standard_cost_is_what_the_file_says(path: Path) -> None:
    create(path, TINY, PHRASE, PASSWORD)
    assert json.loads(path.read_text())["kdf"] == {"n": 131072, "r": 8, "p": 1}
    assert unlock(path, PASSWORD).phrase == PHRASE


def test_absent_file(path: Path) -> None:
    with pytest.raises(UserError, match="there is no file"):
        load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"hello",
        b"\x00\xff",
        b'{"version": 3, "crypto": {}}',  # an Ethereum keystore
        b'{"format": "pouw-keystore"}',
        b'{"format": "pouw-keystore", "version": "1"}',
        b"[" * 100_000,
        b'{"format": "\xff", "version": 1}',
    ],
)
def test_foreign_files(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UserError, match="not a wallet file"):
        load(path)


def test_later_version(path: Path, wallet: UnlockedWallet) -> None:
    path.write_bytes(path.read_bytes().replace(b'"version": 1', b'"version": 2'))
    with pytest.raises(UserError, match="has version 2: this program reads 1"):
        load(path)


def test_giant_file(path: Path) -> None:
    path.write_bytes(bytes(keystore.MAX_FILE_BYTES + 1))
    with pytest.raises(UserError, match="longer than"):
        load(path)


def test_truncated_anywhere(path: Path, wallet: UnlockedWallet) -> None:
    content = path.read_bytes()
    for length in range(len(content) - len("}\n")):
        path.write_bytes(content[:length])
        with pytest.raises(UserError, match=r"damaged|not a wallet"):
            unlock(path, PASSWORD)


def test_any_flipped_byte_anywhere(path: Path, wallet: UnlockedWallet) -> None:
    """Only white space may change without notice; nothing else opens, and nothing crashes."""
    content = path.read_bytes()
    for index, flip in itertools.product(range(len(content)), (1, 0x20, 0x80)):
        changed = bytearray(content)
        changed[index] ^= flip
        path.write_bytes(changed)
        try:
            opened = unlock(path, PASSWORD)
        except UserError as error:
            assert "\n" not in str(error)
            assert (
                "damaged" in str(error) or "not a wallet" in str(error) or "version" in str(error)
            )
        else:
            assert json.loads(changed) == json.loads(content)
            assert opened.key().public == wallet.key().public


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(data=st.data())
def test_any_spliced_bytes(path: Path, data: st.DataObject) -> None:
    if not path.exists():
        create(path, TINY, PHRASE, PASSWORD, cost=CHEAP)
        path.with_suffix(".good").write_bytes(path.read_bytes())
    content = path.with_suffix(".good").read_bytes()
    start = data.draw(st.integers(0, len(content)))
    stop = data.draw(st.integers(start, len(content)))
    changed = content[:start] + data.draw(st.binary(max_size=40)) + content[stop:]
    path.write_bytes(changed)
    try:
        opened = unlock(path, PASSWORD)
    except UserError as error:
        assert "\n" not in str(error)
    else:
        assert opened.phrase == PHRASE
        assert json.loads(changed) == json.loads(content)


def swap_address(content: Any) -> None:
    thief = PrivateKey(b"thief" + bytes(27))
    content["accounts"][0]["public_key"] = thief.public.hex()
    content["accounts"][0]["address"] = format_address(thief.address, "xpouw")


def other_label(content: Any) -> None:
    content["accounts"][0]["label"] = "other"


def more_accounts(content: Any) -> None:
    content["accounts"].append(content["accounts"][0] | {"label": "x", "index": 1})


def other_network(content: Any) -> None:
    content["network"] = "devnet"
    key = bytes.fromhex(content["accounts"][0]["public_key"])
    address = keystore.address_of(key)
    content["accounts"][0]["address"] = format_address(address, "dpouw")


def other_cost(content: Any) -> None:
    content["kdf"]["n"] = 32


def other_salt(content: Any) -> None:
    content["encrypted"]["salt"] = "00" * 16


def other_nonce(content: Any) -> None:
    content["encrypted"]["nonce"] = "00" * 12


def other_ciphertext(content: Any) -> None:
    content["encrypted"]["ciphertext"] = "00" * 16


def other_tag(content: Any) -> None:
    content["encrypted"]["tag"] = "00" * 16


@pytest.mark.parametrize(
    "change",
    [
        swap_address,
        other_label,
        more_accounts,
        other_network,
        other_cost,
        other_salt,
        other_nonce,
        other_ciphertext,
        other_tag,
    ],
)
def test_everything_is_authenticated(
    path: Path, wallet: UnlockedWallet, change: Callable[[Any], None]
) -> None:
    """A change that keeps the form and repairs the checksum still does not unlock."""
    rewrite(path, change)
    load(path)
    with pytest.raises(UserError, match="wrong password"):
        unlock(path, PASSWORD)


def test_address_that_is_not_the_keys(path: Path, wallet: UnlockedWallet) -> None:
    def change(content: Any) -> None:
        content["accounts"][0]["address"] = format_address(bytes(32), "xpouw")

    rewrite(path, change)
    with pytest.raises(UserError, match="damaged"):
        load(path)


def test_unknown_network(path: Path, wallet: UnlockedWallet) -> None:
    rewrite(path, lambda content: content.update(network="othernet"))
    with pytest.raises(UserError, match="no network 'othernet'"):
        load(path)


def test_listed_key_that_the_words_do_not_give(path: Path) -> None:
    """A file sealed with the right password over a list that is not the seed's."""
    entropy = phrase_entropy(PHRASE)
    account = keystore.Account(0, "main", PrivateKey(bytes(32)).public)
    path.write_bytes(keystore._seal(TINY, (account,), entropy, PASSWORD, CHEAP))
    with pytest.raises(UserError, match="does not come from its words"):
        unlock(path, PASSWORD)


@pytest.mark.parametrize(
    "cost",
    [
        {"n": 1 << 20, "r": 32, "p": 1},  # 4 GiB
        {"n": 1 << 18, "r": 16, "p": 4},
        {"n": 1000, "r": 8, "p": 1},  # no power of two
    ],
)
def test_hostile_costs_are_refused_before_any_work(
    path: Path, wallet: UnlockedWallet, cost: dict[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rewrite(path, lambda content: content.update(kdf=cost))

    def never(*arguments: object, **named: object) -> bytes:
        pytest.fail("scrypt was started")

    monkeypatch.setattr(keystore, "scrypt", never)
    with pytest.raises(UserError, match="asks for scrypt"):
        unlock(path, PASSWORD)


@pytest.mark.parametrize(
    "cost",
    [{"n": 0, "r": 8, "p": 1}, {"n": 1 << 40, "r": 8, "p": 1}, {"n": 16, "r": 8, "p": 1 << 30},
     {"n": 16, "r": 0, "p": 1}, {"n": 16, "r": 8, "p": 0}, {"n": 16.0, "r": 8, "p": "1"}],
)  # fmt: skip
def test_costs_outside_their_type(path: Path, wallet: UnlockedWallet, cost: dict[str, Any]) -> None:
    content = json.loads(path.read_text()) | {"kdf": cost}
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match="damaged"):
        unlock(path, PASSWORD)


def test_writing_with_an_impossible_cost(path: Path) -> None:
    with pytest.raises(UserError, match="scrypt"):
        create(path, TINY, PHRASE, PASSWORD, cost=ScryptCost(n=1000, r=8, p=1))
    assert not path.exists()


def test_password_bytes_are_scrypts_and_ciphertext_is_aes_gcm(path: Path) -> None:
    """The file opens with nothing but its description: hashlib's scrypt and AES-GCM."""
    create(path, TINY, PHRASE, PASSWORD, cost=ScryptCost(n=1024, r=8, p=2))
    content = json.loads(path.read_text())
    sealed = {name: bytes.fromhex(text) for name, text in content["encrypted"].items()}
    key = hashlib.scrypt(PASSWORD.encode(), salt=sealed["salt"], n=1024, r=8, p=2, dklen=32)
    cipher = AES.new(key, AES.MODE_GCM, nonce=sealed["nonce"])
    assert cipher.decrypt(sealed["ciphertext"]) == phrase_entropy(PHRASE)
