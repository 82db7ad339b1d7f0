"""A node in miniature for the wallet's flows: real HTTP, real bundles, a ledger in memory.

It checks what a node checks about order, signatures, chunks and money, mines one block per `sleep`
of the virtual clock, and can be told to misbehave.
"""

import json
import threading
from collections.abc import Generator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from pouw.core.blob import Chunk, chunk_count, verify_chunk
from pouw.core.codec import decode, encode
from pouw.core.keys import PrivateKey, format_address, parse_address
from pouw.core.transaction import (
    MAX_BUNDLE_BYTES,
    Body,
    Bundle,
    CancelJob,
    RegisterModel,
    SubmitJob,
    Transaction,
    UploadBlob,
)
from pouw.genesis import TINY
from pouw.wallet.client import RpcClient
from pouw.wallet.session import Pace, Session

TOKEN = "token-of-the-node"
KEY = PrivateKey(b"the key of a person who wants it")
QUOTE = {"macs": 5000, "bytes": 900, "burn": 30, "check_fee": 70, "window": 5, "min_bounty": 1000}


class Refused(Exception):
    """What the node answers as a JSON-RPC error."""


@dataclass
class Blob:
    """Chunks of one blob so far."""

    size: int
    chunks: list[bytes] = field(default_factory=list[bytes])

    @property
    def complete(self) -> bool:
        return len(self.chunks) == chunk_count(self.size)


@dataclass
class FakeNode:
    """State of the miniature chain; every attribute may be changed by a test."""

    params = TINY
    url: str = ""
    clock: float = 0.0
    height: int = 10
    balance: int = 10**12
    nonces: dict[bytes, int] = field(default_factory=dict[bytes, int])
    mempool: list[Bundle] = field(default_factory=list[Bundle])
    included: dict[str, int] = field(default_factory=dict[str, int])
    bodies: list[Body] = field(default_factory=list[Body])
    blobs: dict[str, Blob] = field(default_factory=dict[str, Blob])
    jobs: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    results: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])
    quote: dict[str, Any] = field(default_factory=lambda: dict(QUOTE))
    calls: list[str] = field(default_factory=list[str])
    answers: dict[str, Any] = field(default_factory=dict[str, Any])
    """Answers that replace the true ones, by method."""
    mining: bool = True
    drop_next: int = 0
    """Transactions that the next blocks throw out of the mempool."""
    refuse_next: int = 0
    """Transactions refused at the door."""
    mempool_limit: int = 100
    fee_per_kib: int = TINY.min_fee_per_kib
    """What `estimatefee` says."""
    lacking: set[str] = field(default_factory=set[str])
    """Methods that an older node would not have."""

    # the clock of a test -----------------------------------------------------------------

    def now(self) -> float:
        return self.clock

    def sleep(self, seconds: float) -> None:
        self.clock += seconds
        self.mine()

    # the chain ---------------------------------------------------------------------------

    def mine(self) -> None:
        """Make a block of what waits, within the block's chunk bytes.

        What follows a dropped transaction of the same sender cannot apply and goes, too.
        """
        self.height += 1
        if not self.mining:
            return
        room = self.params.max_chunk_bytes
        waiting, self.mempool = self.mempool, []
        for bundle in waiting:
            size = sum(len(encode(chunk)) for chunk in bundle.chunks)
            if self.drop_next:
                self.drop_next -= 1
            elif self._pending(bundle) != bundle.transaction.payload.nonce:
                continue
            elif size > room or bundle.transaction.payload.nonce != self._nonce(bundle):
                self.mempool.append(bundle)
            else:
                room -= size
                self._include(bundle)

    def _nonce(self, bundle: Bundle) -> int:
        return self.nonces.get(bundle.transaction.payload.sender_address, 0)

    def _pending(self, bundle: Bundle) -> int:
        sender = bundle.transaction.payload.sender
        waiting = sum(b.transaction.payload.sender == sender for b in self.mempool)
        return self._nonce(bundle) + waiting

    def _include(self, bundle: Bundle) -> None:
        payload, tx_id = bundle.transaction.payload, bundle.transaction.id.hex()
        self.nonces[payload.sender_address] = payload.nonce + 1
        self.included[tx_id] = self.height
        self.bodies.append(payload.body)
        self.balance -= payload.fee
        body = payload.body
        if isinstance(body, UploadBlob):
            blob = self.blobs.setdefault(body.root.hex(), Blob(body.size))
            if body.first_chunk == len(blob.chunks):
                blob.chunks += [chunk.data for chunk in bundle.chunks]
        elif isinstance(body, SubmitJob):
            owner = format_address(payload.sender_address, self.params.address_prefix)
            self.jobs[tx_id] = {
                "id": tx_id,
                "status": "submitted",
                "owner": owner,
                "bounty": body.bounty,
                "deadline": body.deadline,
                "worker": None,
            }
        elif isinstance(body, CancelJob):
            self.jobs[body.job.hex()]["status"] = "cancelled"

    # the methods -------------------------------------------------------------------------

    def getinfo(self) -> Any:
        return {"network": "tiny", "chain_id": 4, "height": self.height, "tip": "00" * 32}

    def getaccount(self, address: str) -> Any:
        raw = parse_address(address, self.params.address_prefix)
        nonce = self.nonces.get(raw, 0)
        pending = sum(b.transaction.payload.sender_address == raw for b in self.mempool)
        return {
            "address": address,
            "balance": self.balance,
            "nonce": nonce,
            "pending_nonce": nonce + pending,
        }

    def estimatefee(self, blocks: int) -> Any:
        return {"blocks": blocks, "fee_per_kib": self.fee_per_kib}

    def sendtransaction(self, bundle: str) -> Any:
        read = decode(Bundle, bytes.fromhex(bundle), MAX_BUNDLE_BYTES)
        if self.refuse_next:
            self.refuse_next -= 1
            raise Refused("mempool: full")
        if len(self.mempool) >= self.mempool_limit:
            raise Refused("mempool: full")
        self._check(read.transaction, read.chunks)
        self.mempool.append(read)
        return {"id": read.transaction.id.hex()}

    def _check(self, transaction: Transaction, chunks: tuple[Chunk, ...]) -> None:
        payload = transaction.payload
        address = format_address(payload.sender_address, self.params.address_prefix)
        minimum = -(-len(encode(Bundle(transaction, chunks))) // 1024) * self.params.min_fee_per_kib
        if not transaction.signature_is_valid() or payload.chain_id != self.params.chain_id:
            raise Refused("tx-signature: not valid here")
        if payload.nonce != self.getaccount(address)["pending_nonce"]:
            raise Refused("tx-nonce: not the next one")
        if payload.fee < minimum or payload.expiry <= self.height:
            raise Refused("policy: fee or expiry")
        body = payload.body
        if isinstance(body, UploadBlob):
            for offset, chunk in enumerate(chunks):
                verify_chunk(body.root, body.size, body.first_chunk + offset, chunk)
            if body.first_chunk != self._expected_chunk(body.root.hex()):
                raise Refused("blob-order: not the next chunk")
        for root in _needed_blobs(body):
            blob = self.blobs.get(root.hex())
            if blob is None or not blob.complete:
                raise Refused("blob-missing: not on the chain yet")

    def _expected_chunk(self, root: str) -> int:
        waiting = [b.transaction.payload.body for b in self.mempool]
        uploads = [b for b in waiting if isinstance(b, UploadBlob) and b.root.hex() == root]
        there = len(self.blobs[root].chunks) if root in self.blobs else 0
        return there + sum(b.chunk_count for b in uploads)

    def gettransaction(self, id: str) -> Any:
        if id in self.included:
            height = self.included[id]
            return {
                "id": id,
                "status": "included",
                "height": height,
                "block": "ab" * 32,
                "confirmations": self.height - height + 1,
            }
        pending = any(b.transaction.id.hex() == id for b in self.mempool)
        return {"id": id, "status": "pending" if pending else "unknown"}

    def getblob(self, root: str) -> Any:
        blob = self.blobs.get(root)
        if blob is None:
            return None
        return {
            "root": root,
            "size": blob.size,
            "chunks": chunk_count(blob.size),
            "next_chunk": len(blob.chunks),
            "complete": blob.complete,
        }

    def getblobdata(self, root: str, offset: int, length: int) -> Any:
        return {"data": b"".join(self.blobs[root].chunks)[offset : offset + length].hex()}

    def quotejob(self, model: str, input_size: int) -> Any:
        if not any(isinstance(body, RegisterModel) for body in self.bodies):
            raise Refused(f"no model {model}")
        return self.quote

    def getjob(self, id: str) -> Any:
        return self.jobs.get(id)

    def getjobresult(self, id: str) -> Any:
        return self.results[id]

    def answer(self, request: Any, token: str | None) -> Any:
        """Return the JSON-RPC response to a request."""
        method: str = request["method"]
        self.calls.append(method)
        if method == "sendtransaction" and token != f"Bearer {TOKEN}":
            error = {"code": -32001, "message": "this method asks for the token"}
            return {"jsonrpc": "2.0", "id": request["id"], "error": error}
        if method in self.lacking:
            error = {"code": -32601, "message": f"no method {method}"}
            return {"jsonrpc": "2.0", "id": request["id"], "error": error}
        try:
            if method in self.answers:
                result = self.answers[method]
            else:
                result = getattr(self, method)(**request["params"])
        except Refused as refusal:
            error = {"code": -32000, "message": str(refusal)}
            return {"jsonrpc": "2.0", "id": request["id"], "error": error}
        return {"jsonrpc": "2.0", "id": request["id"], "result": result}


def _needed_blobs(body: Body) -> list[bytes]:
    if isinstance(body, RegisterModel):
        return [body.program, body.weights]
    return [body.input] if isinstance(body, SubmitJob) else []


@pytest.fixture
def node() -> Generator[FakeNode]:
    """A running miniature node."""
    state = FakeNode()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps(state.answer(request, self.headers["Authorization"])).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def steps() -> list[tuple[str, int, int]]:
    """Everything the session's progress callback was told."""
    return []


@pytest.fixture
def session(node: FakeNode, steps: list[tuple[str, int, int]]) -> Session:
    """A session of KEY at the node, on the node's clock."""

    def progress(stage: str, done: int, total: int) -> None:
        steps.append((stage, done, total))

    pace = Pace(node.now, node.sleep, poll_seconds=1.0)
    return Session(RpcClient(node.url, TOKEN), TINY, KEY, progress, pace)
