"""Quantities of Kubernetes, such as ``10Gi``."""

import re
from decimal import Decimal
from typing import Final

_FORM: Final = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?")
_DECIMAL: Final = {"n": -9, "u": -6, "m": -3, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}


def parse_quantity(text: str | int) -> int:
    """Return a quantity in its base unit, rounded up.

    >>> parse_quantity("1Gi"), parse_quantity("1.5k"), parse_quantity(7), parse_quantity("1e3")
    (1073741824, 1500, 7, 1000)

    Raises:
        ValueError: it is none.
    """
    match = _FORM.fullmatch(str(text).strip())
    if match is None:
        raise ValueError(f"{text} is not a quantity such as 5Gi")
    number, unit = Decimal(match[1]), match[2] or ""
    if unit.endswith("i"):
        number *= 1024 ** ("KMGTPE".index(unit[0]) + 1)
    elif unit[:1] in {"e", "E"} and len(unit) > 1:
        number *= Decimal(10) ** int(unit[1:])
    elif unit:
        number *= Decimal(10) ** _DECIMAL[unit]
    return int(number.to_integral_value(rounding="ROUND_CEILING"))
