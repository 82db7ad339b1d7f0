"""Blobs on the chain: order, bounds, when they may be used and how long they stay."""

import pytest
from pouw.consensus import records as r
from pouw.consensus.blobs import expire_blob, keep_blob, pin_blob
from pouw.core.blob import CHUNK_BYTES, MAX_CHUNKS, blob_root
from pouw.core.codec import MAX_INT
from pouw.core.hashing import Hash
from pouw.core.transaction import RegisterModel, SubmitJob, UploadBlob
from pouw.tests.consensus.world import ALICE, BOB, CAROL, COIN, OWNER, World, plain_kit
from pouw.vm.program import encode_program

ROOT = blob_root(b"what the root commits to is checked with the body")
THREE_CHUNKS = 2 * CHUNK_BYTES + 1


def upload(first: int, count: int, size: int = THREE_CHUNKS, root: Hash = ROOT) -> UploadBlob:
    return UploadBlob(root, size, first, count)


def record(world: World, root: Hash = ROOT) -> r.BlobRecord | None:
    return world.scratch().blob(root)


def test_chunks_arrive_in_order_from_anybody(world: World) -> None:
    window = world.params.blob_window
    world.mine(world.sign(ALICE, upload(0, 1)))
    assert record(world) == r.BlobRecord(THREE_CHUNKS, 1, 0, 1 + window, False)
    world.mine(world.sign(BOB, upload(1, 1)), world.sign(ALICE, upload(2, 1)))
    assert record(world) == r.BlobRecord(THREE_CHUNKS, 3, 2, 1 + window, False)


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        ("blob-order", upload(0, 1)),
        ("blob-order", upload(2, 1)),
        ("blob-order", upload(2**32 - 1, 1)),
        ("blob-size", upload(1, 1, THREE_CHUNKS + 1)),
        ("blob-size", upload(1, 1, 0)),
        ("blob-size", upload(1, 1, MAX_CHUNKS * CHUNK_BYTES + 1)),
        ("blob-size", upload(1, 1, MAX_INT)),
        ("blob-range", upload(1, 3)),
        ("blob-range", upload(1, 64)),
    ],
)
def test_refused_after_the_first_chunk(world: World, rule: str, body: UploadBlob) -> None:
    world.mine(world.sign(ALICE, upload(0, 1)))
    world.refuse(rule, world.sign(BOB, body))


@pytest.mark.parametrize(
    ("rule", "body"),
    [
        ("blob-order", upload(1, 1)),
        ("blob-range", upload(0, 4)),
        ("blob-size", upload(0, 1, 0)),
    ],
)
def test_refused_as_the_first_chunk(world: World, rule: str, body: UploadBlob) -> None:
    world.refuse(rule, world.sign(BOB, body))


def test_two_uploads_of_the_same_chunks_conflict(world: World) -> None:
    world.refuse("blob-order", world.sign(ALICE, upload(0, 3)), world.sign(BOB, upload(0, 3)))
    world.mine(world.sign(ALICE, upload(0, 3)))
    world.refuse("blob-order", world.sign(BOB, upload(0, 3)))


def test_usable_from_the_block_after_the_last_chunk(world: World) -> None:
    """A source of blobs never has to look into the block under judgement."""
    kit = plain_kit()
    weights = world.publish(kit.weights)
    program = encode_program(kit.program)
    root = blob_root(program)
    world.data[root] = program
    register = RegisterModel("m", root, weights, "", ())
    whole = world.sign(ALICE, upload(0, 1, len(program), root))
    world.refuse("blob-missing", world.sign(BOB, register))
    world.refuse("blob-missing", whole, world.sign(BOB, register))
    world.mine(whole)
    world.mine(world.sign(BOB, register))


def test_an_incomplete_blob_is_not_usable(world: World, plain: Hash) -> None:
    world.mine(world.sign(ALICE, upload(0, 2)))
    world.mine()
    job = SubmitJob(plain, ROOT, 0, COIN, world.height + 40)
    world.refuse("blob-missing", world.sign(OWNER, job))


def test_a_blob_is_forgotten_after_its_window_and_may_come_again(world: World) -> None:
    data = b"for a while"
    root = world.publish(data)
    end = world.height + world.params.blob_window
    world.mine_to(end - 1)
    assert record(world, root) is not None
    world.mine()
    assert record(world, root) is None
    world.publish(data)
    again = record(world, root)
    assert again is not None and again.expires == end + 1 + world.params.blob_window
    world.mine_to(end + world.params.blob_window)
    assert record(world, root) == again
    world.mine_to(again.expires)
    assert record(world, root) is None


def test_a_partial_blob_is_forgotten_and_starts_again(world: World) -> None:
    world.mine(world.sign(ALICE, upload(0, 2)))
    world.mine_to(1 + world.params.blob_window)
    assert record(world) is None
    world.refuse("blob-order", world.sign(ALICE, upload(2, 1)))
    world.mine(world.sign(ALICE, upload(0, 3)))


def test_an_input_is_kept_for_a_window_after_its_jobs_deadline(world: World, plain: Hash) -> None:
    window, data = world.params.blob_window, plain_kit().data
    root = world.publish(data)
    uploaded = world.height
    world.mine_to(uploaded + window - 2)
    job = world.job(world.submit(plain, data, blocks=60))  # one block before the blob would end
    kept = job.deadline + window
    assert kept > uploaded + 2 * window
    for height in (uploaded + window + 1, uploaded + 2 * window, kept - 1):
        world.mine_to(height)
        assert record(world, root) is not None
    world.mine()
    assert record(world, root) is None


def test_a_job_cannot_be_submitted_on_an_input_that_expires_in_the_same_block(
    world: World, plain: Hash
) -> None:
    data = plain_kit().data
    world.publish(data)
    world.mine_to(world.height + world.params.blob_window - 1)
    world.refuse("blob-missing", world.sign(OWNER, world.submission(plain, data)))


def test_keeping_never_shortens(world: World) -> None:
    root = world.publish(b"kept")
    state = world.scratch()
    before = state.blob(root)
    assert before is not None
    keep_blob(state, root, before.expires - 1)
    assert state.blob(root) == before
    keep_blob(state, root, before.expires + 5)
    after = state.blob(root)
    assert after is not None and after.expires == before.expires + 5


def test_blobs_of_models_stay(world: World, plain: Hash) -> None:
    model = world.scratch().model(plain)
    world.mine_to(3 * world.params.blob_window)
    for root in (model.program, model.weights):
        kept = record(world, root)
        assert kept is not None and kept.pinned
    job = world.submit(plain, plain_kit().data)
    world.settle(job, world.claim(job, ALICE))
    assert world.job(job).status == r.JobStatus.SETTLED


def test_expiring_or_keeping_what_is_not_there_changes_nothing(world: World) -> None:
    state = world.scratch()
    expire_blob(state, ROOT)
    keep_blob(state, ROOT, 1000)
    pin_blob(state, ROOT)
    assert state.overlay.diff() == {}


def test_one_block_of_uploads_fills_the_agenda_and_all_of_it_empties_again(world: World) -> None:
    room = 64 * world.params.max_events_per_height
    uploads = [
        world.sign(CAROL, upload(0, 1, 1, blob_root(i.to_bytes(2))), ahead=i)
        for i in range(room + 1)
    ]
    world.refuse("agenda-full", *uploads)
    world.mine(*uploads[:room])
    assert sum(key[:1] == b"b" for key in world.state) == room
    world.mine_to(world.height + world.params.blob_window + 63)
    assert [key for key in world.state if key[:1] in (b"e", b"b")] == []
