"""Which job to take: the best paid per multiply-accumulate that can be delivered in time."""

from collections.abc import Iterable
from fractions import Fraction
from typing import Annotated, Final, Literal

import msgspec

from ..consensus.jobs.claims import claim_overhead
from ..core.codec import U32, U63
from ..core.hashing import Hash
from ..core.transaction import MAX_OUTPUT_BYTES, MAX_POSTED_PRODUCTS
from ..genesis import Params
from ..vm.products import Product
from ..vm.tensor import output_bytes
from ..wallet.answers import HexHash
from .library import LoadedModel

SAFETY: Final = 2
"""A job is taken only if this multiple of its expected time fits the window."""
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
    deadline: U63
    openings: U32
    window: U63
    """Blocks of a claim, besides those for the blocks that the job's products mine."""
    worker: Annotated[str, msgspec.Meta(max_length=128)] | None = None
    """Address of the claimant."""
    window_end: U63 | None = None
    """Height at which the claimant's time is over."""

    @property
    def hash(self) -> Hash:
        """The job's id."""
        return bytes.fromhex(self.id)

    @property
    def pay(self) -> Fraction:
        """Base units per multiply-accumulate."""
        return Fraction(self.bounty, max(1, self.macs))


def best_first(offers: Iterable[JobOffer]) -> list[JobOffer]:
    """Return jobs that may be claimed, the best paid per MAC first."""
    open_offers = [offer for offer in offers if offer.status == "submitted"]
    return sorted(open_offers, key=lambda offer: (-offer.pay, offer.deadline, offer.id))


def why_not(
    offer: JobOffer, params: Params, height: int, difficulty: int, speed: float
) -> str | None:
    """Return why a job is not worth a claim at `height`: its pay, or the time it leaves.

    `speed` is in multiply-accumulates per second.
    """
    if offer.bounty < DELIVERY_KIB * params.min_fee_per_kib:
        return "it pays less than delivering it costs"
    window = offer.window + 2 * -(-offer.macs // difficulty)
    if height + claim_overhead(params) + window >= offer.deadline:
        return "its deadline is too near"
    if SAFETY * offer.macs > speed * window * params.target_spacing:
        return "it is too large for this machine's speed"
    return None


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
    return [p for p in model.checked.products(items) if p.k >= params.posted_product_min_k]
