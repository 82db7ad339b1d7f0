"""Proofs that a posted trace is wrong somewhere: values, verification, construction.

`values` says what travels, `verify` judges it against the roots that the chain holds, `prove`
builds it from a trace. Nothing here knows of bonds, windows or deposits.
"""
