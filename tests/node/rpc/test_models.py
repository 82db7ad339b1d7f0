"""What the RPC tells of models: everything of one, pages of many, and the versions of a model."""

from typing import Any

import numpy as np
import pytest
from pouw.core.keys import PrivateKey
from pouw.core.transaction import Output, RegisterModel, RoyaltyShare, Transfer
from pouw.vm.ops import Matmul, Requantise
from pouw.vm.program import Program, encode_program
from pouw.vm.types import Declaration, DType, Interval, TensorType

ARTIST = PrivateKey(b"the one whose data made a model.")
OTHER = PrivateKey(b"another person who makes models.")
CARD = '{"description":"two layers ✓"}'
SCALE = Declaration(TensorType(DType.INT32, (1,)), Interval(1, 63))
PROGRAM = Program(
    1,
    Declaration(TensorType(DType.INT8, (512,)), Interval(-64, 63)),
    (
        Declaration(TensorType(DType.INT8, (16, 512)), Interval(-63, 63)),
        SCALE,
        Declaration(TensorType(DType.INT8, (8, 16)), Interval(-63, 63)),
    ),
    (Matmul(0, 1), Requantise(4, 2, 12, -64, 63), Matmul(5, 3)),
)
"""Two products: one long enough to mine and post, one short."""
WEIGHTS = (
    np.ones((16, 512), np.int8).tobytes()
    + np.ones(1, "<i4").tobytes()
    + np.ones((8, 16), np.int8).tobytes()
)


class Publisher:
    """Registers the same program again and again."""

    def __init__(self, rpc: Any, program: bytes, weights: bytes) -> None:
        self.rpc = rpc
        self.program = program
        self.weights = weights

    def body(self, name: str = "layers", previous: str = "00" * 32) -> RegisterModel:
        royalties = (RoyaltyShare(ARTIST.address, 1_250),)
        previous_id = bytes.fromhex(previous)
        return RegisterModel(name, self.program, self.weights, "CC0", royalties, CARD, previous_id)

    async def register(self, key: PrivateKey, name: str = "layers", **more: str) -> str:
        identity: str = await self.rpc.send(self.rpc.sign(key, self.body(name, **more)))
        await self.rpc.mine()
        return identity


@pytest.fixture
async def publisher(rpc: Any, faucet: PrivateKey) -> Publisher:
    """Program and weights on the chain, and money for somebody else."""
    program = await rpc.upload(faucet, encode_program(PROGRAM))
    weights = await rpc.upload(faucet, WEIGHTS)
    await rpc.send(rpc.sign(faucet, Transfer((Output(OTHER.address, 10**12),))))
    await rpc.mine()
    return Publisher(rpc, program, weights)


async def names(rpc: Any, **asked: Any) -> list[str]:
    answer = await rpc.call("listmodels", **asked)
    return [model["name"] for model in answer["models"]]


async def test_all_of_a_model_is_told(rpc: Any, faucet: PrivateKey, publisher: Publisher) -> None:
    model = await publisher.register(faucet)
    answer = await rpc.call("getmodel", id=model)
    assert (answer["card"], answer["licence"]) == (CARD, "CC0")
    assert (answer["version"], answer["previous"], answer["successor"]) == (1, None, None)
    assert (answer["program_bytes"], answer["weights_bytes"]) == (
        len(encode_program(PROGRAM)),
        len(WEIGHTS),
    )
    assert (answer["ops"], answer["product_count"]) == (3, 2)
    assert (answer["mineable_products"], answer["postable_products"]) == (1, 1)
    assert [(each["mineable"], each["postable"]) for each in answer["products"]] == [
        (True, True),
        (False, False),
    ]
    assert len(answer["weight_roots"]) == 2
    assert answer["royalties"] == [{"to": rpc.address(ARTIST), "basis_points": 1_250}]


async def test_versions_know_each_other(rpc: Any, faucet: PrivateKey, publisher: Publisher) -> None:
    first = await publisher.register(faucet)
    assert [each["id"] for each in await rpc.call("listversions", id=first)] == [first]
    second = await publisher.register(faucet, "better", previous=first)
    third = await publisher.register(faucet, "best", previous=second)
    told = [await rpc.call("getmodel", id=each) for each in (first, second, third)]
    assert [each["version"] for each in told] == [1, 2, 3]
    assert [each["previous"] for each in told] == [None, first, second]
    assert [each["successor"] for each in told] == [second, third, None]
    for each in (first, second, third):
        versions = await rpc.call("listversions", id=each)
        assert [(one["id"], one["version"], one["name"]) for one in versions] == [
            (first, 1, "layers"),
            (second, 2, "better"),
            (third, 3, "best"),
        ]
    assert [each["height"] for each in versions] == [each["height"] for each in told]


async def test_a_version_of_somebody_elses_model_is_refused(
    rpc: Any, faucet: PrivateKey, publisher: Publisher, call_failed: Any
) -> None:
    model = await publisher.register(faucet)
    with pytest.raises(call_failed) as caught:
        await publisher.register(OTHER, previous=model)
    assert caught.value.data == {"rule": "model-owner"}


async def test_pages_follow_each_other_without_gap_or_repetition(
    rpc: Any, faucet: PrivateKey, publisher: Publisher
) -> None:
    registered = [await publisher.register(faucet, f"model {i}") for i in range(3)]
    for i in (3, 4):  # two in one block: their ids decide
        registered.append(await rpc.send(rpc.sign(faucet, publisher.body(f"model {i}"))))
    await rpc.mine()
    whole = (await rpc.call("listmodels"))["models"]
    assert [each["id"] for each in whole[2:]] == registered[2::-1]
    assert {each["id"] for each in whole[:2]} == set(registered[3:])
    for limit in (1, 2, 3, 5):
        paged: list[Any] = []
        after: str | None = None
        for _ in range(6):
            page = await rpc.call("listmodels", limit=limit, after=after)
            paged += page["models"]
            after = page["next"]
            if after is None:
                break
        assert paged == whole, limit


async def test_models_are_found_by_owner_and_by_part_of_the_name(
    rpc: Any, faucet: PrivateKey, publisher: Publisher, call_failed: Any
) -> None:
    await publisher.register(faucet, "Straße")
    await publisher.register(OTHER, "digits, small")
    await publisher.register(faucet, "DIGITS, large")
    assert await names(rpc, name="digits") == ["DIGITS, large", "digits, small"]
    assert await names(rpc, name="STRASSE") == ["Straße"]
    assert await names(rpc, owner=rpc.address(OTHER)) == ["digits, small"]
    assert await names(rpc, owner=rpc.address(faucet), name="small") == []
    assert await names(rpc, owner=rpc.address(faucet), limit=1) == ["DIGITS, large"]
    for asked in ({"owner": "nobody"}, {"name": "x" * 65}, {"limit": 0}, {"after": "ab"}):
        with pytest.raises(call_failed):
            await rpc.call("listmodels", **asked)


async def test_a_search_looks_at_so_many_models_and_says_where_to_go_on(
    rpc: Any, faucet: PrivateKey, publisher: Publisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = await publisher.register(faucet, "wanted")
    for i in range(3):
        await publisher.register(faucet, f"other {i}")
    monkeypatch.setattr("pouw.node.rpc.models.MAX_EXAMINED", 2)
    first = await rpc.call("listmodels", name="wanted")
    assert first["models"] == []
    second = await rpc.call("listmodels", name="wanted", after=first["next"])
    assert ([each["id"] for each in second["models"]], second["next"]) == ([wanted], None)


async def test_an_unknown_model_is_not_found(rpc: Any, call_failed: Any) -> None:
    for method, asked in (
        ("getmodel", {"id": "ab" * 32}),
        ("listversions", {"id": "ab" * 32}),
        ("listmodels", {"after": "ab" * 32}),
    ):
        with pytest.raises(call_failed) as caught:
            await rpc.call(method, **asked)
        assert caught.value.code == -32004
    assert await rpc.call("listmodels") == {"models": [], "next": None}
