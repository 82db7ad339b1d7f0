"""Checking this implementation against files of test vectors, as `tests/vectors` holds.

A file is one JSON object with any of these lists:

* `cases`: operands by text, a tile, and all that protocol §3–6 derives from them;
* `targets`: difficulty and k to the largest winning number (hexadecimal);
* `denoise`: operands by text to the int32 roots (§3) of A'·B' and of A·B;
* `refuse`: encoded heads and openings (hexadecimal) and the rule that each breaks;
* `values`, `refuse_values`: canonical encodings and ids, see `consensus/value_vectors.py`.

An operand by text is rows·k bytes of BLAKE3(text) as XOF, each byte b → (b & 127) − 64, row-major.
"""

from typing import Annotated, Any, Final, TypeAlias

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from ...core.codec import decode
from ...core.commitment import Tree
from ...core.errors import BodyMismatch, PouwError, RuleViolation, UserError
from ...core.hashing import u64
from ...core.ticket import MAX_HEAD_BYTES, MAX_OPENING_BYTES, Head, Opening
from ..value_vectors import (
    Checks,
    Hex,
    Hex32,
    RefusedValue,
    ValueVector,
    refusal_checks,
    value_checks,
)
from .constants import RANK, TILE
from .denoise import denoise, noised_product
from .noise import noise
from .proof import Operand, Shape, Tag, prove
from .seeds import head_seeds
from .target import target, ticket_digest
from .verify import check_head, check_opening

MAX_OPERAND_BYTES: Final = 2**26
"""Largest operand that a vector may ask for."""
BODY_MISMATCH: Final = "body-mismatch"
"""Stands in `refuse` for an opening that is not the one its head commits to."""

Natural: TypeAlias = Annotated[int, msgspec.Meta(ge=0)]
Size: TypeAlias = Annotated[int, msgspec.Meta(ge=1, le=MAX_OPERAND_BYTES)]


class VectorMismatch(PouwError):
    """This implementation computes something else than a vector says."""


class _Product(msgspec.Struct, forbid_unknown_fields=True):
    """What both kinds of product share: a header, a shape, a tag and two operands."""

    sigma: Hex32
    m: Size
    n: Size
    k: Size
    nonce: Natural
    job: Hex32
    op: Natural
    a_text: str | None
    b_text: str | None
    seed_a: Hex32
    seed_b: Hex32


class _Case(_Product, forbid_unknown_fields=True):
    tile_row: Natural
    tile_col: Natural
    root_a: Hex32
    root_b: Hex32
    lanes: list[Natural]
    digest: Hex32
    a_path: list[Hex32] = []
    b_path: list[Hex32] = []


class _Denoise(_Product, forbid_unknown_fields=True):
    noised_root: Hex32
    product_root: Hex32


class _Target(msgspec.Struct, forbid_unknown_fields=True):
    difficulty: Natural
    k: Size
    target: Annotated[str, msgspec.Meta(pattern=r"^0x[0-9a-f]{1,64}\Z")]


class _Refuse(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    rule: str
    sigma: Hex32
    difficulty: Natural
    head: Hex
    opening: Hex | None


class _File(msgspec.Struct, forbid_unknown_fields=True):
    about: str = ""
    cases: list[_Case] = []
    targets: list[_Target] = []
    denoise: list[_Denoise] = []
    refuse: list[_Refuse] = []
    values: list[ValueVector] = []
    refuse_values: list[RefusedValue] = []


def check_vectors(document: Any) -> int:
    """Recompute every field of a parsed vector file; return how many were compared.

    Raises VectorMismatch naming the vector and its first differing field, UserError when the
    document is not a vector file or holds no vector.
    """
    try:
        file = msgspec.convert(document, _File)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise UserError(f"not a file of PoUW test vectors: {error}") from None
    compared = 0
    for index, case in enumerate(file.cases):
        compared += _compare(f"cases[{index}]", _case(case))
    for index, vector in enumerate(file.targets):
        compared += _compare(f"targets[{index}]", _target(vector))
    for index, vector in enumerate(file.denoise):
        compared += _compare(f"denoise[{index}]", _denoise(vector))
    for index, vector in enumerate(file.refuse):
        compared += _compare(f"refuse[{index}]", _refuse(vector))
    for index, vector in enumerate(file.values):
        compared += _compare(f"values[{index}]", value_checks(vector))
    for index, vector in enumerate(file.refuse_values):
        compared += _compare(f"refuse_values[{index}]", refusal_checks(vector))
    if not compared:
        raise UserError("the file holds no test vector")
    return compared


def text_operand(text: str, rows: int, k: int) -> NDArray[np.int8]:
    """Return the operand (rows×k) that a text stands for."""
    drawn = np.frombuffer(blake3(text.encode()).digest(length=rows * k), np.uint8)
    return ((drawn & 127).view(np.int8) - np.int8(64)).reshape(rows, k)


def _refused_by(vector: _Refuse) -> str:
    """Return the rule that refuses an encoded proof, "" when it is accepted."""
    sigma = bytes.fromhex(vector.sigma)
    try:
        head = decode(Head, bytes.fromhex(vector.head), MAX_HEAD_BYTES)
        check_head(sigma, head, vector.difficulty)
        if vector.opening is not None:
            opening = decode(Opening, bytes.fromhex(vector.opening), MAX_OPENING_BYTES)
            check_opening(sigma, head, opening)
    except RuleViolation as error:
        return error.rule
    except BodyMismatch:
        return BODY_MISMATCH
    return ""


def _compare(where: str, checks: Checks) -> int:
    compared = 0
    try:
        for field, expected, actual in checks:
            if expected != actual:
                raise VectorMismatch(f"{where}.{field}: expected {expected}, computed {actual}")
            compared += 1
    except (RuleViolation, ValueError) as error:
        raise UserError(f"{where} is no usable vector: {error}") from None
    return compared


def _case(case: _Case) -> Checks:
    a, b = _operands(case)
    row, col = case.tile_row, case.tile_col
    if row >= case.m // TILE or col >= case.n // TILE:
        raise ValueError(f"tile ({row}, {col}) is outside a {case.m}×{case.n} product")
    sigma = bytes.fromhex(case.sigma)
    head, opening = prove(sigma, _shape(case), _tag(case), a, b, (row, col))
    a_seed, b_seed = head_seeds(sigma, head)
    yield "root_a", case.root_a, head.root_a.hex()
    yield "root_b", case.root_b, head.root_b.hex()
    yield "seed_a", case.seed_a, a_seed.hex()
    yield "seed_b", case.seed_b, b_seed.hex()
    yield "lanes", case.lanes, np.frombuffer(head.lanes, "<u4").tolist()
    yield "digest", case.digest, ticket_digest(a_seed, head.lanes, row, col).hex()
    yield "a_path", case.a_path, [sibling.hex() for sibling in opening.a_path]
    yield "b_path", case.b_path, [sibling.hex() for sibling in opening.b_path]
    check_opening(sigma, head, opening)


def _target(vector: _Target) -> Checks:
    yield "target", int(vector.target, 16), target(vector.difficulty, vector.k)


def _denoise(vector: _Denoise) -> Checks:
    a, b = _operands(vector)
    if a is None or b is None:
        raise ValueError("two operands are needed")
    sigma = bytes.fromhex(vector.sigma)
    head, _ = prove(sigma, _shape(vector), _tag(vector), a, b, (0, 0))
    a_seed, b_seed = head_seeds(sigma, head)
    b_noised = b.values + noise(b_seed, range(vector.n), vector.k)
    product = noised_product(a.values + noise(a_seed, range(vector.m), vector.k), b_noised)
    yield "seed_a", vector.seed_a, a_seed.hex()
    yield "seed_b", vector.seed_b, b_seed.hex()
    yield "noised_root", vector.noised_root, Tree(product).root.hex()
    plain = denoise(product, a.values, b_noised, a_seed, b_seed)
    yield "product_root", vector.product_root, Tree(plain).root.hex()


def _refuse(vector: _Refuse) -> Checks:
    yield f"rule of '{vector.name}'", vector.rule, _refused_by(vector) or "accepted"


def _operands(product: _Product) -> tuple[Operand | None, Operand | None]:
    return (
        _operand(product.a_text, product.m, product.k),
        _operand(product.b_text, product.n, product.k),
    )


def _operand(text: str | None, rows: int, k: int) -> Operand | None:
    if rows % TILE or k % RANK or rows * k > MAX_OPERAND_BYTES:
        raise ValueError(f"an operand of {rows}×{k} is off the grid or too large for a vector")
    return None if text is None else Operand.commit(text_operand(text, rows, k))


def _shape(product: _Product) -> Shape:
    return Shape(product.m, product.n, product.k)


def _tag(product: _Product) -> Tag:
    return Tag(u64(product.nonce), bytes.fromhex(product.job), product.op)
