"""The main job on a devnet, end to end, with everything it claims checked.

Three nodes, two miners; a transfer; a digit classifier trained, quantised, registered and run on
images it has not seen. One honest pass over the job is several blocks' worth of work, so some
blocks are found by the job itself.
"""

import time
from pathlib import Path
from typing import Final

import numpy as np

from ..core.errors import UserError
from ..core.keys import PrivateKey
from ..core.units import BASE_UNITS_PER_POUW, format_amount
from ..wallet import bodies, jobs
from ..wallet.client import RpcClient
from ..wallet.session import Progress
from .cluster import PACE, Cluster
from .digits import DigitsModel, train_digits
from .report import Report

NODES: Final = 3
MINERS: Final = 2
IDLE: Final = ("--idle-rate", "4M")
"""Of each miner: together one block of the devnet's least difficulty in about two seconds."""
BOUNTY: Final = 100 * BASE_UNITS_PER_POUW
GIFT: Final = 25 * BASE_UNITS_PER_POUW // 2
ROYALTY_BASIS_POINTS: Final = 1_000
FRIEND: Final = PrivateKey(b"made the demo's model and a gift")
MAX_ACCURACY_LOSS: Final = 0.01
BURIED: Final = 3
"""Blocks on top of the settlement before anything is looked at."""
_STEP_SECONDS: Final = 120.0
_AGREEMENT_SECONDS: Final = 30.0


def run_demo(folder: Path, progress: Progress) -> Report:
    """Run the main job in `folder` and return what was found. Raises UserError when stuck."""
    report = Report()
    with Cluster(folder, NODES, [IDLE] * MINERS) as cluster:
        cluster.start(progress)
        _transfer(cluster, report, progress)
        progress("training on the handwritten digits", 0, 1)
        model = train_digits()
        progress("training on the handwritten digits", 1, 1)
        balance = cluster.session(0, cluster.user).account().balance
        job = _run_job(cluster, model, report, progress)
        spent = balance - cluster.session(0, cluster.user).account().balance
        report.facts["cost of model, input and job"] = f"{format_amount(spent)} POUW"
        _bury(cluster, job, progress)
        for miner in cluster.miners:
            miner.stop()  # so that the tip stands still while the nodes are compared
        agree = cluster.wait_agreement(_AGREEMENT_SECONDS)
        _check_job(cluster, job, model, report)
        _check_nodes(cluster, agree, job, report)
    return report


def _transfer(cluster: Cluster, report: Report, progress: Progress) -> None:
    """Pay somebody through one node and see it at another."""
    session = cluster.session(0, cluster.user)
    progress("paying a friend", 0, 1)
    sent = session.send(bodies.transfer([(FRIEND.address, GIFT)]))
    status = session.wait_included(sent, "the transfer", session.patience(_STEP_SECONDS))
    progress("paying a friend", 1, 1)
    report.facts["transfer"] = f"{format_amount(GIFT)} POUW in block {status.height}"
    cluster.wait_agreement(_AGREEMENT_SECONDS)
    seen = cluster.session(NODES - 1, FRIEND).account().balance
    report.checks["the transfer arrived, seen from another node"] = seen == GIFT


def _run_job(cluster: Cluster, model: DigitsModel, report: Report, progress: Progress) -> bytes:
    """Register the model, submit the held-out images, wait for the settlement."""
    session = cluster.session(0, cluster.user, progress)
    royalties = [(FRIEND.address, ROYALTY_BASIS_POINTS)]
    offer = jobs.ModelOffer("digits", model.program, model.weights, "CC BY 4.0", royalties)
    model_id = jobs.register_model(session, offer, _STEP_SECONDS)
    job = jobs.submit_job(session, model_id, model.input, _STEP_SECONDS, BOUNTY)
    report.facts["model"] = model_id.hex()
    report.facts["job"] = job.hex()
    state = jobs.wait_for_job(session, job, _STEP_SECONDS)
    cluster.check_alive()
    report.checks["a miner claimed the job and settled it"] = state.status == "settled"
    return job


def _bury(cluster: Cluster, job: bytes, progress: Progress) -> None:
    """Wait until the settlement has blocks on top at every node: the newest one may yet be undone.

    Raises UserError when that does not come about.
    """
    end = time.monotonic() + _STEP_SECONDS
    depth = 0
    while depth < BURIED:
        if time.monotonic() > end:
            raise UserError(f"the settlement got {depth} blocks on top, not {BURIED}, in time")
        time.sleep(PACE.poll_seconds)
        cluster.check_alive()
        depth = min(_depth(node.client(), job) for node in cluster.nodes)
        progress("burying the settlement", max(0, min(depth, BURIED)), BURIED)


def _depth(client: RpcClient, job: bytes) -> int:
    """Return how many blocks lie on the one that settled the job, −1 where none did."""
    record = client.call("getjob", id=job.hex())
    if record is None or record["status"] != "settled":
        return -1
    return client.call("getinfo")["height"] - record["ended"]


def _check_job(cluster: Cluster, job: bytes, model: DigitsModel, report: Report) -> None:
    """Compare the answers, and find the blocks whose ticket came from the job."""
    client = cluster.nodes[-1].client()  # not the one that the user spoke to
    result = jobs.read_result(client, job)
    answers = np.frombuffer(result.output, "<i4")
    floating = model.accuracy(model.float_answers)
    chain = model.accuracy(answers)
    record = client.call("getjob", id=job.hex())
    mined = _blocks_of(client, job, record["submitted"], record["ended"])
    report.facts |= {
        "accuracy, float model": f"{floating:.2%} of {len(model.labels)} images",
        "accuracy, chain's answer": f"{chain:.2%}",
        "worker": result.worker,
        "bounty": f"{format_amount(record['bounty'])} POUW",
        "burned by the job": f"{format_amount(record['burn'])} POUW",
        "verified by every node": f"{record['macs']:,} MACs",
        "blocks mined by the job": ", ".join(f"{height}" for height in mined) or "none",
    }
    report.checks["the chain's answer is as accurate as the float model's"] = (
        chain >= floating - MAX_ACCURACY_LOSS
    )
    report.checks["blocks were mined by the job's own products"] = bool(mined)
    royalty = client.call("getaccount", address=cluster.address(FRIEND))["balance"] - GIFT
    expected = BOUNTY * ROYALTY_BASIS_POINTS // 10_000
    report.facts["royalty to the model's contributor"] = f"{format_amount(royalty)} POUW"
    report.checks["the royalty was paid"] = royalty == expected


def _blocks_of(client: RpcClient, job: bytes, first: int, last: int) -> list[int]:
    """Return the heights whose head names the job."""
    blocks = [client.call("getblock", height=height) for height in range(first, last + 1)]
    return [block["height"] for block in blocks if block["head"]["job"] == job.hex()]


def _check_nodes(cluster: Cluster, agree: bool, job: bytes, report: Report) -> None:
    """Ask every node for itself."""
    clients = [node.client() for node in cluster.nodes]
    info = clients[0].call("getinfo")
    usefulness = clients[0].call("getusefulness", blocks=max(1, info["height"]))
    supply = [client.call("getsupply") for client in clients]
    settled = [client.call("getjob", id=job.hex())["status"] for client in clients]
    report.facts |= {
        "tip": f"height {info['height']}, {info['tip']}",
        "state root": info["state_root"],
        "useful share (settled MACs ÷ work)": f"{usefulness['useful_share']:.1%}",
        "useful share (job-mined blocks)": f"{usefulness['mined_share']:.1%}",
        "supply": f"{format_amount(supply[0]['circulating'])} POUW = "
        f"{format_amount(supply[0]['emitted'])} emitted − "
        f"{format_amount(supply[0]['burned'])} burned",
    }
    report.checks["all nodes agree on tip and state root"] = agree
    report.checks["every node verified and settled the job"] = settled == ["settled"] * NODES
    report.checks["supply adds up on every node"] = all(
        each["circulating"] == each["emitted"] - each["burned"] for each in supply
    )
    report.checks["the useful share is above zero, by both estimates"] = (
        usefulness["useful_macs"] > 0 and usefulness["mined_macs"] > 0
    )
