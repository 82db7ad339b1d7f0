"""How a conversation with a peer ends: by misbehaviour, by refusal, or by itself."""

from ..core.errors import PouwError
from .limits import Offence


class Misbehaviour(PouwError):
    """The peer broke the protocol; `offence` has a price in limits.py."""

    def __init__(self, offence: Offence, detail: str) -> None:
        super().__init__(f"{offence.value}: {detail}")
        self.offence = offence
        self.detail = detail


class HandshakeRefused(PouwError):
    """The two nodes do not belong together: version, network, or one and the same node."""


class DuplicateConnection(HandshakeRefused):
    """The two nodes are connected already; the other connection is kept."""


class Disconnected(PouwError):
    """The connection is gone; the text says how."""
