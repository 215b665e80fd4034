"""Changes to the connection file."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from pykopia.private_file import write_private
from pykopia.repository.connection_file import read_config


def change_connection(path: Path, **changes: Any) -> None:  # noqa: ANN401 -- fields of several types
    """Write the connection file anew with some fields of ``LocalConfig`` changed.

    Raises:
        NotConnectedError: There is no connection file.
        ConnectionFileError: It can't be read.
    """
    write_private(path, replace(read_config(path), **changes).to_bytes(), durable=True)


__all__ = ["change_connection"]
