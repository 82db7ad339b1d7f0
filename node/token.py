"""The cookie that proves that a client may read the node's data folder.

Drawn anew at every start and kept in a file that only the owner may read; whoever can read it could
take the node over anyhow. (After Bitcoin Core's `.cookie`.)
"""

import hmac
import os
import secrets
from pathlib import Path
from typing import Final

from ..core.errors import StorageError

TOKEN_FILE: Final = "rpc.token"
_TOKEN_BYTES: Final = 32
_MODE: Final = 0o600


def write_token(folder: Path) -> str:
    """Draw a token, put it into `folder` in one step and return it. Raises StorageError."""
    token = secrets.token_hex(_TOKEN_BYTES)
    path = folder / TOKEN_FILE
    draft = path.with_suffix(".new")
    try:
        draft.unlink(missing_ok=True)
        # Created with its final mode: at no moment may others read it.
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _MODE)
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(token + "\n")
        draft.replace(path)
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error
    return token


def remove_token(folder: Path) -> None:
    """Take the file away: the node that knew the token is gone."""
    (folder / TOKEN_FILE).unlink(missing_ok=True)


def is_bearer(header: str, token: str) -> bool:
    """Tell whether an Authorization header carries the token, in time that tells nothing of it."""
    return hmac.compare_digest(header.encode("utf-8", "replace"), f"Bearer {token}".encode())
