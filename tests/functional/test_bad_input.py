"""Bad input of every kind, given to the real commands: one clear line on stderr, nothing written.

No node runs here; what a running node refuses is tested in `tests/cli` and `tests/node`.
"""

import os
import socket
import subprocess
import sys
from collections.abc import Generator
from pathlib import Path

import numpy as np
import pytest
from pouw.core.codec import encode
from pouw.core.keys import format_address
from pouw.genesis import DEVNET, TINY
from pouw.vm.frontends.mlp import quantise_mlp
from pouw.wallet import keystore
from pouw.wallet.mnemonic import generate_phrase

PASSWORD = "a password"
CHEAP = keystore.ScryptCost(n=1 << 12, r=8, p=1)
SPARSE_BYTES = 5 << 30
ID = "ab" * 32
OWN = format_address(bytes(32), TINY.address_prefix)
MISTYPED = OWN[:-1] + ("p" if OWN[-1] == "q" else "q")
FOREIGN = format_address(bytes(32), DEVNET.address_prefix)
NOWHERE = "http://127.0.0.1:1"
RUN = "node run --p2p-port 0 --rpc-port 0"
SEND = f"wallet send {OWN}"
REGISTER = "model register --name x --program mlp.program --weights mlp.weights"
MINE = f"miner --node {NOWHERE} --wallet wallet.json"

REFUSED = [
    # addresses
    ("wallet balance xyz", "'xyz' is not an address"),
    (f"wallet balance {FOREIGN}", "is an address of another network"),
    (f"wallet send {MISTYPED} 1", "typing error"),
    ("wallet balance \udcff", "is not an address"),
    (f"wallet balance {'a' * 5000}", "is not an address"),
    # amounts
    (f"{SEND} 0", "more than zero"),
    (f"{SEND} 1.1234567890", "at most 9 decimals"),
    (f"{SEND} 99999999999999999999", "not an amount"),
    (f"{SEND} 9999999999", "more POUW than can ever exist"),
    (f"{SEND} ٣", "not an amount"),
    (f"{SEND} {'9' * 9000}", "like 1.5"),
    (f"{SEND} 1 --fee=-1", "'-1' is not an amount"),
    (f"job submit {ID} --input values.bin --bounty=-1", "'-1' is not an amount"),
    # ids and heights
    ("job status abc", "'abc' is not the id of a job"),
    ("chain block ٣", "neither a height nor a block id"),
    (f"chain block {'9' * 60}", "neither a height nor a block id"),
    # nodes and tokens
    ("node info", "no node answers at"),
    ("node info --rpc foo", "'foo' is not a node's address"),
    ("node info --rpc http://u:p@127.0.0.1", "not a node's address"),
    ("node stop --token \udcff", "token is not usable"),
    # words, keys and passwords
    ("wallet new", "is never overwritten"),
    ("wallet new --wallet wallet.json/w.json", "there is no folder wallet.json"),
    ("wallet new --wallet new.json --password-file empty", "empty is empty"),
    ("wallet new --wallet new.json --password-file junk", "does not hold text"),
    (f"wallet new --wallet new.json --account {'a' * 65}", "a label is 1 to 64"),
    ("wallet import --wallet new.json --words-file junk", "not text"),
    ("wallet import --wallet new.json --words-file mixed", "do not belong together"),
    ("wallet words --password-file wrong", "wrong password for"),
    ("wallet address --wallet none.json", "there is no wallet none.json"),
    ("wallet address --wallet junk", "not a wallet file"),
    ("wallet address --wallet sparse", "is longer than"),
    ("wallet address --account savings", "no account 'savings'"),
    ("wallet balance --network devnet", "is a wallet of tiny, not devnet"),
    # programs, weights, licences, royalties
    (REGISTER.replace("mlp.program", "none"), "there is no file none"),
    (REGISTER.replace("mlp.program", "junk"), "not a valid Program"),
    (REGISTER.replace("mlp.program", "sparse"), "is longer than"),
    (REGISTER.replace("mlp.weights", "junk"), "the program's constants take"),
    (REGISTER.replace("mlp.weights", "sparse"), f"has {SPARSE_BYTES} bytes"),
    (f"{REGISTER} --licence LICENCE.txt", "there is no licence file LICENCE.txt"),
    (f"{REGISTER} --licence junk", "not UTF-8 text"),
    (f"{REGISTER} --royalty {OWN}=-1", "is not a royalty"),
    (f"{REGISTER} --name {'n' * 65}", "a model's name is 1 to 64"),
    # results and vectors
    (f"job result {ID} --output answer.txt", "name a result .npy"),
    (f"job result {ID} --output values.npy", "is never overwritten"),
    ("chain vectors junk", "junk is not JSON"),
    ("chain vectors sparse", "is longer than"),
    ("chain vectors deep", "deep is not JSON"),
    ("chain vectors nothing", "holds no test vector"),
    # data folders
    (f"{RUN} --data foreign", "holds files that are not a pouw database"),
    (f"{RUN} --data junk/data", "Not a directory"),
    # miners
    (f"{MINE} --payout {FOREIGN}", "is an address of another network"),
    (f"{MINE} --device gpu", "no device 'gpu'"),
    (f"{MINE} --idle-rate 5X", "is not a rate"),
    (f"{MINE} --token a --token-file b", "either --token or --token-file"),
    (f"{MINE} --no-jobs --no-idle", "nothing to do"),
    (f"{MINE} --password-file wrong", "wrong password for"),
    (f"{MINE.replace('wallet.json', 'junk')}", "not a wallet file"),
]

MISUSED = [
    ("nothing", "No such command 'nothing'"),
    ("miner nothing", "No such command 'nothing'"),
    ("wallet send", "Missing argument"),
    (SEND, "stands alone"),
    ("node info --network nonet", "is not one of"),
    (f"{RUN} --p2p-port 80000", "is not in the range"),
    (f"job quote {ID} --input foreign", "is a directory"),
    (f"job submit {ID} --input values.bin --deadline 0", "is not in the range"),
    ("miner bench --repeats 0", "is not in the range"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wallet, a model, and files that are none of what they are given as."""
    path = tmp_path_factory.mktemp("bad")
    keystore.create(path / "wallet.json", TINY, generate_phrase(12), PASSWORD, cost=CHEAP)
    random = np.random.default_rng(1)
    model = quantise_mlp([(random.normal(size=(4, 8)), np.zeros(4))], random.normal(size=(9, 8)))
    (path / "mlp.program").write_bytes(encode(model.program))
    (path / "mlp.weights").write_bytes(model.weights)
    (path / "values.bin").write_bytes(bytes(8))
    np.save(path / "values.npy", np.zeros((1, 8), np.int8))
    (path / "junk").write_bytes(bytes(range(256)))
    (path / "empty").write_bytes(b"")
    (path / "wrong").write_text("another password\n")
    (path / "mixed").write_text("abandon " * 12)
    (path / "deep").write_text("[" * 100_000)
    (path / "nothing").write_text("{}")
    with (path / "sparse").open("wb") as file:
        file.truncate(SPARSE_BYTES)
    (path / "foreign").mkdir()
    (path / "foreign" / "letter.txt").write_text("mine")
    return path


@pytest.fixture
def unchanged(folder: Path) -> Generator[None]:
    """Nothing appears in the folder, not even half of a file, and nothing is changed."""

    def listing() -> set[tuple[str, int]]:
        return {(str(each), each.stat().st_mtime_ns) for each in folder.rglob("*")}

    before = listing()
    yield
    assert listing() == before


def ended(folder: Path, line: str) -> subprocess.CompletedProcess[str]:
    """Run a command line, words separated by spaces, as a process of its own in `folder`."""
    words = line.split(" ")
    module = "pouw.cli.main"
    if words[0] == "miner":
        module, words = "pouw.cli.miner", words[1:]
    return subprocess.run(
        [sys.executable, "-m", module, *words],
        cwd=folder,
        env={
            "PATH": os.environ["PATH"],
            "XDG_DATA_HOME": str(folder / "home"),
            "POUW_NETWORK": "tiny",
            "POUW_RPC": NOWHERE,
            "POUW_WALLET": "wallet.json",
            "POUW_WALLET_PASSWORD": PASSWORD,
        },
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="surrogateescape",
        timeout=30,
        check=False,
    )


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("line", "told"), REFUSED)
def test_what_cannot_be_is_told_in_one_line(folder: Path, line: str, told: str) -> None:
    done = ended(folder, line)
    assert done.returncode == 1, done
    assert done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert told in done.stderr
    assert "a bug" not in done.stderr and len(done.stderr) < 1000


@pytest.mark.usefixtures("unchanged")
def test_a_miner_without_a_folder_for_its_state_ends(folder: Path) -> None:
    """It has told its devices by then, so the error is the last of its lines."""
    done = ended(folder, f"{MINE} --state junk")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: cannot use junk for the miner's state")


@pytest.mark.usefixtures("unchanged")
@pytest.mark.parametrize(("line", "told"), MISUSED)
def test_misuse_is_told_with_the_usage(folder: Path, line: str, told: str) -> None:
    done = ended(folder, line)
    assert done.returncode == 2, done
    assert done.stdout == ""
    assert done.stderr.startswith("Usage: pouw")
    assert told in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("option", ["--p2p-port", "--rpc-port"])
def test_a_used_port_is_told(folder: Path, tmp_path: Path, option: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = ended(folder, f"{RUN} --data {tmp_path / 'data'} {option} {port}")
    assert done.returncode == 1
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: cannot listen") and f"port {port}" in last
    assert "choose another port" in last


@pytest.mark.parametrize("name", ["IDENTITY", "leveldb/CURRENT"])
def test_a_damaged_data_folder_is_told_and_left_alone(
    folder: Path, tmp_path: Path, name: str
) -> None:
    data = tmp_path / "data"
    with socket.create_server(("127.0.0.1", 0)) as taken:  # a node that makes its folder and ends
        ended(folder, f"{RUN} --data {data} --rpc-port {taken.getsockname()[1]}")
    (data / name).write_bytes(b"\xff\x00damage")
    done = ended(folder, f"{RUN} --data {data}")
    assert done.returncode == 1
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert (data / name).read_bytes() == b"\xff\x00damage"
