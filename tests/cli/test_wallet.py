"""`pouw wallet`: files and words without a node, money with a real one, and every wrong input."""

import json
from collections.abc import Generator
from itertools import pairwise
from pathlib import Path

import pytest
from pouw.core.keys import PrivateKey
from pouw.genesis import DEVNET, TINY
from pouw.tests.cli.town import (
    CHEAP,
    COIN,
    FRIEND,
    PASSWORD,
    PHRASE,
    Ended,
    Town,
    address,
    command,
    files_in,
    on_terminal,
    open_town,
)
from pouw.wallet import keystore
from pouw.wallet.mnemonic import phrase_entropy

NOBODY = "http://127.0.0.1:1"
OTHER = PrivateKey(b"somebody else who is paid, too..")


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Generator[Town]:
    """One node for all tests of this file."""
    with open_town(tmp_path_factory.mktemp("town")) as opened:
        yield opened


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A cheap wallet file."""
    path = tmp_path / "cheap.json"
    keystore.create(path, TINY, PHRASE, PASSWORD, cost=CHEAP)
    return path


def local(tmp_path: Path, *arguments: str | Path, stdin: str | bytes = "", **env: str) -> Ended:
    """Run a wallet command without a node, in a home of its own."""
    env = {"XDG_DATA_HOME": str(tmp_path / "home"), "POUW_WALLET_PASSWORD": PASSWORD, **env}
    return command("wallet", *arguments, stdin=stdin, env=env)


# Making wallets -------------------------------------------------------------------------------


def test_a_new_wallet_is_where_the_network_keeps_its_data(tmp_path: Path) -> None:
    ended = local(tmp_path, "new", "--network", "tiny", "--words", "12", "--json", "--show-words")
    assert ended.code == 0, ended
    facts = json.loads(ended.out)
    path = tmp_path / "home" / "pouw" / "tiny" / "wallet.json"
    assert facts["wallet"] == str(path)
    assert (facts["network"], facts["account"]) == ("tiny", "main")
    assert len(facts["words"].split()) == 12
    unlocked = keystore.unlock(path, PASSWORD)
    assert unlocked.phrase == facts["words"]
    assert facts["address"] == address(unlocked.key())
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o077 == 0


def test_words_are_not_shown_unless_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    plain = local(tmp_path, "new", "--network", "tiny", "--wallet", path)
    assert plain.code == 0, plain
    phrase = keystore.unlock(path, PASSWORD).phrase
    assert len(phrase.split()) == 24
    # Single words of a phrase are plain English and may stand in any sentence; pairs do not.
    shown = " ".join((plain.out + plain.err).split())
    assert not [pair for pair in pairwise(phrase.split()) if " ".join(pair) in shown]
    assert "pouw wallet words" in plain.err
    asked = local(tmp_path, "words", "--wallet", path)
    assert (asked.code, asked.out) == (0, phrase + "\n")
    as_json = local(tmp_path, "new", "--wallet", tmp_path / "b", "--json")
    assert "words" not in json.loads(as_json.out)


def test_a_person_at_a_terminal_types_the_password_twice_and_sees_the_words(
    tmp_path: Path,
) -> None:
    answers = [("New password", "one"), ("The same again", "two")]
    password = "hush-42"  # no word that a phrase may contain
    answers += [("New password", password), ("The same again", password)]
    path = tmp_path / "wallet.json"
    arguments = ("wallet", "new", "--network", "tiny", "--wallet", path, "--words", "12")
    code, shown = on_terminal(arguments, answers, {"COLUMNS": "100"})
    assert code == 0, shown
    unlocked = keystore.unlock(path, password)
    assert password not in shown
    for number, word in enumerate(unlocked.phrase.split(), start=1):
        assert f"{number:2d} {word}" in shown
    assert address(unlocked.key()) in shown


def test_words_bring_the_same_key_back(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text(f"  {PHRASE.upper()}\n")
    target = tmp_path / "restored.json"
    arguments = ("import", "--network", "tiny", "--wallet", target, "--account", "old")
    ended = local(tmp_path, *arguments, "--words-file", words, "--json")
    assert ended.code == 0, ended
    unlocked = keystore.unlock(target, PASSWORD)
    assert phrase_entropy(unlocked.phrase) == phrase_entropy(PHRASE)
    assert json.loads(ended.out) == {
        "wallet": str(target),
        "network": "tiny",
        "account": "old",
        "address": address(unlocked.key()),
    }


def test_words_may_come_from_standard_input(tmp_path: Path, file: Path) -> None:
    target = tmp_path / "restored.json"
    ended = local(tmp_path, "import", "--network", "tiny", "--wallet", target, stdin=PHRASE)
    assert ended.code == 0, ended
    assert keystore.load(target).accounts == keystore.load(file).accounts


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (PHRASE.rpartition(" ")[0], "12 or 24 words, these are 11"),
        (PHRASE.replace("winner", "winer", 1), "word 2, 'winer', is not on the word list"),
        (PHRASE.replace("yellow", "zoo"), "do not belong together"),
        ("", "these are 0"),
        (b"\xff\xfe", "are not text"),
        ("zoo " * 5_000, "too many"),
    ],
)
def test_wrong_words_make_no_file(tmp_path: Path, words: str | bytes, reason: str) -> None:
    ended = local(tmp_path, "import", "--network", "tiny", stdin=words)
    assert reason in ended.error
    assert not files_in(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "env", "reason"),
    [
        (["--wallet", "{}/missing/wallet.json"], {}, "there is no folder"),
        (["--account", "two\nlines"], {}, "printable"),
        (["--account", ""], {}, "a label is"),
        ([], {"POUW_WALLET_PASSWORD": ""}, "choose a password"),
        (["--password-file", "{}/missing"], {}, "there is no file"),
        (["--password-file", "/dev/null"], {}, "is empty"),
        (["--password-file", "/dev/urandom"], {}, "is longer than"),
    ],
)
def test_what_cannot_be_made_leaves_no_file(
    tmp_path: Path, arguments: list[str], env: dict[str, str], reason: str
) -> None:
    filled = [argument.format(tmp_path) for argument in arguments]
    ended = local(tmp_path, "new", "--network", "tiny", *filled, **env)
    assert reason in ended.error
    assert not files_in(tmp_path)


def test_without_terminal_and_password_nothing_is_made(tmp_path: Path) -> None:
    env = {"XDG_DATA_HOME": str(tmp_path)}
    ended = command("wallet", "new", "--network", "tiny", env=env)
    assert "POUW_WALLET_PASSWORD" in ended.error
    assert not files_in(tmp_path)


@pytest.mark.parametrize("name", ["new", "import"])
def test_a_wallet_is_never_overwritten(tmp_path: Path, file: Path, name: str) -> None:
    before = file.read_bytes()
    ended = local(tmp_path, name, "--network", "tiny", "--wallet", file, stdin=PHRASE)
    assert "exists already" in ended.error
    assert file.read_bytes() == before


def test_a_folder_that_cannot_be_made_is_said(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("not a folder")
    assert "cannot make the folder" in local(tmp_path, "new", "--network", "tiny").error


@pytest.mark.parametrize(
    "arguments",
    [
        ["new", "--words", "13"],
        ["new", "--network", "nonet"],
        ["address", "--all", "--account", "main"],
        ["send"],
        ["send", "somebody"],
        ["send", "a", "1", "b"],
        ["add-account"],
        ["nothing"],
    ],
)
def test_misuse_is_two(tmp_path: Path, arguments: list[str]) -> None:
    ended = local(tmp_path, *arguments)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err
    assert not files_in(tmp_path)


@pytest.mark.parametrize(
    "name",
    ["new", "import", "words", "address", "accounts", "add-account", "balance", "send"],
)
def test_every_command_shows_an_example(tmp_path: Path, name: str) -> None:
    ended = local(tmp_path, name, "--help")
    assert ended.code == 0
    assert f"Example: pouw wallet {name}" in ended.out


# Looking into wallets -------------------------------------------------------------------------


def test_addresses_need_no_password(tmp_path: Path, file: Path) -> None:
    keystore.add_account(file, PASSWORD, "savings")
    main, savings = (address_of(file, label) for label in ("main", "savings"))
    env = {"POUW_WALLET": str(file)}
    assert command("wallet", "address", env=env).out == f"{main}\n"
    assert command("wallet", "address", "--all", env=env).out == f"{main}\n{savings}\n"
    chosen = command("wallet", "address", "--account", "savings", "--json", env=env)
    assert json.loads(chosen.out)["address"] == savings
    listed = command("wallet", "accounts", "--json", env=env)
    assert [each["account"] for each in json.loads(listed.out)] == ["main", "savings"]
    assert savings in command("wallet", "accounts", env=env).out
    missing = local(tmp_path, "address", "--account", "none", POUW_WALLET=str(file))
    assert "no account 'none'" in missing.error


def address_of(file: Path, label: str) -> str:
    return address(keystore.unlock(file, PASSWORD).key(label))


def test_accounts_are_added(tmp_path: Path, file: Path) -> None:
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\nwhatever\n")
    env = {"POUW_WALLET": str(file)}
    ended = command(
        "wallet", "add-account", "savings", "--password-file", secret, "--json", env=env
    )
    assert ended.code == 0, ended
    assert json.loads(ended.out)[1]["address"] == address_of(file, "savings")
    again = local(tmp_path, "add-account", "savings", POUW_WALLET=str(file))
    assert "an account 'savings' already" in again.error


@pytest.mark.parametrize("arguments", [("words",), ("add-account", "savings")])
def test_a_wrong_password_changes_nothing(
    tmp_path: Path, file: Path, arguments: tuple[str, ...]
) -> None:
    before = file.read_bytes()
    ended = local(tmp_path, *arguments, POUW_WALLET=str(file), POUW_WALLET_PASSWORD="wrong")
    assert "wrong password" in ended.error
    assert ended.out == ""
    assert file.read_bytes() == before


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "there is no wallet"),
        (b"", "is not a wallet file"),
        (b"{", "is not a wallet file"),
        (b"\xff" * 100, "is not a wallet file"),
        (b"[" * 100_000, "is not a wallet file"),
        (b'{"format": "pouw-keystore", "version": 2}', "version 2"),
        (b'{"format": "pouw-keystore", "version": 1}', "is damaged"),
        (b" " * ((1 << 20) + 1), "is longer than"),
    ],
)
@pytest.mark.parametrize("name", ["address", "words", "balance"])
def test_foreign_and_damaged_files_are_refused(
    tmp_path: Path, name: str, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "wallet.json"
    if content is not None:
        path.write_bytes(content)
    assert reason in local(tmp_path, name, "--wallet", path).error


# Money ----------------------------------------------------------------------------------------


def balances(ended: Ended) -> list[tuple[str | None, int, int]]:
    assert ended.code == 0, ended
    accounts = json.loads(ended.out)["accounts"]
    return [(each["account"], each["balance"], each["waiting"]) for each in accounts]


def test_a_payment_waits_and_arrives(town: Town) -> None:
    before = town.balance(town.key)
    sent = town.pouw("wallet", "send", address(FRIEND), "12.5", address(OTHER), "0.000000001")
    assert sent.code == 0, sent
    assert len(bytes.fromhex(sent.out.strip())) == 32
    assert balances(town.pouw("wallet", "balance", "--json")) == [("main", before, 1)]
    town.mine()
    (left,) = balances(town.pouw("wallet", "balance", "--json"))
    fee = before - left[1] - 12 * COIN - COIN // 2 - 1
    assert left == ("main", left[1], 0)
    assert TINY.min_fee_per_kib <= fee < COIN
    friend = town.pouw("wallet", "balance", address(FRIEND))
    assert friend.code == 0 and "12.5 POUW" in friend.out
    assert balances(town.pouw("wallet", "balance", address(OTHER), "--json")) == [(None, 1, 0)]


def test_a_payment_is_waited_for_at_a_fee_of_ones_own(town: Town) -> None:
    before = town.balance(town.key)
    with town.mining():
        ended = town.pouw(
            "wallet", "send", address(FRIEND), "1", "--fee", "0.25", "--wait", "--json"
        )
    assert ended.code == 0, ended
    answer = json.loads(ended.out)
    assert (answer["paid"], answer["status"]) == (COIN, "included")
    assert answer["id"] in ended.err
    status = town.client.call("gettransaction", id=answer["id"])
    assert status["height"] == answer["height"]
    assert status["transaction"]["fee"] == COIN // 4
    assert town.balance(town.key) == before - COIN - COIN // 4


def test_a_block_that_never_comes_is_not_waited_for_forever(town: Town) -> None:
    ended = town.pouw("wallet", "send", address(FRIEND), "1", "--wait", "--timeout", "1")
    assert "gave up after 1 seconds" in ended.error
    town.mine()


def test_another_account_pays_its_own(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    path.write_bytes(town.wallet.read_bytes())
    savings = keystore.add_account(path, PASSWORD, "savings").key("savings")
    town.fund(savings.address, 3 * COIN)
    env = {"POUW_WALLET": str(path)}
    ended = town.pouw("wallet", "send", address(FRIEND), "1", "--account", "savings", **env)
    assert ended.code == 0, ended
    town.mine()
    assert COIN < town.balance(savings) < 2 * COIN
    both = town.pouw("wallet", "balance", **env)
    assert "savings" in both.out and "POUW in all" in both.out


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["nobody", "1"], "is not an address"),
        (["pouw1" + "q" * 58, "1"], "another network"),
        (["{}x", "1"], "typing error"),
        (["{}", "1,5"], "is not an amount"),
        (["{}", "0.0000000001"], "is not an amount"),
        (["{}", "1e3"], "is not an amount"),
        (["{}", "999999999999"], "can ever exist"),
        (["{}", "0"], "more than zero"),
        (["{}", "1", "--fee", "much"], "is not an amount"),
        (["{}", "1", "--fee", "0"], "fee"),
        (["{}", "2000000"], "balance"),
        (["{}", "1", "--account", "none"], "no account 'none'"),
        (["{}", "1", "--token", "wrong"], "without its token"),
        (["{}", "1", "--token", "no token"], "not usable"),
        (["{}", "1", "--rpc", NOBODY], "no node answers"),
        (["{}", "1", "--rpc", "ftp://x"], "is not a node's address"),
        (["{}", "1", "--network", "devnet"], "another network"),
    ],
)
def test_a_wrong_payment_is_one_line_and_costs_nothing(
    town: Town, arguments: list[str], reason: str
) -> None:
    receiver = address(FRIEND)
    filled = [receiver[:-1] if word == "{}x" else word.format(receiver) for word in arguments]
    ended = town.pouw("wallet", "send", *filled)
    assert reason in ended.error
    assert ended.out == ""
    assert town.client.call("getmempool")["count"] == 0


def test_a_wrong_password_pays_nothing(town: Town) -> None:
    arguments = ("wallet", "send", address(FRIEND), "1")
    assert "wrong password" in town.pouw(*arguments, POUW_WALLET_PASSWORD="wrong").error
    unasked = command(*arguments, env={**without(town.env, "POUW_WALLET_PASSWORD")})
    assert "no password" in unasked.error


def without(env: dict[str, str], name: str) -> dict[str, str]:
    return {key: value for key, value in env.items() if key != name}


def test_a_wallet_of_another_network_is_not_used(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    keystore.create(path, DEVNET, PHRASE, PASSWORD, cost=CHEAP)
    for arguments in (("send", address(FRIEND), "1"), ("balance",)):
        ended = town.pouw("wallet", *arguments, "--wallet", path)
        assert "a wallet of devnet, not tiny: add --network devnet" in ended.error


def test_a_node_of_another_network_is_not_used(town: Town, tmp_path: Path) -> None:
    path = tmp_path / "wallet.json"
    created = keystore.create(path, DEVNET, PHRASE, PASSWORD, cost=CHEAP)
    receiver = keystore.load(path).accounts[0].address
    assert receiver == created.key().address
    from_devnet = town.pouw("wallet", "address", "--wallet", path).out.strip()
    arguments = ("--network", "devnet", "--wallet", path)
    assert "serves 'tiny'" in town.pouw("wallet", "send", from_devnet, "1", *arguments).error
