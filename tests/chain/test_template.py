"""Block templates: whatever waits, what is built on it is a valid block within every limit."""

import random
from dataclasses import replace

import pytest
from pouw.chain.chainstate import Chain
from pouw.chain.mempool import Mempool
from pouw.chain.template import Template, build_template
from pouw.consensus import records as r
from pouw.core.blob import CHUNK_BYTES, blob_root
from pouw.core.block import Block, seal
from pouw.core.codec import decode, encode
from pouw.core.errors import PolicyRejection, RuleViolation
from pouw.core.hashing import Hash
from pouw.core.keys import PrivateKey
from pouw.core.ticket import MAX_OPENING_BYTES
from pouw.core.transaction import (
    INSTANT_MODE,
    Body,
    Bundle,
    ClaimJob,
    CommitResult,
    Output,
    RegisterModel,
    SettleJob,
    SubmitJob,
    Transfer,
    result_commitment,
)
from pouw.genesis import Params
from pouw.tests.chain.conftest import OpenChain
from pouw.tests.chain.workshop import (
    FAUCET,
    FEE,
    FUNDED,
    KEYS,
    MINER,
    NOW,
    feed,
    find_proof,
    transaction_of,
    uploads,
)
from pouw.tests.consensus.world import plain_kit
from pouw.vm.executor import execute
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.products import plain_products
from pouw.vm.program import encode_program
from pouw.vm.tensor import encode_output

ALICE, BOB, CAROL = KEYS[:3]
PAYOUT = PrivateKey(b"o" * 32)


class Mint:
    """A miner beside a chain and a mempool."""

    def __init__(self, chain: Chain) -> None:
        self.chain = chain
        self.pool = Mempool(chain)

    def template(self, now: int = 0) -> Template:
        return build_template(self.chain, self.pool, MINER.public, PAYOUT.address, now)

    def mine(self, now: int = 0) -> Block:
        """Mine what waits; the chain must take it."""
        block = solve(self.template(now))
        feed(self.chain, block)
        assert self.chain.tip.id == block.id
        return block

    def send(self, sender: PrivateKey, body: Body, fee: int = FEE) -> Hash:
        nonce = self.pool.pending_nonce(sender.address)
        return self.pool.add(Bundle(transaction_of(sender, body, nonce, fee), ()))

    def upload(self, sender: PrivateKey, data: bytes, each: int = 8) -> Hash:
        for bundle in uploads(sender, data, self.pool.pending_nonce(sender.address), each):
            self.pool.add(bundle)
        return blob_root(data)

    def balance(self, address: bytes) -> int:
        data = self.chain.state.get(r.account_key(address))
        return 0 if data is None else decode(r.Account, data, 1000).balance

    def job(self, job: Hash) -> r.Job:
        data = self.chain.state.get(r.job_key(job))
        assert data is not None
        return decode(r.Job, data, 10_000)


def solve(template: Template) -> Block:
    head, opening = find_proof(template.header)
    return Block(seal(MINER, template.header, head), template.body(opening))


@pytest.fixture
def mint(new_chain: OpenChain) -> Mint:
    return Mint(new_chain(FUNDED))


def included(block: Block | Template) -> list[Hash]:
    transactions = block.body.transactions if isinstance(block, Block) else block.transactions
    return [transaction.id for transaction in transactions]


# What a template holds ---------------------------------------------------------------------------


def test_an_empty_template_is_a_block(mint: Mint) -> None:
    template = mint.template(now=FUNDED.genesis_time + 7)
    assert template.header.parent == mint.chain.tip.id
    assert template.header.time == FUNDED.genesis_time + 7
    assert (template.header.miner, template.header.payout) == (MINER.public, PAYOUT.address)
    assert template.sigma == template.header.sigma
    feed(mint.chain, solve(template))
    assert mint.balance(PAYOUT.address) == FUNDED.initial_subsidy


def test_what_waits_is_included_in_order_and_paid_for(mint: Mint) -> None:
    transfer = Transfer((Output(BOB.address, FEE),))
    sent = [mint.send(ALICE, transfer), mint.send(ALICE, transfer, fee=2 * FEE)]
    better = mint.send(CAROL, transfer, fee=3 * FEE)
    root = mint.upload(BOB, b"hello")
    block = mint.mine()
    assert included(block)[1:] == [better, *sent], "after the upload, which pays most"
    assert len(included(block)) == 4
    assert len(mint.pool) == 0
    assert mint.chain.blobs.blob(root) == b"hello"
    fees = sum(transaction.payload.fee for transaction in block.body.transactions)
    assert mint.balance(PAYOUT.address) == FUNDED.initial_subsidy + fees


def test_building_changes_nothing(mint: Mint) -> None:
    mint.send(ALICE, Transfer((Output(BOB.address, 5),)))
    mint.upload(BOB, bytes(CHUNK_BYTES + 1))
    root, revision = mint.chain.state.root(), mint.pool.revision
    first, second = mint.template(), mint.template()
    assert first == second
    assert mint.chain.state.root() == root
    assert mint.pool.revision == revision
    mint.mine()


# Limits ------------------------------------------------------------------------------------------


def test_chunks_beyond_the_limit_wait(mint: Mint) -> None:
    limit = FUNDED.max_chunk_bytes // CHUNK_BYTES
    data = random.Random(1).randbytes(CHUNK_BYTES * (2 * limit + 1))
    root = mint.upload(ALICE, data, each=3)
    later = mint.send(ALICE, Transfer((Output(BOB.address, 1),)))
    other = mint.send(CAROL, Transfer((Output(BOB.address, 1),)))
    first = mint.mine()
    assert len(first.body.chunks) == limit - limit % 3
    assert other in included(first)
    assert later not in included(first), "it follows a part that had no room"
    while len(mint.pool):
        mint.mine()
    assert mint.chain.blobs.blob(root) == data


def test_the_largest_proof_still_fits_beside_a_full_template(mint: Mint) -> None:
    outputs = tuple(Output(bytes([i % 256, i // 256]) * 16, 1) for i in range(1000))
    for number in range(60):
        mint.send(KEYS[number % len(KEYS)], Transfer(outputs))
    template = mint.template()
    assert 0 < len(template.transactions) < 60
    assert len(encode(template.transactions)) + MAX_OPENING_BYTES <= FUNDED.max_block_bytes
    one_more = len(encode(template.transactions[0]))
    assert (
        len(encode(template.transactions)) + one_more + MAX_OPENING_BYTES + 100
        > FUNDED.max_block_bytes
    )
    block = mint.mine()
    assert len(included(block)) == len(template.transactions)
    mint.mine()
    assert len(mint.pool) == 0


# Jobs --------------------------------------------------------------------------------------------


def committed_jobs(mint: Mint, workers: list[PrivateKey]) -> list[SettleJob]:
    """Bring one small job per worker as far as its commitment; return the settlements."""
    kit = plain_kit()
    program = mint.upload(FAUCET, encode_program(kit.program))
    weights = mint.upload(FAUCET, kit.weights)
    data = mint.upload(FAUCET, kit.data)
    mint.mine()
    model = mint.send(FAUCET, RegisterModel("plain", program, weights, "MIT", ()))
    mint.mine()
    offer = SubmitJob(model, data, INSTANT_MODE, 10**9, mint.chain.tip.height + 90)
    jobs = [mint.send(FAUCET, offer) for _ in workers]
    mint.mine()
    for job, worker in zip(jobs, workers, strict=True):
        mint.send(worker, ClaimJob(job))
    for _ in range(3):
        mint.mine()
    products = plain_products(ReferenceMultiplier())
    execution = execute(kit.checked, kit.weights, kit.data, products)
    output = encode_output(kit.checked, execution.output)
    for job, worker in zip(jobs, workers, strict=True):
        assert mint.job(job).worker == worker.address
        commitment = result_commitment(worker.address, job, blob_root(output), bytes(32))
        mint.send(worker, CommitResult(job, commitment))
    mint.mine()
    return [SettleJob(job, output, bytes(32), ()) for job in jobs]


def test_settlements_share_the_block_s_check_budget(new_chain: OpenChain) -> None:
    job_macs = 2 * 4 * 32
    params = replace(FUNDED, block_check_macs=2 * job_macs + job_macs // 2)
    mint = Mint(new_chain(params))
    workers = [ALICE, BOB, CAROL]
    settlements = committed_jobs(mint, workers)
    fees = (30 * FEE, 20 * FEE, 10 * FEE)
    sent = [mint.send(*each) for each in zip(workers, settlements, fees, strict=True)]
    other = mint.send(KEYS[3], Transfer((Output(BOB.address, 1),)))
    assert included(mint.mine()) == [*sent[:2], other]
    assert included(mint.mine()) == sent[2:]
    assert {mint.job(s.job).status for s in settlements} == {r.JobStatus.SETTLED}
    totals = mint.chain.totals_at(mint.chain.tip.height)
    assert totals is not None
    assert int.from_bytes(totals.useful_macs, "little") == 3 * job_macs
    assert mint.job(settlements[0].job).check_macs == job_macs


def test_a_reorg_gives_a_settled_job_back_to_its_worker(new_chain: OpenChain) -> None:
    """The settlement returns to the pool and settles again on the other branch."""
    mint = Mint(new_chain(FUNDED))
    (settlement,) = committed_jobs(mint, [ALICE])
    rival = Mint(new_chain(FUNDED))
    entries = [mint.chain.at_height(h) for h in range(1, mint.chain.tip.height + 1)]
    for entry in entries:
        assert entry is not None
        body = mint.chain.body(entry.id)
        assert body is not None
        feed(rival.chain, Block(entry.sealed, body))
    sent = mint.send(ALICE, settlement)
    mint.mine()
    assert mint.job(settlement.job).status == r.JobStatus.SETTLED
    other = [rival.mine(now=mint.chain.tip.time + 1) for _ in range(2)]
    feed(mint.chain, *other)
    assert mint.job(settlement.job).status == r.JobStatus.COMMITTED
    assert sent in mint.pool
    assert included(mint.mine()) == [sent]
    assert mint.job(settlement.job).status == r.JobStatus.SETTLED


# Time --------------------------------------------------------------------------------------------


def test_a_burst_within_one_second_moves_the_time_ahead_only_as_needed(mint: Mint) -> None:
    now = FUNDED.genesis_time + 1000
    times = [mint.mine(now).header.time for _ in range(40)]
    for position, time in enumerate(times):
        recent = sorted([FUNDED.genesis_time, *times[:position]][-11:])
        assert time == max(now, recent[len(recent) // 2] + 1)
    assert times[-1] - now < 10


def test_a_clock_behind_the_chain_gets_the_earliest_time(mint: Mint) -> None:
    mint.mine(now=FUNDED.genesis_time + 500)
    late = mint.mine(now=0)
    assert late.header.time > FUNDED.genesis_time


# Everything together -----------------------------------------------------------------------------


def random_bundle(rng: random.Random, mint: Mint) -> None:
    sender = rng.choice(KEYS)
    if rng.random() < 0.3:
        mint.upload(sender, rng.randbytes(rng.randint(1, 12) * CHUNK_BYTES // 2), each=4)
        return
    amount = rng.choice([1, 10**9, 9 * 10**14])
    outputs = tuple(Output(rng.choice(KEYS).address, amount) for _ in range(rng.randint(1, 3)))
    mint.send(sender, Transfer(outputs))


def tight(params: Params) -> Params:
    """Room for a proof, three chunks and few transactions."""
    return replace(
        params, max_block_bytes=MAX_OPENING_BYTES + 260_000, max_chunk_bytes=3 * CHUNK_BYTES
    )


@pytest.mark.parametrize("seed", range(8))
def test_whatever_waits_the_template_is_a_valid_block(new_chain: OpenChain, seed: int) -> None:
    rng = random.Random(seed)
    mint = Mint(new_chain(tight(FUNDED) if seed % 2 else FUNDED))
    for _ in range(15):
        for _ in range(rng.randint(0, 6)):
            try:
                random_bundle(rng, mint)
            except RuleViolation as violation:
                assert violation.rule == "balance"
            except PolicyRejection as rejection:
                assert rejection.reason == "size"
        mint.mine(now=rng.choice([0, NOW]) if rng.random() < 0.1 else 0)
    before = len(mint.pool)
    for _ in range(before + 1):
        mint.mine()
    assert len(mint.pool) == 0
