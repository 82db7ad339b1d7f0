"""The address book: backoff, bounds, order of dialling, a file that is whole or not there."""

import json
import random
from dataclasses import replace
from pathlib import Path

import pytest
from pouw.p2p.address import Address
from pouw.p2p.addressbook import PEERS_FILE, AddressBook
from pouw.p2p.limits import DEFAULT_LIMITS


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def new_book(clock: Clock | None = None, **limits: int) -> AddressBook:
    changed = replace(DEFAULT_LIMITS, **limits)  # type: ignore[arg-type]
    return AddressBook(changed, clock or Clock(), random.Random(1))


def address(number: int) -> Address:
    return Address(f"10.0.{number // 256}.{number % 256}", 9000)


def test_failures_double_the_wait_up_to_the_cap() -> None:
    clock = Clock()
    book = new_book(clock)
    book.pin(address(1))
    waits: list[float] = []
    for _ in range(8):
        assert book.candidates((), ()) == [address(1)]
        book.failed(address(1))
        assert book.candidates((), ()) == []
        due = book.next_dial()
        assert due is not None
        waits.append(due - clock.now)
        clock.now = due
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]
    book.lost(address(1), lasted=60.0)
    assert book.next_dial() == clock.now + 1
    clock.now += 1
    book.failed(address(1))
    assert book.next_dial() == clock.now + 1


def test_short_conversations_count_as_failures() -> None:
    clock = Clock()
    book = new_book(clock)
    book.pin(address(1))
    book.answered(address(1))
    for expected in (1, 2, 4):
        book.lost(address(1), lasted=0.5)
        assert book.next_dial() == clock.now + expected


def test_seeds_stay_and_hopeless_strangers_go() -> None:
    book = new_book()
    book.pin(address(1))
    book.learn(address(2))
    book.learn(address(3))
    book.answered(address(3))
    for _ in range(DEFAULT_LIMITS.forget_after_failures):
        for number in (1, 2, 3):
            book.failed(address(number))
    assert [address(n) in book for n in (1, 2, 3)] == [True, False, True]


def test_the_book_is_bounded_and_proven_addresses_are_not_pushed_out() -> None:
    book = new_book(max_known_addresses=10)
    book.pin(address(0))
    for number in range(1, 6):
        book.learn(address(number))
        book.answered(address(number))
    for number in range(6, 500):
        book.learn(address(number))
        assert len(book) <= 10
    assert all(address(number) in book for number in range(6))
    for number in range(500, 1000):
        book.learn(address(number))
        book.answered(address(number))
    assert len(book) == 10
    assert not book.learn(address(5000))  # nothing unproven is left to give way


def test_pinned_and_proven_come_first_connected_ones_not_at_all() -> None:
    book = new_book()
    for number in range(6):
        book.learn(address(number))
    book.answered(address(3))
    book.pin(address(5))
    assert book.candidates((), ())[:2] == [address(5), address(3)]
    assert address(5) not in book.candidates({address(5)}, ())
    book.met(address(3), b"node")
    assert address(3) not in book.candidates((), {b"node"})


def test_only_proven_addresses_are_passed_on() -> None:
    book = new_book()
    for number in range(20):
        book.learn(address(number))
    for number in range(5):
        book.answered(address(number))
    assert set(book.sample(100)) == {address(number) for number in range(5)}
    assert len(book.sample(3)) == 3


def test_the_file_brings_everything_back(tmp_path: Path) -> None:
    book = new_book()
    book.learn(address(1))
    book.learn(address(2))
    book.answered(address(2))
    book.save(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [PEERS_FILE]
    again = new_book()
    again.load(tmp_path)
    assert again.candidates((), ()) == [address(2), address(1)]
    assert again.sample(9) == [address(2)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b"[]",
        b'{"format": 2, "addresses": []}',
        b'{"format": 1, "addresses": {}}',
        b'{"format": 1, "addresses": [["a:1"]]}',
        b'{"format": 1, "addresses": [["nonsense", true]]}',
        b'{"format": 1, "addresses": [["a:1", 1]]}',
        b"[" * 100_000,
        b" " * (2 << 20),
    ],
)
def test_a_damaged_file_is_left_aside(tmp_path: Path, content: bytes) -> None:
    (tmp_path / PEERS_FILE).write_bytes(content)
    book = new_book()
    book.load(tmp_path)
    assert len(book) == 0
    book.learn(address(1))
    book.save(tmp_path)
    saved = json.loads((tmp_path / PEERS_FILE).read_text())
    assert saved["addresses"] == [[str(address(1)), False]]


def test_an_unchanged_book_is_not_written(tmp_path: Path) -> None:
    book = new_book()
    book.learn(address(1))
    book.save(tmp_path)
    (tmp_path / PEERS_FILE).unlink()
    book.save(tmp_path)
    assert not (tmp_path / PEERS_FILE).exists()
