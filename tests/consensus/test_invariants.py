"""Random lives of many jobs: money adds up, blocks always begin and end, nothing stays behind."""

from dataclasses import replace
from typing import Any

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from pouw.consensus import records as r
from pouw.consensus.blobs import apply_upload
from pouw.consensus.jobs.life import is_live
from pouw.consensus.transition import begin_block
from pouw.core.blob import blob_root
from pouw.core.errors import RuleViolation
from pouw.core.hashing import Hash
from pouw.core.keys import PrivateKey
from pouw.core.transaction import (
    Body,
    CancelJob,
    ClaimJob,
    Output,
    SettleJob,
    Transaction,
    Transfer,
    UploadBlob,
)
from pouw.tests.consensus.world import (
    ALICE,
    BOB,
    CAROL,
    COIN,
    FUNDS,
    OWNER,
    PARAMS,
    RICH,
    SALT,
    STRANGER,
    World,
    layered_kit,
    plain_kit,
)

CROWDED = replace(PARAMS, max_events_per_height=2, max_claims_per_job=2)
ACTORS = (OWNER, ALICE, BOB, STRANGER)
KEYS = st.sampled_from(ACTORS)
WORKERS = st.lists(
    st.sampled_from((ALICE, BOB, OWNER)), min_size=1, max_size=3, unique_by=lambda key: key.public
)
MOSTLY = st.sampled_from([True, True, True, False])
FEES = st.sampled_from([0, 1, COIN])
LIE = b"l" * 32
LONGEST = 300
"""Blocks after which everything of these parameters has ended, spilled over or not."""


def ended(job: r.Job) -> bool:
    return job.escrow == job.bonds == 0


def run_out(world: World, jobs: list[Hash]) -> None:
    """Mine until nothing is left to end; then no job holds money and no agenda is left."""
    world.difficulty = CROWDED.initial_difficulty
    world.mine_to(world.height + LONGEST)
    assert all(ended(world.job(job)) for job in jobs)
    assert [key for key in world.state if key[:1] in (b"e", b"c")] == []


class Lives(RuleBasedStateMachine):
    """Actors do whatever comes to their minds; refusals may only be rule violations."""

    @initialize()
    def begin(self) -> None:
        self.world = World(CROWDED)
        self.models = [self.world.register(kit()) for kit in (plain_kit, layered_kit)]
        self.inputs = [self.world.publish(kit().data) for kit in (plain_kit, layered_kit)]
        self.world.difficulty = CROWDED.initial_difficulty
        self.jobs: list[Hash] = []

    def attempt(self, *transactions: Transaction, **block: Any) -> bool:
        """Mine a block; a refusal leaves the chain as it is and an empty block still possible."""
        try:
            self.world.mine(*transactions, **block)
        except RuleViolation:
            self.world.mine()
            return False
        return True

    def send(self, key: PrivateKey, body: Body, fee: int = 0) -> bool:
        return self.attempt(self.world.sign(key, body, fee=fee))

    @rule(key=KEYS, to=KEYS, amount=st.sampled_from([0, 1, COIN, FUNDS]), fee=FEES)
    def transfer(self, key: PrivateKey, to: PrivateKey, amount: int, fee: int) -> None:
        self.send(key, Transfer((Output(to.address, amount),)), fee)

    @rule(name=st.integers(0, 40), size=st.integers(1, 3), first=st.integers(0, 2))
    def upload(self, name: int, size: int, first: int) -> None:
        self.send(CAROL, UploadBlob(blob_root(bytes([name])), size << 16, first, 1))

    @rule(
        key=KEYS,
        which=st.integers(0, 1),
        bounty=st.sampled_from([0, 1, 10 * COIN, 20 * COIN, FUNDS]),
        blocks=st.sampled_from([5, 14, 20, 40, 60, 80]),
        fee=FEES,
    )
    def submit(self, key: PrivateKey, which: int, bounty: int, blocks: int, fee: int) -> None:
        kit = (plain_kit, layered_kit)[which]()
        if r.blob_key(self.inputs[which]) not in self.world.state:
            self.world.publish(kit.data)
        body = self.world.submission(self.models[which], kit.data, bounty=bounty, blocks=blocks)
        signed = self.world.sign(key, body, fee=fee)
        if self.attempt(signed):
            self.jobs.append(signed.id)

    @rule(data=st.data(), keys=WORKERS, waits=st.booleans())
    def claim(self, data: st.DataObject, keys: list[PrivateKey], waits: bool) -> None:
        open_ = [job for job in self.jobs if self.world.job(job).status == r.JobStatus.SUBMITTED]
        if not self.jobs:
            return
        job = data.draw(st.sampled_from(open_ or self.jobs))
        self.attempt(*(self.world.sign(key, ClaimJob(job)) for key in keys))
        if waits:
            self.world.mine()
            self.world.mine()

    @rule(which=st.integers(0, 1), worker=WORKERS, blocks=st.sampled_from([20, 40, 60]))
    def begin_job(self, which: int, worker: list[PrivateKey], blocks: int) -> None:
        """Bring one more job to where it is being worked on, unless something is in the way."""
        self.submit(OWNER, which, 10 * COIN, blocks, 1)
        if self.jobs:
            self.attempt(*(self.world.sign(key, ClaimJob(self.jobs[-1])) for key in worker[:2]))
            self.world.mine()
            self.world.mine()

    def live(self) -> list[Hash]:
        return [job for job in self.jobs if is_live(self.world.job(job))]

    def worker(self, job: Hash) -> PrivateKey:
        address = self.world.job(job).worker
        return next(key for key in ACTORS if key.address == address)

    @rule(data=st.data(), right=MOSTLY, reveals=MOSTLY, posts=MOSTLY)
    def work(self, data: st.DataObject, right: bool, reveals: bool, posts: bool) -> None:
        live = self.live()
        if not live:
            return
        job = data.draw(st.sampled_from(live))
        key = self.worker(job)
        output = self.world.trace(job)[0] if right else b"wrong"
        products = self.world.posted(job)
        spoiled = products if posts else tuple(c + 1 for c in products)
        roots = tuple(self.world.publish(c.astype("<i4").tobytes()) for c in spoiled)
        if data.draw(st.booleans()):
            self.mine_with(job, lies=not data.draw(MOSTLY))
        self.send(key, self.world.commitment(job, key, output))
        honest = all(entry.root_a != LIE for entry in self.world.job(job).provenance)
        if reveals and self.send(key, SettleJob(job, output, SALT, roots)):
            good = right and honest and (posts or not products)
            assert (self.world.job(job).status == r.JobStatus.SETTLED) == good

    @rule(data=st.data(), lies=st.booleans())
    def mine_with_some_job(self, data: st.DataObject, lies: bool) -> None:
        live = self.live()
        if live:
            self.mine_with(data.draw(st.sampled_from(live)), lies)

    def mine_with(self, job: Hash, lies: bool) -> None:
        head = self.world.head(job)
        if lies:
            head = msgspec.structs.replace(head, root_a=LIE)
        worker = self.world.job(job).worker
        miner = next((key for key in ACTORS if key.address == worker), STRANGER)
        self.attempt(miner=miner, head=head)

    @rule(data=st.data(), key=KEYS)
    def cancel(self, data: st.DataObject, key: PrivateKey) -> None:
        if self.jobs:
            self.send(key, CancelJob(data.draw(st.sampled_from(self.jobs))))

    @rule(count=st.sampled_from([1, 1, 2, 5, 20]))
    def wait(self, count: int) -> None:
        self.world.mine_to(self.world.height + count)

    @rule(difficulty=st.sampled_from([300, 3000, CROWDED.initial_difficulty]))
    def retarget(self, difficulty: int) -> None:
        self.world.difficulty = difficulty

    @invariant()
    def statuses_and_money_agree(self) -> None:
        for job in getattr(self, "jobs", []):
            record = self.world.job(job)
            if record.status > r.JobStatus.COMMITTED:
                assert ended(record) and 0 < record.ended <= self.world.height
            if is_live(record):
                assert record.window_end > self.world.height
                assert record.bonds >= CROWDED.min_bond

    def teardown(self) -> None:
        if hasattr(self, "world"):
            run_out(self.world, self.jobs)


TestLives = Lives.TestCase
TestLives.settings = settings(max_examples=100, stateful_step_count=50, deadline=None)


def uploads_that_fit(world: World, name: int) -> list[Transaction]:
    """Return a block of uploads after which the agenda takes no more."""
    state = world.scratch()
    begin_block(state, world.tip, world.difficulty)
    uploads: list[Transaction] = []
    while True:
        body = UploadBlob(blob_root(b"%d %d" % (name, len(uploads))), 1, 0, 1)
        try:
            apply_upload(state, body)
        except RuleViolation as violation:
            assert violation.rule == "agenda-full"
            return uploads
        uploads.append(world.sign(CAROL, body, ahead=len(uploads)))


@pytest.mark.parametrize("limit", [1, 8])
def test_agendas_filled_by_an_adversary_never_stop_a_block(limit: int) -> None:
    """Uploads, deadlines, windows and reveals, as many as are let in, all on the same heights."""
    world = World(replace(PARAMS, max_events_per_height=limit))
    model, data = world.register(plain_kit()), plain_kit().data
    world.publish(data)
    end = world.height + 80
    jobs: list[Hash] = []
    settled = 0
    while world.height < end - 10:
        offer = msgspec.structs.replace(world.submission(model, data, bounty=1), deadline=end)
        submitted = world.sign(OWNER, offer)
        records = {job: world.job(job) for job in jobs}
        claims = [
            job
            for job, record in records.items()
            if record.status == r.JobStatus.SUBMITTED and not record.candidates
        ]
        working = [job for job, record in records.items() if record.status == r.JobStatus.CLAIMED]
        moves: list[Body] = [ClaimJob(job) for job in claims[:limit]]
        moves += [world.commitment(job, ALICE) for job in working[1::2]]
        signed = [world.sign(ALICE, body, ahead=i) for i, body in enumerate(moves)]
        try:
            world.mine(*uploads_that_fit(world, world.height), *signed)
        except RuleViolation as violation:
            assert violation.rule == "claim-late"
            world.mine()
        try:
            world.mine(submitted)
            jobs.append(submitted.id)
        except RuleViolation as violation:
            assert violation.rule in ("agenda-full", "job-deadline")
            world.mine()
        settled = sum(record.openings for record in records.values())
    assert settled > 0  # claims did run out among all that
    run_out(world, jobs)
    assert sum(world.balance(key) for key in (*RICH, STRANGER)) == (
        world.totals().emitted - world.totals().burned
    )
