"""Registered models: what they take, give and cost."""

import heapq
from typing import Final

from ...consensus import records as r
from ...core.codec import decode
from .context import Context
from .errors import NotFound
from .registry import MethodTable
from .types import Answer, HexHash, Limit

METHODS: Final = MethodTable()


@METHODS.read
def getmodel(node: Context, id: HexHash) -> Answer:
    """Return a registered model.

    `input` and `output` describe one item; `products` are its matrix products, with m per item.
    `weight_roots` are the ticket commitments of their right operands, zeros where B is no weight.
    """
    return describe_model(node, id, find_model(node, id))


@METHODS.read
def listmodels(node: Context, limit: Limit = 100) -> list[Answer]:
    """Return the models registered last, newest first."""
    models = (
        (key[1:].hex(), decode(r.Model, data, r.RECORD_LIMIT))
        for key, data in node.chain.state.items(b"m")
    )
    newest = heapq.nlargest(limit, models, key=lambda item: (item[1].height, item[0]))
    return [describe_model(node, identity, model) for identity, model in newest]


def find_model(node: Context, identity: str) -> r.Model:
    """Return the record of a model. Raises NotFound."""
    data = node.chain.state.get(r.model_key(bytes.fromhex(identity)))
    if data is None:
        raise NotFound(f"no model {identity} is registered")
    return decode(r.Model, data, r.RECORD_LIMIT)


def describe_model(node: Context, identity: str, model: r.Model) -> Answer:
    """Return what clients are told of a model."""
    checked = node.chain.checker.program(model)
    source, result = checked.program.input, checked.output_type
    return {
        "id": identity,
        "name": model.name,
        "owner": node.address_text(model.owner),
        "program": model.program.hex(),
        "weights": model.weights.hex(),
        "licence": model.licence,
        "royalties": [
            {"to": node.address_text(share.to), "basis_points": share.basis_points}
            for share in model.royalties
        ],
        "weight_roots": [root.hex() for root in model.weight_roots],
        "height": model.height,
        "jobs": model.jobs,
        "input": {
            "dtype": source.type.dtype.name.lower(),
            "shape": list(source.type.shape),
            "lo": source.interval.lo,
            "hi": source.interval.hi,
        },
        "output": {"dtype": result.dtype.name.lower(), "shape": list(result.shape)},
        "max_items": checked.max_items,
        "macs_per_item": checked.rate.item_macs,
        "products": [
            {"index": product.index, "n": product.n, "k": product.k, "m_per_item": product.m}
            for product in checked.item_products
        ],
    }
