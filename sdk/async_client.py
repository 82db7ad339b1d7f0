"""`pouw.AsyncClient`: the same for programs on asyncio.

What needs several calls runs in a thread of its own, over the synchronous client. Where a task is
cancelled, its thread signs and waits no more: at most the transaction at hand is sent. Waiting for
jobs needs no thread: the node tells of changes over a WebSocket, or is asked now and then where
it offers none.
"""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final, TypeVar

from ..core.errors import UserError
from ..core.keys import PrivateKey
from ..wallet.client import RpcError
from ..wallet.session import Progress
from ..wallet.stream import Stream, StreamLost, open_stream
from .amounts import Amount
from .client import DEFAULT_TIMEOUT, RPC_TIMEOUT, Client, ModelLike, Token
from .encoding import Input
from .handle import Answer, JobHandle, has_ended, joint_status, tell
from .models import Model, ModelSummary
from .progress import Watcher
from .proving import JobRecord
from .quote import Quote
from .receipt import Receipt
from .submitting import gather
from .wallet import Wallet

T = TypeVar("T")

ASK_SECONDS: Final = 30.0
"""Between questions where the node tells of changes by itself: news can be lost."""
_STOP_SECONDS: Final = 2.0
"""That a cancelled call waits for its thread to have stopped."""


class AsyncClient:
    """Speaks to one node, and spends from one wallet, on asyncio. Methods as of `Client`."""

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
        """See Client. `progress` is told from other threads than the event loop's, too."""
        self.sync: Final = Client(
            url,
            wallet,
            token=token,
            network=network,
            progress=progress,
            timeout=timeout,
            rpc_timeout=rpc_timeout,
        )

    async def models(
        self, name: str = "", *, owner: str | None = None, limit: int = 100
    ) -> list[ModelSummary]:
        """See Client.models."""
        return await self.call(lambda client: client.models(name, owner=owner, limit=limit))

    async def model(self, identity: str) -> Model:
        """See Client.model."""
        return await self.call(lambda client: client.model(identity))

    async def balance(self) -> int:
        """See Client.balance."""
        return await self.call(lambda client: client.balance())

    async def quote(
        self,
        model: ModelLike,
        x: Input | None = None,
        *,
        items: int | None = None,
        bounty: Amount | None = None,
    ) -> Quote:
        """See Client.quote."""
        return await self.call(lambda client: client.quote(model, x, items=items, bounty=bounty))

    async def submit(
        self,
        model: ModelLike,
        x: Input,
        *,
        max_cost: Amount | None = None,
        bounty: Amount | None = None,
        timeout: float | None = None,
    ) -> "AsyncJobHandle":
        """See Client.submit."""
        handle = await self.call(
            lambda client: client.submit(
                model, x, max_cost=max_cost, bounty=bounty, timeout=timeout
            )
        )
        return AsyncJobHandle(handle, self)

    async def run(
        self,
        model: ModelLike,
        x: Input,
        *,
        max_cost: Amount | None = None,
        bounty: Amount | None = None,
        timeout: float | None = None,
    ) -> Answer:
        """See Client.run."""
        handle = await self.submit(model, x, max_cost=max_cost, bounty=bounty, timeout=timeout)
        return await handle.result(timeout)

    async def run_many(
        self,
        model: ModelLike,
        inputs: Sequence[Input],
        *,
        max_cost: Amount | None = None,
        bounty: Amount | None = None,
        timeout: float | None = None,
    ) -> list[Answer]:
        """See Client.run_many."""
        found = await self.call(lambda client: client.find(model))
        gathered, spans = gather(found, inputs)
        whole = await self.run(found, gathered, max_cost=max_cost, bounty=bounty, timeout=timeout)
        return [whole.part(*span) for span in spans]

    def job(self, *ids: str) -> "AsyncJobHandle":
        """See Client.job."""
        return AsyncJobHandle(self.sync.job(*ids), self)

    async def receipt(self, job: str) -> Receipt:
        """See Client.receipt."""
        return await self.call(lambda client: client.receipt(job))

    async def call(self, function: Callable[[Client], T]) -> T:
        """Run something with the synchronous client in a thread; cancelled, it signs no more."""
        stop = threading.Event()
        client = self.sync.stoppable(stop)
        task = asyncio.ensure_future(asyncio.to_thread(function, client))
        try:
            return await asyncio.shield(task)
        except asyncio.CancelledError as cancelled:
            stop.set()
            await _note_end(task, cancelled)
            raise


@dataclass(frozen=True, slots=True)
class AsyncJobHandle:
    """One job, or several that together answer one run; see JobHandle."""

    sync: JobHandle
    client: AsyncClient = field(repr=False)

    @property
    def ids(self) -> tuple[str, ...]:
        """See JobHandle.ids."""
        return self.sync.ids

    @property
    def id(self) -> str:
        """See JobHandle.id."""
        return self.sync.id

    async def states(self) -> tuple[JobRecord, ...]:
        """See JobHandle.states."""
        return await self.client.call(lambda _: self.sync.states())

    async def status(self) -> str:
        """See JobHandle.status."""
        return joint_status(await self.states())

    async def wait(self, timeout: float | None = None) -> str:
        """See JobHandle.wait; a cancelled wait leaves the jobs running."""
        client = self.client.sync
        seconds = client.timeout if timeout is None else timeout
        with client.watched() as progress:
            try:
                async with asyncio.timeout(seconds):
                    return await self._follow(progress)
            except TimeoutError:
                raise UserError(
                    f"gave up after {seconds:g} seconds waiting for the result; {self.sync.advice}"
                ) from None
            except asyncio.CancelledError as cancelled:
                cancelled.add_note(self.sync.advice)
                raise

    async def result(self, timeout: float | None = None) -> Answer:
        """See JobHandle.result."""
        status = await self.wait(timeout)
        if status != "settled":
            raise UserError(self.sync.failure(status))
        return await self.client.call(lambda _: self.sync.collect())

    async def cancel(self, timeout: float | None = None) -> None:
        """See JobHandle.cancel."""
        await self.client.call(lambda client: client.cancel(self.ids, timeout))

    async def _follow(self, progress: Progress) -> str:
        told = ""
        poll_seconds = await self.client.call(lambda client: client.poll_seconds)
        async with AsyncExitStack() as opened:
            news = await self._subscribe(opened)
            while True:
                states = await self.states()
                status = joint_status(states)
                if status != told:
                    told = status
                    tell(progress, states)
                if has_ended(status):
                    return status
                news = await self._pause(news, poll_seconds)

    async def _subscribe(self, opened: AsyncExitStack) -> Stream | None:
        """Listen for changes of these jobs; None where the node tells of none."""
        client = self.client.sync
        about = {"job": self.ids[0]} if len(self.ids) == 1 else {}
        try:
            stream = await open_stream(client.rpc.url, client.token, topic="jobs", **about)
        except (StreamLost, RpcError):
            return None
        return await opened.enter_async_context(stream)

    async def _pause(self, news: Stream | None, poll_seconds: float) -> Stream | None:
        """Wait for a change that may concern these jobs, or for as long as one poll."""
        if news is None:
            await asyncio.sleep(poll_seconds)
            return None
        end = time.monotonic() + ASK_SECONDS
        try:
            while (left := end - time.monotonic()) > 0:
                told = await news.next(left)
                if told is None or _concerns(told, self.ids):
                    break
        except StreamLost:
            return None
        return news


def _concerns(news: object, ids: Sequence[str]) -> bool:
    """Tell whether a notification may be about these jobs; in doubt it is."""
    if not isinstance(news, dict) or news.get("missed"):
        return True
    events = news.get("events")
    if not isinstance(events, list):
        return True
    return any(not isinstance(event, dict) or event.get("job") in ids for event in events)


async def _note_end(task: "asyncio.Future[T]", cancelled: asyncio.CancelledError) -> None:
    """Wait a little for a stopped thread, and pass on what it says about jobs under way."""
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    done, _ = await asyncio.wait({task}, timeout=_STOP_SECONDS)
    if done and isinstance(error := task.exception(), UserError):
        cancelled.add_note(str(error))
