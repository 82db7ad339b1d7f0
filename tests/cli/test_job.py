"""`pouw job` at a real node: a job's whole life by command, and every wrong input before it."""

import json
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from pouw.genesis import TINY
from pouw.tests.cli.town import (
    CHEAP,
    COIN,
    DATA,
    ITEMS,
    OUTPUT,
    PASSWORD,
    WORKER,
    Ended,
    Town,
    address,
    files_in,
    on_terminal,
    open_town,
)
from pouw.wallet import keystore
from pouw.wallet.mnemonic import generate_phrase

RAW_OUTPUT = OUTPUT.astype("<i4").tobytes()
UNKNOWN = "ab" * 32


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Generator[Town]:
    """One node for all tests of this file."""
    with open_town(tmp_path_factory.mktemp("town")) as opened:
        yield opened


@pytest.fixture(scope="module")
def model(town: Town) -> str:
    """A registered model."""
    return town.register()


@pytest.fixture(scope="module")
def images(town: Town) -> Path:
    """An input in numpy's format."""
    path = town.folder / "images.npy"
    np.save(path, DATA)
    return path


@pytest.fixture(scope="module")
def settled(town: Town, model: str, images: Path) -> str:
    """A job that a worker has done."""
    identity = submitted(town, model, images)
    town.work(identity, RAW_OUTPUT)
    return identity


def submitted(town: Town, model: str, file: Path, *more: str) -> str:
    with town.mining():
        ended = town.pouw("job", "submit", model, "--input", file, *more)
    assert ended.code == 0, ended
    return ended.out.strip()


# Life -----------------------------------------------------------------------------------------


def test_a_quote_is_what_the_job_then_costs(town: Town, model: str, images: Path) -> None:
    ended = town.pouw("job", "quote", model, "--input", images, "--json")
    assert ended.code == 0, ended
    quoted = json.loads(ended.out)
    assert (quoted["items"], quoted["macs"]) == (ITEMS, ITEMS * 128)
    identity = submitted(town, model, images)
    job = town.job(identity)
    for name in ("items", "macs", "burn", "check_fee"):
        assert job[name] == quoted[name], name
    assert job["bounty"] == quoted["min_bounty"]
    shown = town.pouw("job", "quote", model, "--input", images)
    assert shown.code == 0 and "least bounty" in shown.out


def test_raw_bytes_and_numpy_files_are_the_same_input(
    town: Town, model: str, images: Path, tmp_path: Path
) -> None:
    raw = tmp_path / "images.raw"
    raw.write_bytes(DATA.tobytes())
    jobs = [town.job(submitted(town, model, file)) for file in (raw, images)]
    assert jobs[0]["input"] == jobs[1]["input"]


def test_a_job_is_submitted_as_asked(town: Town, model: str, images: Path) -> None:
    with town.mining():
        ended = town.pouw(
            *("job", "submit", model, "--input", images),
            *("--bounty", "2.5", "--deadline", "50", "--json"),
        )
    assert ended.code == 0, ended
    assert "public, for good" in ended.err
    assert "bounty 2.5 POUW" in ended.err
    answer = json.loads(ended.out)
    job = town.job(answer["job"])
    assert answer["status"] == job["status"] == "submitted"
    assert (job["owner"], job["bounty"]) == (town.address, 5 * COIN // 2)
    assert job["deadline"] == job["submitted"] - 1 + 50


def test_a_settled_job_shows_status_and_result(town: Town, settled: str, tmp_path: Path) -> None:
    status = town.pouw("job", "status", settled)
    assert status.code == 0 and "settled" in status.out and address(WORKER) in status.out
    assert json.loads(town.pouw("job", "status", settled, "--json").out) == town.job(settled)
    result = json.loads(town.pouw("job", "result", settled, "--json").out)
    assert (result["job"], result["worker"]) == (settled, address(WORKER))
    assert (result["dtype"], result["values"]) == ("int32", OUTPUT.tolist())
    assert str(OUTPUT[0, 0]) in town.pouw("job", "result", settled).out


def test_a_result_is_written_as_its_name_says(town: Town, settled: str, tmp_path: Path) -> None:
    npy, raw = tmp_path / "answer.npy", tmp_path / "answer.bin"
    for file in (npy, raw):
        ended = town.pouw("job", "result", settled, "--output", file)
        assert ended.code == 0 and str(file) in ended.out, ended
    loaded = np.load(npy, allow_pickle=False)
    assert loaded.dtype == np.int32
    assert np.array_equal(loaded, OUTPUT)
    assert raw.read_bytes() == RAW_OUTPUT
    again = town.pouw("job", "result", settled, "--output", npy)
    assert "exists already" in again.error
    assert files_in(tmp_path) == {npy, raw}


@contextmanager
def once_submitted(town: Town, act: Callable[[str], None]) -> Generator[None]:
    """Do something with the next job that appears, in a thread that mines meanwhile."""
    known = {each["id"] for each in town.client.call("listjobs")}

    def follow() -> None:
        patience = town.session(WORKER).patience(30)  # pauses by mining
        while not (found := {each["id"] for each in town.client.call("listjobs")} - known):
            patience.pause("the job")
        act(found.pop())

    thread = threading.Thread(target=follow)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def test_a_job_is_waited_for_until_it_is_settled(town: Town, model: str, images: Path) -> None:
    with once_submitted(town, lambda identity: town.work(identity, RAW_OUTPUT)):
        ended = town.pouw("job", "submit", model, "--input", images, "--wait", "--json")
    assert ended.code == 0, ended
    answer = json.loads(ended.out)
    assert (answer["status"], answer["worker"]) == ("settled", address(WORKER))
    assert town.job(answer["job"])["status"] == "settled"


def test_a_job_is_waited_for_until_it_expires(town: Town, model: str, images: Path) -> None:
    least = json.loads(town.pouw("job", "quote", model, "--input", images, "--json").out)
    height = town.client.call("getinfo")["height"]
    blocks = least["earliest_deadline"] - height
    arguments = ("--deadline", str(blocks), "--wait", "--timeout", "1", "--json")
    with town.mining():
        ended = town.pouw("job", "submit", model, "--input", images, *arguments)
    assert "gave up" in ended.error
    identity = ended.err.partition("submitted as ")[2].split()[0]
    town.mine(blocks)
    assert town.job(identity)["status"] == "expired"
    assert "it is expired" in town.pouw("job", "result", identity).error


def test_waiting_for_a_job_that_expires_is_an_error(town: Town, model: str, images: Path) -> None:
    with once_submitted(town, lambda _: town.mine(TINY.max_deadline_blocks)):
        ended = town.pouw("job", "submit", model, "--input", images, "--wait")
    assert ended.error == f"job {ended.out.strip()} is expired: it has no result"


def test_an_unclaimed_job_is_taken_back(town: Town, model: str, images: Path) -> None:
    identity = submitted(town, model, images, "--bounty", "100")
    before = town.balance(town.key)
    with town.mining():
        ended = town.pouw("job", "cancel", identity)
    assert ended.code == 0 and "100 POUW" in ended.out, ended
    assert town.job(identity)["status"] == "cancelled"
    assert town.balance(town.key) > before + 99 * COIN
    assert "cannot be cancelled any more" in town.pouw("job", "cancel", identity).error


def test_only_the_owner_cancels(town: Town, model: str, images: Path, tmp_path: Path) -> None:
    identity = submitted(town, model, images)
    path = tmp_path / "wallet.json"
    town.fund(keystore.create(path, TINY, generate_phrase(), PASSWORD, cost=CHEAP).key().address)
    ended = town.pouw("job", "cancel", identity, "--wallet", path)
    assert "job-owner" in ended.error
    assert town.job(identity)["status"] == "submitted"


def test_jobs_are_listed(town: Town, settled: str) -> None:
    assert settled in town.pouw("job", "list").out
    chosen = json.loads(town.pouw("job", "list", "--status", "settled", "--json").out)
    assert settled in [each["id"] for each in chosen]
    assert {each["status"] for each in chosen} == {"settled"}
    assert "no such job" in town.pouw("job", "list", "--status", "committed").out


def test_a_person_is_asked_before_money_is_spent(town: Town, model: str, images: Path) -> None:
    arguments = ("job", "submit", model, "--input", images)
    code, shown = on_terminal(arguments, [("Submit the job?", "n")], town.env)
    assert (code, shown.splitlines()[-1]) == (1, "error: nothing was sent")
    assert "public, for good" in shown and "The job takes about" in shown
    assert town.client.call("getmempool")["count"] == 0


# Wrong input ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 items"),
        (bytes(17), "17 bytes are not a whole number of items"),
        (b"\x7f" * 16, "input"),
        (b"\x93NUMPY\x01\x00", "not an .npy file"),
    ],
)
@pytest.mark.parametrize("name", ["quote", "submit"])
def test_a_wrong_input_is_one_line(
    town: Town, model: str, tmp_path: Path, name: str, content: bytes, reason: str
) -> None:
    path = tmp_path / "input.raw"
    path.write_bytes(content)
    ended = town.pouw("job", name, model, "--input", path)
    assert reason in ended.error
    assert str(path) in ended.error
    assert ended.out == ""
    assert town.client.call("getmempool")["count"] == 0


@pytest.mark.parametrize(
    ("items", "reason"),
    [(10_000, "a settlement holds"), (8_192, None)],
)
def test_a_job_whose_output_cannot_be_settled_is_refused(
    town: Town, model: str, tmp_path: Path, items: int, reason: str | None
) -> None:
    path = tmp_path / "input.raw"
    path.write_bytes(bytes(16 * items))
    ended = town.pouw("job", "quote", model, "--input", path)
    assert ended.code == 0 if reason is None else reason in ended.error


@pytest.mark.parametrize(
    ("more", "reason"),
    [
        (["--bounty", "a lot"], "is not an amount"),
        (["--bounty", "1000000"], "the account has"),
        (["--deadline", "3"], "no worker could deliver within 3 blocks"),
        (["--deadline", "101"], "at most 100 blocks away"),
        (["--input", "missing"], "there is no file missing"),
        (["--input", "/dev/zero"], "is longer than"),
        (["--rpc", "http://127.0.0.1:1"], "no node answers"),
        (["--token", "wrong"], "without its token"),
        (["--wallet", "missing"], "there is no wallet"),
        (["--account", "none"], "no account 'none'"),
        (["--network", "devnet"], "a wallet of tiny, not devnet"),
        (["--password-file", "missing"], "there is no file"),
    ],
)
def test_a_wrong_submission_costs_nothing(
    town: Town, model: str, images: Path, more: list[str], reason: str
) -> None:
    ended = town.pouw("job", "submit", model, "--input", images, *more)
    assert reason in ended.error
    assert ended.out == ""
    assert town.client.call("getmempool")["count"] == 0


def test_a_job_too_large_to_check_is_refused_before_its_input_is_paid_for(
    town: Town, tmp_path: Path, model: str
) -> None:
    path = tmp_path / "input.raw"
    quotes = [town.client.call("quotejob", model=model, items=items) for items in (1, 2)]
    fixed, twice = (quoted["check_bytes"] for quoted in quotes)
    items = (TINY.max_job_bytes - fixed) // (twice - fixed) + 2
    path.write_bytes(bytes(16 * items))
    ended = town.pouw("job", "submit", model, "--input", path)
    assert "send fewer items" in ended.error
    assert town.client.call("getmempool")["count"] == 0


@pytest.mark.parametrize("name", ["quote", "submit", "status", "result", "cancel"])
@pytest.mark.parametrize("text", ["", "ab", "xy" * 32, "ab" * 33])
def test_an_id_that_is_none_is_one_line(town: Town, images: Path, name: str, text: str) -> None:
    more = ("--input", images) if name in ("quote", "submit") else ()
    assert "is not the id of a" in town.pouw("job", name, text, *more).error


@pytest.mark.parametrize("name", ["quote", "submit", "status", "result", "cancel"])
def test_what_is_unknown_is_one_line(town: Town, images: Path, name: str) -> None:
    more = ("--input", images) if name in ("quote", "submit") else ()
    ended = town.pouw("job", name, UNKNOWN, *more)
    assert f"no {'model' if more else 'job'} {UNKNOWN}" in ended.error


def test_a_result_that_cannot_be_written_leaves_nothing(
    town: Town, settled: str, tmp_path: Path
) -> None:
    for name, reason in (
        ("answer", "name a result .npy"),
        ("answer.txt", "name a result .npy"),
        ("missing/answer.npy", "cannot write"),
    ):
        ended = town.pouw("job", "result", settled, "--output", tmp_path / name)
        assert reason in ended.error
    assert not files_in(tmp_path)


def test_a_job_without_result_says_so(town: Town, model: str, images: Path, tmp_path: Path) -> None:
    identity = submitted(town, model, images)
    ended = town.pouw("job", "result", identity, "--output", tmp_path / "answer.npy")
    assert "has no result: it is submitted" in ended.error
    assert not files_in(tmp_path)


@pytest.mark.parametrize("name", ["quote", "submit", "status", "result", "cancel", "list"])
def test_every_command_shows_an_example(town: Town, name: str) -> None:
    ended: Ended = town.pouw("job", name, "--help")
    assert ended.code == 0
    assert f"Example: pouw job {name}" in ended.out


def test_misuse_is_two(town: Town, model: str) -> None:
    for arguments in (
        ["submit", model],
        ["submit", model, "--input", "x", "--deadline", "0"],
        ["list", "--status", "lost"],
        ["status"],
        ["nothing"],
    ):
        ended = town.pouw("job", *arguments)
        assert (ended.code, ended.out) == (2, "")
    assert PASSWORD not in ended.err
