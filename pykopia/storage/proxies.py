"""The proxy by which a server is reached, as ``HTTP_PROXY``, ``HTTPS_PROXY``, ``ALL_PROXY`` and ``NO_PROXY`` say.

The libraries of the backends understand ``NO_PROXY`` each in another way, and some know no networks. Here it has the
meaning that it has in Go, and so in Kopia: host names, which cover the hosts below them, addresses, and networks. This machine
itself is never reached by a proxy: ``localhost``, 127.0.0.0/8 and ``::1``.
"""

import ipaddress
import re
from urllib.parse import urlsplit
from urllib.request import getproxies_environment

_PORTS = {"http": 80, "https": 443}


def proxy_for(url: str) -> str | None:
    """Return the URL of the proxy for a URL, or None if the server is reached directly."""
    split = urlsplit(url)
    known = getproxies_environment()
    proxy = known.get(split.scheme) or known.get("all")
    if not proxy or is_excepted(split.hostname or "", split.port or _PORTS.get(split.scheme, 0), known.get("no", "")):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def is_excepted(host: str, port: int, no_proxy: str) -> bool:
    """Return True if a server is reached without a proxy.

    Args:
        host: Name or address of the server.
        port: Its port.
        no_proxy: What ``NO_PROXY`` says.
    """
    host = host.lower().rstrip(".")
    address = _address(host)
    if host == "localhost" or (address is not None and _is_loopback(address)):
        return True
    return any(_matches(item, host, port, address) for item in re.split(r"[\s,]+", no_proxy.lower()) if item)


def shown(proxy: str) -> str:
    """Return a proxy for messages: without user and password."""
    return urlsplit(proxy).netloc.rpartition("@")[2] or "the proxy"


def _matches(item: str, host: str, port: int, address: "ipaddress.IPv4Address | ipaddress.IPv6Address | None") -> bool:
    if item == "*":
        return True
    if "/" in item:
        try:
            network = ipaddress.ip_network(item, strict=False)
        except ValueError:
            return False
        return address is not None and address in network
    name, of_port = _split(item)
    if of_port and of_port != port:
        return False
    if (found := _address(name)) is not None:
        return found == address
    name = name.removeprefix("*").rstrip(".")
    if name.startswith("."):
        return host.endswith(name)
    return host == name or host.endswith(f".{name}")


def _split(item: str) -> tuple[str, int]:
    """Return name and port of one item, 0 where it has none; an address of IPv6 has brackets before a port."""
    if match := re.fullmatch(r"\[(.*)\](?::(\d+))?|([^:]*):(\d+)", item):
        return (match[1] or match[3] or "", int(match[2] or match[4] or 0))
    return item, 0


def _is_loopback(address: "ipaddress.IPv4Address | ipaddress.IPv6Address") -> bool:
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)


def _address(text: str) -> "ipaddress.IPv4Address | ipaddress.IPv6Address | None":
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


__all__ = ["is_excepted", "proxy_for", "shown"]
