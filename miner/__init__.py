"""`pouw-miner`: claims jobs, executes them, mines while multiplying, and mines idly in between.

It speaks to a node by JSON-RPC alone. Each device has a thread that multiplies (`worker`); one
thread claims and delivers jobs for all of them (`coordinator`), one keeps the newest block template
at hand (`templates`), the main thread reports and waits for the end.
"""
