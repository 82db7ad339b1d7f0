"""What one WebSocket has beside the node's methods: its standing, and its subscriptions.

    → {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"topic": "heads"}}
    ← {"jsonrpc": "2.0", "id": 1, "result": "1"}
    ← {"jsonrpc": "2.0", "method": "subscription", "params": {"subscription": "1", "result": {…}}}

After go-ethereum's publish and subscribe, as to form.
"""

import asyncio
import hmac
import json
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from typing import Annotated, Final, Literal

import msgspec

from .admission import too_large
from .dispatch import require_token
from .errors import Code, NotFound, RpcFailure
from .feeds import Feed
from .registry import MethodTable
from .topics import Topics
from .types import AddressText, HexHash

METHODS: Final = MethodTable()

MAX_SUBSCRIPTIONS: Final = 16
"""Of one connection."""
MAX_OPEN_SUBSCRIPTIONS: Final = 4
"""Of one that has not shown the token: each costs work at every transaction."""

Topic = Literal["heads", "transactions", "jobs", "templates"]
TokenText = Annotated[str, msgspec.Meta(max_length=256)]
SubscriptionId = Annotated[str, msgspec.Meta(max_length=32)]


class Closed(Exception):
    """The other end is gone, or does not read."""


class Session:
    """One connection, as its subscriptions see it."""

    def __init__(
        self,
        topics: Topics,
        token: str,
        has_token: bool,
        send: Callable[[str], Awaitable[None]],
        fail: Callable[[Exception], None],
    ) -> None:
        """`send` raises Closed; `fail` is told of an error that ends a subscription."""
        self.topics: Final = topics
        self.has_token = has_token
        self._token: Final = token
        self._send: Final = send
        self._fail: Final = fail
        self._feeds: Final[dict[str, Feed]] = {}
        self._pumps: Final[dict[str, asyncio.Task[None]]] = {}
        self._opening = 0
        self._given = 0

    def authenticate(self, token: str) -> None:
        """Give the connection the rights of who knows the token. Raises RpcFailure."""
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode()):
            raise RpcFailure(
                Code.TOKEN_MISSING, "this is not the token that is in the node's data folder"
            )
        self.has_token = True

    @contextmanager
    def opening(self) -> Generator[None]:
        """Hold a place for one more subscription. Raises RpcFailure."""
        most = MAX_SUBSCRIPTIONS if self.has_token else MAX_OPEN_SUBSCRIPTIONS
        if len(self._feeds) + self._opening >= most:
            raise too_large(f"this connection has {most} subscriptions, the most it may have")
        self._opening += 1
        try:
            yield
        finally:
            self._opening -= 1

    def add(self, feed: Feed) -> str:
        """Return the name of a new subscription; `begin` starts it."""
        self._given += 1
        name = str(self._given)
        self._feeds[name] = feed
        return name

    def begin(self, name: str) -> None:
        """Send notifications from now on; the client has been told the name."""
        feed = self._feeds.get(name)
        if feed is not None:
            self._pumps[name] = asyncio.create_task(self._pump(name, feed))

    def end(self, name: str) -> bool:
        """End a subscription; return whether there was one."""
        feed = self._feeds.pop(name, None)
        if feed is None:
            return False
        feed.close()
        pump = self._pumps.pop(name, None)
        if pump is not None:
            pump.cancel()
        return True

    async def close(self) -> None:
        """End all subscriptions."""
        pumps = tuple(self._pumps.values())
        for name in tuple(self._feeds):
            self.end(name)
        await asyncio.gather(*pumps, return_exceptions=True)

    async def _pump(self, name: str, feed: Feed) -> None:
        try:
            while True:
                params = {"subscription": name, "result": await feed.next()}
                notification = {"jsonrpc": "2.0", "method": "subscription", "params": params}
                await self._send(json.dumps(notification))
        except Closed:
            return
        except Exception as error:
            self._fail(error)


class Call:
    """A request on a session."""

    def __init__(self, session: Session) -> None:
        self.session: Final = session
        self._opened: Final[list[str]] = []

    @property
    def has_token(self) -> bool:
        """See Caller."""
        return self.session.has_token

    @property
    def methods(self) -> MethodTable:
        """See Caller."""
        return METHODS

    def add(self, feed: Feed) -> str:
        """Return the name of a new subscription; it begins once the call is answered."""
        name = self.session.add(feed)
        self._opened.append(name)
        return name

    def answered(self) -> None:
        """Let the subscriptions begin that the call has opened."""
        for name in self._opened:
            self.session.begin(name)

    def refused(self) -> None:
        """Take back the subscriptions whose names could not be told."""
        for name in self._opened:
            self.session.end(name)


@METHODS.task
async def authenticate(call: Call, token: TokenText) -> bool:
    """Show the token, for who cannot send an Authorization header, as browsers cannot."""
    call.session.authenticate(token)
    return True


@METHODS.task
async def subscribe(
    call: Call,
    topic: Topic,
    job: HexHash | None = None,
    miner: HexHash | None = None,
    payout: AddressText | None = None,
) -> str:
    """Ask for notifications and return the subscription's name on this connection.

    * heads: each new tip; who reads slowly gets the newest only.
    * transactions: `ids` that the mempool took in.
    * jobs: `events` of jobs whose status changed, of one `job` or of all.
    * templates: what `gettemplate` answers for `miner` and `payout`, again whenever its long poll
      would end. Needs the token.

    Ids and events beyond what waits for a slow client are counted in `missed`.
    """
    if (job is not None and topic != "jobs") or (
        (miner is not None or payout is not None) and topic != "templates"
    ):
        raise RpcFailure(
            Code.INVALID_PARAMS, "job goes with the topic jobs, miner and payout with templates"
        )
    session, topics = call.session, call.session.topics
    with session.opening():
        match topic:
            case "heads":
                return call.add(topics.heads())
            case "transactions":
                return call.add(await topics.transactions())
            case "jobs":
                return call.add(await topics.jobs(None if job is None else bytes.fromhex(job)))
            case "templates":
                require_token(call, "the topic templates")
                if miner is None or payout is None:
                    raise RpcFailure(Code.INVALID_PARAMS, "templates takes miner and payout")
                return call.add(topics.templates(bytes.fromhex(miner), payout))


@METHODS.task
async def unsubscribe(call: Call, subscription: SubscriptionId) -> bool:
    """End a subscription. What is on its way already may still arrive."""
    if not call.session.end(subscription):
        raise NotFound(f"this connection has no subscription {subscription!r}")
    return True
