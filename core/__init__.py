"""Values every other folder speaks in: encodings, hashes, keys, transactions, blocks, errors.

Nothing here does I/O, reads a clock or draws randomness (key generation excepted, see keys.py).
"""
