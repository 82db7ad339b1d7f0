"""The mempool with many transactions: taking in, a template, a block on top, a file."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Final

from ..chain.chainstate import Chain, ChainChange
from ..chain.kv import LevelDB
from ..chain.mempool import Limits, Mempool
from ..chain.mempool.file import read_pool, write_pool
from ..chain.template import Template, build_template
from ..consensus.ticket import Shape, Tag, prove
from ..core.block import seal
from ..core.keys import PrivateKey
from ..core.transaction import Bundle, Output, Payload, Transfer, sign_transaction
from ..genesis import MAINNET, TINY, Params
from ..vm.multiplier import ReferenceMultiplier
from .timing import median_seconds

_COUNT: Final = 50_000
_SENDERS: Final = 5_000
_CHECKED: Final = 2_000
_FEW: Final = 100
"""Transactions of an ordinary block."""
_FUNDS: Final = 10**12
_MINER: Final = PrivateKey(b"the miner of the mempool's bench")


def run(device: str, repeats: int) -> list[dict[str, Any]]:
    """Return one row; `signatures_s` is the peer: bare signature checks in a second."""
    if device != "cpu":
        raise SystemExit("mempool: everything happens on the CPU")
    keys = [PrivateKey(i.to_bytes(32, "big")) for i in range(1, _SENDERS + 1)]
    with tempfile.TemporaryDirectory() as folder:
        store = LevelDB(Path(folder) / "db")
        try:
            return [_measure(store, keys, Path(folder), repeats)]
        finally:
            store.close()


def _measure(store: LevelDB, keys: list[PrivateKey], folder: Path, repeats: int) -> dict[str, Any]:
    params = _params(keys)
    chain = Chain(store, params, ReferenceMultiplier())
    pool = Mempool(chain, lambda: 0, Limits())
    bundles = [_payment(keys[i % _SENDERS], i // _SENDERS, i) for i in range(_COUNT)]
    checks = _seconds(
        lambda: [each.transaction.signature_is_valid() for each in bundles[:_CHECKED]]
    )
    accept = _seconds(lambda: [pool.add(each) for each in bundles])
    others = count(1)

    def changed_template() -> Template:
        pool.add(_payment(keys[-next(others)], 0, 0, 10**9))  # or the old choice would serve
        return _template(chain, pool)

    template = median_seconds(changed_template, repeats)
    again = median_seconds(lambda: _template(chain, pool), repeats)
    estimate = median_seconds(lambda: pool.estimate_rate(3), repeats)
    file = folder / "pool"
    write = _seconds(lambda: write_pool(file, chain.index.genesis.id, pool.entries()))
    read = _seconds(lambda: list(read_pool(file, chain.index.genesis.id)))
    few = Mempool(chain, lambda: 0, Limits())
    for each in bundles[:_FEW]:
        few.add(each)
    follow_few = _follow_seconds(chain, pool, _template(chain, few))
    mined = _template(chain, pool)
    follow = _follow_seconds(chain, pool, mined)
    if len(pool) != _COUNT - _FEW - len(mined.transactions):
        raise SystemExit("mempool: the pool did not follow its own blocks")
    return {
        "pending": _COUNT,
        "senders": _SENDERS,
        "accept_s": round(_COUNT / accept),
        "signatures_s": round(_CHECKED / checks),
        "template_ms": round(1000 * template),
        "template_again_ms": round(1000 * again),
        "template_transactions": len(mined.transactions),
        f"follow_{_FEW}_ms": round(1000 * follow_few, 1),
        "follow_all_ms": round(1000 * follow),
        "estimate_ms": round(1000 * estimate, 1),
        "write_ms": round(1000 * write),
        "read_ms": round(1000 * read),
    }


def _params(keys: list[PrivateKey]) -> Params:
    """Blocks as on the main network, proofs as easy as on the tiny one."""
    return replace(
        TINY,
        allocations=tuple((key.address, _FUNDS) for key in keys),
        max_block_bytes=MAINNET.max_block_bytes,
        max_chunk_bytes=MAINNET.max_chunk_bytes,
    )


def _payment(sender: PrivateKey, nonce: int, number: int, extra: int = 0) -> Bundle:
    fee = 10_000 + number * 7919 % 100_003 + extra
    body = Transfer((Output(_MINER.address, 1),))
    payload = Payload(TINY.chain_id, sender.public, nonce, fee, 10**6, body)
    return Bundle(sign_transaction(sender, payload), ())


def _template(chain: Chain, pool: Mempool) -> Template:
    return build_template(chain, pool, _MINER.public, _MINER.address, 0)


def _follow_seconds(chain: Chain, pool: Mempool, template: Template) -> float:
    """Connect a block and return what the pool, which listens, takes of the time."""
    times: list[float] = []
    follow = pool._follow

    def timed(change: ChainChange) -> None:
        times.append(_seconds(lambda: follow(change)))

    chain.listeners[:] = [timed]
    head, opening = prove(template.sigma, Shape(16, 16, 256), Tag(), None, None, (0, 0))
    sealed = seal(_MINER, template.header, head)
    chain.accept_header(sealed, template.header.time)
    chain.accept_body(sealed.id, template.body(opening))
    return times[0]


def _seconds(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start
