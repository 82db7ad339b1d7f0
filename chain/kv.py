"""The database underneath everything: an ordered key-value store with atomic, synced batches.

`KeyValueStore` is all that the rest of `chain` may rely on; `LevelDB` provides it through plyvel.
LevelDB by default loses records over a flipped bit without a word, so the store is opened with
paranoid checks and every read verifies checksums. A batch cut off by a crash vanishes as a whole.
"""

import fcntl
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol, TypeAlias

import plyvel

from ..core.errors import StorageError

Writes: TypeAlias = dict[bytes, bytes | None]
"""Key → value to store, or None to delete."""

_BLOCK_CACHE_BYTES: Final = 64 << 20
_WRITE_BUFFER_BYTES: Final = 16 << 20
_BLOOM_FILTER_BITS: Final = 10  # 1 % false positives, so that a miss rarely touches the disk
_MAX_OPEN_FILES: Final = 256

_IDENTITY_NAME: Final = "IDENTITY"
_IDENTITY_DRAFT_NAME: Final = "IDENTITY.new"
_DATA_NAME: Final = "leveldb"
_MAX_IDENTITY_BYTES: Final = 4096


class KeyValueReader(Protocol):
    """Read access to an ordered map of bytes. Every method raises StorageError on damage."""

    def get(self, key: bytes) -> bytes | None:
        """Return the value under `key`, or None."""
        ...

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (whole key, value) in ascending order for every key that begins with `prefix`.

        Shows the store as it was at the first step; later writes stay invisible.
        """
        ...


class KeyValueStore(KeyValueReader, Protocol):
    """What `chain` needs from a database. Threads may share one."""

    def write(self, batch: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        """Apply all of `batch` or nothing; None deletes. With `sync`, it survives power loss."""
        ...

    def snapshot(self) -> AbstractContextManager[KeyValueReader]:
        """Return a reader frozen at this moment, to be used in a `with` block."""
        ...

    def close(self) -> None:
        """Release the database; closing twice is harmless."""
        ...


class LevelDB:
    """A `KeyValueStore` in one folder, which a single opener at a time may hold.

    Raises StorageError when the folder is locked, damaged or cannot be created.
    """

    def __init__(self, folder: Path) -> None:
        self._folder: Final = folder
        self._failure: StorageError | None = None
        try:
            folder.mkdir(exist_ok=True)
            self._lock: int | None = _lock_folder(folder)
        except OSError as error:
            raise StorageError(f"{folder}: {error.strerror}") from error
        try:
            self._db: Any = _open(folder)
        except BaseException:
            self._unlock()
            raise

    def get(self, key: bytes) -> bytes | None:
        """Return the value under `key`, or None."""
        return _get(self._db, key, self._folder)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Yield (whole key, value) in ascending order for every key that begins with `prefix`."""
        return _iterate(self._db, prefix, self._folder)

    def write(self, batch: Mapping[bytes, bytes | None], sync: bool = True) -> None:
        """Apply all of `batch` or nothing; None deletes. With `sync`, it survives power loss.

        After a failure nobody knows what reached the disk, and bytes appended behind a torn
        record would be lost; so every later write fails too, until the store is opened anew.
        """
        if self._failure is not None:
            raise self._failure
        try:
            changes = self._db.write_batch(sync=sync)
            for key, value in batch.items():
                if value is None:
                    changes.delete(key)
                else:
                    changes.put(key, value)
            changes.write()
        except plyvel.Error as error:
            self._failure = _explain(error, self._folder)
            raise self._failure from error

    @contextmanager
    def snapshot(self) -> Generator[KeyValueReader]:
        """Give a reader frozen at this moment."""
        with self._db.snapshot() as snapshot:
            yield _Snapshot(snapshot, self._folder)

    def close(self) -> None:
        """Release the database and its lock; closing twice is harmless."""
        self._db.close()
        self._unlock()

    def _unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


class _Snapshot:
    def __init__(self, snapshot: Any, folder: Path) -> None:
        self._snapshot: Final = snapshot
        self._folder: Final = folder

    def get(self, key: bytes) -> bytes | None:
        return _get(self._snapshot, key, self._folder)

    def iterate(self, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        return _iterate(self._snapshot, prefix, self._folder)


def open_database(folder: Path, network_id: bytes, schema: int) -> LevelDB:
    """Open the database of one network in `folder`, creating it where nothing is yet.

    The file IDENTITY beside the data names network and schema and is read before anything is
    opened. Raises StorageError, and leaves the folder as it was, when it holds other things than
    our database, or that of another network or schema.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if {entry.name for entry in folder.iterdir()} <= {_IDENTITY_DRAFT_NAME}:
            _write_identity(folder, network_id, schema)
        else:
            _check_identity(folder, network_id, schema)
    except OSError as error:
        raise StorageError(f"{folder}: {error.strerror}") from error
    return LevelDB(folder / _DATA_NAME)


def _identity_lines(network_id: bytes, schema: int) -> list[str]:
    return ["pouw database", f"network {network_id.hex()}", f"schema {schema}"]


def _write_identity(folder: Path, network_id: bytes, schema: int) -> None:
    """Put the identity in place in one step, so that a crash never leaves half of it."""
    draft = folder / _IDENTITY_DRAFT_NAME
    with draft.open("w", encoding="utf-8") as file:
        file.write("\n".join(_identity_lines(network_id, schema)) + "\n")
        file.flush()
        os.fsync(file.fileno())
    draft.replace(folder / _IDENTITY_NAME)
    directory = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)


def _check_identity(folder: Path, network_id: bytes, schema: int) -> None:
    ours = _identity_lines(network_id, schema)
    path = folder / _IDENTITY_NAME
    found: list[str] = []
    if path.is_file():
        with path.open("rb") as file:
            found = file.read(_MAX_IDENTITY_BYTES).decode("utf-8", "replace").splitlines()
    if len(found) != len(ours) or found[0] != ours[0]:
        raise StorageError(
            f"{folder}: holds files that are not a pouw database; choose an empty folder"
        )
    if found[1] != ours[1]:
        raise StorageError(f"{folder}: belongs to {found[1]}, this node runs {ours[1]}")
    if found[2] != ours[2]:
        raise StorageError(
            f"{folder}: is written in {found[2]}, this version reads {ours[2]}; "
            "move it away and synchronise anew, or run the version that wrote it"
        )


def _lock_folder(folder: Path) -> int:
    """Take the folder for this opener and return the descriptor that holds it.

    LevelDB's own lock is not enough: a second attempt within one process fails, but closes its
    descriptor of the lock file and by that, as POSIX has it, drops the first one's lock.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise StorageError(f"{folder}: is in use by another running node") from None
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _open(folder: Path) -> Any:
    if not (folder / "CURRENT").exists():
        # LevelDB would start an empty database here and delete what it finds.
        remains = [entry for entry in folder.iterdir() if entry.suffix in {".ldb", ".log", ".sst"}]
        if remains:
            raise StorageError(f"{folder}: is damaged: CURRENT is missing beside {remains[0].name}")
    try:
        return plyvel.DB(
            str(folder),
            create_if_missing=True,
            paranoid_checks=True,
            lru_cache_size=_BLOCK_CACHE_BYTES,
            write_buffer_size=_WRITE_BUFFER_BYTES,
            bloom_filter_bits=_BLOOM_FILTER_BITS,
            max_open_files=_MAX_OPEN_FILES,
            compression=None,  # hashes, signatures and weights do not shrink
        )
    except plyvel.Error as error:
        raise _explain(error, folder) from error


def _get(source: Any, key: bytes, folder: Path) -> bytes | None:
    try:
        return source.get(key, verify_checksums=True)
    except plyvel.Error as error:
        raise _explain(error, folder) from error


def _iterate(source: Any, prefix: bytes, folder: Path) -> Iterator[tuple[bytes, bytes]]:
    try:
        # A scan must not push the working set out of the block cache.
        with source.iterator(prefix=prefix, verify_checksums=True, fill_cache=False) as entries:
            yield from entries
    except plyvel.Error as error:
        raise _explain(error, folder) from error


def _explain(error: Exception, folder: Path) -> StorageError:
    """Say in one line what LevelDB's error means for whoever runs the node."""
    raw = error.args[0] if error.args else b""
    text = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    if isinstance(error, plyvel.CorruptionError):
        return StorageError(f"{folder}: is damaged ({text}); delete it to synchronise anew")
    if "No space left on device" in text:
        return StorageError(f"{folder}: the disk is full; free some space and start again")
    return StorageError(f"{folder}: {text}")
