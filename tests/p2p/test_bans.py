"""Bans by IP, by /64, and on loopback by port; they end, and there is a bound."""

from dataclasses import replace

from pouw.p2p.address import Address
from pouw.p2p.bans import BanList
from pouw.p2p.limits import DEFAULT_LIMITS


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_strangers_are_banned_by_host() -> None:
    bans = BanList(DEFAULT_LIMITS, Clock())
    bans.ban(Address("8.8.8.8", 1))
    assert bans.is_banned(Address("8.8.8.8", 2))
    assert not bans.is_banned(Address("8.8.4.4", 1))
    bans.ban(Address("2001:db8::1", 1))
    assert bans.is_banned(Address("2001:db8::ffff:1", 9))
    assert not bans.is_banned(Address("2001:db8:0:1::1", 1))


def test_loopback_is_banned_by_port() -> None:
    bans = BanList(DEFAULT_LIMITS, Clock())
    bans.ban(Address("127.0.0.1", 1))
    assert bans.is_banned(Address("127.0.0.1", 1))
    assert not bans.is_banned(Address("127.0.0.1", 2))


def test_bans_end() -> None:
    clock = Clock()
    bans = BanList(DEFAULT_LIMITS, clock)
    bans.ban(Address("8.8.8.8", 1))
    clock.now = DEFAULT_LIMITS.ban_seconds - 1
    bans.ban(Address("8.8.4.4", 1))
    assert len(bans) == 2
    clock.now += 1
    assert not bans.is_banned(Address("8.8.8.8", 1))
    assert bans.is_banned(Address("8.8.4.4", 1))
    assert len(bans) == 1


def test_the_list_is_bounded() -> None:
    bans = BanList(replace(DEFAULT_LIMITS, max_bans=3), Clock())
    for number in range(10):
        bans.ban(Address(f"8.8.8.{number}", 1))
    assert len(bans) == 3
    assert bans.is_banned(Address("8.8.8.9", 1))
    assert not bans.is_banned(Address("8.8.8.0", 1))
