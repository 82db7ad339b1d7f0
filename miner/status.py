"""What people want to know of a running miner besides its sums: the node, the money, the jobs."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ..core.codec import U63
from ..core.errors import UserError
from ..genesis import Params
from ..wallet.answers import AccountState, ask
from ..wallet.client import RpcClient
from .events import EventLog, JobsAtHand
from .templates import Template

POLL_SECONDS: Final = 3.0
TIMEOUT_SECONDS: Final = 5.0
"""A node that says nothing for so long counts as away, for the display only."""

_DIFFICULTY_END: Final = 1 << 256


class NodeInfo(msgspec.Struct, frozen=True):
    """`getinfo`, as far as it is shown. What an older node does not tell is None."""

    network: str
    height: U63
    """Of the tip."""
    difficulty: int | None = None
    """Expected multiply-accumulates for the next block."""
    subsidy: U63 | None = None
    """Base units of new money in the next block."""
    peers: U63 | None = None
    syncing: bool | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a difficulty that no header can hold."""
        if self.difficulty is not None and not 0 < self.difficulty < _DIFFICULTY_END:
            raise ValueError("a difficulty lies between 1 and 2^256 - 1")


@dataclass(frozen=True, slots=True)
class NodeState:
    """The node as of the last look."""

    up: bool | None = None
    """Whether it answered; None before the first answer or failure."""
    info: NodeInfo | None = None
    """Its last answer, kept while it is away."""
    balance: int | None = None
    """Base units on the hot key."""


@dataclass(frozen=True, slots=True)
class MinerStatus:
    """Everything that is shown of a miner and not counted by its meter."""

    params: Params
    node_url: str
    payout: str
    """Address."""
    seconds: float
    """Since the start."""
    template_height: int | None = None
    """Height of the block that is being mined."""
    node: NodeState = field(default_factory=NodeState)
    jobs: JobsAtHand = field(default_factory=JobsAtHand)
    events: tuple[str, ...] = ()
    """The last lines of the log, oldest first."""


class NodeWatch:
    """Asks a node how it is, in a thread of its own; knows no token and needs none."""

    def __init__(self, url: str, address: str, pause: float = POLL_SECONDS) -> None:
        """Look at the node and the account of `address` every `pause` seconds.

        Raises UserError for an unusable URL.
        """
        self.url = url
        self._client = RpcClient(url, timeout=TIMEOUT_SECONDS)
        self._address = address
        self._pause = pause
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="node watch", daemon=True)
        self._state = NodeState()

    @property
    def state(self) -> NodeState:
        """The node as of the last look."""
        return self._state

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more; a question under way is left to itself."""
        self._stop.set()

    def look(self) -> None:
        """Ask once, now."""
        held = self._state
        try:
            info = ask(self._client, NodeInfo, "getinfo")
        except UserError:
            self._state = NodeState(False, held.info, held.balance)
            return
        balance = held.balance
        with suppress(UserError):  # not told now: the last one known stands
            balance = ask(self._client, AccountState, "getaccount", address=self._address).balance
        self._state = NodeState(True, info, balance)

    def _follow(self) -> None:
        while not self._stop.is_set():
            self.look()
            self._stop.wait(self._pause)


class StatusBoard:
    """Puts a MinerStatus together whenever somebody asks."""

    def __init__(
        self,
        params: Params,
        payout: str,
        template: Callable[[], Template | None],
        watch: NodeWatch,
        log: EventLog,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`template` tells what is mined at the moment; `watch` looks at the same node."""
        self._params = params
        self._payout = payout
        self._watch = watch
        self._log = log
        self._template = template
        self._clock = clock
        self._started = clock()

    def __call__(self) -> MinerStatus:
        """Return the status at this moment."""
        template = self._template()
        return MinerStatus(
            params=self._params,
            node_url=self._watch.url,
            payout=self._payout,
            seconds=self._clock() - self._started,
            template_height=None if template is None else template.header.height,
            node=self._watch.state,
            jobs=self._log.jobs,
            events=self._log.lines,
        )
