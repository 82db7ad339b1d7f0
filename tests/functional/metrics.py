"""What a miner says of itself, read from its Prometheus metrics over a real socket."""

import re
import urllib.request


def macs_done(port: int, kind: str = r"\w+") -> float:
    """Return all multiply-accumulates counted so far, of one kind ("useful", "idle") or of both."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    sample = rf'^pouw_miner_macs_total\{{.*kind="{kind}".*\}} (\S+)$'
    return sum(float(value) for value in re.findall(sample, text, re.M))
