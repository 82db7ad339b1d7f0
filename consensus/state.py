"""Typed access to the state: records in, records out, money moved only through here."""

from typing import Final, TypeVar

import msgspec

from ..core.codec import Value, decode, encode
from ..core.errors import RuleViolation
from ..genesis import Params
from . import records as r
from .state_view import Overlay

V = TypeVar("V", bound=Value)


class State:
    """Reads and writes records through an overlay; knows the network and the height."""

    def __init__(self, overlay: Overlay, params: Params, height: int) -> None:
        self.overlay: Final = overlay
        self.params: Final = params
        self.height: Final = height

    def read(self, kind: type[V], key: bytes) -> V | None:
        """Return the record under `key`, or None."""
        data = self.overlay.get(key)
        return None if data is None else decode(kind, data, r.RECORD_LIMIT)

    def write(self, key: bytes, record: Value) -> None:
        """Store a record."""
        self.overlay.put(key, encode(record))

    def delete(self, key: bytes) -> None:
        """Remove a record."""
        self.overlay.delete(key)

    # Accounts ------------------------------------------------------------------------------

    def account(self, address: bytes) -> r.Account:
        """Return an account; one that was never paid is empty."""
        return self.read(r.Account, r.account_key(address)) or r.Account()

    def credit(self, address: bytes, amount: int) -> None:
        """Add to a balance."""
        if amount == 0:
            return
        account = self.account(address)
        self.put_account(
            address, msgspec.structs.replace(account, balance=account.balance + amount)
        )

    def debit(self, address: bytes, amount: int, purpose: str) -> None:
        """Take from a balance. Raises RuleViolation "balance" when it does not suffice."""
        account = self.account(address)
        if account.balance < amount:
            raise RuleViolation(
                "balance", f"{purpose} costs {amount} base units, the account has {account.balance}"
            )
        self.put_account(
            address, msgspec.structs.replace(account, balance=account.balance - amount)
        )

    def put_account(self, address: bytes, account: r.Account) -> None:
        """Store an account; an empty one leaves the state."""
        if account == r.Account():
            self.delete(r.account_key(address))
        else:
            self.write(r.account_key(address), account)

    def burn(self, amount: int) -> None:
        """Destroy money that was taken from somebody before."""
        totals = self.totals()
        self.put_totals(msgspec.structs.replace(totals, burned=totals.burned + amount))

    # Everything else -------------------------------------------------------------------------

    def totals(self) -> r.Totals:
        """Return the sums over the chain."""
        return self.read(r.Totals, r.TOTALS_KEY) or r.Totals()

    def put_totals(self, totals: r.Totals) -> None:
        """Store the sums."""
        self.write(r.TOTALS_KEY, totals)

    def blob(self, root: bytes) -> r.BlobRecord | None:
        """Return what the chain knows of a blob."""
        return self.read(r.BlobRecord, r.blob_key(root))

    def model(self, model: bytes) -> r.Model:
        """Return a model. Raises RuleViolation "model-unknown"."""
        record = self.read(r.Model, r.model_key(model))
        if record is None:
            raise RuleViolation("model-unknown", f"no model {model.hex()}")
        return record

    def model_history(self, model: bytes) -> r.ModelHistory:
        """Return what happened to a model. Raises RuleViolation "model-unknown"."""
        record = self.read(r.ModelHistory, r.history_key(model))
        if record is None:
            raise RuleViolation("model-unknown", f"no model {model.hex()}")
        return record

    def put_model_history(self, model: bytes, record: r.ModelHistory) -> None:
        """Store what happened to a model."""
        self.write(r.history_key(model), record)

    def job(self, job: bytes) -> r.Job:
        """Return a job. Raises RuleViolation "job-unknown"."""
        record = self.read(r.Job, r.job_key(job))
        if record is None:
            raise RuleViolation("job-unknown", f"no job {job.hex()}")
        return record

    def put_job(self, job: bytes, record: r.Job) -> None:
        """Store a job."""
        self.write(r.job_key(job), record)

    def work_record(self, address: bytes) -> r.WorkRecord:
        """Return a worker's contributions."""
        return self.read(r.WorkRecord, r.work_key(address)) or r.WorkRecord()
