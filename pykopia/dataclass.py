"""``dataclass`` without the cost at start.

A command makes about a hundred classes before it does anything. On Python 3.11 and 3.12 ``dataclasses`` compiles five or six
functions for each of them: a third of the processor time of ``pykopia snapshot list``. Here ``__init__`` is compiled when the
first object of a class is made, and the other methods are common functions. Whatever else ``dataclasses`` offers works with
these classes: ``fields``, ``replace``, ``asdict``, subclasses. From Python 3.13 on, which compiles once for each class, this is
``dataclasses.dataclass`` itself.
"""

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING or sys.version_info >= (3, 13):
    from dataclasses import dataclass
else:
    from pykopia.late_dataclass import dataclass

__all__ = ["dataclass"]
