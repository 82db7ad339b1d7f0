"""PoUW: a blockchain mined by the matrix multiplications of paid AI jobs.

The public face of the package. Names are loaded on first use (PEP 562), so `import pouw` costs
nothing and needs neither torch nor a network.
"""

from ._version import __version__

__all__ = ["__version__"]
