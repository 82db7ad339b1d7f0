"""What a person holds: words, keys and their file, and the way from them through a node.

Keys never leave this process: transactions are built and signed here, and a node only ever sees
them signed.
"""
