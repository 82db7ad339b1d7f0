"""What every job of this miner shares: the node, the hot key's account, the journal."""

from dataclasses import dataclass, field
from typing import Final

import structlog

from ..core.errors import UserError
from ..core.hashing import Hash
from ..core.transaction import Body
from ..genesis import Params
from ..wallet.answers import TransactionStatus, ask, ask_optional
from ..wallet.builder import Upload
from ..wallet.client import RpcError
from ..wallet.session import Sent, Session
from .journal import Journal
from .library import Library
from .meter import Meter
from .offers import JobOffer

_log = structlog.get_logger(__name__)

MISSING_STEPS: Final = 3
"""Looks in a row that must not find a transaction before it counts as dropped."""


@dataclass(slots=True)
class Desk:
    """Sends and asks for the jobs. All methods raise UserError when the node is away."""

    session: Session
    """Of the hot key."""
    worker: str
    """The hot key's address, as the node writes it."""
    address: Hash
    journal: Journal
    library: Library
    meter: Meter
    sent: int = field(default=0)
    """Transactions sent so far; tells that the template at hand lacks some."""

    @property
    def params(self) -> Params:
        """The network's numbers."""
        return self.session.params

    def job(self, job: Hash) -> JobOffer | None:
        """Return where a job stands, None when the chain does not know it."""
        client = self.session.client
        offer = ask_optional(client, JobOffer, "getjob", id=job.hex())
        if offer is not None and offer.hash != job:
            raise UserError(f"{client.url} was asked for job {job.hex()} and tells of another")
        return offer

    def jobs(self, status: str, limit: int) -> list[JobOffer]:
        """Return at most `limit` jobs in a status."""
        offers = ask(self.session.client, list[JobOffer], "listjobs", status=status, limit=limit)
        return offers[:limit]

    def balance(self) -> int:
        """Return the hot key's money on the chain, in base units."""
        return self.session.account().balance

    def send(self, body: Body) -> Sent:
        """Sign and send. Raises RpcError when the node refuses the transaction."""
        sent = self.session.send(body)
        self.sent += 1
        return sent

    def upload(self, upload: Upload) -> Sent:
        """Sign and send a part of a blob. Raises RpcError."""
        sent = self.session.send(upload.body, upload.chunks)
        self.sent += 1
        return sent


class Dispatch:
    """One transaction that should get onto the chain, sent again whenever it is dropped."""

    def __init__(self, desk: Desk, sent: Sent | None = None) -> None:
        self._desk = desk
        self._sent = sent
        self._missing = 0
        self._refusal = ""

    @property
    def started(self) -> bool:
        """Whether it was sent and has not been dropped since."""
        return self._sent is not None

    def included_at(self) -> int | None:
        """Return the height that includes it, None while there is none."""
        if self._sent is None:
            return None
        client = self._desk.session.client
        status = ask(client, TransactionStatus, "gettransaction", id=self._sent.id.hex())
        if status.status == "included":
            return status.height
        self._missing = self._missing + 1 if status.status == "unknown" else 0
        if self._missing >= MISSING_STEPS:
            self._sent, self._missing = None, 0
        return None

    def ensure(self, what: str, body: Body) -> None:
        """Send the body unless it is under way; tell a refusal once."""
        self.included_at()
        if self._sent is not None:
            return
        try:
            self._sent = self._desk.send(body)
        except RpcError as refusal:
            if refusal.message != self._refusal:
                _log.warning("job.refused", action=what, why=refusal.message)
            self._refusal = refusal.message
