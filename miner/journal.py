"""What must survive a restart: which jobs are ours, and the results that were committed to.

One file per job in a folder of its own, written whole before anything that depends on it is sent.
Salt and output are secret until they are revealed, so the files are readable by their owner only.
"""

import fcntl
import os
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Final

import msgspec
import structlog

from ..core.codec import U32, Bytes32, Value, decode, encode
from ..core.errors import DecodeError, UserError
from ..core.hashing import Hash
from ..core.transaction import MAX_OUTPUT_BYTES, MAX_POSTED_PRODUCTS
from ..wallet import private_file

_log = structlog.get_logger(__name__)

MAX_ENTRY_BYTES: Final = 1 << 30
_SUFFIX: Final = ".job"
_DRAFTS: Final = f".*{_SUFFIX}.*.tmp"


class Entry(Value, frozen=True):
    """One job of ours."""

    job: Bytes32
    openings: U32
    """How often the job had been opened again when we claimed it; a later opening is not ours."""
    salt: Bytes32
    """Blinds the commitment."""
    output: Annotated[bytes, msgspec.Meta(max_length=MAX_OUTPUT_BYTES)] = b""
    """Empty until the job was executed."""
    products: Annotated[tuple[bytes, ...], msgspec.Meta(max_length=MAX_POSTED_PRODUCTS)] = ()
    """Products that the settlement posts, in product order."""


class Journal:
    """The entries of one miner process."""

    def __init__(self, folder: Path) -> None:
        """Open or create a folder. Raises UserError when it is unusable or another miner's."""
        self._folder = folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise UserError(
                f"cannot use {folder} for the miner's state: {error.strerror}"
            ) from None
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(self._lock)
            raise UserError(
                f"another miner uses {folder}: name another folder with --state"
            ) from None
        for draft in folder.glob(_DRAFTS):  # of a process that was killed while it wrote
            with suppress(OSError):
                draft.unlink()

    def close(self) -> None:
        """Let another process have the folder."""
        os.close(self._lock)

    def save(self, entry: Entry) -> None:
        """Write an entry to disk, replacing the job's earlier one. Raises UserError."""
        private_file.replace(self._path(entry.job), encode(entry))

    def remove(self, job: Hash) -> None:
        """Forget a job; a file that cannot be removed is reported, and found to be old later."""
        path = self._path(job)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            _log.warning("journal.not_removed", file=str(path), why=error.strerror)

    def load(self) -> list[Entry]:
        """Return every readable entry; a damaged one is reported and left alone."""
        entries: list[Entry] = []
        for path in sorted(self._folder.glob("*" + _SUFFIX)):
            try:
                data = private_file.read_bounded(path, MAX_ENTRY_BYTES)
                entry = decode(Entry, data, MAX_ENTRY_BYTES)
            except (DecodeError, UserError) as error:
                _log.error("journal.damaged", file=str(path), why=str(error))
                continue
            entries.append(entry)
        return entries

    def _path(self, job: Hash) -> Path:
        return self._folder / (job.hex() + _SUFFIX)
