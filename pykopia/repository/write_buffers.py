"""How much of what is being written is in memory at one time."""

from pykopia.arguments import check_number
from pykopia.dataclass import dataclass

LEAST_TRAYS = 2
"""One is filled while another one is hashed and sealed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WriteBuffers:
    """Bounds on the buffers of a session of writing; fewer of them for a machine with little memory.

    Raises:
        UsageError: there are too few to write at all.
    """

    packs: int = 2
    """Packs on their way to storage: each is a buffer of the repository's pack size, 21 MiB. No more than there are threads."""
    trays: int = 3
    """Buffers for the chunks of large files, each of three chunks of the greatest length: 24 MiB with the default splitter.
    One is filled, one hashed, one sealed."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_number("packs", self.packs, least=1)
        check_number("trays", self.trays, least=LEAST_TRAYS)


__all__ = ["LEAST_TRAYS", "WriteBuffers"]
