"""Write pouw_v1_values.json: canonical encodings, ids and signatures, and bytes to refuse.

Run from this folder: `python generate_values.py`. The file changes only when a rule changes.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
from pouw.consensus import records as r
from pouw.consensus.genesis_block import genesis_block
from pouw.consensus.ticket import Shape, Tag, prove
from pouw.core.blob import split_blob
from pouw.core.block import Header, seal
from pouw.core.codec import MAX_INT, Value, encode
from pouw.core.hashing import ZERO_HASH, u256
from pouw.core.keys import PrivateKey, address_of
from pouw.core.transaction import (
    Body,
    CancelJob,
    ClaimJob,
    CommitResult,
    Output,
    Payload,
    RegisterModel,
    RoyaltyShare,
    SettleJob,
    SubmitJob,
    Transfer,
    UploadBlob,
    sign_transaction,
)
from pouw.genesis import NETWORKS
from pouw.vm.ops import (
    Add,
    Affine,
    Argmax,
    BatchMatmul,
    Bias,
    Blend,
    Concat,
    Digit,
    Divide,
    Exp,
    Gather,
    Lookup,
    Matmul,
    MaxPool,
    Multiply,
    Normalise,
    Op,
    Patches,
    Relu,
    Requantise,
    Reshape,
    RowSum,
    Slice,
    SumPool,
    TopK,
    Transpose,
)
from pouw.vm.program import Program
from pouw.vm.types import Declaration, DType, Interval, TensorType

ABOUT = (
    "PoUW v1, made by this implementation. values: fields are the MessagePack structure, byte "
    'strings as {"hex": "..."}; bytes its canonical encoding. refuse_values: bytes that are no '
    "canonical encoding of their kind."
)
PATH = Path(__file__).with_name("pouw_v1_values.json")
KEY = PrivateKey(bytes([1]) * 32)
FRIEND = PrivateKey(bytes([2]) * 32)
JOB = bytes([7]) * 32

BODIES: dict[str, Body] = {
    "transfer": Transfer((Output(FRIEND.address, 1), Output(KEY.address, MAX_INT))),
    "upload": UploadBlob(JOB, 1 << 20, 3, 13),
    "register": RegisterModel(
        "digits ✓", JOB, bytes(32), "CC BY 4.0", (RoyaltyShare(FRIEND.address, 250),)
    ),
    "register, a new version": RegisterModel(
        "digits", JOB, JOB, "", (), '{"classes":["zero","one"]}', bytes([13]) * 32
    ),
    "submit": SubmitJob(JOB, bytes([8]) * 32, 0, 10**9, 500),
    "cancel": CancelJob(JOB),
    "claim": ClaimJob(JOB),
    "commit": CommitResult(JOB, bytes([9]) * 32),
    "settle": SettleJob(JOB, bytes(range(256)) * 2, bytes([10]) * 32, (bytes([11]) * 32,)),
}
RECORDS: dict[str, Value] = {
    "account": r.Account(10**18, 127),
    "blob-record": r.BlobRecord(65_537, 2, 255, 256, True),
    "model": r.Model(
        owner=KEY.address,
        name="digits",
        program=JOB,
        weights=JOB,
        licence="",
        card="{}",
        royalties=(RoyaltyShare(FRIEND.address, 1),),
        previous=bytes([13]) * 32,
        version=2,
        weight_roots=(JOB,),
    ),
    "model-history": r.ModelHistory(65_535, 1, bytes([14]) * 32),
    "job": r.Job(
        owner=KEY.address,
        model=JOB,
        input=JOB,
        mode=0,
        bounty=10**9,
        check_fee=128,
        burn=32_768,
        fee_paid=20_000,
        submitted=65_536,
        deadline=1 << 32,
        items=540,
        macs=1 << 40,
        check_macs=1 << 30,
        check_bytes=1 << 20,
        window=31,
        status=r.JobStatus.COMMITTED,
        serial=3,
        worker=FRIEND.address,
        provenance=(r.Provenance(1, JOB, JOB, u256(1 << 24), 2),),
    ),
    "work-record": r.WorkRecord(jobs=3, macs=u256(10**12), earned=5, first=1, last=9),
    "totals": r.Totals(10**12, 5, u256(10**15), u256(10**14), 3),
}


def shown(value: Any) -> Any:
    """Return the JSON that stands for a MessagePack structure."""
    if isinstance(value, bytes):
        return {"hex": value.hex()}
    if isinstance(value, list):
        return [shown(item) for item in value]
    return value


def vector(name: str, kind: str, value: Value, **derived: Any) -> dict[str, Any]:
    data = encode(value)
    fields = shown(msgspec.msgpack.decode(data))
    return {"name": name, "kind": kind, "fields": fields, "bytes": data.hex(), **derived}


def transactions() -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    signed = sign_transaction(KEY, Payload(4, KEY.public, 0, 0, 0, BODIES["cancel"]))
    for nonce, (name, body) in enumerate(BODIES.items()):
        payload = Payload(4, KEY.public, nonce, 10**nonce, MAX_INT >> nonce, body)
        signed = sign_transaction(KEY, payload)
        derived = {"id": signed.id.hex(), "address": KEY.address.hex(), "signature_valid": True}
        made.append(vector(name, "transaction", signed, **derived))
    forged = msgspec.structs.replace(signed, signature=bytes(64))
    derived = {"id": forged.id.hex(), "address": KEY.address.hex(), "signature_valid": False}
    return [*made, vector("settle, not signed", "transaction", forged, **derived)]


def blocks() -> list[dict[str, Any]]:
    header = Header(
        version=1,
        parent=ZERO_HASH,
        height=65_536,
        time=1_795_392_000,
        difficulty=u256((1 << 44) + 1),
        miner=KEY.public,
        payout=address_of(FRIEND.public),
        transactions_root=JOB,
        state_root=bytes([12]) * 32,
    )
    head, opening = prove(header.sigma, Shape(16, 32, 256), Tag(), None, None, (0, 1))
    sealed = seal(KEY, header, head)
    made = [
        vector("header", "header", header, sigma=header.sigma.hex()),
        vector("head of idle work", "head", head),
        vector("opening of idle work", "opening", opening),
        vector("sealed header", "sealed-header", sealed, id=sealed.id.hex(), signature_valid=True),
    ]
    for name, params in NETWORKS.items():
        block = genesis_block(params)
        derived = {"id": block.id.hex(), "signature_valid": False}
        made.append(vector(f"block 0 of {name}", "sealed-header", block, **derived))
    return made


def program() -> Program:
    """A program with every op, as an encoding only: it need not pass the checks."""
    item = Declaration(TensorType(DType.INT8, (64,)), Interval(-64, 63))
    const = Declaration(TensorType(DType.INT32, (10,)), Interval(-(2**31), 2**31 - 1))
    ops: tuple[Op, ...] = (
        Matmul(0, 1),
        Bias(2, 1),
        Requantise(3, 1, 20, -64, 63),
        Relu(4),
        Lookup(5, 1),
        Argmax(6),
        BatchMatmul(7, 128),
        Patches(8, (3, 5), (2, 1), (1, 0, 127, 128), (1, 2), -64),
        MaxPool(9, (2, 2), (1, 256), (0, 0, 1, 1)),
        SumPool(10, (2, 3), (2, 2), (0, 1, 0, 1), -33),
        Transpose(11, (1, 0, 2)),
        Reshape(12, (4, 65_536)),
        Concat((13, 1, 7), 1),
        Slice(14, 0, 1, 200, 2),
        Gather(15, 1),
        Add(16, 1, -129),
        Blend(17, 1, 2, 3, 4, 12, 30, DType.INT8, -64, 63),
        Multiply(18, 17),
        Exp(19, 2**31 - 1, 20, 65_536),
        RowSum(20),
        Digit(21, 6),
        Divide(22, 21, 127, 15, DType.INT32, -(2**31), 2**31 - 1),
        Normalise(23, True, 15, MAX_INT),
        Affine(24, 1, 1, 10, 20, DType.INT8, -1, 1),
        TopK(25, 5),
    )
    return Program(1, item, (const,), ops)


def refused() -> list[dict[str, str]]:
    account = encode(r.Account(1, 2))  # 92 01 02
    signed = encode(sign_transaction(KEY, Payload(4, KEY.public, 0, 1, 2, BODIES["claim"])))
    unknown_body = signed.replace(b"\x92\x06\xc4\x20", b"\x92\x7f\xc4\x20", 1)
    bad = {
        "empty": ("account", b""),
        "integer in a wider form": ("account", b"\x92\xcc\x01\x02"),
        "array in a wider form": ("account", b"\xdc\x00\x02\x01\x02"),
        "a field too many": ("account", b"\x93\x01\x02\x03"),
        "a field too few": ("account", b"\x91\x01"),
        "a byte behind the end": ("account", account + b"\x00"),
        "cut short": ("account", account[:-1]),
        "negative": ("account", b"\x92\xff\x02"),
        "over 63 bits": ("account", b"\x92\xcf" + b"\x80" + bytes(7) + b"\x02"),
        "float": ("account", b"\x92\xcb" + bytes(8) + b"\x02"),
        "nil": ("account", b"\x92\xc0\x02"),
        "map": ("account", b"\x80"),
        "unknown body": ("transaction", unknown_body),
        "signature of 63 bytes": ("transaction", signed[:-66] + b"\xc4\x3f" + signed[-63:]),
        "extension type": ("account", b"\x92\xd4\x01\x00\x02"),
    }
    return [{"name": name, "kind": kind, "bytes": data.hex()} for name, (kind, data) in bad.items()]


def document() -> dict[str, Any]:
    chunk = split_blob(bytes(200_000))[1][3]
    values = [*transactions(), *blocks(), vector("last chunk of a blob", "chunk", chunk)]
    values.append(vector("every op", "program", program()))
    values += [vector(kind, kind, record) for kind, record in RECORDS.items()]
    return {"about": ABOUT, "values": values, "refuse_values": refused()}


if __name__ == "__main__":
    PATH.write_text(json.dumps(document(), indent=1, ensure_ascii=False) + "\n")
