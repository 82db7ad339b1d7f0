"""`pouw.Client`: a model's answer from the network, as one call.

Everything sent is public for good: inputs and outputs, too. The node is believed as to prices and
progress; what it answers in the end is verified (`receipt.py`).
"""

import os
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from copy import copy
from pathlib import Path
from typing import Any, Final, TypeAlias

from ..core.errors import UserError
from ..core.keys import PrivateKey
from ..core.transaction import MAX_NAME_CHARS
from ..genesis import Params
from ..genesis import network as find_network
from ..wallet.answers import HexHash, Info, ask
from ..wallet.client import RpcClient
from ..wallet.jobs import cancel_job
from ..wallet.private_file import read_bounded
from ..wallet.session import Pace, Patience, Progress, silent
from .amounts import Amount, base_units
from .encoding import Input
from .handle import Answer, JobHandle, Submitted
from .models import Model, ModelSummary, fetch_model, fetch_models, require_id
from .progress import Watcher, watched
from .proving import fetch_job, fetch_receipt
from .quote import Pricer, Quote
from .receipt import Receipt
from .spending import Allowance, SpendingSession
from .submitting import gather, prepare, submit
from .wallet import Wallet, as_wallet

DEFAULT_TIMEOUT: Final = 3_600.0
"""Seconds to wait for jobs: as long as a transaction waits on mainnet until it expires."""
RPC_TIMEOUT: Final = 30.0
"""Seconds that a node may stay silent."""
_POLLS_PER_BLOCK: Final = 4
_POLL_SECONDS: Final = (0.25, 5.0)
"""Bounds of the time between polls: neither a burden for the node nor a wait for nothing."""
_MAX_TOKEN_BYTES: Final = 256
_HASH: Final[Any] = HexHash

ModelLike: TypeAlias = Model | str
"""A model, or its id."""
Token: TypeAlias = str | os.PathLike[str] | None
"""A node's token, or the path of the file that holds it."""


class Client:
    """Speaks to one node, and spends from one wallet. Threads may share it."""

    def __init__(
        self,
        url: str,
        wallet: Wallet | PrivateKey | None = None,
        *,
        token: Token = None,
        network: str | None = None,
        progress: Watcher = None,
        timeout: float = DEFAULT_TIMEOUT,
        rpc_timeout: float = RPC_TIMEOUT,
    ) -> None:
        """Prepare for the node at `url` ("http://127.0.0.1:9332"); nothing is sent yet.

        Without a wallet everything works that does not spend. A node asks for its `token` before
        it passes on transactions. `network` is needed beside a bare PrivateKey; without wallet and
        network it is the node's. `progress` is told (stage, done, total), or True for bars on a
        terminal. `timeout` bounds each wait, `rpc_timeout` the silence of the node, in seconds.
        Raises UserError when something of this cannot be used.
        """
        self.wallet: Final = as_wallet(wallet, network)
        self._network: Final = network
        self.token: Final = _read_token(token)
        self.rpc: Final = RpcClient(url, self.token, rpc_timeout)
        self.timeout: Final = timeout
        self._watcher: Final = progress
        self._params: Final[list[Params]] = []
        """Asked for once, by this client or one made from it."""
        self._turn: Final = threading.Lock()
        self._stop: threading.Event | None = None

    @property
    def params(self) -> Params:
        """The network's parameters. Raises UserError when the node serves another network."""
        if not self._params:
            self._params.append(self._ask_params())
        return self._params[0]

    # Looking ------------------------------------------------------------------------------------

    def models(
        self, name: str = "", *, owner: str | None = None, limit: int = 100
    ) -> list[ModelSummary]:
        """Return registered models, newest first: with `name` in their name, of `owner`'s address.

        Raises UserError.
        """
        if len(name) > MAX_NAME_CHARS:
            raise UserError(f"a model's name has at most {MAX_NAME_CHARS} characters")
        return fetch_models(self.rpc, name, owner, limit)

    def model(self, identity: str) -> Model:
        """Return a registered model. Raises UserError where there is none."""
        return fetch_model(self.rpc, identity)

    def balance(self) -> int:
        """Return what the wallet has on the chain, in base units. Raises UserError."""
        return self._session(None).account().balance

    def height(self) -> int:
        """Return the height of the node's tip. Raises UserError."""
        return ask(self.rpc, Info, "getinfo").height

    def block_at(self, height: int) -> str:
        """Return the id of the block at a height of the best chain. Raises UserError."""
        return ask(self.rpc, _HASH, "getblockhash", height=height)

    # Asking for answers ---------------------------------------------------------------------------

    def quote(
        self,
        model: ModelLike,
        x: Input | None = None,
        *,
        items: int | None = None,
        bounty: Amount | None = None,
    ) -> Quote:
        """Return what `run` would cost for `x`, or for so many items; nothing is signed or sent.

        With `x`, what is on the chain already is not counted. Prices move with the difficulty from
        block to block. Raises UserError.
        """
        if (x is None) == (items is None):
            raise UserError("a quote takes either an input or a number of items")
        found = self.find(model)
        share = None if bounty is None else base_units(bounty)
        if x is not None:
            return prepare(self.rpc, self.params, found, x, share).quote
        if items is None or items < 1:
            raise UserError(f"{items} items are none")
        pricer = Pricer(self.rpc, self.params, found)
        return pricer.quote(pricer.divide(items), None, share)

    def submit(
        self,
        model: ModelLike,
        x: Input,
        *,
        max_cost: Amount | None = None,
        bounty: Amount | None = None,
        timeout: float | None = None,
    ) -> JobHandle:
        """Upload an input and submit it to a model, in as few jobs as the network lets it be.

        `x` is one item or a batch (items, *shape): integers as the model takes them, or floats if
        the model's card tells their encoding. `bounty` and `max_cost` are for all of it: base
        units, or POUW as text. Waits until the submissions are in blocks.

        Raises UserError when it costs more than `max_cost` or the wallet has, before anything is
        signed; or when it fails on the way. What was uploaded is not paid for again.
        """
        limit = None if max_cost is None else base_units(max_cost)
        share = None if bounty is None else base_units(bounty)
        order = prepare(self.rpc, self.params, self.find(model), x, share)
        order.quote.require_within(limit)
        with self.watched() as progress:
            jobs = submit(self._session(limit, progress), order, self.patience(timeout))
        return JobHandle(jobs, self, order.single)

    def run(
        self,
        model: ModelLike,
        x: Input,
        *,
        max_cost: Amount | None = None,
        bounty: Amount | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """Do as `submit`, wait for the answer and return it with its verified receipts.

        `timeout` bounds both waits. When it is over, or with Ctrl-C, the jobs go on: the error
        says how to come back for them. Raises UserError.
        """
        handle = self.submit(model, x, max_cost=max_cost, bounty=bounty, timeout=timeout)
        return handle.result(timeout)

    def run_many(
        self,
        model: ModelLike,
        inputs: Sequence[Input],
        *,
        max_cost: Amount | None = None,
        bounty: Amount | None = None,
        timeout: float | None = None,
    ) -> list[Answer]:
        """Do as `run` for several inputs at the price of few jobs: they are put into one batch.

        Returns an answer for each input, an item or a batch, in their order. Raises UserError.
        """
        found = self.find(model)
        gathered, spans = gather(found, inputs)
        whole = self.run(found, gathered, max_cost=max_cost, bounty=bounty, timeout=timeout)
        return [whole.part(*span) for span in spans]

    # Coming back ----------------------------------------------------------------------------------

    def job(self, *ids: str) -> JobHandle:
        """Return jobs by their ids, in the order of the items; nothing is asked yet.

        Raises UserError for what is no id.
        """
        if not ids:
            raise UserError("name at least one job")
        jobs = tuple(Submitted(require_id(identity, "a job")) for identity in ids)
        return JobHandle(jobs, self)

    def receipt(self, job: str) -> Receipt:
        """Return the verified receipt of a settled job, anybody's. Raises UserError."""
        identity = require_id(job, "a job")
        model = self.model(fetch_job(self.rpc, identity).model)
        return fetch_receipt(self.rpc, self.params, model, identity)

    def cancel(self, ids: Sequence[str], timeout: float | None = None) -> None:
        """Take jobs back that nobody has claimed yet. Raises UserError, as soon as one fails."""
        session = self._session(None)
        for identity in ids:
            status = fetch_job(self.rpc, identity).status
            if status != "submitted":
                raise UserError(f"job {identity} cannot be cancelled any more: it is {status}")
            cancel_job(session, bytes.fromhex(identity), self._seconds(timeout))

    # For the parts of this package ----------------------------------------------------------------

    def watched(self) -> AbstractContextManager[Progress]:
        """Give the function to tell progress to."""
        return watched(self._watcher)

    def patience(self, timeout: float | None) -> Patience:
        """Start the deadline of one wait."""
        return Patience(self._pace, self._seconds(timeout))

    def find(self, model: ModelLike) -> Model:
        """Return a model that was given as such or by its id. Raises UserError."""
        return model if isinstance(model, Model) else self.model(model)

    def stoppable(self, stop: threading.Event) -> "Client":
        """Return this client, but one that signs and waits no more once `stop` is set."""
        twin = copy(self)
        twin._stop = stop
        return twin

    @property
    def poll_seconds(self) -> float:
        """How long to wait between questions. Raises UserError."""
        least, most = _POLL_SECONDS
        return min(most, max(least, self.params.target_spacing / _POLLS_PER_BLOCK))

    def _ask_params(self) -> Params:
        info = ask(self.rpc, Info, "getinfo")
        named = self._network if self.wallet is None else self.wallet.network
        params = find_network(info.network[:64] if named is None else named)
        if (info.network, info.chain_id) != (params.name, params.chain_id):
            raise UserError(
                f"the node at {self.rpc.url} serves {info.network[:64]!r}, not {params.name}"
            )
        return params

    @property
    def _pace(self) -> Pace:
        return Pace(sleep=self._sleep, poll_seconds=self.poll_seconds)

    def _sleep(self, seconds: float) -> None:
        if self._stop is None:
            time.sleep(seconds)
        else:
            self._stop.wait(seconds)
        self._check_stop()

    def _check_stop(self) -> None:
        if self._stop is not None and self._stop.is_set():
            raise UserError("stopped by the program")

    def _session(self, limit: int | None, progress: Progress = silent) -> SpendingSession:
        if self.wallet is None:
            raise UserError("this client has no wallet: pouw.Client(url, pouw.Wallet.open(…))")
        allowance = Allowance(limit)
        return SpendingSession(
            self.rpc,
            self.wallet,
            allowance,
            self._pace,
            progress,
            self._check_stop,
            self._turn,
        )

    def _seconds(self, timeout: float | None) -> float:
        return self.timeout if timeout is None else timeout


def _read_token(token: Token) -> str | None:
    if token is None or isinstance(token, str):
        return token
    return read_bounded(Path(token), _MAX_TOKEN_BYTES).decode("ascii", "replace").strip()
