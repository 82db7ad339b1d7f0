"""The life of a job: submitted → claimed → committed → settled, or expired, or cancelled.

`life.py` is the state machine; the other files are what happens on its edges.
"""
