"""JSON-RPC 2.0 over HTTP and WebSockets: what clients may ask of a node.

Methods have one file per subject; `server`, `sockets` and `dispatch` carry requests to them, and
`session` and `topics` carry news to who has subscribed.

Hashes and bytes are lowercase hex, addresses bech32m text, amounts integers of base units, work and
difficulty integers of multiply-accumulates (they may exceed 64 bits). Parameters go by name or, in
the order of the method's signature, as a list.
"""
