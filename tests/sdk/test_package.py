"""What `import pouw` gives, and what it does not load."""

import subprocess
import sys

import pouw
import pytest

HEAVY = ("numpy", "torch", "triton", "aiohttp", "msgspec", "plyvel", "rich")


def run(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = f"import sys, pouw; pouw.__version__; print([m for m in {HEAVY} if m in sys.modules])"
    assert run(code) == "[]"


def test_the_client_needs_no_torch_and_no_server() -> None:
    code = (
        "import sys, pouw; pouw.Client('http://127.0.0.1:1'); pouw.Wallet; "
        "print([m for m in ('torch', 'triton', 'plyvel', 'aiohttp') if m in sys.modules])"
    )
    assert run(code) == "[]"


@pytest.mark.parametrize("name", pouw.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(pouw, name) is not None
    assert name in dir(pouw)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = pouw.nonsense
