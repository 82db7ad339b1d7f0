"""Front ends: from trained models in floating point to programs of the machine.

The only part of `vm` that may use floats. Nothing here is consensus: a program is judged by what
it is, not by where it came from.
"""
