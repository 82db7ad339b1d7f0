"""Addresses that are refused for a while.

A stranger is banned by IP address (IPv6: its /64, which one host owns). On the loopback interface
many honest nodes share one address, so there a ban names host and port and covers outbound
connections alone: an inbound one comes from a random port and merely loses its connection.
"""

from collections import OrderedDict
from collections.abc import Callable
from ipaddress import IPv6Address, ip_network

from .address import Address
from .limits import Limits

_IPV6_SITE_BITS = 64


class BanList:
    """Who is banned until when, by the injected clock; the oldest bans give way when full."""

    def __init__(self, limits: Limits, clock: Callable[[], float]) -> None:
        self._limits = limits
        self._clock = clock
        self._until: OrderedDict[str, float] = OrderedDict()

    def __len__(self) -> int:
        self._expire()
        return len(self._until)

    def ban(self, address: Address) -> None:
        """Ban from now on for `ban_seconds`."""
        key = _key(address)
        self._until[key] = self._clock() + self._limits.ban_seconds
        self._until.move_to_end(key)
        if len(self._until) > self._limits.max_bans:
            self._until.popitem(last=False)

    def is_banned(self, address: Address) -> bool:
        """Tell whether a connection with `address` is refused now."""
        until = self._until.get(_key(address))
        return until is not None and until > self._clock()

    def _expire(self) -> None:
        now = self._clock()
        # Every ban lasts equally long, so the order of insertion is the order of expiry.
        while self._until and next(iter(self._until.values())) <= now:
            self._until.popitem(last=False)


def _key(address: Address) -> str:
    if address.is_loopback:
        return str(address)
    ip = address.ip
    if isinstance(ip, IPv6Address):
        return str(ip_network((ip, _IPV6_SITE_BITS), strict=False))
    return address.host
