"""PoUW: a blockchain mined by the matrix multiplications of paid AI jobs.

The public face of the package. Names are loaded on first use (PEP 562), so `import pouw` costs
nothing and needs neither torch nor a network.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._version import __version__

if TYPE_CHECKING:
    from .core.errors import UserError
    from .core.keys import PrivateKey
    from .sdk.async_client import AsyncClient, AsyncJobHandle
    from .sdk.client import Client
    from .sdk.handle import Answer, JobHandle
    from .sdk.quote import Quote
    from .sdk.receipt import Receipt
    from .sdk.wallet import Wallet
    from .vm.frontends.api import quantize

__all__ = [
    "__version__",
    "Client",
    "AsyncClient",
    "Wallet",
    "PrivateKey",
    "Quote",
    "JobHandle",
    "AsyncJobHandle",
    "Answer",
    "Receipt",
    "UserError",
    "quantize",
]

_HOMES = {
    "Client": ("sdk.client", "Client"),
    "AsyncClient": ("sdk.async_client", "AsyncClient"),
    "Wallet": ("sdk.wallet", "Wallet"),
    "PrivateKey": ("core.keys", "PrivateKey"),
    "Quote": ("sdk.quote", "Quote"),
    "JobHandle": ("sdk.handle", "JobHandle"),
    "AsyncJobHandle": ("sdk.async_client", "AsyncJobHandle"),
    "Answer": ("sdk.handle", "Answer"),
    "Receipt": ("sdk.receipt", "Receipt"),
    "UserError": ("core.errors", "UserError"),
    "quantize": ("vm.frontends.api", "quantize"),
}
"""Public name → module that defines it, and its name there."""


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    value = getattr(import_module(f".{module}", __name__), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
