"""The database: atomic batches, order, damage noticed, one opener, nobody else's folder touched."""

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pouw.chain.kv import LevelDB, open_database
from pouw.core.errors import StorageError

NETWORK = b"n" * 32
SCHEMA = 3


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "node" / "db"


def run_python(code: str, *arguments: str) -> str:
    """Run code in another process and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def listing(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_batches_persist_across_reopening(folder: Path) -> None:
    db = open_database(folder, NETWORK, SCHEMA)
    db.write({b"a": b"1", b"b": b"2", b"empty": b""})
    db.write({b"a": None, b"b": b"3"}, sync=False)
    db.close()
    db = open_database(folder, NETWORK, SCHEMA)
    assert db.get(b"a") is None
    assert db.get(b"b") == b"3"
    assert db.get(b"empty") == b""
    db.close()
    db.close()


@settings(max_examples=15, deadline=None)
@given(
    st.dictionaries(st.binary(max_size=3), st.binary(max_size=3), max_size=40),
    st.binary(max_size=2),
)
def test_iteration_is_ordered_and_keeps_to_the_prefix(
    tmp_path_factory: pytest.TempPathFactory, content: dict[bytes, bytes], prefix: bytes
) -> None:
    db = LevelDB(tmp_path_factory.mktemp("kv") / "db")
    db.write(content, sync=False)
    expected = sorted((k, v) for k, v in content.items() if k.startswith(prefix))
    assert list(db.iterate(prefix)) == expected
    assert list(db.iterate(prefix + b"\xff\xff\xff\xff")) == []
    db.close()


def test_snapshot_and_iterator_do_not_see_later_writes(folder: Path) -> None:
    db = open_database(folder, NETWORK, SCHEMA)
    db.write({b"k1": b"old", b"k2": b"old"})
    entries = db.iterate(b"k")
    assert next(entries) == (b"k1", b"old")
    with db.snapshot() as frozen:
        db.write({b"k1": None, b"k2": b"new", b"k3": b"new"})
        assert frozen.get(b"k1") == b"old"
        assert list(frozen.iterate(b"k")) == [(b"k1", b"old"), (b"k2", b"old")]
    assert list(entries) == [(b"k2", b"old")]
    assert list(db.iterate(b"k")) == [(b"k2", b"new"), (b"k3", b"new")]
    db.close()


@pytest.mark.parametrize(
    ("network", "schema", "message"),
    [(b"m" * 32, SCHEMA, "belongs to network"), (NETWORK, SCHEMA + 1, "schema 3")],
)
def test_other_network_or_schema_is_refused_untouched(
    folder: Path, network: bytes, schema: int, message: str
) -> None:
    open_database(folder, NETWORK, SCHEMA).close()
    before = listing(folder)
    with pytest.raises(StorageError, match=message):
        open_database(folder, network, schema)
    assert listing(folder) == before


@pytest.mark.parametrize("name", ["holiday.jpg", "CURRENT", "IDENTITY"])
def test_foreign_folder_is_refused_untouched(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    (folder / name).write_bytes(b"\xff somebody else's\n" * 3)
    before = listing(folder)
    with pytest.raises(StorageError, match="not a pouw database"):
        open_database(folder, NETWORK, SCHEMA)
    assert listing(folder) == before


def test_leveldb_of_another_program_is_refused_untouched(folder: Path) -> None:
    folder.parent.mkdir(parents=True)
    other = LevelDB(folder)
    other.write({b"k": b"v"})
    other.close()
    before = listing(folder)
    with pytest.raises(StorageError, match="not a pouw database"):
        open_database(folder, NETWORK, SCHEMA)
    assert listing(folder) == before


def test_creation_cut_off_by_a_crash_is_resumed(folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "IDENTITY.new").write_text("pouw data")
    open_database(folder, NETWORK, SCHEMA).close()
    open_database(folder, NETWORK, SCHEMA).close()


def test_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="File exists"):
        open_database(tmp_path / "file", NETWORK, SCHEMA)


OPEN_AND_REPORT = """
import sys
from pathlib import Path
from pouw.chain.kv import open_database
from pouw.core.errors import StorageError
try:
    open_database(Path(sys.argv[1]), b"n" * 32, 3)
    print("opened")
except StorageError as error:
    print(error)
"""


def test_one_opener_at_a_time(folder: Path) -> None:
    """A failed second attempt in the same process must not drop the lock, as LevelDB's own does."""
    db = open_database(folder, NETWORK, SCHEMA)
    assert "in use by another" in run_python(OPEN_AND_REPORT, str(folder))
    with pytest.raises(StorageError, match="in use by another"):
        open_database(folder, NETWORK, SCHEMA)
    assert "in use by another" in run_python(OPEN_AND_REPORT, str(folder))
    db.close()
    assert run_python(OPEN_AND_REPORT, str(folder)) == "opened\n"


def test_failed_opening_releases_the_lock(folder: Path) -> None:
    open_database(folder, NETWORK, SCHEMA).close()
    current = folder / "leveldb" / "CURRENT"
    content = current.read_bytes()
    current.write_bytes(b"nonsense\n")
    with pytest.raises(StorageError, match="damaged"):
        open_database(folder, NETWORK, SCHEMA)
    current.write_bytes(content)
    open_database(folder, NETWORK, SCHEMA).close()


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x10
    path.write_bytes(data)


def filled(folder: Path) -> int:
    """Write a log's worth of entries and return their number."""
    db = open_database(folder, NETWORK, SCHEMA)
    for number in range(200):
        db.write({b"k%03d" % number: bytes([number]) * 300}, sync=False)
    db.close()
    return 200


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.6, 0.999])
def test_flipped_bit_in_the_log_is_noticed_when_opening(folder: Path, fraction: float) -> None:
    filled(folder)
    log = next((folder / "leveldb").glob("*.log"))
    flip(log, int(log.stat().st_size * fraction))
    with pytest.raises(StorageError, match="damaged"):
        open_database(folder, NETWORK, SCHEMA)


@pytest.mark.parametrize("fraction", [0.0, 0.3, 0.6, 0.95])
def test_flipped_bit_in_a_table_is_noticed_when_reading(folder: Path, fraction: float) -> None:
    count = filled(folder)
    open_database(folder, NETWORK, SCHEMA).close()  # opening moves the log into a table
    table = max((folder / "leveldb").glob("*.ldb"), key=lambda path: path.stat().st_size)
    flip(table, int(table.stat().st_size * fraction))
    db = open_database(folder, NETWORK, SCHEMA)
    with pytest.raises(StorageError, match="damaged"):
        list(db.iterate(b"k"))
    wrong = 0
    for number in range(count):
        try:
            assert db.get(b"k%03d" % number) == bytes([number]) * 300
        except StorageError:
            wrong += 1
    assert wrong > 0
    db.close()


def test_lost_table_or_pointer_is_noticed(folder: Path) -> None:
    filled(folder)
    open_database(folder, NETWORK, SCHEMA).close()
    current = folder / "leveldb" / "CURRENT"
    content = current.read_bytes()
    current.unlink()
    with pytest.raises(StorageError, match="CURRENT is missing"):
        open_database(folder, NETWORK, SCHEMA)
    current.write_bytes(content)
    next((folder / "leveldb").glob("*.ldb")).unlink()
    with pytest.raises(StorageError, match="missing files"):
        open_database(folder, NETWORK, SCHEMA)


FILL_THE_DISK = """
import resource, signal, sys
from pathlib import Path
from pouw.chain.kv import open_database
from pouw.core.errors import StorageError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
db = open_database(Path(sys.argv[1]), b"n" * 32, 3)
db.write({b"before": b"kept"})
unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, unlimited[1]))
for attempt in range(2):
    try:
        db.write({b"big": bytes(500_000), b"small": b"x"})
        print("written")
    except StorageError as error:
        print(error)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
"""


def test_failed_write_stops_all_writing_until_reopened(folder: Path) -> None:
    """Space coming back must not let a batch land behind a torn one, where it would be lost."""
    printed = run_python(FILL_THE_DISK, str(folder)).splitlines()
    assert len(printed) == 2
    assert all(line.endswith("File too large") for line in printed)
    db = open_database(folder, NETWORK, SCHEMA)
    assert dict(db.iterate(b"")) == {b"before": b"kept"}
    db.write({b"after": b"fine"})
    db.close()
