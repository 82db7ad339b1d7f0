"""Making a proof: the head and opening of one tile of a product (protocol §7)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ...core.commitment import TILE, ZERO_OPERAND_ROOT, Tree
from ...core.hashing import Hash
from ...core.ticket import Head, Opening
from .noise import noise
from .seeds import head_seeds
from .transcript import tile_lanes

NO_NONCE = bytes(8)
NO_JOB: Hash = bytes(32)


@dataclass(frozen=True)
class Operand:
    """A committed operand: A as m×k, or B transposed as n×k; int8 in [−64, 63]."""

    values: NDArray[np.int8]
    tree: Tree

    @classmethod
    def commit(cls, values: NDArray[np.int8]) -> "Operand":
        """Hash the rows of a whole operand."""
        return cls(values, Tree(values))

    def tile(self, index: int) -> NDArray[np.int8]:
        """Return the 16 rows of one tile."""
        return self.values[index * TILE : (index + 1) * TILE]


@dataclass(frozen=True)
class Shape:
    """m×k times k×n."""

    m: int
    n: int
    k: int


@dataclass(frozen=True)
class Tag:
    """What a product is for: op `op` of job `job_id`, or nothing and a nonce."""

    nonce: bytes = NO_NONCE
    job_id: Hash = NO_JOB
    op: int = 0


def make_head(
    shape: Shape, tag: Tag, roots: tuple[Hash, Hash], tile: tuple[int, int], lanes: bytes
) -> Head:
    """Assemble the head of a winning tile; `roots` and `tile` are (A's, B's)."""
    return Head(
        m=shape.m,
        n=shape.n,
        k=shape.k,
        nonce=tag.nonce,
        job_id=tag.job_id,
        op=tag.op,
        tile_row=tile[0],
        tile_col=tile[1],
        root_a=roots[0],
        root_b=roots[1],
        lanes=lanes,
    )


def make_opening(a: Operand | None, b: Operand | None, tile: tuple[int, int]) -> Opening:
    """Open both operands at a tile (row, column); None is the zero operand."""
    return Opening(
        a_rows=b"" if a is None else a.tile(tile[0]).tobytes(),
        a_path=() if a is None else a.tree.open(tile[0]),
        b_rows=b"" if b is None else b.tile(tile[1]).tobytes(),
        b_path=() if b is None else b.tree.open(tile[1]),
    )


def prove(
    sigma: Hash,
    shape: Shape,
    tag: Tag,
    a: Operand | None,
    b: Operand | None,
    tile: tuple[int, int],
) -> tuple[Head, Opening]:
    """Compute one tile from scratch and return its proof, whether or not its ticket wins."""
    roots = (
        ZERO_OPERAND_ROOT if a is None else a.tree.root,
        ZERO_OPERAND_ROOT if b is None else b.tree.root,
    )
    blank = make_head(shape, tag, roots, tile, bytes(128))
    a_seed, b_seed = head_seeds(sigma, blank)
    lanes = tile_lanes(
        noised_tile(a_seed, None if a is None else a.tile(tile[0]), tile[0], shape.k),
        noised_tile(b_seed, None if b is None else b.tile(tile[1]), tile[1], shape.k),
    )
    return make_head(shape, tag, roots, tile, lanes), make_opening(a, b, tile)


def noised_tile(seed: Hash, rows: NDArray[np.int8] | None, tile: int, k: int) -> NDArray[np.int8]:
    """Return 16 rows with their noise (16×k); None stands for rows of the zero operand."""
    drawn = noise(seed, range(tile * TILE, (tile + 1) * TILE), k)
    return drawn if rows is None else rows + drawn
