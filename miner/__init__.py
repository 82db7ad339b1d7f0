"""`pouw-miner`: claims jobs, executes them, mines while multiplying, and mines idly in between.

It speaks to a node by JSON-RPC alone. One thread mines and tends the jobs (`worker`), one fetches
block templates (`templates`), the main thread reports and waits for the end.
"""
