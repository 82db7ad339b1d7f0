"""Proofs as a node gives them, checked as a client does."""

from typing import Any

import pytest
from pouw.consensus import records as r
from pouw.core.block import SealedHeader
from pouw.core.codec import decode
from pouw.core.commitment import verify_item
from pouw.core.errors import RuleViolation
from pouw.core.keys import PrivateKey
from pouw.core.stateproof import StateProof, verify_state_proof
from pouw.core.transaction import MAX_TRANSACTION_BYTES, Output, Transaction, Transfer
from pouw.genesis.networks import DEVNET_FAUCET

FRIEND = PrivateKey(b"a person who is paid in the test")
STRANGER = PrivateKey(b"a person who has not any account")


def header_of(answer: Any) -> SealedHeader:
    sealed = decode(SealedHeader, bytes.fromhex(answer["header"]), 1024)
    assert sealed.id.hex() == answer["block"]
    assert sealed.header.height == answer["height"]
    return sealed


@pytest.mark.parametrize("count", [1, 2, 5])
async def test_every_transaction_of_a_block_is_proven(rpc: Any, count: int) -> None:
    sent: list[str] = []
    for amount in range(1, count + 1):
        body = Transfer((Output(FRIEND.address, amount),))
        sent.append(await rpc.send(rpc.sign(DEVNET_FAUCET, body)))
    block = await rpc.mine()
    await rpc.mine(2)
    for identity in sent:
        answer = await rpc.call("gettransactionproof", id=identity)
        assert (answer["block"], answer["transactions"]) == (block, count)
        data = bytes.fromhex(answer["transaction"])
        assert decode(Transaction, data, MAX_TRANSACTION_BYTES).id.hex() == identity
        siblings = [bytes.fromhex(each) for each in answer["siblings"]]
        root = header_of(answer).header.transactions_root
        verify_item(root, count, answer["index"], data, siblings)
        with pytest.raises(RuleViolation):
            verify_item(root, count + 1, answer["index"], data, siblings)


async def test_a_transaction_that_waits_or_never_was_has_no_proof(
    rpc: Any, call_failed: type[Exception]
) -> None:
    body = Transfer((Output(FRIEND.address, 1),))
    waiting = await rpc.send(rpc.sign(DEVNET_FAUCET, body))
    for identity in (waiting, "0" * 64):
        with pytest.raises(call_failed, match="no transaction"):
            await rpc.call("gettransactionproof", id=identity)


async def test_values_and_absences_are_proven_against_the_tip(rpc: Any) -> None:
    await rpc.send(rpc.sign(DEVNET_FAUCET, Transfer((Output(FRIEND.address, 77),))))
    tip = await rpc.mine()
    for key, expected in ((FRIEND, 77), (STRANGER, None)):
        name = r.account_key(key.address)
        answer = await rpc.call("getstateproof", key=name.hex())
        assert answer["block"] == tip
        proof = decode(StateProof, bytes.fromhex(answer["proof"]), 100_000)
        value = verify_state_proof(header_of(answer).header.state_root, name, proof)
        if expected is None:
            assert value is None
        else:
            assert value is not None
            assert decode(r.Account, value, 1000).balance == expected


@pytest.mark.parametrize("key", ["", "6", "zz", "00" * 65, "AA", 7])
async def test_a_key_that_is_none_is_refused(
    rpc: Any, call_failed: type[Exception], key: Any
) -> None:
    with pytest.raises(call_failed):
        await rpc.call("getstateproof", key=key)
