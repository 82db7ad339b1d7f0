"""For programs: have a model's answer computed by the network, as one call.

Read `client.py` first. `pouw.Client` and the other public names are loaded from here on first use.
"""
