"""While paid jobs wait, miners do next to nothing else: the share of job MACs in all MACs.

Two miners on a network of fast blocks; jobs are submitted so that some always wait to be claimed.
Both the miners' own counts and the chain's measure of usefulness are looked at, over a hundred
blocks (`POUW_QUEUE_BLOCKS` by hand).
"""

import itertools
import os
import time
from pathlib import Path

import numpy as np
import pytest
from pouw.core.codec import encode
from pouw.core.hashing import Hash
from pouw.devnet.cluster import Cluster
from pouw.devnet.process import free_port
from pouw.genesis import SPRINT
from pouw.tests.functional.metrics import macs_done
from pouw.vm.frontends.mlp import quantise_mlp
from pouw.wallet import bodies, jobs
from pouw.wallet.session import Session

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

BLOCKS = int(os.environ.get("POUW_QUEUE_BLOCKS", "100"))
RATES = ("40M", "20M")
WAITING = 24
"""Jobs kept waiting: more than one block's worth of claims."""
ITEMS, SIZES = 64, (512, 512, 512)
"""About two blocks' worth of products in every job."""
STEP_SECONDS = 240.0


def publish(session: Session) -> tuple[Hash, Hash, int]:
    """Register a model and upload an input; return model, input root and what a job pays."""
    random = np.random.default_rng(5)
    layers = [
        (random.normal(size=(out, into)) / np.sqrt(into), np.zeros(out))
        for into, out in itertools.pairwise(SIZES)
    ]
    samples = random.normal(size=(ITEMS, SIZES[0]))
    network = quantise_mlp(layers, samples)
    offer = jobs.ModelOffer("queue", encode(network.program), network.weights)
    model = jobs.register_model(session, offer, STEP_SECONDS)
    data = network.encoder.encode(samples)
    root = session.publish_blob(data, "the input", session.patience(STEP_SECONDS))
    return model, root, jobs.quote_job(session.client, model, len(data)).min_bounty


def waiting(session: Session) -> int:
    """Return how many jobs nobody has claimed yet, those on their way into a block included."""
    account = session.account()
    under_way = account.pending_nonce - account.nonce
    return under_way + len(session.client.call("listjobs", status="submitted", limit=100))


def test_a_full_queue_leaves_no_idle_work(tmp_path: Path) -> None:
    ports = [free_port() for _ in RATES]
    options = [
        ("--rate", rate, "--metrics", str(port)) for rate, port in zip(RATES, ports, strict=True)
    ]
    with Cluster(tmp_path / "net", 2, options, SPRINT) as cluster:
        cluster.start()
        session = cluster.session(0, cluster.user)
        model, root, pay = publish(session)

        def count(kind: str) -> float:
            return sum(macs_done(port, kind) for port in ports)

        start = {"height": 0, "useful": 0.0, "idle": 0.0}
        end = time.monotonic() + 2 * STEP_SECONDS
        least = WAITING
        while True:
            height = session.client.call("getinfo")["height"]
            short = WAITING - waiting(session)
            for _ in range(short):
                deadline = height + SPRINT.max_deadline_blocks // 2
                session.send(bodies.submit_job(model, root, 2 * pay, deadline))
            if start["height"] == 0 and count("useful") > 20 * SPRINT.initial_difficulty:
                start = {"height": height, "useful": count("useful"), "idle": count("idle")}
            elif start["height"]:
                least = min(least, WAITING - short)
                if height >= start["height"] + BLOCKS:
                    break
            cluster.check_alive()
            assert time.monotonic() < end, f"at height {height}, measured from {start}"
            time.sleep(0.1)
        useful, idle = (count(kind) - start[kind] for kind in ("useful", "idle"))
        window = session.client.call("getusefulness", blocks=BLOCKS)
    assert least > 0, "the queue ran empty, so this says nothing"
    assert useful / (useful + idle) >= 0.95, (
        f"{useful / 1e9:.2f} useful, {idle / 1e9:.2f} idle GMACs"
    )
    assert window["useful_share"] > 0.5, window
