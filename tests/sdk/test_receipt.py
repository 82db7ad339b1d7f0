"""Receipts: what holds, what does not after any change, and nodes that lie."""

from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.core.block import MAX_SEALED_HEADER_BYTES, SealedHeader, seal
from pouw.core.codec import decode, encode
from pouw.core.errors import UserError
from pouw.core.hashing import u256
from pouw.genesis import TINY
from pouw.sdk.client import Client
from pouw.sdk.handle import JobHandle, Submitted
from pouw.sdk.receipt import MAX_JSON_BYTES, TRUSTED, Receipt
from pouw.sdk.wallet import Wallet
from pouw.tests.cli.town import DATA, MINER, OUTPUT, Town
from pouw.tests.sdk.liar import Lies, lying
from pouw.tests.sdk.workshop import client_of, register


@pytest.fixture(scope="module")
def receipt(town: Town, model: str) -> Receipt:
    """Of a job that was done by hand; more blocks follow it."""
    client = client_of(town)
    with town.mining():
        handle = client.submit(model, DATA)
    town.work(handle.id, OUTPUT.astype("<i4").tobytes())
    town.mine(2)
    return handle.result().receipt


def changed(receipt: Receipt, **fields: Any) -> Receipt:
    return msgspec.structs.replace(receipt, **fields)


def proof(receipt: Receipt, **fields: Any) -> Receipt:
    return changed(receipt, proof=msgspec.structs.replace(receipt.proof, **fields))


def cost(receipt: Receipt, **fields: Any) -> Receipt:
    return changed(receipt, cost=msgspec.structs.replace(receipt.cost, **fields))


def flipped(text: str) -> str:
    return ("0" if text[0] != "0" else "1") + text[1:]


def flipped_end(text: str) -> str:
    return text[:-1] + ("0" if text[-1] != "0" else "1")


def test_it_holds_and_says_what_is_still_trusted(
    town: Town, client: Client, receipt: Receipt
) -> None:
    for output in (None, OUTPUT, OUTPUT.astype(">i4"), OUTPUT.astype("<i4").tobytes()):
        verdict = receipt.verify(output)
    assert verdict.trusted == TRUSTED
    assert verdict.difficulty == 1 << 16
    assert receipt.raw_output().tolist() == OUTPUT.tolist()
    depth = receipt.confirm(client)
    town.mine(3)
    assert receipt.confirm(client) == depth + 3


def test_another_output_is_noticed(receipt: Receipt) -> None:
    wrong = OUTPUT.copy()
    wrong[0, 0] += 1
    for output in (wrong, wrong.tobytes(), OUTPUT[:-1], b""):
        with pytest.raises(UserError, match="the output is another one"):
            receipt.verify(output)
    with pytest.raises(UserError, match="integers"):
        receipt.verify(OUTPUT * 1.0)


def test_json_and_back(receipt: Receipt) -> None:
    again = Receipt.from_json(receipt.to_json())
    assert again == receipt
    again.verify(OUTPUT)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "[" * 100_000,
        b"\xff",
        '{"version": 2}',
    ],
)
def test_what_is_no_receipt(text: str | bytes) -> None:
    with pytest.raises(UserError, match="not a receipt"):
        Receipt.from_json(text)


def test_fields_are_bounded_and_none_is_foreign(receipt: Receipt) -> None:
    true: dict[str, Any] = msgspec.json.decode(receipt.to_json())
    for wrong in (
        {"note": "more"},
        {"job": true["job"].upper()},
        {"height": -1},
        {"height": "7"},
        {"shape": []},
        {"shape": [2**40]},
        {"dtype": "float64"},
        {"proof": {**true["proof"], "siblings": [true["job"]] * 33}},
        {"proof": {**true["proof"], "transaction": "abc"}},
        {"cost": {**true["cost"], "bounty": 2**63}},
    ):
        with pytest.raises(UserError, match="not a receipt"):
            Receipt.from_json(msgspec.json.encode({**true, **wrong}))
    with pytest.raises(UserError, match="at most"):
        Receipt.from_json(b" " * (MAX_JSON_BYTES + 1))


CHANGES: list[Callable[[Receipt], Receipt]] = [
    lambda r: changed(r, network="devnet"),
    lambda r: changed(r, network="nonet"),
    lambda r: changed(r, job=flipped(r.job)),
    lambda r: changed(r, model=flipped(r.model)),
    lambda r: changed(r, input=flipped(r.input)),
    lambda r: changed(r, output=flipped(r.output)),
    lambda r: changed(r, dtype="int8"),
    lambda r: changed(r, shape=(3, 7)),
    lambda r: changed(r, shape=(8, 3)),
    lambda r: changed(r, shape=(2**20,) * 5),
    lambda r: changed(r, worker="xpouw1somebody"),
    lambda r: changed(r, block=flipped(r.block)),
    lambda r: changed(r, height=r.height + 1),
    lambda r: changed(r, height=r.height - 1),
    lambda r: changed(r, settlement=flipped(r.settlement)),
    lambda r: cost(r, bounty=r.cost.bounty - 1),
    lambda r: cost(r, burn=r.cost.burn + 1),
    lambda r: cost(r, check_fee=0),
    lambda r: proof(r, header=r.proof.state_header),
    lambda r: proof(r, header=flipped_end(r.proof.header)),
    lambda r: proof(r, header=r.proof.header[:-2]),
    lambda r: proof(r, header="00"),
    lambda r: proof(r, transaction=flipped_end(r.proof.transaction)),
    lambda r: proof(r, transaction=r.proof.transaction + "00"),
    lambda r: proof(r, transaction="00"),
    lambda r: proof(r, transactions=r.proof.transactions + 1),
    lambda r: proof(r, index=r.proof.index + 1),
    lambda r: proof(r, siblings=(*r.proof.siblings, r.job)),
    lambda r: proof(r, state_header=r.proof.header),
    lambda r: proof(r, state_header=flipped_end(r.proof.state_header)),
    lambda r: proof(r, state=flipped_end(r.proof.state)),
    lambda r: proof(r, state="00"),
]


@pytest.mark.parametrize("lie", CHANGES)
def test_every_change_is_noticed(receipt: Receipt, lie: Callable[[Receipt], Receipt]) -> None:
    with pytest.raises(UserError):
        lie(receipt).verify()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_flipped_bit_of_a_proof_survives(receipt: Receipt, data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(["header", "transaction", "state_header", "state"]))
    raw = bytearray.fromhex(getattr(receipt.proof, name))
    bit = data.draw(st.integers(0, 8 * len(raw) - 1))
    raw[bit // 8] ^= 1 << bit % 8
    with pytest.raises(UserError):
        proof(receipt, **{name: raw.hex()}).verify()


def test_a_header_that_was_not_worked_for_is_refused(receipt: Receipt) -> None:
    """A forger's header: signed by itself, below the least difficulty or without a ticket."""
    sealed = decode(SealedHeader, bytes.fromhex(receipt.proof.header), MAX_SEALED_HEADER_BYTES)
    for difficulty, message in ((1, "least difficulty"), (1 << 200, "does not win")):
        header = msgspec.structs.replace(
            sealed.header, difficulty=u256(difficulty), miner=MINER.public
        )
        forged = encode(seal(MINER, header, sealed.head)).hex()
        with pytest.raises(UserError, match=message):
            proof(receipt, header=forged).verify()


def test_another_chain_does_not_confirm_it(town: Town, receipt: Receipt) -> None:
    receipt.verify()
    with (
        lying(town.url, {"getblockhash": flipped}) as url,
        pytest.raises(UserError, match="not on the node's best chain"),
    ):
        receipt.confirm(Client(url))
    with (
        lying(town.url, {"getinfo": lambda info: {**info, "height": 1}}) as url,
        pytest.raises(UserError, match="not on the node's best chain"),
    ):
        receipt.confirm(Client(url))


@pytest.fixture(scope="module")
def other(town: Town) -> str:
    """Another model."""
    return register(town, name="another")


def _cut(result: Any) -> Any:
    return {**result, "output": result["output"][:-2]}


def _resized(result: Any) -> Any:
    return {**result, "shape": [2, 8], "output": result["output"][: 2 * 8 * 8]}


def with_(**fields: Any) -> Callable[[Any], Any]:
    return lambda result: {**result, **fields}


LIES: list[tuple[Lies, str]] = [
    ({"getjobresult": _cut}, "the output is another one"),
    ({"getjobresult": _resized}, "sent a result of"),
    ({"getjobresult": with_(output="zz")}, "not hexadecimal"),
    ({"getjobresult": with_(output="00" * (1 << 19))}, "form unknown"),
    ({"getjobresult": with_(shape=[3] * 100)}, "form unknown"),
    ({"getjobresult": with_(settlement="0" * 64)}, "no transaction"),
    ({"getjobresult": with_(block="0" * 64)}, "not the block's"),
    ({"getjobresult": with_(worker="somebody")}, "not the worker's"),
    ({"getjobresult": with_(worker=["x"] * 10)}, "form unknown"),
    ({"getjob": with_(output="0" * 64)}, "another root"),
    ({"getjob": with_(output=None)}, "no output"),
    ({"getjob": with_(bounty=1)}, "another price"),
    ({"getjob": with_(input="0" * 64)}, "another input"),
    ({"getjob": with_(status="done")}, "form unknown"),
    ({"getjob": lambda _: None}, "no job"),
    ({"getmodel": with_(id="0" * 64)}, "another model"),
    ({"getmodel": with_(output={"dtype": "int8", "shape": [32]})}, "sent a result of"),
    ({"gettransactionproof": with_(siblings=["0" * 64])}, "siblings"),
    ({"gettransactionproof": with_(transactions=0)}, "item"),
    ({"gettransactionproof": with_(header="00")}, "does not hold"),
    ({"gettransactionproof": lambda _: "x"}, "form unknown"),
    ({"getstateproof": with_(proof="00")}, "does not hold"),
    ({"getstateproof": with_(proof="00" * (1 << 21))}, "form unknown"),
    ({"gettransaction": with_(transaction={"fee": -1})}, "form unknown"),
]


@pytest.mark.parametrize(("lies", "message"), LIES)
def test_a_node_that_lies_is_not_believed(
    town: Town, receipt: Receipt, lies: Lies, message: str
) -> None:
    with lying(town.url, lies) as url:
        handle = Client(url).job(receipt.job)
        with pytest.raises(UserError, match=message):
            handle.result()


def test_what_was_asked_is_what_must_be_answered(
    town: Town, model: str, other: str, receipt: Receipt
) -> None:
    """All that the node says is true and proven, only the program had asked for something else."""
    client = client_of(town)
    for asked, message in (
        (Submitted(receipt.job, other, receipt.input), f"one of model {model}, not {other}"),
        (Submitted(receipt.job, model, "0" * 64), "answers another input than was sent"),
    ):
        with pytest.raises(UserError, match=message):
            JobHandle((asked,), client).result()
    asked = Submitted(receipt.job, model, receipt.input)
    assert JobHandle((asked,), client).result().raw.tolist() == OUTPUT.tolist()


def test_a_quote_that_is_no_quote_costs_nothing(town: Town, model: str) -> None:
    lies: list[tuple[Lies, str]] = [
        ({"quotejob": with_(min_bounty=2**62)}, "the account has"),
        ({"quotejob": with_(items=1)}, "quotes 1 items"),
        ({"quotejob": with_(burn=-1)}, "form unknown"),
        ({"quotejob": with_(window=10**9)}, "send fewer items"),
        ({"quotejob": with_(check_macs=10**18)}, "more than a job may be"),
        ({"getmodel": with_(input={"dtype": "int8", "shape": [2**30], "lo": 0, "hi": 1})}, "form"),
        ({"getinfo": with_(chain_id=1)}, "serves"),
        ({"getaccount": with_(balance="much")}, "form unknown"),
    ]
    for lie, message in lies:
        with lying(town.url, lie) as url:
            poor = Client(url, Wallet(town.key, TINY), token=town.env["POUW_RPC_TOKEN"])
            with pytest.raises(UserError, match=message):
                poor.run(model, np.zeros((3, 16), np.int8) + 5)


def test_pages_without_end_end(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pouw.sdk.models._MAX_PAGES", 3)
    pages = (f"{number:064x}" for number in range(100))
    with lying(town.url, {"listmodels": lambda _: {"models": [], "next": next(pages)}}) as url:
        assert Client(url).models() == []
    assert next(pages) == f"{3:064x}"
