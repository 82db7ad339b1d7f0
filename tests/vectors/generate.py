"""Write pouw_v1_more.json: long k, denoised products, and proofs that must be refused.

Run from this folder: `python generate.py`. The file changes only when a rule changes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from pouw.consensus.ticket.denoise import denoise, noised_product
from pouw.consensus.ticket.noise import noise
from pouw.consensus.ticket.proof import Operand, Shape, Tag, noised_tile, prove
from pouw.consensus.ticket.seeds import head_seeds, seed_a, seed_b
from pouw.consensus.ticket.target import ticket_digest
from pouw.consensus.ticket.transcript import fold, lanes_bytes
from pouw.consensus.ticket.vectors import BODY_MISMATCH, text_operand
from pouw.core.codec import encode
from pouw.core.commitment import TILE, Tree
from pouw.core.hashing import digest, u64
from pouw.core.ticket import Head, Opening

ABOUT = (
    "PoUW v1, made by this implementation. Operands as in pouw_v1.json. denoise: roots of A'B' and "
    "of AB as int32 matrices. refuse: canonical head and opening bytes and the rule they break; "
    "an opening of null means that the head alone is refused."
)
PATH = Path(__file__).with_name("pouw_v1_more.json")


def operand(text: str | None, rows: int, k: int) -> Operand | None:
    return None if text is None else Operand.commit(text_operand(text, rows, k))


def case(
    name: str,
    shape: Shape,
    tag: Tag,
    texts: tuple[str | None, str | None],
    tile: tuple[int, int],
) -> dict[str, Any]:
    sigma = digest("header", name.encode())
    a, b = operand(texts[0], shape.m, shape.k), operand(texts[1], shape.n, shape.k)
    head, opening = prove(sigma, shape, tag, a, b, tile)
    a_seed, _ = head_seeds(sigma, head)
    return {
        **product_fields(sigma, shape, tag, texts, head),
        "tile_row": tile[0],
        "tile_col": tile[1],
        "root_a": head.root_a.hex(),
        "root_b": head.root_b.hex(),
        "lanes": np.frombuffer(head.lanes, "<u4").tolist(),
        "digest": ticket_digest(a_seed, head.lanes, *tile).hex(),
        "a_path": [sibling.hex() for sibling in opening.a_path],
        "b_path": [sibling.hex() for sibling in opening.b_path],
    }


def product_fields(
    sigma: bytes, shape: Shape, tag: Tag, texts: tuple[str | None, str | None], head: Head
) -> dict[str, Any]:
    a_seed, b_seed = head_seeds(sigma, head)
    return {
        "sigma": sigma.hex(),
        "m": shape.m,
        "n": shape.n,
        "k": shape.k,
        "nonce": int.from_bytes(tag.nonce, "little"),
        "job": tag.job_id.hex(),
        "op": tag.op,
        "a_text": texts[0],
        "b_text": texts[1],
        "seed_a": a_seed.hex(),
        "seed_b": b_seed.hex(),
    }


def denoised(name: str, shape: Shape, tag: Tag) -> dict[str, Any]:
    sigma = digest("header", name.encode())
    texts = (f"{name} A", f"{name} B")
    a = Operand.commit(text_operand(texts[0], shape.m, shape.k))
    b = Operand.commit(text_operand(texts[1], shape.n, shape.k))
    head, _ = prove(sigma, shape, tag, a, b, (0, 0))
    a_seed, b_seed = head_seeds(sigma, head)
    b_noised = b.values + noise(b_seed, range(shape.n), shape.k)
    product = noised_product(a.values + noise(a_seed, range(shape.m), shape.k), b_noised)
    plain = denoise(product, a.values, b_noised, a_seed, b_seed)
    expected = a.values.astype(np.int32) @ b.values.astype(np.int32).T
    if not np.array_equal(plain, expected):
        raise SystemExit(f"denoising {name} is not exact")
    return {
        **product_fields(sigma, shape, tag, texts, head),
        "noised_root": Tree(product).root.hex(),
        "product_root": Tree(plain).root.hex(),
    }


@dataclass(frozen=True)
class Base:
    """An accepted proof to spoil: the zero A times 64 columns of B, k = 256."""

    sigma: bytes
    operand: Operand
    head: Head
    opening: Opening

    @classmethod
    def make(cls) -> "Base":
        sigma = digest("header", b"refuse")
        b = Operand.commit(text_operand("refuse B", 64, 256))
        head, opening = prove(sigma, Shape(32, 64, 256), Tag(u64(7)), None, b, (1, 2))
        return cls(sigma, b, head, opening)

    def head_with(self, **changes: Any) -> Head:
        return msgspec.structs.replace(self.head, **changes)

    def opening_with(self, **changes: Any) -> Opening:
        return msgspec.structs.replace(self.opening, **changes)


def refused(
    name: str,
    rule: str,
    base: Base,
    head: Head | bytes,
    opening: Opening | None,
    sigma: bytes = b"",
) -> dict[str, Any]:
    return {
        "name": name,
        "rule": rule,
        "sigma": (sigma or base.sigma).hex(),
        "difficulty": 1,
        "head": (head if isinstance(head, bytes) else encode(head)).hex(),
        "opening": None if opening is None else encode(opening).hex(),
    }


def refused_heads(base: Base) -> list[dict[str, Any]]:
    job = digest("job", b"some job")
    spoiled = [
        ("m off the grid", "ticket-shape", {"m": 40}),
        ("m zero", "ticket-shape", {"m": 0}),
        ("m overflowing", "ticket-shape", {"m": 2**32 - 16}),
        ("n off the grid", "ticket-shape", {"n": 65}),
        ("n too large", "ticket-shape", {"n": 2**20 + 16}),
        ("k off the grid", "ticket-shape", {"k": 320}),
        ("k too small", "ticket-shape", {"k": 128}),
        ("k too large", "ticket-shape", {"k": 16_512}),
        ("tile row outside", "ticket-tile", {"tile_row": 2}),
        ("tile column outside", "ticket-tile", {"tile_col": 4}),
        ("a job and a nonce", "ticket-job", {"job_id": job}),
        ("an op of no job", "ticket-job", {"op": 1}),
    ]
    found = [
        refused(name, rule, base, base.head_with(**edit), None) for name, rule, edit in spoiled
    ]
    losing = refused("a ticket that does not win", "ticket-target", base, base.head, None)
    found.append({**losing, "difficulty": 2**90})
    canonical = encode(base.head)
    found.append(refused("a truncated head", "encoding", base, canonical[:-1], None))
    found.append(refused("a head with bytes after it", "encoding", base, canonical + b"\0", None))
    wide = canonical.replace(encode(32), b"\xd0\x20", 1)
    found.append(refused("an integer in a wider form", "encoding", base, wide, None))
    return found


def refused_bodies(base: Base) -> list[dict[str, Any]]:
    good = base.opening
    other = digest("header", b"another header")
    rows = base.operand.values
    first = np.frombuffer(good.b_rows, np.int8).reshape(TILE, -1).copy()
    first[3, 5] ^= 1
    unaligned = rows[33:49].tobytes()
    repeated = rows[32:33].repeat(TILE, axis=0).tobytes()
    body = [
        ("one value changed", base.opening_with(b_rows=first.tobytes())),
        ("unaligned rows", base.opening_with(b_rows=unaligned)),
        ("one row repeated", base.opening_with(b_rows=repeated)),
        ("rows cut short", base.opening_with(b_rows=good.b_rows[:-1])),
        ("a sibling too few", base.opening_with(b_path=good.b_path[:-1])),
        ("a sibling too many", base.opening_with(b_path=(*good.b_path, bytes(32)))),
        ("siblings swapped", base.opening_with(b_path=good.b_path[::-1])),
        ("rows of the zero operand", base.opening_with(a_rows=bytes(TILE * 256))),
        ("a path of the zero operand", base.opening_with(a_path=(bytes(32),))),
    ]
    found = [refused(name, BODY_MISMATCH, base, base.head, opening) for name, opening in body]
    shape = base.head_with(n=32, k=512, tile_col=1)
    found.append(
        refused(
            "one root under another shape",
            BODY_MISMATCH,
            base,
            shape,
            base.opening_with(b_rows=rows[32:].tobytes(), b_path=good.b_path[:1]),
        )
    )
    replayed = [
        ("another header", base.head, other),
        ("another nonce", base.head_with(nonce=u64(8)), b""),
        ("another tile row", base.head_with(tile_row=0), b""),
        ("a job added", base.head_with(nonce=u64(0), job_id=digest("job", b"some job")), b""),
        ("another m", base.head_with(m=48), b""),
    ]
    found += [
        refused(f"replayed: {name}", "ticket-lanes", base, head, good, sigma)
        for name, head, sigma in replayed
    ]
    return found


def refused_transcripts(base: Base) -> list[dict[str, Any]]:
    """Proofs whose transcript was made by other rules than the protocol's."""
    a_seed, b_seed = head_seeds(base.sigma, base.head)
    b_rows = noised_tile(b_seed, base.operand.tile(2), 2, 256)
    final = noised_product(noised_tile(a_seed, None, 1, 256), b_rows)
    uncommitted = seed_b(base.sigma, bytes(32), 64, 256)
    early = seed_a(uncommitted, bytes(32), 32, base.head.nonce, bytes(32), 0)
    early_sums = noised_product(
        noised_tile(early, None, 1, 256), noised_tile(uncommitted, base.operand.tile(2), 2, 256)
    )
    high = base.operand.values.copy()
    high[40, 17] = 64
    outside = Operand.commit(high)
    shape, tag = Shape(32, 64, 256), Tag(base.head.nonce)
    head, opening = prove(base.sigma, shape, tag, None, outside, (1, 2))
    changed = bytes([base.head.lanes[0] ^ 1]) + base.head.lanes[1:]
    made = [
        ("one bit of S changed", changed),
        ("fold of the final product only", lanes_bytes(fold(final)[0, 0])),
        ("noise seeded before the commitment", lanes_bytes(fold(early_sums)[0, 0])),
    ]
    found = [
        refused(name, "ticket-lanes", base, base.head_with(lanes=lanes), base.opening)
        for name, lanes in made
    ]
    found.append(refused("operand out of range", "ticket-range", base, head, opening))
    return found


def document() -> dict[str, Any]:
    base = Base.make()
    job = Tag(job_id=digest("job", b"vectors"), op=3)
    return {
        "about": ABOUT,
        "cases": [
            case("k 256", Shape(16, 16, 256), Tag(), ("a", "b"), (0, 0)),
            case("k 4096", Shape(48, 32, 4096), job, ("a 4096", "b 4096"), (2, 1)),
            case("k 16384", Shape(32, 48, 16_384), Tag(u64(2**64 - 1)), (None, "b 16384"), (1, 2)),
            case("zeros", Shape(16, 32, 512), Tag(u64(1)), (None, None), (0, 1)),
        ],
        "denoise": [
            denoised("denoise 256", Shape(16, 32, 256), Tag(u64(5))),
            denoised("denoise 4096", Shape(48, 16, 4096), job),
            denoised("denoise 16384", Shape(16, 16, 16_384), Tag()),
        ],
        "refuse": refused_heads(base) + refused_bodies(base) + refused_transcripts(base),
    }


if __name__ == "__main__":
    PATH.write_text(json.dumps(document(), indent=1) + "\n")
