"""Ask the network for a model's answer, from the price to the proof.

    pouw devnet up                       # in one terminal; it prints what to export in another
    python examples/quickstart.py        # there; with a model's id, or for the newest model

Reads POUW_RPC, POUW_DATA (the node's folder, for its token), POUW_WALLET and POUW_WALLET_PASSWORD.
Everything sent is public for good, inputs and outputs too.
"""

import os
import sys
from pathlib import Path

import numpy as np
import pouw

ITEMS = 4


def main(identity: str | None) -> None:
    """Run one small job and keep its receipt."""
    wallet = pouw.Wallet.open(os.environ["POUW_WALLET"], os.environ["POUW_WALLET_PASSWORD"])
    token = Path(os.environ["POUW_DATA"]) / "rpc.token"
    client = pouw.Client(os.environ["POUW_RPC"], wallet, token=token, progress=True)

    if identity is None:
        newest = client.models(limit=1)
        if not newest:
            sys.exit("no model is registered yet: see `pouw model register --help`")
        identity = newest[0].id
    model = client.model(identity)
    print(f"{model.name}: {model.input} → {model.output}")

    # Integers in the model's range; floats work where the model's card tells their encoding.
    source = model.input
    x = np.random.default_rng(0).integers(source.lo, source.hi + 1, (ITEMS, *source.shape))

    quote = client.quote(model, x)
    print(quote)

    # Twice the quote: prices move a little from block to block. Beyond that nothing is signed.
    answer = client.run(model, x, max_cost=2 * quote.total)
    print(answer.output)

    receipt = answer.receipt
    print(f"computed by {receipt.worker}, block {receipt.height}, cost {receipt.cost}")
    Path("receipt.json").write_text(receipt.to_json())

    # Later, anywhere: check the proof, then ask a node how deep it lies.
    kept = pouw.Receipt.from_json(Path("receipt.json").read_text())
    kept.verify(answer.raw)
    print(f"proven; {kept.confirm(client)} blocks deep")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else None)
