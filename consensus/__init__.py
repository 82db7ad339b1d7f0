"""The rules, and nothing but the rules: pure functions of a state view, blobs and a block.

Read `transition.py` first: it is the way of a block in one page.
"""
