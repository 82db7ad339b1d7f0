"""Money: nothing is signed beyond what was allowed, nothing paid twice. Nobody takes jobs here."""

import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from pouw.core.errors import UserError
from pouw.core.keys import PrivateKey
from pouw.genesis import TINY
from pouw.sdk.client import Client
from pouw.sdk.spending import Allowance, SpendingSession, exact_fee, upload_fee
from pouw.sdk.submitting import NOT_SUBMITTED
from pouw.sdk.wallet import Wallet
from pouw.tests.cli.town import DATA, PASSWORD, Town
from pouw.tests.sdk.workshop import client_of, sent, transaction_of
from pouw.wallet.bodies import transfer
from pouw.wallet.builder import uploads
from pouw.wallet.session import Pace

STRANGER = PrivateKey(b"a person who has not any account")


def other_data(seed: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int8]]:
    return np.random.default_rng(seed).integers(-64, 64, (5, 16), dtype=np.int8)


@pytest.mark.parametrize("short", [1, 10**6])
def test_max_cost_is_held_before_anything_is_signed(
    town: Town, client: Client, model: str, short: int
) -> None:
    signed = sent(town)
    total = client.quote(model, DATA).total
    with pytest.raises(UserError, match="nothing was signed"):
        client.run(model, DATA, max_cost=total - short)
    with pytest.raises(UserError, match="nothing was signed"):
        client.run(model, DATA, bounty="2", max_cost="1.999999999")
    assert sent(town) == signed


def test_a_price_beyond_the_balance_is_refused(town: Town, model: str) -> None:
    poor = Client(town.url, Wallet(STRANGER, TINY), token=town.env["POUW_RPC_TOKEN"])
    assert poor.balance() == 0
    with pytest.raises(UserError, match="the account has 0 POUW: nothing was signed"):
        poor.run(model, DATA)


def test_exactly_what_was_quoted_is_paid_and_escrowed(
    town: Town, client: Client, model: str
) -> None:
    data = np.tile(other_data(1), (1_000, 1))  # two chunks
    quote = client.quote(model, data, bounty=5)
    before = client.balance()
    with town.mining():
        handle = client.submit(model, data, bounty=5, max_cost=quote.total)
    assert before - client.balance() == quote.total
    assert handle.jobs[0].fees == quote.fees
    assert transaction_of(town, handle.id).payload.fee < quote.fees
    assert handle.status() == "submitted"
    with town.mining():
        handle.cancel()
    assert handle.status() == "cancelled"
    assert client.balance() < before - quote.fees + 1
    with pytest.raises(UserError, match="cannot be cancelled any more: it is cancelled"):
        handle.cancel()
    with pytest.raises(UserError, match="the run is cancelled"):
        handle.result()


def test_what_is_on_the_chain_is_not_uploaded_again(town: Town, client: Client, model: str) -> None:
    data = other_data(2)
    first = client.quote(model, data)
    with town.mining():
        client.submit(model, data)
        signed = sent(town)
        second = client.quote(model, data)
        handle = client.submit(model, data, max_cost=second.total)
    assert sent(town) == signed + 1
    assert second.fees == first.fees - upload_fee(TINY, data.tobytes())
    assert handle.jobs[0].fees == second.fees


def test_when_time_is_over_the_error_says_how_to_come_back(
    town: Town, client: Client, model: str
) -> None:
    with town.mining():
        handle = client.submit(model, other_data(3))
    with pytest.raises(UserError, match=rf"client\.job\('{handle.id}'\)"):
        handle.result(timeout=0.1)
    with pytest.raises(UserError, match="no job was submitted"):
        client.submit(model, other_data(4), timeout=0.1)  # nobody mines the upload
    town.mine()


def test_ctrl_c_leaves_the_job_running(town: Town, model: str) -> None:
    def interrupt(stage: str, _done: int, _total: int) -> None:
        if stage == "job submitted":
            signal.raise_signal(signal.SIGINT)

    client = client_of(town, progress=interrupt)
    with town.mining():
        handle = client.submit(model, other_data(5))
    with pytest.raises(KeyboardInterrupt) as raised:
        handle.wait()
    assert any(handle.id in note for note in raised.value.__notes__)
    assert handle.status() == "submitted"


def test_ctrl_c_before_a_submission_says_that_there_is_none(town: Town, model: str) -> None:
    def interrupt(stage: str, _done: int, _total: int) -> None:
        assert stage == "uploading the input"
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as raised:
        client_of(town, progress=interrupt).submit(model, other_data(9))
    assert raised.value.__notes__ == [NOT_SUBMITTED]


def test_an_allowance_ends_before_a_signature(town: Town) -> None:
    body = transfer([(STRANGER.address, 1)])
    fee = exact_fee(TINY, body)
    allowance = Allowance(2 * fee)
    session = SpendingSession(
        town.client, Wallet(town.key, TINY), allowance, Pace(sleep=lambda _: town.mine())
    )
    signed = sent(town)
    session.send(body)
    session.send(body)
    with pytest.raises(UserError, match="nothing more was signed"):
        session.send(body)
    assert sent(town) == signed + 2
    assert allowance.spent == 2 * fee
    town.mine()


def test_a_refused_transaction_is_not_counted(town: Town) -> None:
    allowance = Allowance(None)
    session = SpendingSession(town.client, Wallet(STRANGER, TINY), allowance, Pace())
    with pytest.raises(UserError):
        session.send(transfer([(town.key.address, 10**18)]))
    assert allowance.spent == 0


def test_a_stopped_client_signs_nothing(town: Town, client: Client, model: str) -> None:
    stop = threading.Event()
    stop.set()
    signed = sent(town)
    with pytest.raises(UserError, match="stopped"):
        client.stoppable(stop).submit(model, other_data(6))
    assert sent(town) == signed


@pytest.mark.parametrize("size", [1, 1_000, 70_000, 300_000])
def test_the_fee_is_that_of_any_form_of_the_transaction(town: Town, size: int) -> None:
    """Whatever nonce, expiry and signature: the node's least rate, twice."""
    packed = uploads(TINY, bytes(size))
    fees = [exact_fee(TINY, each.body, each.chunks) for each in packed]
    assert sum(fees) == upload_fee(TINY, bytes(size))
    least = 2 * TINY.min_fee_per_kib * -(-size // 1024)
    assert least <= sum(fees) < least * 1.2 + 4 * TINY.min_fee_per_kib * len(packed)


def test_wallet_files(town: Town, tmp_path: Path) -> None:
    wallet = Wallet.open(town.wallet, PASSWORD)
    assert (wallet.address, wallet.network) == (Wallet(town.key, TINY).address, "tiny")
    assert wallet.address in str(wallet)
    assert "PrivateKey" not in repr(wallet)
    with pytest.raises(UserError, match="wrong password"):
        Wallet.open(town.wallet, "another")
    with pytest.raises(UserError, match="no account"):
        Wallet.open(town.wallet, PASSWORD, "another")
    with pytest.raises(UserError):
        Wallet.open(tmp_path / "none.json", PASSWORD)
    with pytest.raises(UserError, match="wallet is one of tiny"):
        Client(town.url, wallet, network="devnet")


def test_the_token_may_be_a_file(town: Town, model: str, tmp_path: Path) -> None:
    file = tmp_path / "rpc.token"
    file.write_text(town.env["POUW_RPC_TOKEN"] + "\n")
    client = client_of(town, token=file)
    with town.mining():
        assert client.submit(model, other_data(7)).status() == "submitted"
    with pytest.raises(UserError, match="token"):
        client_of(town, token=None).submit(model, other_data(8))
    with pytest.raises(UserError):
        client_of(town, token=tmp_path / "none")
