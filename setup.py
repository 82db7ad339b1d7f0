"""Maps the checkout itself onto the package `pouw`, whatever the checkout is called.

Every folder becomes a subpackage (`core/` is `pouw.core`), so nothing of ours lands at the
top level of site-packages, where a plain `kernels` or `chain` would overwrite other people's.
"""

from pathlib import Path

from setuptools import setup

HERE = Path(__file__).parent
TOP_LEVEL = (
    "core",
    "genesis",
    "vm",
    "consensus",
    "kernels",
    "chain",
    "p2p",
    "wallet",
    "sdk",
    "node",
    "miner",
    "cli",
    "devnet",
    "benchmarks",
)


def subpackages() -> list[str]:
    """Return `pouw` and the dotted name of every package folder below TOP_LEVEL."""
    found = ["pouw"]
    for top in TOP_LEVEL:
        for init in sorted((HERE / top).rglob("__init__.py")):
            found.append(".".join(("pouw", *init.parent.relative_to(HERE).parts)))
    return found


setup(
    package_dir={"pouw": "."},
    packages=subpackages(),
    # A name that is not in a package folder keeps this very file out of the wheel.
    script_name="setup.py",
)
