"""A full node put together: chain, mempool, network and JSON-RPC in one process.

Start at `service.Node`; what clients may ask is in `rpc/`, one file per subject.
"""
