"""Small files with secrets in them: mode 0600, whole or not there at all, never partly written.

Bytes go to a new file in the same folder, are forced to disk and only then get the final name, so
a crash at any moment leaves either the old state or the new one (and at most a stray `.tmp` file,
whose content is as protected as the final one's).
"""

import os
import secrets
from pathlib import Path
from typing import Final

from ..core.errors import UserError

_MODE: Final = 0o600


def write_new(path: Path, data: bytes) -> None:
    """Create `path`. Raises UserError when it exists already or cannot be written."""
    try:
        temporary = _write_temporary(path, data)
        try:
            os.link(temporary, path)  # a rename would replace what is there
        finally:
            temporary.unlink()
        _sync_folder(path)
    except FileExistsError:
        raise UserError(f"{path} exists already and is never overwritten: name another") from None
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def replace(path: Path, data: bytes) -> None:
    """Exchange the content of `path` in one step. Raises UserError when it cannot be written."""
    path = path.resolve()  # a link stays a link
    try:
        temporary = _write_temporary(path, data)
        try:
            temporary.replace(path)
        except OSError:
            temporary.unlink()
            raise
        _sync_folder(path)
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from None


def read_bounded(path: Path, limit: int) -> bytes:
    """Read a file of at most `limit` bytes. Raises UserError when longer, absent or unreadable."""
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise UserError(f"there is no file {path}") from None
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}") from None
    if len(data) > limit:
        raise UserError(f"{path} is longer than {limit} bytes")
    return data


def _write_temporary(path: Path, data: bytes) -> Path:
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        temporary.unlink()
        raise
    return temporary


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
