# pyright: basic, reportArgumentType=false, reportCallIssue=false, reportGeneralTypeIssues=false
# (Kernels are not Python: their values have no static types, and launches take keywords of Triton.)
"""BLAKE3's compression on the GPU, one message per thread, for keyed messages of a single chunk.

Words are uint32 tensors of one block of messages; a state or a message block is a tuple of them.
Source: https://github.com/BLAKE3-team/BLAKE3-specs, sections 2.2 to 2.6.
"""

from typing import Final

import triton
import triton.language as tl

CHUNK_START: Final = tl.constexpr(1)
CHUNK_END: Final = tl.constexpr(2)
ROOT: Final = tl.constexpr(8)
KEYED_HASH: Final = tl.constexpr(16)
ROUNDS: Final = tl.constexpr(7)


@triton.jit
def load_words(at, BLOCK: tl.constexpr):
    """Return the eight words stored at `at` (a key, a limit), each for a block of messages."""
    zero = tl.zeros((BLOCK,), tl.uint32)
    return (
        zero + tl.load(at).to(tl.uint32, bitcast=True),
        zero + tl.load(at + 1).to(tl.uint32, bitcast=True),
        zero + tl.load(at + 2).to(tl.uint32, bitcast=True),
        zero + tl.load(at + 3).to(tl.uint32, bitcast=True),
        zero + tl.load(at + 4).to(tl.uint32, bitcast=True),
        zero + tl.load(at + 5).to(tl.uint32, bitcast=True),
        zero + tl.load(at + 6).to(tl.uint32, bitcast=True),
        zero + tl.load(at + 7).to(tl.uint32, bitcast=True),
    )


@triton.jit
def _mixed(a, b, c, d, x, y):
    """The quarter-round G: words turn right by 16, 12, 8 and 7 bits.

    Sums are meant to wrap; the interpreter is told not to look for overflow.
    """
    a = tl.add(tl.add(a, b, sanitize_overflow=False), x, sanitize_overflow=False)
    d = d ^ a
    d = (d >> 16) | (d << 16)
    c = tl.add(c, d, sanitize_overflow=False)
    b = b ^ c
    b = (b >> 12) | (b << 20)
    a = tl.add(tl.add(a, b, sanitize_overflow=False), y, sanitize_overflow=False)
    d = d ^ a
    d = (d >> 8) | (d << 24)
    c = tl.add(c, d, sanitize_overflow=False)
    b = b ^ c
    b = (b >> 7) | (b << 25)
    return a, b, c, d


@triton.jit
def compressed(h, m, counter, LENGTH: tl.constexpr, FLAGS: tl.constexpr):
    """Return all 16 output words of a block: chaining value `h` (8 words), message `m` (16).

    `counter` is one number, or one for each message. The first eight are the next
    chaining value, and a root's first 32 bytes.
    """
    zero = h[0] ^ h[0]
    v0, v1, v2, v3, v4, v5, v6, v7 = h
    v8 = zero + 0x6A09E667
    v9 = zero + 0xBB67AE85
    v10 = zero + 0x3C6EF372
    v11 = zero + 0xA54FF53A
    v12 = zero + counter
    v13 = zero
    v14 = zero + LENGTH
    v15 = zero + FLAGS
    for _ in range(ROUNDS):
        v0, v4, v8, v12 = _mixed(v0, v4, v8, v12, m[0], m[1])
        v1, v5, v9, v13 = _mixed(v1, v5, v9, v13, m[2], m[3])
        v2, v6, v10, v14 = _mixed(v2, v6, v10, v14, m[4], m[5])
        v3, v7, v11, v15 = _mixed(v3, v7, v11, v15, m[6], m[7])
        v0, v5, v10, v15 = _mixed(v0, v5, v10, v15, m[8], m[9])
        v1, v6, v11, v12 = _mixed(v1, v6, v11, v12, m[10], m[11])
        v2, v7, v8, v13 = _mixed(v2, v7, v8, v13, m[12], m[13])
        v3, v4, v9, v14 = _mixed(v3, v4, v9, v14, m[14], m[15])
        m = (
            m[2],
            m[6],
            m[3],
            m[10],
            m[7],
            m[0],
            m[4],
            m[13],
            m[1],
            m[11],
            m[12],
            m[5],
            m[9],
            m[14],
            m[15],
            m[8],
        )
    return (
        v0 ^ v8,
        v1 ^ v9,
        v2 ^ v10,
        v3 ^ v11,
        v4 ^ v12,
        v5 ^ v13,
        v6 ^ v14,
        v7 ^ v15,
        v8 ^ h[0],
        v9 ^ h[1],
        v10 ^ h[2],
        v11 ^ h[3],
        v12 ^ h[4],
        v13 ^ h[5],
        v14 ^ h[6],
        v15 ^ h[7],
    )
