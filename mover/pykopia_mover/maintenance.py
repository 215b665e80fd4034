"""The operation ``maintenance`` (mover contract §15)."""

from pykopia_mover.failures import MoverError
from pykopia_mover.run import Run


def maintain(run: Run) -> None:
    """Run the maintenance of the repository."""
    del run
    raise MoverError("internal", "maintenance is not there yet")


__all__ = ["maintain"]
