"""The version of the package, in one place for setuptools and for `pouw.__version__`."""

__version__ = "0.1.0"
