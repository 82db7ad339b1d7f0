"""JSON-RPC 2.0 over HTTP: what clients may ask of a node, one file of methods per subject.

Hashes and bytes are lowercase hex, addresses bech32m text, amounts integers of base units, work and
difficulty integers of multiply-accumulates (they may exceed 64 bits). Parameters go by name or, in
the order of the method's signature, as a list.
"""
