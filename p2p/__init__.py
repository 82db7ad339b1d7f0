"""The network: wire messages, handshake, gossip, headers-first sync, peers.

The folder delivers and judges *senders*; what is valid and which branch wins is the chain's
business, reached through `ledger.Ledger`. Start at `service.PeerNetwork`.
"""
