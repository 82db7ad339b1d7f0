"""A chain and mempool behind the RPC methods that the miner calls, without sockets; and a client.

The answers have a real node's form and pass through JSON, the rules are the real ones.
"""

import json
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import numpy as np
from pouw.chain.chainstate import Chain
from pouw.chain.kv import LevelDB
from pouw.chain.mempool import Mempool
from pouw.chain.template import Template, build_template
from pouw.consensus import records as r
from pouw.consensus.supply import check_whole_supply
from pouw.consensus.ticket import Shape, Tag, prove
from pouw.core.blob import blob_root
from pouw.core.block import BlockBody, SealedHeader, seal
from pouw.core.codec import decode, encode
from pouw.core.errors import BodyMismatch, PolicyRejection, RuleViolation, UserError
from pouw.core.hashing import ZERO_HASH, Hash, u64
from pouw.core.keys import PrivateKey, format_address, parse_address
from pouw.core.ticket import MAX_HEAD_BYTES, MAX_OPENING_BYTES, Head, Opening
from pouw.core.transaction import (
    MAX_BUNDLE_BYTES,
    Body,
    Bundle,
    RegisterModel,
    RoyaltyShare,
    SubmitJob,
)
from pouw.genesis import TINY, Params
from pouw.kernels.blas import BlasMultiplier
from pouw.miner.node_link import NodeLink
from pouw.vm.check import CheckedProgram, check_program
from pouw.vm.frontends.builder import ProgramBuilder
from pouw.vm.ops import Matmul, Requantise
from pouw.vm.program import Program, encode_program
from pouw.vm.types import Declaration, DType, Interval, TensorType
from pouw.wallet.builder import Builder, Terms, uploads
from pouw.wallet.client import RpcClient, RpcError

COIN: Final = 10**9
OWNER, WORKER, RIVAL, OTHERS, FRIEND = (PrivateKey(bytes([i + 65]) * 32) for i in range(5))
"""Job owner, the miner under test, another worker, whoever else mines, a model's contributor."""

PARAMS: Final = replace(
    TINY,
    allocations=tuple((key.address, 1000 * COIN) for key in (OWNER, WORKER, RIVAL)),
)
ITEMS: Final = 40
DEPTH: Final = 600
WIDTH: Final = 24


class Kit:
    """A program of a long product (mined and posted) and a short one (neither), with an input."""

    def __init__(self, seed: int = 1) -> None:
        random = np.random.default_rng(seed)
        source = Declaration(TensorType(DType.INT8, (DEPTH,)), Interval(-64, 63))
        builder = ProgramBuilder(source)
        first = builder.constant(random.integers(-64, 64, (WIDTH, DEPTH)), DType.INT8)
        scale = builder.constant(np.array([1 << 10]), DType.INT32)
        second = builder.constant(random.integers(-64, 64, (10, WIDTH)), DType.INT8)
        hidden = builder.op(Matmul, builder.source(), first)
        small = builder.op(_halve_bits, hidden, scale)
        builder.op(Matmul, small, second)
        self.program: Program
        self.program, self.weights = builder.finish()
        self.data = random.integers(-64, 64, (ITEMS, DEPTH), np.int8).tobytes()

    @property
    def checked(self) -> CheckedProgram:
        return check_program(self.program)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a job on `data`."""
        return sum(product.macs for product in self.checked.products(ITEMS))


def _halve_bits(x: int, scale: int) -> Requantise:
    return Requantise(x, scale, 21, -64, 63)


class Harbour:
    """One node's chain and mempool, a user of it, and what it answers by RPC."""

    def __init__(self, folder: Path, params: Params = PARAMS) -> None:
        self.params = params
        self.store = LevelDB(folder)
        self.chain = Chain(self.store, params, BlasMultiplier())
        self.mempool = Mempool(self.chain)
        self.templates: dict[str, Template] = {}
        self.heads: list[Head] = []
        """Heads of the blocks that came by RPC and became the tip."""
        self.refusals: dict[str, RpcError] = {}
        """Errors that the node answers with, by method."""
        self.down = False
        """Whether the node refuses connections."""
        self.calls: list[str] = []
        self.answers: dict[str, Any] = {}
        """What a dishonest node answers instead, by method."""
        self._closed = False
        self._changed = threading.Condition(self.chain.lock)
        self.chain.listeners.append(lambda _: self._changed.notify_all())

    def close(self) -> None:
        """Close the database; a long poll that still waits is turned away."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            self.store.close()

    @property
    def height(self) -> int:
        return self.chain.tip.height

    def job(self, job: Hash) -> r.Job:
        data = self.chain.state.get(r.job_key(job))
        if data is None:
            raise KeyError(job.hex())
        return decode(r.Job, data, r.RECORD_LIMIT)

    def account(self, address: Hash) -> r.Account:
        data = self.chain.state.get(r.account_key(address))
        return r.Account() if data is None else decode(r.Account, data, r.RECORD_LIMIT)

    def check_supply(self) -> None:
        """Raise unless every coin is where the rules put it."""
        check_whole_supply(self.chain.state.items(b""))

    # What others do ----------------------------------------------------------------------------

    def send(self, key: PrivateKey, body: Body, chunks: tuple[Any, ...] = ()) -> Hash:
        """Put a transaction of anybody into the mempool and return its id."""
        nonce = self.mempool.pending_nonce(key.address)
        terms = Terms(nonce=nonce, expiry=self.height + 60)
        with self._changed:
            identity = self.mempool.add(Builder(self.params, key).build(body, terms, chunks))
            self._changed.notify_all()
        return identity

    def mine(self, blocks: int = 1) -> None:
        """Let others mine blocks with whatever waits; every ticket wins on this network."""
        for _ in range(blocks):
            template = build_template(
                self.chain, self.mempool, OTHERS.public, OTHERS.address, int(time.time())
            )
            shape, tag = Shape(16, 16, 256), Tag(nonce=u64(self.height))
            head, opening = prove(template.sigma, shape, tag, None, None, (0, 0))
            self._accept(seal(OTHERS, template.header, head), template.body(opening))

    def publish(self, data: bytes) -> Hash:
        """Put a blob on the chain and return its root."""
        root = blob_root(data)
        if self.chain.state.get(r.blob_key(root)) is not None:
            return root
        parts = uploads(self.params, data)
        for part in parts:
            self.send(OWNER, part.body, part.chunks)
        self.mine(len(parts))
        return root

    def register(self, kit: Kit) -> Hash:
        """Register a model on the chain, a tenth of whose bounties goes to FRIEND."""
        program, weights = self.publish(encode_program(kit.program)), self.publish(kit.weights)
        royalty = RoyaltyShare(FRIEND.address, 1_000)
        model = self.send(OWNER, RegisterModel("a model", program, weights, "", (royalty,)))
        self.mine()
        return model

    def submit(self, model: Hash, data: bytes, bounty: int = 4 * COIN) -> Hash:
        """Submit a job on the chain."""
        blob = self.publish(data)
        job = self.send(OWNER, SubmitJob(model, blob, 0, bounty, self.height + 90))
        self.mine()
        return job

    # What the node answers -----------------------------------------------------------------------

    def answer(self, method: str, params: dict[str, Any]) -> Any:
        """Return a method's result as it comes out of JSON. Raises RpcError."""
        self.calls.append(method)
        if method in self.refusals:
            raise self.refusals[method]
        if method in self.answers:
            return self.answers[method]
        try:
            return json.loads(json.dumps(getattr(self, f"_{method}")(**params)))
        except (RuleViolation, PolicyRejection, BodyMismatch) as error:
            raise RpcError(-32010, str(error)) from None

    def _estimatefee(self, blocks: int) -> Any:
        return {"blocks": blocks, "fee_per_kib": self.mempool.estimate_rate(blocks)}

    def _getinfo(self) -> Any:
        return {
            "network": self.params.name,
            "chain_id": self.params.chain_id,
            "height": self.height,
        }

    def _getaccount(self, address: str) -> Any:
        raw = parse_address(address, self.params.address_prefix)
        account = self.account(raw)
        pending = self.mempool.pending_nonce(raw)
        return {"balance": account.balance, "nonce": account.nonce, "pending_nonce": pending}

    def _sendtransaction(self, bundle: str) -> Any:
        read = decode(Bundle, bytes.fromhex(bundle), MAX_BUNDLE_BYTES)
        with self._changed:
            identity = self.mempool.add(read)
            self._changed.notify_all()
        return {"id": identity.hex()}

    def _gettransaction(self, id: str) -> Any:
        height = self.chain.height_of_transaction(bytes.fromhex(id))
        if height is not None:
            return {"status": "included", "height": height}
        return {"status": "pending" if bytes.fromhex(id) in self.mempool else "unknown"}

    def _getblob(self, root: str) -> Any:
        data = self.chain.state.get(r.blob_key(bytes.fromhex(root)))
        if data is None:
            return None
        record = decode(r.BlobRecord, data, r.RECORD_LIMIT)
        return {
            "size": record.size,
            "chunks": -(-record.size // (64 * 1024)),
            "next_chunk": record.next_chunk,
            "complete": record.completed > 0,
        }

    def _getblobdata(self, root: str, offset: int, length: int) -> Any:
        data = self.chain.blobs.blob(bytes.fromhex(root))
        return {"data": data[offset : offset + length].hex()}

    def _getmodel(self, id: str) -> Any:
        data = self.chain.state.get(r.model_key(bytes.fromhex(id)))
        if data is None:
            raise RpcError(-32004, "no such model")
        model = decode(r.Model, data, r.RECORD_LIMIT)
        royalties = [{"to": "", "basis_points": share.basis_points} for share in model.royalties]
        return {
            "program": model.program.hex(),
            "weights": model.weights.hex(),
            "royalties": royalties,
        }

    def _listjobs(self, status: str, limit: int) -> Any:
        jobs = [self._describe(key[1:]) for key, _ in self.chain.state.items(b"j")]
        return [job for job in jobs if job["status"] == status][:limit]

    def _getjob(self, id: str) -> Any:
        try:
            return self._describe(bytes.fromhex(id))
        except KeyError:
            return None

    def _describe(self, identity: Hash) -> dict[str, Any]:
        job = self.job(identity)
        worker: str | None = None
        if job.worker != ZERO_HASH:
            worker = format_address(job.worker, self.params.address_prefix)
        return {
            "id": identity.hex(),
            "status": job.status.name.lower(),
            "worker": worker,
            "model": job.model.hex(),
            "input": job.input.hex(),
            "bounty": job.bounty,
            "macs": job.macs,
            "check_macs": job.check_macs,
            "check_bytes": job.check_bytes,
            "deadline": job.deadline,
            "openings": job.openings,
            "window": job.window,
            "claimed": job.claimed,
            "window_end": job.window_end,
        }

    def _gettemplate(
        self, miner: str, payout: str, longpoll: str | None = None, timeout: int = 0
    ) -> Any:
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or longpoll != self._longpoll(), min(timeout, 1)
            )
            if self._closed:
                raise RpcError(-32000, "the node stops")
            address = parse_address(payout, self.params.address_prefix)
            now = int(time.time())
            template = build_template(self.chain, self.mempool, bytes.fromhex(miner), address, now)
            self.templates[template.sigma.hex()] = template
            return {
                "id": template.sigma.hex(),
                "longpoll": self._longpoll(),
                "header": encode(template.header).hex(),
            }

    def _submitsolution(self, template: str, head: str, opening: str, signature: str) -> Any:
        found = self.templates.get(template)
        if found is None:
            raise RpcError(-32004, "the template is not known")
        sealed = SealedHeader(
            found.header,
            decode(Head, bytes.fromhex(head), MAX_HEAD_BYTES),
            bytes.fromhex(signature),
        )
        read = decode(Opening, bytes.fromhex(opening), MAX_OPENING_BYTES)
        self._accept(sealed, found.body(read))
        active = self.chain.tip.id == sealed.id
        if active:
            self.heads.append(sealed.head)
        return {"block": sealed.id.hex(), "accepted": True, "active": active}

    def _accept(self, sealed: SealedHeader, body: BlockBody) -> None:
        now = int(time.time())
        self.chain.accept_header(sealed, now)
        self.chain.accept_body(sealed.id, body)

    def _longpoll(self) -> str:
        return f"{self.chain.tip.id.hex()}:{self.mempool.revision}"


class _Wire(RpcClient):
    """Stands where the HTTP client would."""

    def __init__(self, harbour: Harbour) -> None:
        super().__init__("http://127.0.0.1:1")
        self._harbour = harbour

    def call(self, method: str, /, **params: Any) -> Any:
        self._require_node()
        answer = self._harbour.answer(method, params)
        self._require_node()
        return answer

    def _require_node(self) -> None:
        if self._harbour.down:
            raise UserError("no node answers")


class HarbourLink(NodeLink):
    """The miner's link, with a Harbour at its other end."""

    def __init__(self, harbour: Harbour) -> None:
        super().__init__("http://127.0.0.1:1")
        self._client = _Wire(harbour)


@contextmanager
def serving(harbour: Harbour, token: str | None = None) -> Generator[str]:
    """Answer over HTTP, if need be only who has the token; yields the URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            allowed = token is None or self.headers["Authorization"] == f"Bearer {token}"
            response: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
            try:
                response["result"] = harbour.answer(request["method"], request["params"])
            except RpcError as error:
                response["error"] = {"code": error.code, "message": error.message}
            body = json.dumps(response).encode()
            self.send_response(200 if allowed else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with suppress(OSError):  # who asked has gone
                self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            """Tests are quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def open_harbour(folder: Path, params: Params = PARAMS) -> Generator[Harbour]:
    """Open a new chain and close it in the end."""
    harbour = Harbour(folder, params)
    try:
        yield harbour
    finally:
        harbour.close()
