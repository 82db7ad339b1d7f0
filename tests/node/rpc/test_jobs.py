"""A job's whole life as the RPC tells it, from the model's registration to the result."""

from typing import Any, Final

import numpy as np
import pytest
from pouw.core.blob import blob_root
from pouw.core.keys import PrivateKey
from pouw.core.transaction import (
    ClaimJob,
    CommitResult,
    Output,
    RegisterModel,
    RoyaltyShare,
    SettleJob,
    SubmitJob,
    Transfer,
    result_commitment,
)
from pouw.genesis import TINY
from pouw.vm.ops import Matmul
from pouw.vm.program import Program, encode_program
from pouw.vm.types import Declaration, DType, Interval, TensorType

WORKER: Final = PrivateKey(b"the hot key of a worker, a miner")
ARTIST: Final = PrivateKey(b"the one whose data made a model.")
ITEMS: Final = 3
BOUNTY: Final = 5_000_000_000
SALT: Final = b"s" * 32

RNG = np.random.default_rng(1)
WEIGHTS = RNG.integers(-63, 64, (8, 16), dtype=np.int8)
DATA = RNG.integers(-64, 64, (ITEMS, 16), dtype=np.int8)
PROGRAM = Program(
    1,
    Declaration(TensorType(DType.INT8, (16,)), Interval(-64, 63)),
    (Declaration(TensorType(DType.INT8, (8, 16)), Interval(-63, 63)),),
    (Matmul(0, 1),),
)
OUTPUT = (DATA.astype(np.int32) @ WEIGHTS.astype(np.int32).T).astype("<i4").tobytes()


async def register(rpc: Any, owner: PrivateKey) -> str:
    program = await rpc.upload(owner, encode_program(PROGRAM))
    weights = await rpc.upload(owner, WEIGHTS.tobytes())
    await rpc.mine()
    royalties = (RoyaltyShare(ARTIST.address, 1_000),)
    body = RegisterModel("a layer", program, weights, "CC0", royalties)
    return await rpc.send(rpc.sign(owner, body))


async def submit(rpc: Any, owner: PrivateKey, model: str) -> str:
    """Submit a job on the input that is on the chain already."""
    root = blob_root(DATA.tobytes())
    height = (await rpc.call("getinfo"))["height"]
    body = SubmitJob(bytes.fromhex(model), root, 0, BOUNTY, height + 60)
    job = await rpc.send(rpc.sign(owner, body))
    await rpc.mine()
    return job


async def claim(rpc: Any, owner: PrivateKey, job: str) -> None:
    await rpc.send(rpc.sign(owner, Transfer((Output(WORKER.address, 100 * BOUNTY),))))
    await rpc.mine()
    await rpc.send(rpc.sign(WORKER, ClaimJob(bytes.fromhex(job))))
    await rpc.mine(3)


@pytest.fixture
async def model(rpc: Any, faucet: PrivateKey) -> str:
    """A model on the chain, and an input for it."""
    identity = await register(rpc, faucet)
    await rpc.upload(faucet, DATA.tobytes())
    await rpc.mine()
    return identity


async def test_a_registered_model_is_described(rpc: Any, faucet: PrivateKey, model: str) -> None:
    answer = await rpc.call("getmodel", id=model)
    told_once = ("licence", "card", "weight_roots", "products")
    summary = {name: value for name, value in answer.items() if name not in told_once}
    assert await rpc.call("listmodels") == {"models": [summary], "next": None}
    assert (answer["id"], answer["name"], answer["licence"]) == (model, "a layer", "CC0")
    assert answer["owner"] == rpc.address(faucet)
    assert answer["program"] == blob_root(encode_program(PROGRAM)).hex()
    assert answer["royalties"] == [{"to": rpc.address(ARTIST), "basis_points": 1_000}]
    assert answer["input"] == {"dtype": "int8", "shape": [16], "lo": -64, "hi": 63}
    assert answer["output"] == {"dtype": "int32", "shape": [8]}
    assert answer["macs_per_item"] == 128
    assert answer["products"] == [
        {"index": 0, "n": 8, "k": 16, "m_per_item": 1, "mineable": False, "postable": False}
    ]
    assert (answer["height"], answer["jobs"]) == (2, 0)


async def test_blobs_are_told_of_and_sent(rpc: Any, model: str) -> None:
    root = blob_root(WEIGHTS.tobytes()).hex()
    answer = await rpc.call("getblob", root=root)
    assert (answer["size"], answer["chunks"], answer["next_chunk"]) == (128, 1, 1)
    assert answer["complete"] and answer["pinned"]
    assert (await rpc.call("getblobdata", root=root))["data"] == WEIGHTS.tobytes().hex()
    assert await rpc.call("getblob", root="ab" * 32) is None


async def test_large_blobs_are_not_sent(
    rpc: Any, model: str, call_failed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pouw.node.rpc.blobs.MAX_ANSWERED_BYTES", 127)
    with pytest.raises(call_failed) as caught:
        await rpc.call("getblobdata", root=blob_root(WEIGHTS.tobytes()).hex())
    assert caught.value.code == -32000
    root, data = blob_root(WEIGHTS.tobytes()).hex(), WEIGHTS.tobytes()
    for offset, length in ((0, 127), (1, 127), (100, 100), (1, None), (128, 5), (500, 5), (3, 0)):
        end = None if length is None else offset + length
        answer = await rpc.call("getblobdata", root=root, offset=offset, length=length)
        assert answer["data"] == data[offset:end].hex()
    with pytest.raises(call_failed) as caught:
        await rpc.call("getblobdata", root="ab" * 32)
    assert caught.value.code == -32004


async def test_the_quote_is_what_the_job_then_costs(
    rpc: Any, faucet: PrivateKey, model: str
) -> None:
    quote = await rpc.call("quotejob", model=model, items=ITEMS, bounty=BOUNTY)
    assert await rpc.call("quotejob", model=model, input_size=DATA.nbytes, bounty=BOUNTY) == quote
    height = (await rpc.call("getinfo"))["height"]
    body = SubmitJob(
        bytes.fromhex(model), blob_root(DATA.tobytes()), 0, BOUNTY, quote["earliest_deadline"]
    )
    job = await rpc.send(rpc.sign(faucet, body))
    await rpc.mine()
    record = await rpc.call("getjob", id=job)
    for name in ("items", "macs", "check_macs", "check_bytes", "check_fee", "burn"):
        assert record[name] == quote[name], name
    assert (record["submitted"], record["deadline"]) == (height + 1, quote["earliest_deadline"])
    # One block after the submission is just in time, as the quote says.
    await rpc.send(rpc.sign(faucet, ClaimJob(bytes.fromhex(job))))
    await rpc.mine()
    record = await rpc.call("getjob", id=job)
    assert record["candidates"] == [rpc.address(faucet)]
    assert (record["bond"], record["claimed"]) == (quote["bond"], height + 2)


async def test_a_deadline_one_block_earlier_cannot_be_claimed(
    rpc: Any, faucet: PrivateKey, model: str, call_failed: Any
) -> None:
    quote = await rpc.call("quotejob", model=model, items=ITEMS)
    deadline = quote["earliest_deadline"] - 1
    body = SubmitJob(bytes.fromhex(model), blob_root(DATA.tobytes()), 0, BOUNTY, deadline)
    job = await rpc.send(rpc.sign(faucet, body))
    await rpc.mine()
    with pytest.raises(call_failed) as caught:
        await rpc.send(rpc.sign(faucet, ClaimJob(bytes.fromhex(job))))
    assert caught.value.data == {"rule": "claim-late"}


async def test_quotes_of_the_impossible(rpc: Any, model: str, call_failed: Any) -> None:
    cases: list[tuple[int, dict[str, Any]]] = [
        (-32004, {"model": "ab" * 32, "items": 1}),
        (-32602, {"model": model}),
        (-32602, {"model": model, "items": 1, "input_size": 16}),
        (-32010, {"model": model, "items": 0}),
        (-32010, {"model": model, "items": 2**62}),
        (-32010, {"model": model, "input_size": 17}),
    ]
    for code, params in cases:
        with pytest.raises(call_failed) as caught:
            await rpc.call("quotejob", **params)
        assert caught.value.code == code, params


async def test_a_job_from_submission_to_result(
    rpc: Any, faucet: PrivateKey, model: str, call_failed: Any
) -> None:
    job = await submit(rpc, faucet, model)
    fresh = await rpc.call("getjob", id=job)
    assert (fresh["status"], fresh["worker"], fresh["output"]) == ("submitted", None, None)
    assert fresh["owner"] == rpc.address(faucet)
    assert fresh["escrow"] == BOUNTY + fresh["check_fee"] + fresh["burn"]
    with pytest.raises(call_failed) as caught:
        await rpc.call("getjobresult", id=job)
    assert caught.value.code == -32004 and "submitted" in caught.value.message

    await claim(rpc, faucet, job)
    claimed = await rpc.call("getjob", id=job)
    assert (claimed["status"], claimed["worker"]) == ("claimed", rpc.address(WORKER))
    assert claimed["bond"] == max(TINY.min_bond, BOUNTY // 2)
    assert await rpc.call("listjobs", status="claimed") == [claimed]

    identity = bytes.fromhex(job)
    commitment = result_commitment(WORKER.address, identity, blob_root(OUTPUT), SALT)
    await rpc.send(rpc.sign(WORKER, CommitResult(identity, commitment)))
    await rpc.mine()
    committed = await rpc.call("getjob", id=job)
    assert (committed["status"], committed["commitment"]) == ("committed", commitment.hex())

    settlement = await rpc.send(rpc.sign(WORKER, SettleJob(identity, OUTPUT, SALT, ())))
    block = await rpc.mine()
    settled = await rpc.call("getjob", id=job)
    assert (settled["status"], settled["escrow"]) == ("settled", 0)
    assert settled["output"] == blob_root(OUTPUT).hex()
    result = await rpc.call("getjobresult", id=job)
    assert result == {
        "id": job,
        "output": OUTPUT.hex(),
        "dtype": "int32",
        "shape": [ITEMS, 8],
        "block": block,
        "height": settled["ended"],
        "worker": rpc.address(WORKER),
        "settlement": settlement,
    }
    work = await rpc.call("getwork", address=rpc.address(WORKER))
    assert (work["jobs"], work["macs"], work["missed"]) == (1, ITEMS * 128, 0)
    assert work["earned"] == BOUNTY * 9 // 10
    share = await rpc.call("getaccount", address=rpc.address(ARTIST))
    assert share["balance"] == BOUNTY // 10
    assert (await rpc.call("getmodel", id=model))["jobs"] == 1
    useful = await rpc.call("getusefulness", blocks=1)
    assert useful["useful_macs"] == ITEMS * 128
    assert useful["useful_share"] == ITEMS * 128 / TINY.initial_difficulty
    assert (await rpc.call("getsupply"))["burned"] == settled["burn"]


async def test_jobs_are_listed_newest_first_and_by_status(
    rpc: Any, faucet: PrivateKey, model: str
) -> None:
    first = await submit(rpc, faucet, model)
    second = await submit(rpc, faucet, model)
    listed = await rpc.call("listjobs")
    assert [job["id"] for job in listed] == [second, first]
    assert [job["id"] for job in await rpc.call("listjobs", limit=1)] == [second]
    assert await rpc.call("listjobs", status="settled") == []
    assert await rpc.call("getjob", id="ab" * 32) is None
