"""The examples as people run them: against a devnet of processes, set up by environment only."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pouw
import pytest
from pouw.core.codec import encode
from pouw.devnet.cluster import PASSWORD, Cluster
from pouw.sdk.client import Client
from pouw.sdk.wallet import Wallet
from pouw.vm.check import check_program
from pouw.vm.executor import execute
from pouw.vm.frontends.mlp import QuantisedMlp, quantise_mlp
from pouw.vm.multiplier import ReferenceMultiplier
from pouw.vm.products import plain_products
from pouw.wallet.jobs import ModelOffer, register_model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FEATURES, HIDDEN, CLASSES = 16, 32, 4
STEP_SECONDS = 120.0


@pytest.fixture(scope="module")
def classifier() -> QuantisedMlp:
    random = np.random.default_rng(7)
    layers = [
        (random.normal(size=(out, into)), random.normal(size=out))
        for into, out in ((FEATURES, HIDDEN), (HIDDEN, CLASSES))
    ]
    return quantise_mlp(layers, random.normal(size=(64, FEATURES)))


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory, classifier: QuantisedMlp) -> Iterator[Cluster]:
    """One node, one miner, and a model whose card tells the input's encoding."""
    folder = tmp_path_factory.mktemp("devnet") / "net"
    with Cluster(folder, 1, [("--idle-rate", "30M")]) as cluster:
        cluster.start()
        encoder = classifier.encoder
        card = {
            "encoding": {
                "input": {"kind": "affine", "scale": encoder.scale, "shift": encoder.shift},
                "output": {"kind": "indices"},
            }
        }
        offer = ModelOffer(
            "a small classifier",
            encode(classifier.program),
            classifier.weights,
            card=json.dumps(card),
        )
        register_model(cluster.session(0, cluster.user), offer, STEP_SECONDS)
        yield cluster


def environment(cluster: Cluster) -> dict[str, str]:
    """What `pouw devnet up` tells people to export."""
    node = cluster.nodes[0]
    return os.environ | {
        "POUW_NETWORK": "devnet",
        "POUW_RPC": node.url,
        "POUW_DATA": str(node.data),
        "POUW_WALLET": str(cluster.wallet_path("user")),
        "POUW_WALLET_PASSWORD": PASSWORD,
    }


def run(cluster: Cluster, folder: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, *command],
        env=environment(cluster),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=STEP_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_quickstart(devnet: Cluster, tmp_path: Path) -> None:
    printed = run(devnet, tmp_path, str(EXAMPLES / "quickstart.py"))
    assert "a small classifier: int8[16] → int32[]" in printed
    assert "blocks deep" in printed
    receipt = pouw.Receipt.from_json((tmp_path / "receipt.json").read_text())
    receipt.verify()
    assert receipt.shape == (4,)


def test_the_notebooks_cells_in_order(devnet: Cluster, tmp_path: Path) -> None:
    notebook = json.loads((EXAMPLES / "receipts.ipynb").read_text())
    cells = ["".join(c["source"]) for c in notebook["cells"] if c["cell_type"] == "code"]
    script = tmp_path / "cells.py"
    script.write_text("\n\n".join(cells))
    printed = run(devnet, tmp_path, str(script))
    assert "in 1 job" in printed
    assert printed.count("trusted:") == 3
    assert not [c for c in notebook["cells"] if c.get("outputs")], "keep outputs out of git"


def test_floats_are_answered_as_the_program_would(
    devnet: Cluster, classifier: QuantisedMlp
) -> None:
    wallet = Wallet.open(devnet.wallet_path("user"), PASSWORD)
    node = devnet.nodes[0]
    client = Client(node.url, wallet, token=node.data / "rpc.token", timeout=STEP_SECONDS)
    x = np.random.default_rng(8).normal(size=(5, FEATURES))
    answer = client.run(client.models(limit=1)[0].id, x, max_cost="100")
    data = classifier.encoder.encode(x)
    plain = execute(
        check_program(classifier.program),
        classifier.weights,
        data,
        plain_products(ReferenceMultiplier()),
    )
    assert answer.output.tolist() == plain.output.tolist()
