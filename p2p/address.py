"""Where a node listens: host and port, and which addresses may be passed on by whom."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address

from ..core.errors import UserError
from .limits import MAX_ADDRESS_CHARS

_MAX_PORT = 65_535


@dataclass(frozen=True, slots=True, order=True)
class Address:
    """A host (IP literal in its shortest form, or a DNS name for seeds) and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def ip(self) -> IPv4Address | IPv6Address | None:
        """The host as an IP address, or None for a DNS name."""
        try:
            return ip_address(self.host)
        except ValueError:
            return None

    @property
    def is_loopback(self) -> bool:
        """Whether the host is this machine."""
        ip = self.ip
        return self.host == "localhost" if ip is None else ip.is_loopback


def parse_address(text: str) -> Address:
    """Read "host:port" or "[ipv6]:port". Raises UserError saying what is wrong."""
    host, separator, port = text.strip().rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise UserError(f"'{text}' is not an address: write [IPv6]:port")
    if not separator or not host or len(text) > MAX_ADDRESS_CHARS:
        raise UserError(f"'{text}' is not an address: write host:port")
    if not (port.isascii() and port.isdigit()) or not 1 <= int(port) <= _MAX_PORT:
        raise UserError(f"'{text}' has no port between 1 and {_MAX_PORT}")
    if any(c.isspace() or c in "/@?#[]" for c in host):
        raise UserError(f"'{text}' is not an address: '{host}' is not a host")
    return normal_address(host, int(port))


def normal_address(host: str, port: int) -> Address:
    """Return the one form of an address; IPv4 mapped into IPv6 becomes IPv4."""
    try:
        ip = ip_address(host)
    except ValueError:
        return Address(host.lower(), port)
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return Address(str(ip), port)


def may_learn(address: Address, teacher: Address) -> bool:
    """Tell whether `address` may be believed when a peer at `teacher` passes it on.

    Names are not passed on, and only a peer on this machine (or in a private network) may name
    addresses there: otherwise a stranger could make this node knock on its owner's other doors.
    """
    ip, teacher_ip = address.ip, teacher.ip
    if ip is None or teacher_ip is None or ip.is_multicast or ip.is_unspecified:
        return False
    if ip.is_loopback:
        return teacher_ip.is_loopback
    return ip.is_global or not teacher_ip.is_global
