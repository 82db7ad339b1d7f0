"""Measurements, never tests: `python -m pouw.benchmarks NAME --json`.

Every benchmark measures its peer in the same run and reports ratios, because absolute times on a
shared machine mean little.
"""
