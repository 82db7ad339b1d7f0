"""Models and inputs, fetched from the node by root and checked before they are used."""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

import msgspec

from ..consensus import prices
from ..consensus.ticket import Operand
from ..core.codec import U16
from ..core.hashing import Hash
from ..vm.check import CheckedProgram, check_program
from ..vm.executor import execute
from ..vm.products import ProductHandler
from ..vm.program import decode_program
from ..vm.tensor import decode_input, encode_output
from ..vm.weights import check_weights
from ..wallet.answers import HexHash, ask
from ..wallet.client import RpcClient
from ..wallet.jobs import read_blob

MODELS_KEPT: Final = 4


class _Royalty(msgspec.Struct, frozen=True):
    basis_points: U16


class _Answer(msgspec.Struct, frozen=True):
    """`getmodel`."""

    program: HexHash
    weights: HexHash
    royalties: tuple[_Royalty, ...] = ()


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """A model in memory."""

    checked: CheckedProgram
    weights: bytes
    operands: dict[int, Operand] = field(default_factory=dict[int, Operand])
    """Committed right operands by product index, kept from job to job."""

    def items(self, data: bytes) -> int:
        """Return how many items an input holds. Raises RuleViolation when it is none."""
        return decode_input(self.checked, data).shape[0]

    def run(self, data: bytes, handler: ProductHandler) -> bytes:
        """Return the output blob of an input blob. Raises RuleViolation."""
        execution = execute(self.checked, self.weights, data, handler)
        return encode_output(self.checked, execution.output)


class Library:
    """The last few models of a node. Safe to share between threads."""

    def __init__(self, client: RpcClient) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._models: OrderedDict[Hash, LoadedModel] = OrderedDict()

    def model(self, model: Hash) -> LoadedModel:
        """Return a registered model.

        Raises UserError when it cannot be fetched, RuleViolation when it is not a valid one.
        """
        with self._lock:  # while a model is loaded, too: nobody needs it twice
            loaded = self._models.get(model)
            if loaded is None:
                loaded = self._models[model] = self._load(model)
            self._models.move_to_end(model)
            while len(self._models) > MODELS_KEPT:
                self._models.popitem(last=False)
            return loaded

    def input(self, root: Hash) -> bytes:
        """Return an input blob. Raises UserError when it cannot be fetched."""
        return read_blob(self._client, root)

    def royalties(self, model: Hash, bounty: int) -> int:
        """Return what a model's contributors get of a bounty. Raises UserError."""
        answer = ask(self._client, _Answer, "getmodel", id=model.hex())
        return sum(prices.share_of(bounty, share.basis_points) for share in answer.royalties)

    def _load(self, model: Hash) -> LoadedModel:
        answer = ask(self._client, _Answer, "getmodel", id=model.hex())
        program = read_blob(self._client, bytes.fromhex(answer.program))
        weights = read_blob(self._client, bytes.fromhex(answer.weights))
        checked = check_program(decode_program(program))
        check_weights(checked, weights)
        return LoadedModel(checked, weights)
