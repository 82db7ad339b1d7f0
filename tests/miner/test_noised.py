"""Noised operands: made once for each header, bounded, let go of with the header."""

import numpy as np
from pouw.consensus.ticket import Operand
from pouw.miner.devices import Device
from pouw.miner.noised import NoisedOperands
from pouw.tests.miner.scribe import Watched

FIRST, SECOND = bytes(32), bytes([1]) * 32


def operand(seed: int) -> Operand:
    return Operand.commit(np.random.default_rng(seed).integers(-64, 64, (16, 256), np.int8))


def test_an_operand_is_noised_once_for_each_header(device: Device) -> None:
    watched = Watched(device)
    noised = NoisedOperands(watched)
    one, same, other = operand(1), operand(1), operand(2)
    kept = noised.under(FIRST, one)
    assert noised.under(FIRST, same) is kept, "the root tells, not the object"
    assert noised.under(FIRST, other) is not kept
    assert noised.under(SECOND, one) is not kept
    assert noised.under(FIRST, one) is not kept, "an older header's are gone"
    assert watched.noised == [FIRST, FIRST, SECOND, FIRST]


def test_the_longest_unused_one_goes_when_there_are_too_many_bytes(device: Device) -> None:
    watched = Watched(device)
    noised = NoisedOperands(watched, kept_bytes=2 * 16 * 256)
    for seed in (1, 2, 1, 3, 1, 3):
        noised.under(FIRST, operand(seed))
    assert len(watched.noised) == 3
    noised.under(FIRST, operand(2))
    assert len(watched.noised) == 4


def test_one_is_kept_however_large(device: Device) -> None:
    watched = Watched(device)
    noised = NoisedOperands(watched, kept_bytes=1)
    for seed in (1, 1, 2, 2):
        noised.under(FIRST, operand(seed))
    assert len(watched.noised) == 2
