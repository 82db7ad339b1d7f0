"""`pouw job verify`: a mined job with a posted product; from a node, from a folder, tampered."""

import json
import shutil
from collections.abc import Generator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pouw.cli.audit import Wrong, audit
from pouw.cli.evidence import Evidence, load_evidence
from pouw.consensus.freivalds import PlainThinProducts, ThinProducts
from pouw.consensus.ticket import Operand, Shape, Tag, prove
from pouw.core.block import Header, seal
from pouw.core.codec import decode, encode
from pouw.genesis import TINY, Params
from pouw.tests.cli.town import WORKER, Ended, Town, address, command, open_town
from pouw.vm.multiplier import Multiplier, ReferenceMultiplier
from pouw.vm.ops import Matmul
from pouw.vm.program import Program, encode_program
from pouw.vm.types import Declaration, DType, Interval, TensorType
from pouw.wallet import bodies

K, N, ITEMS = 512, 24, 16
RNG = np.random.default_rng(11)
WEIGHTS = RNG.integers(-63, 64, (N, K), dtype=np.int8)
DATA = RNG.integers(-64, 64, (ITEMS, K), dtype=np.int8)
OUTPUT = (DATA.astype(np.int32) @ WEIGHTS.astype(np.int32).T).astype("<i4")
PROGRAM = Program(
    1,
    Declaration(TensorType(DType.INT8, (K,)), Interval(-64, 63)),
    (Declaration(TensorType(DType.INT8, (N, K)), Interval(-63, 63)),),
    (Matmul(0, 1),),
)
FIRST_CHECKS = ["headers", "state", "transactions", "data"]
CHECKS = [*FIRST_CHECKS, "price", "verdict", "recomputation", "tickets"]
UNKNOWN = "ab" * 32


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Generator[Town]:
    """One node for all tests of this file."""
    with open_town(tmp_path_factory.mktemp("town")) as opened:
        yield opened


@pytest.fixture(scope="module")
def job(town: Town) -> str:
    """A settled job; its worker mined two blocks with its product, and posted it."""
    program, weights, data = (
        town.folder / name for name in ("deep.program", "deep.weights", "deep.npy")
    )
    program.write_bytes(encode_program(PROGRAM))
    weights.write_bytes(WEIGHTS.tobytes())
    np.save(data, DATA)
    with town.mining():
        files = ("--program", program, "--weights", weights)
        registered = town.pouw("model", "register", *files, "--name", "deep")
        assert registered.code == 0, registered
        model = registered.out.strip()
        submitted = town.pouw("job", "submit", model, "--input", data)
    assert submitted.code == 0, submitted
    identity = submitted.out.strip()
    raw, salt, output = bytes.fromhex(identity), bytes(32), OUTPUT.tobytes()
    town.fund(WORKER.address)
    town.send(WORKER, bodies.claim_job(raw))
    town.mine()
    for tile in (0, 1):
        mine_with(town, raw, tile)
    session = town.session(WORKER)
    product = session.publish_blob(output, "the product", session.patience(30))
    town.send(WORKER, bodies.commit_result(WORKER.address, raw, output, salt))
    town.send(WORKER, bodies.settle_job(raw, output, salt, (product,)))
    town.mine()
    assert town.job(identity)["status"] == "settled"
    return identity


def mine_with(town: Town, job: bytes, tile: int) -> None:
    """Mine a block with a tile of the job's product, as its worker."""
    answer = town.client.call("gettemplate", miner=WORKER.public.hex(), payout=address(WORKER))
    header = decode(Header, bytes.fromhex(answer["header"]), 1024)
    weight = np.zeros((32, K), np.int8)
    weight[:N] = WEIGHTS
    operands = Operand.commit(DATA), Operand.commit(weight)
    head, opening = prove(header.sigma, Shape(ITEMS, 32, K), Tag(job_id=job), *operands, (0, tile))
    town.client.call(
        "submitsolution",
        template=answer["id"],
        head=encode(head).hex(),
        opening=encode(opening).hex(),
        signature=seal(WORKER, header, head).signature.hex(),
    )


@pytest.fixture(scope="module")
def folder(town: Town, job: str) -> Path:
    """All data of the job."""
    path = town.folder / "evidence"
    ended = town.pouw("job", "verify", job, "--save", path)
    assert ended.code == 0, ended
    return path


def offline(job: str, path: Path, *more: str) -> Ended:
    """Verify from a folder, with no node and none of the town's settings."""
    return command("job", "verify", job, "--network", "tiny", "--offline", path, *more)


def test_a_settled_job_is_verified_from_a_node(town: Town, job: str) -> None:
    ended = town.pouw("job", "verify", job, "--json")
    assert ended.code == 0, ended
    report = json.loads(ended.out)
    assert (report["job"], report["holds"], report["wrong"]) == (job, True, None)
    assert [each["check"] for each in report["checks"]] == CHECKS
    said = {each["check"]: each["holds"] for each in report["checks"]}
    assert f"{K * N * ITEMS:,} MACs multiplied again" in said["recomputation"]
    assert "1 products checked by Freivalds" in said["verdict"]
    assert "2 blocks were mined" in said["tickets"]


def test_a_folder_needs_no_node(town: Town, job: str, folder: Path) -> None:
    ended = offline(job, folder)
    assert ended.code == 0, ended
    lines = ended.out.splitlines()
    assert [line.split()[:2] for line in lines[: len(CHECKS)]] == [["holds", c] for c in CHECKS]
    assert "trusted" in lines[len(CHECKS)]
    again = town.pouw("job", "verify", job, "--save", folder)
    assert "exists already" in again.error


def test_every_file_of_the_folder_counts(job: str, folder: Path, tmp_path: Path) -> None:
    """One flipped bit anywhere is found, and what it is in is named."""
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 13
    for name in names:
        for place in (0, 0.5, 0.999):
            copy = tmp_path / "copy"
            shutil.copytree(folder, copy)
            data = bytearray((folder / name).read_bytes())
            data[int(place * len(data))] ^= 1
            (copy / name).write_bytes(data)
            assert name in offline(job, copy).error, (name, place)
            shutil.rmtree(copy)


def test_every_file_is_needed(job: str, folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        (copy / path.name).unlink()
        assert f"there is no {copy / path.name}" in offline(job, copy).error
        shutil.rmtree(copy)


def test_a_wrong_file_fails_in_json_as_well(job: str, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "product-0.bin").write_bytes(bytes(OUTPUT.nbytes))
    ended = offline(job, copy, "--json")
    assert ended.code == 1
    report = json.loads(ended.out)
    assert not report["holds"]
    assert [each["check"] for each in report["checks"]] == FIRST_CHECKS[:3]
    assert report["wrong"]["check"] == "data" and "product-0.bin" in report["wrong"]["reason"]


class _OffByOne(ReferenceMultiplier):
    def matmul(self, a: NDArray[np.int8], b_t: NDArray[np.int8]) -> NDArray[np.int32]:
        return super().matmul(a, b_t) + 1


class _NeverRight(PlainThinProducts):
    def of_result(self, c: NDArray[np.int32], r: NDArray[np.int8]) -> NDArray[np.int64]:
        return super().of_result(c, r) + 1


def failed(
    evidence: Evidence,
    params: Params = TINY,
    multiplier: Multiplier | None = None,
    thin: ThinProducts | None = None,
    **changes: Any,
) -> Wrong:
    """Audit changed evidence; return what is wrong with it."""
    tools = multiplier or ReferenceMultiplier(), thin or PlainThinProducts()
    with pytest.raises(Wrong) as caught:
        list(audit(replace(evidence, **changes), params, *tools))
    return caught.value


def test_evidence_that_does_not_fit_together_is_wrong(folder: Path) -> None:
    """Each part true by itself."""
    whole = load_evidence(folder)
    assert [each.name for each in audit(whole, TINY, ReferenceMultiplier(), PlainThinProducts())]
    first, *_ = whole.openings
    last = list(whole.openings.values())[-1]
    unfit: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("headers", "there are none", {"headers": ()}),
        ("headers", "block 2", {"headers": (whole.headers[0], *whole.headers[2:])}),
        ("state", "job.proof", {"headers": whole.headers[:-1]}),
        ("state", "job.proof", {"job_proof": whole.model_proof}),
        ("state", "model.proof", {"model_proof": whole.job_proof}),
        ("transactions", "submission.tx is another", {"submission": whole.settlement}),
        ("transactions", "registration.tx is another", {"registration": whole.submission}),
        ("transactions", "is no settlement", {"settlement": whole.submission}),
        ("data", "products are missing", {"products": ()}),
        ("data", "input.bin", {"input": whole.program}),
        ("tickets", "openings are missing", {"openings": {}}),
        ("tickets", f"opening-{first}", {"openings": dict.fromkeys(whole.openings, last)}),
    )
    for name, reason, changes in unfit:
        wrong = failed(whole, **changes)
        assert (wrong.check, reason in wrong.reason) == (name, True), wrong


def test_rules_and_arithmetic_decide(folder: Path) -> None:
    whole = load_evidence(folder)
    dearer = replace(TINY, check_price_per_kib=TINY.check_price_per_kib + 1)
    assert failed(whole, params=dearer).check == "price"
    assert "block 1" in failed(whole, params=replace(TINY, genesis_time=1)).reason
    assert failed(whole, thin=_NeverRight()).check == "verdict"
    off = failed(whole, multiplier=_OffByOne())
    assert (off.check, off.reason) == ("recomputation", "posted product 0 is another")


def test_a_folder_about_something_else_is_refused(job: str, folder: Path) -> None:
    assert f"is about job {job} of tiny" in offline(UNKNOWN, folder).error
    ended = command("job", "verify", job, "--network", "devnet", "--offline", folder)
    assert "of tiny" in ended.error


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        ([UNKNOWN], "no job"),
        (["ab"], "is not the id of a job"),
        ([UNKNOWN, "--offline", "missing"], "there is no missing"),
        ([UNKNOWN, "--rpc", "http://127.0.0.1:1"], "no node answers"),
    ],
)
def test_what_cannot_be_verified_is_one_line(town: Town, more: list[str], reason: str) -> None:
    assert reason in town.pouw("job", "verify", *more).error


def test_a_job_without_result_says_so(town: Town, job: str) -> None:
    model = town.job(job)["model"]
    with town.mining():
        ended = town.pouw("job", "submit", model, "--input", town.folder / "deep.npy")
    assert ended.code == 0, ended
    assert "it is submitted" in town.pouw("job", "verify", ended.out.strip()).error


def test_saving_and_reading_at_once_is_misuse(town: Town, job: str) -> None:
    ended = town.pouw("job", "verify", job, "--save", "a", "--offline", "b")
    assert ended.code == 2


def test_help_shows_an_example(town: Town) -> None:
    ended = town.pouw("job", "verify", "--help")
    assert ended.code == 0 and "Example: pouw job verify" in ended.out


def test_the_budget_of_a_block_bounds_what_is_quoted(town: Town, job: str) -> None:
    model = town.job(job)["model"]
    data = town.folder / "deep.npy"
    quoted = json.loads(town.pouw("job", "quote", model, "--input", data, "--json").out)
    shares = quoted["of_a_block"]
    assert shares["check_macs"] == quoted["check_macs"] / TINY.block_check_macs
    assert shares["check_bytes"] == quoted["check_bytes"] / TINY.block_check_bytes
    assert quoted["posted_bytes"] == OUTPUT.nbytes
    assert shares["blob_bytes"] == (DATA.nbytes + OUTPUT.nbytes) / TINY.max_chunk_bytes
    assert "of a block's" in town.pouw("job", "quote", model, "--input", data).out
    noted = town.job(job)
    for name in ("check_macs", "check_bytes", "check_fee", "macs", "burn"):
        assert noted[name] == quoted[name], name
