"""Which jobs to take: those that pay best for this hardware's time, and can be delivered."""

from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec

from ..consensus.freivalds import is_posted
from ..consensus.jobs.claims import claim_overhead
from ..core.codec import U32, U63
from ..core.hashing import Hash
from ..core.transaction import MAX_OUTPUT_BYTES, MAX_POSTED_PRODUCTS
from ..genesis import Params
from ..vm.products import Product
from ..vm.tensor import output_bytes
from ..wallet.answers import HexHash
from .library import LoadedModel
from .pace import Fleet

SAFETY: Final = 2
"""A job is taken only if this multiple of its expected time, waiting included, fits the window."""
DELIVERY_KIB: Final = 8
"""KiB of claim, commitment and a small settlement, at the fee this wallet pays."""
_INT32_BYTES: Final = 4
_SETTLE_STEPS: Final = 2
"""Blocks of the settle window besides uploads: one to see the commitment, one to settle."""


class JobOffer(msgspec.Struct, frozen=True):
    """`listjobs` and `getjob`: what the miner needs of a job."""

    id: HexHash
    status: Literal["submitted", "claimed", "committed", "settled", "expired", "cancelled"]
    model: HexHash
    input: HexHash
    bounty: U63
    macs: U63
    check_macs: U63
    check_bytes: U63
    """What its settlement takes of a block's budget."""
    deadline: U63
    openings: U32
    window: U63
    """Blocks of a claim, besides those for the blocks that the job's products mine."""
    claimed: U63
    """Height of the last claim, 0 before the first."""
    worker: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    """Address of the claimant."""
    window_end: U63 | None = None
    """Height at which the claimant's time is over."""

    @property
    def hash(self) -> Hash:
        """The job's id."""
        return bytes.fromhex(self.id)


def best_first(offers: Iterable[JobOffer], params: Params, fleet: Fleet) -> list[JobOffer]:
    """Return jobs that may be claimed, those first that pay best for a second of these devices."""

    def pay(offer: JobOffer) -> float:
        return (offer.bounty - _delivery_fees(params)) / fleet.share(offer.macs)

    open_offers = [offer for offer in offers if offer.status == "submitted"]
    return sorted(open_offers, key=lambda offer: (-pay(offer), offer.deadline, offer.id))


def why_not(offer: JobOffer, params: Params, height: int, difficulty: int) -> str | None:
    """Return why nobody should claim a job at `height`: its pay, or the time it leaves."""
    if offer.bounty < _delivery_fees(params):
        return "it pays less than delivering it costs"
    if height + claim_overhead(params) + _window(offer, difficulty) >= offer.deadline:
        return "its deadline is too near"
    return None


def in_time(
    offer: JobOffer, params: Params, difficulty: int, fleet: Fleet, ahead: float = 0.0
) -> bool:
    """Tell whether a job fits its window when it waits for `ahead` seconds of other work."""
    needed = SAFETY * (ahead + fleet.slowest(offer.macs))
    return needed <= _window(offer, difficulty) * params.target_spacing


def why_undeliverable(model: LoadedModel, items: int, params: Params) -> str | None:
    """Return why a result could not be put on the chain, whatever it is: a trap for bonds."""
    size = output_bytes(model.checked, items)
    if size > MAX_OUTPUT_BYTES:
        return f"its output has {size} bytes, more than a settlement holds"
    products = posted(model, items, params)
    if len(products) > MAX_POSTED_PRODUCTS:
        return f"it posts {len(products)} products, more than a settlement holds"
    posted_bytes = sum(product.m * product.n * _INT32_BYTES for product in products)
    blocks = -(-posted_bytes // params.max_chunk_bytes) + _SETTLE_STEPS
    if blocks > params.settle_window:
        return f"its products have {posted_bytes} bytes, too many for the settle window"
    return None


def posted(model: LoadedModel, items: int, params: Params) -> list[Product]:
    """Return the products whose result a settlement posts, in product order."""
    return [p for p in model.checked.products(items) if is_posted(p, params)]


def _delivery_fees(params: Params) -> int:
    return DELIVERY_KIB * params.min_fee_per_kib


def _window(offer: JobOffer, difficulty: int) -> int:
    """Return the blocks a claimant would have; see `consensus.jobs.claims.window_blocks`."""
    return offer.window + 2 * -(-offer.macs // difficulty)
