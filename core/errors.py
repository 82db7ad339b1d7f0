"""Every error a caller is meant to tell apart. Kinds separate by how the sender is treated.

    PouwError
    ├── RuleViolation      a consensus rule is broken; the block or transaction is invalid for ever
    │   └── DecodeError    bytes that are not the canonical encoding of anything
    ├── BodyMismatch       the body is not the one its header and head commit to; the *block* may be
    │                      fine, so it is not marked invalid, but whoever sent the body is charged
    ├── MissingParent      cannot be judged before its parent is known; ask for the parent
    ├── FromFuture         timestamp too far ahead of our clock; try again later
    ├── PolicyRejection    valid, but this node does not want it (fee, limits); nobody is punished
    ├── StorageError       the data folder is foreign, damaged, locked or full
    └── UserError          a person's input is wrong; the message says what to do next

(After httpx `_exceptions.py` and Bitcoin Core `consensus/validation.h`.)
"""


class PouwError(Exception):
    """Base of every error that this package raises on purpose."""


class RuleViolation(PouwError):
    """A consensus rule is broken.

    `rule` is a short stable name ("tx-nonce", "ticket-lanes"); `detail` says what was wrong.
    """

    def __init__(self, rule: str, detail: str) -> None:
        super().__init__(f"{rule}: {detail}")
        self.rule = rule
        self.detail = detail


class DecodeError(RuleViolation):
    """Bytes from outside are malformed, oversized or not in canonical form."""

    def __init__(self, detail: str) -> None:
        super().__init__("encoding", detail)


class BodyMismatch(PouwError):
    """A block body does not hash to what its header and head commit to, or is incomplete."""


class MissingParent(PouwError):
    """The parent block is unknown. `parent` is its id."""

    def __init__(self, parent: bytes) -> None:
        super().__init__(f"parent {parent.hex()} is unknown")
        self.parent = parent


class FromFuture(PouwError):
    """A header's time is further ahead of this node's clock than the network allows."""


class PolicyRejection(PouwError):
    """A valid object this node declines to hold or relay. `reason` is a short stable name."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class StorageError(PouwError):
    """The database cannot be used as it is; the message says why and what to do."""


class UserError(PouwError):
    """Input from a person is wrong; the message is one line and says what to do next."""
