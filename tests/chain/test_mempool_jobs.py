"""Transactions about jobs: dropped as soon as what they are about has moved on."""

from dataclasses import replace

import pytest
from pouw.chain.chainstate import Chain
from pouw.core.blob import CHUNK_BYTES, split_blob
from pouw.core.errors import PolicyRejection, RuleViolation
from pouw.core.hashing import Hash
from pouw.core.keys import PrivateKey
from pouw.core.transaction import (
    INSTANT_MODE,
    Body,
    CancelJob,
    ClaimJob,
    CommitResult,
    RegisterModel,
    SubmitJob,
)
from pouw.tests.chain.conftest import OpenChain
from pouw.tests.chain.test_template import Mint, committed_jobs
from pouw.tests.chain.workshop import FAUCET, FEE, FUNDED, KEYS
from pouw.tests.consensus.world import plain_kit
from pouw.vm.program import encode_program

ALICE, BOB, CAROL = KEYS[:3]
BOUNTY = 10**9


@pytest.fixture
def chain(new_chain: OpenChain) -> Chain:
    return new_chain(FUNDED)


@pytest.fixture
def mint(chain: Chain) -> Mint:
    return Mint(chain)


def offered_job(mint: Mint, ahead: int = 90) -> Hash:
    """Bring a job of the faucet's onto the chain."""
    kit = plain_kit()
    program = mint.upload(FAUCET, encode_program(kit.program))
    weights = mint.upload(FAUCET, kit.weights)
    data = mint.upload(FAUCET, kit.data)
    mint.mine()
    model = mint.send(FAUCET, RegisterModel("plain", program, weights, "MIT", ()))
    mint.mine()
    deadline = mint.chain.tip.height + ahead
    job = mint.send(FAUCET, SubmitJob(model, data, INSTANT_MODE, BOUNTY, deadline))
    mint.mine()
    return job


def mine_elsewhere(mint: Mint, *sent: tuple[PrivateKey, Body]) -> None:
    """Put a block on the tip with transactions that the mint's pool does not know."""
    other = Mint(mint.chain)
    mint.chain.listeners.remove(other.pool._follow)
    for sender, body in sent:
        other.send(sender, body)
    mint_block = other.mine()
    assert len(mint_block.body.transactions) == len(sent)


def test_a_claim_leaves_when_the_owner_cancels(mint: Mint) -> None:
    job = offered_job(mint)
    claim = mint.send(ALICE, ClaimJob(job))
    mint.upload(BOB, b"other")
    mine_elsewhere(mint, (FAUCET, CancelJob(job)))
    assert claim not in mint.pool
    assert len(mint.pool) == 1, "who has nothing to do with it stays"


def test_a_cancellation_leaves_when_the_job_is_claimed(mint: Mint) -> None:
    job = offered_job(mint)
    cancel = mint.send(FAUCET, CancelJob(job))
    mine_elsewhere(mint, (ALICE, ClaimJob(job)))
    assert cancel not in mint.pool


def test_a_late_claim_leaves_when_earlier_ones_are_included(mint: Mint) -> None:
    """Claims of one block compete; those of the next are too late."""
    job = offered_job(mint)
    late = mint.send(BOB, ClaimJob(job))
    mine_elsewhere(mint, (ALICE, ClaimJob(job)))
    assert late not in mint.pool


def test_a_claim_leaves_when_the_deadline_is_too_near(mint: Mint) -> None:
    job = offered_job(mint, ahead=30)
    mint.send(ALICE, ClaimJob(job), fee=FEE)
    entry = next(mint.pool.entries())
    record = mint.job(job)
    assert mint.chain.tip.height < entry.last_height < record.deadline - record.window
    while mint.chain.tip.height < entry.last_height - 1:
        mine_elsewhere(mint)
        assert entry.id in mint.pool
    mine_elsewhere(mint)
    assert entry.id not in mint.pool


def test_a_commitment_leaves_when_the_window_ends(mint: Mint) -> None:
    """The beginning of a block ends windows: no transaction says so."""
    job = offered_job(mint)
    mint.send(ALICE, ClaimJob(job))
    for _ in range(3):
        mint.mine()
    assert mint.job(job).worker == ALICE.address
    commit = mint.send(ALICE, CommitResult(job, bytes(32)))
    while mint.chain.tip.height + 1 < mint.job(job).window_end:
        assert commit in mint.pool
        mine_elsewhere(mint)
    assert commit not in mint.pool


def test_a_settlement_leaves_when_it_came_another_way(mint: Mint) -> None:
    (settlement,) = committed_jobs(mint, [ALICE])
    dearer = mint.send(ALICE, settlement, fee=3 * FEE)
    mine_elsewhere(mint, (ALICE, settlement))
    assert dearer not in mint.pool and len(mint.pool) == 0


def test_an_offer_leaves_when_its_deadline_is_too_near(mint: Mint) -> None:
    job = mint.job(offered_job(mint))
    deadline = mint.chain.tip.height + 25
    offer = mint.send(FAUCET, SubmitJob(job.model, job.input, INSTANT_MODE, BOUNTY, deadline))
    while offer in mint.pool:
        assert mint.chain.tip.height < deadline
        mine_elsewhere(mint)


def test_no_more_claims_wait_than_a_block_can_take(mint: Mint) -> None:
    job = offered_job(mint)
    most = FUNDED.max_claims_per_job
    claims = [mint.send(key, ClaimJob(job), fee=(2 + i) * FEE) for i, key in enumerate(KEYS[:most])]
    with pytest.raises(PolicyRejection, match="conflict"):
        mint.send(KEYS[most], ClaimJob(job), fee=2 * FEE)
    better = mint.send(KEYS[most], ClaimJob(job), fee=3 * FEE)
    assert claims[0] not in mint.pool
    block = mint.mine()
    assert {each.id for each in block.body.transactions} == {better, *claims[1:]}


def test_an_upload_leaves_when_somebody_else_completes_the_blob(mint: Mint) -> None:
    data = bytes(2 * CHUNK_BYTES)
    mint.upload(ALICE, data, each=1)
    after = mint.pool.pending_nonce(ALICE.address)
    assert (len(mint.pool), after) == (2, 2)
    root, chunks = split_blob(data)
    other = Mint(mint.chain)
    mint.chain.listeners.remove(other.pool._follow)
    other.upload(BOB, data, each=2)
    other.mine()
    assert len(chunks) == 2 and mint.chain.blobs.blob(root) == data
    assert len(mint.pool) == 0


def test_heavy_transactions_of_one_sender_share_one_block_s_checking(
    new_chain: OpenChain,
) -> None:
    """What must be run again when a sender's account changes stays bounded."""
    mint = Mint(new_chain(replace(FUNDED, block_check_bytes=3_000_000)))
    job = mint.job(offered_job(mint))
    deadline = mint.chain.tip.height + 80
    offer = SubmitJob(job.model, job.input, INSTANT_MODE, BOUNTY, deadline)
    with pytest.raises(RuleViolation, match="block-budget"):
        for _ in range(mint.pool.limits.sender_transactions):
            mint.send(FAUCET, offer)
    waiting = len(mint.pool)
    assert 0 < waiting < mint.pool.limits.sender_transactions
    assert len(mint.mine().body.transactions) == waiting
