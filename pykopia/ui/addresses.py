"""Addresses of the page's parts: all begin with a random folder, to which the cookie is bound."""

from collections.abc import Mapping
from urllib.parse import quote, urlencode


class Addresses:
    """Makes the addresses; names are encoded, whatever is in them."""

    def __init__(self, base: str) -> None:
        """Begin with a folder such as ``/x7yz``."""
        self.base = base

    def _to(self, place: str, values: Mapping[str, str]) -> str:
        given = {name: value for name, value in values.items() if value}
        text = urlencode(given, quote_via=quote, safe="/", errors="surrogatepass")
        return f"{self.base}/{place}" + (f"?{text}" if text else "")

    def home(self) -> str:
        """Return the address of the list of sources."""
        return f"{self.base}/"

    def static(self, name: str) -> str:
        """Return the address of a file of the page itself."""
        return f"{self.base}/static/{name}"

    def to(self, place: str, **values: str) -> str:
        """Return the address of a page; values that are empty are left out.

        >>> Addresses("/x").to("snapshot", id="ab", path="a b/c&d")
        '/x/snapshot?id=ab&path=a%20b/c%26d'
        """
        return self._to(place, values)


__all__ = ["Addresses"]
