"""Which web pages may reach the RPC: only those that the same host and port has served.

Browsers let any page open a WebSocket anywhere and post anywhere; what they add by themselves is
the page's origin (RFC 6454), and refusing a foreign one is left to the server. A page whose name
was made to point here (DNS rebinding) has its own name in both headers, so the name must be none
that a stranger can own: an IP address or localhost.
"""

import ipaddress
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

_LOCAL_NAME: Final = "localhost"


def is_foreign_page(headers: Mapping[str, str]) -> bool:
    """Tell whether a request comes from a web page of somebody else.

    What is no browser sends no origin and is not judged here.
    """
    origin = headers.get("Origin")
    if origin is None:
        return False
    try:
        parts = urlsplit(origin)
        name = parts.hostname or ""
    except ValueError:
        return True
    return (
        parts.scheme not in ("http", "https")
        or parts.netloc.lower() != headers.get("Host", "").lower()
        or not (name == _LOCAL_NAME or _is_address(name))
    )


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
