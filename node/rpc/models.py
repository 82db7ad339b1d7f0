"""Registered models: what they take, give and cost, who made them, and their versions."""

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

import msgspec

from ...consensus import records as r
from ...core.codec import decode
from ...core.hashing import ZERO_HASH, Hash
from ...core.transaction import MAX_NAME_CHARS
from ...vm.check import CheckedProgram
from ...vm.operands import is_mineable
from ...vm.products import Product
from ...vm.program import encode_program
from .context import Context
from .errors import NotFound
from .registry import MethodTable
from .types import AddressText, Answer, HexHash, Limit

METHODS: Final = MethodTable()

MAX_EXAMINED: Final = 1_000
"""Models that one call looks at while it searches for those of a name or an owner."""

NamePart = Annotated[str, msgspec.Meta(max_length=MAX_NAME_CHARS)]


@METHODS.read
def getmodel(node: Context, id: HexHash) -> Answer:
    """Return a registered model with its licence and its card.

    `input` and `output` describe one item; `products` are its matrix products, with m per item:
    those that are `mineable` are long enough to pay for mining, the `postable` ones are delivered
    with the result of a job of enough items. `weight_roots` are the ticket commitments of their
    right operands. `previous` and `successor` are the versions before and after, or null.
    """
    model = _Registered(bytes.fromhex(id), find_model(node, id), find_history(node, id))
    checked = node.chain.checker.program(model.record)
    postable = {product.index for product in _postable(node, model.record, checked)}
    return {
        **_summary(node, model),
        "licence": model.record.licence,
        "card": model.record.card,
        "weight_roots": [root.hex() for root in model.record.weight_roots],
        "products": [
            {
                "index": product.index,
                "n": product.n,
                "k": product.k,
                "m_per_item": product.m,
                "mineable": is_mineable(product),
                "postable": product.index in postable,
            }
            for product in checked.item_products
        ],
    }


@METHODS.scan
def listmodels(
    node: Context,
    limit: Limit = 100,
    after: HexHash | None = None,
    owner: AddressText | None = None,
    name: NamePart = "",
) -> Answer:
    """Return models, those registered last first, as `getmodel` has them without texts and roots.

    Only those of `owner`, and with `name` as a part of their name, whatever its case. `next` is
    what to pass as `after` for more, null at the end; a page may hold fewer than `limit`, even
    none, before that.
    """
    wanted = None if owner is None else node.read_address(owner)
    below = None if after is None else (find_history(node, after).registered, after)
    found: list[Answer] = []
    newest, more = _newest(node, below)
    last: str | None = None
    for identity, history in newest:
        if len(found) == limit:
            break
        last = identity
        record = _read_model(node, identity)
        if record is None or wanted not in (None, record.owner):
            continue
        if name.casefold() in record.name.casefold():
            found.append(_summary(node, _Registered(bytes.fromhex(identity), record, history)))
    else:
        last = last if more else None
    return {"models": found, "next": last}


@METHODS.scan
def listversions(node: Context, id: HexHash) -> list[Answer]:
    """Return all versions of a model, the first one first, whichever of them `id` names."""
    first = id
    while (previous := find_model(node, first).previous) != ZERO_HASH:
        first = previous.hex()
    return [
        {
            "id": identity,
            "version": record.version,
            "name": record.name,
            "height": history.registered,
            "jobs": history.jobs,
        }
        for identity, record, history in _onwards(node, first)
    ]


def find_model(node: Context, identity: str) -> r.Model:
    """Return the record of a model. Raises NotFound."""
    record = _read_model(node, identity)
    if record is None:
        raise NotFound(f"no model {identity} is registered")
    return record


def find_history(node: Context, identity: str) -> r.ModelHistory:
    """Return what happened to a model. Raises NotFound."""
    data = node.chain.state.get(r.history_key(bytes.fromhex(identity)))
    if data is None:
        raise NotFound(f"no model {identity} is registered")
    return decode(r.ModelHistory, data, r.RECORD_LIMIT)


@dataclass(frozen=True, slots=True)
class _Registered:
    identity: Hash
    record: r.Model
    history: r.ModelHistory


def _read_model(node: Context, identity: str) -> r.Model | None:
    data = node.chain.state.get(r.model_key(bytes.fromhex(identity)))
    return None if data is None else decode(r.Model, data, r.RECORD_LIMIT)


def _newest(
    node: Context, below: tuple[int, str] | None
) -> tuple[list[tuple[str, r.ModelHistory]], bool]:
    """Return the next MAX_EXAMINED models in order, and whether there are more.

    Only the small records are walked over: a model's texts and roots may take 100 KiB.
    """
    histories = (
        (key[1:].hex(), decode(r.ModelHistory, data, r.RECORD_LIMIT))
        for key, data in node.chain.state.items(b"h")
    )
    rest = (item for item in histories if below is None or (item[1].registered, item[0]) < below)
    newest = heapq.nlargest(MAX_EXAMINED + 1, rest, key=lambda item: (item[1].registered, item[0]))
    return newest[:MAX_EXAMINED], len(newest) > MAX_EXAMINED


def _onwards(node: Context, first: str) -> Iterator[tuple[str, r.Model, r.ModelHistory]]:
    identity = first
    for _ in range(r.MAX_MODEL_VERSION):
        history = find_history(node, identity)
        yield identity, find_model(node, identity), history
        if history.successor == ZERO_HASH:
            return
        identity = history.successor.hex()


def _summary(node: Context, model: _Registered) -> Answer:
    """Return what is told of a model in a list, too."""
    record, history = model.record, model.history
    checked = node.chain.checker.program(record)
    source, result = checked.program.input, checked.output_type
    products = checked.item_products
    return {
        "id": model.identity.hex(),
        "name": record.name,
        "owner": node.address_text(record.owner),
        "version": record.version,
        "previous": _hex_or_none(record.previous),
        "successor": _hex_or_none(history.successor),
        "height": history.registered,
        "jobs": history.jobs,
        "royalties": [
            {"to": node.address_text(share.to), "basis_points": share.basis_points}
            for share in record.royalties
        ],
        "program": record.program.hex(),
        "weights": record.weights.hex(),
        "program_bytes": len(encode_program(checked.program)),
        "weights_bytes": checked.weight_bytes,
        "input": {
            "dtype": source.type.dtype.name.lower(),
            "shape": list(source.type.shape),
            "lo": source.interval.lo,
            "hi": source.interval.hi,
        },
        "output": {"dtype": result.dtype.name.lower(), "shape": list(result.shape)},
        "max_items": checked.max_items,
        "macs_per_item": checked.rate.item_macs,
        "ops": len(checked.program.ops),
        "product_count": len(products),
        "mineable_products": sum(map(is_mineable, products)),
        "postable_products": len(_postable(node, record, checked)),
    }


def _postable(node: Context, record: r.Model, checked: CheckedProgram) -> tuple[Product, ...]:
    """Return the products that the largest job posts: more rows never make posting dearer."""
    return node.chain.checker.posted_products(record, checked.max_items)


def _hex_or_none(root: Hash) -> str | None:
    return None if root == ZERO_HASH else root.hex()
