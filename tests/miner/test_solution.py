"""Blocks out of winning tiles: sealed, submitted, one for each parent."""

import numpy as np
import pytest
from pouw.consensus.ticket import Operand, Shape, Tag
from pouw.core.hashing import u64
from pouw.core.keys import format_address
from pouw.miner.devices import Device
from pouw.miner.meter import Meter
from pouw.miner.solution import (
    EARLY_SECONDS,
    QUIET_FIRST,
    QUIET_LIMIT,
    Solutions,
    Work,
)
from pouw.miner.templates import Template, TemplateSource
from pouw.tests.miner.harbour import PARAMS, RIVAL, WORKER, Harbour, HarbourLink
from pouw.wallet.client import RpcError

SHAPE = Shape(16, 32, 256)


class Desk:
    def __init__(self, harbour: Harbour) -> None:
        self.link = HarbourLink(harbour)
        payout = format_address(WORKER.address, PARAMS.address_prefix)
        self.templates = TemplateSource(self.link, WORKER.public, payout)
        self.meter = Meter()
        self.now = 1000.0
        self.solutions = Solutions(self.link, WORKER, self.templates, self.meter, lambda: self.now)


def win(device: Device, template: Template, nonce: int = 0) -> tuple[Work, tuple[int, int], bytes]:
    """Return the last winning tile of an idle product; every ticket wins."""
    tag = Tag(nonce=u64(nonce))
    noised = device.noise_b(template.sigma, None, SHAPE.n, SHAPE.k)
    mined = noised.start(SHAPE.m, bytes(32), tag, template.difficulty).mine_rows(None, 0, SHAPE.m)
    winner = mined.winners[-1]
    return Work(SHAPE, tag, None, None), (winner.tile_row, winner.tile_col), winner.lanes


def test_a_winner_becomes_the_tip_and_brings_the_next_template(
    harbour: Harbour, device: Device
) -> None:
    desk = Desk(harbour)
    for height in range(1, 4):
        template = desk.templates.latest or desk.templates.refresh()
        assert template.header.height == height
        desk.solutions.submit(template, *win(device, template))
        assert harbour.height == height
    assert desk.meter.counts.blocks == 3
    assert desk.meter.counts.job_blocks == 0
    assert harbour.account(WORKER.address).balance == 1000 * 10**9 + 3 * PARAMS.initial_subsidy


def test_only_the_first_winner_on_a_parent_is_sent(harbour: Harbour, device: Device) -> None:
    desk = Desk(harbour)
    template = desk.templates.refresh()
    assert desk.solutions.wanted(template)
    desk.solutions.submit(template, *win(device, template))
    assert not desk.solutions.wanted(template)
    desk.solutions.submit(template, *win(device, template, nonce=1))
    assert harbour.calls.count("submitsolution") == 1


def test_a_block_that_comes_too_late_is_no_block_of_ours(
    harbour: Harbour, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(harbour)
    template = desk.templates.refresh()
    harbour.mine()
    desk.solutions.submit(template, *win(device, template))
    assert desk.meter.counts.blocks == 0
    assert "block.stale" in capsys.readouterr().out
    assert desk.templates.refresh().header.height == 2


def test_a_refused_block_is_told_and_mining_goes_on_after_a_pause(
    harbour: Harbour, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(harbour)
    template = desk.templates.refresh()
    work, tile, lanes = win(device, template)
    foreign = Work(SHAPE, Tag(job_id=bytes(range(32))), None, None)
    for refused, transcript in ((work, bytes(128)), (foreign, lanes)):
        desk.solutions.submit(template, refused, tile, transcript)
        assert not desk.solutions.wanted(template)
        desk.now += QUIET_LIMIT
    harbour.templates.clear()
    desk.solutions.submit(template, work, tile, lanes)
    told = capsys.readouterr().out
    assert told.count("block.refused") == 3
    assert "not known" in told
    assert harbour.height == 0
    desk.now += QUIET_LIMIT
    template = desk.templates.refresh()
    desk.solutions.submit(template, *win(device, template))
    assert harbour.height == 1


def test_pauses_grow_with_refusals_up_to_a_limit(harbour: Harbour, device: Device) -> None:
    desk = Desk(harbour)
    template = desk.templates.refresh()
    work, tile, _ = win(device, template)
    pauses: list[float] = []
    for _ in range(9):
        desk.solutions.submit(template, work, tile, bytes(128))
        began = desk.now
        while not desk.solutions.wanted(template):
            desk.now += 0.05
        pauses.append(desk.now - began)
    assert pauses == sorted(pauses)
    assert pauses[0] < 2 * QUIET_FIRST
    assert pauses[-1] == pytest.approx(QUIET_LIMIT, abs=0.1)


def test_a_block_too_early_for_the_clock_is_kept_and_sent_again(
    harbour: Harbour, device: Device, capsys: pytest.CaptureFixture[str]
) -> None:
    desk = Desk(harbour)
    template = desk.templates.refresh()
    harbour.refusals["submitsolution"] = RpcError(-32011, "ahead", {"reason": "from-future"})
    desk.solutions.submit(template, *win(device, template))
    for _ in range(3):
        assert not desk.solutions.wanted(template)
        desk.solutions.retry()
        desk.now += EARLY_SECONDS
        desk.solutions.retry()
    assert harbour.calls.count("submitsolution") == 4
    assert capsys.readouterr().out.count("block.early") == 1
    harbour.refusals.clear()
    desk.now += EARLY_SECONDS
    desk.solutions.retry()
    assert harbour.height == 1
    assert desk.meter.counts.blocks == 1
    assert desk.solutions.wanted(desk.templates.refresh())


def test_an_early_block_is_forgotten_when_another_is_faster(
    harbour: Harbour, device: Device
) -> None:
    desk = Desk(harbour)
    template = desk.templates.refresh()
    harbour.refusals["submitsolution"] = RpcError(-32011, "ahead", {"reason": "from-future"})
    desk.solutions.submit(template, *win(device, template))
    harbour.refusals.clear()
    harbour.mine()
    desk.templates.refresh()
    desk.now += EARLY_SECONDS
    desk.solutions.retry()
    desk.solutions.retry()
    assert harbour.calls.count("submitsolution") == 1


def test_a_node_that_is_away_costs_the_block_only(harbour: Harbour, device: Device) -> None:
    desk = Desk(harbour)
    template = desk.templates.refresh()
    harbour.down = True
    desk.solutions.submit(template, *win(device, template))
    harbour.down = False
    assert desk.solutions.wanted(template)
    desk.solutions.submit(template, *win(device, template))
    assert harbour.height == 1


def test_nobody_else_can_seal_for_this_miner(harbour: Harbour, device: Device) -> None:
    desk = Desk(harbour)
    template = desk.templates.refresh()
    thief = Solutions(desk.link, RIVAL, desk.templates, desk.meter)
    thief.submit(template, *win(device, template))
    assert harbour.height == 0


def test_operands_are_opened_whole(harbour: Harbour, device: Device) -> None:
    random = np.random.default_rng(5)
    a = Operand.commit(random.integers(-64, 64, (64, 512), np.int8))
    b = Operand.commit(random.integers(-64, 64, (48, 512), np.int8))
    desk = Desk(harbour)
    template = desk.templates.refresh()
    tag = Tag(nonce=u64(7))
    noised = device.noise_b(template.sigma, b, 48, 512)
    mined = noised.start(64, a.tree.root, tag, template.difficulty).mine_rows(
        a.values[32:48], 32, 48
    )
    winner = mined.winners[-1]
    assert (winner.tile_row, winner.tile_col) == (2, 2)
    desk.solutions.submit(template, Work(Shape(64, 48, 512), tag, a, b), (2, 2), winner.lanes)
    assert harbour.height == 1
