"""The native twins: one optional extension for each ``.pyx``; all else stands in pyproject.toml."""

import os
from pathlib import Path

from setuptools import Extension, setup

STABLE_ABI = 0x030B0000  # CPython 3.11: one wheel a platform serves every later version


def extensions() -> list[Extension]:
    """Return an extension for each .pyx, or none where PYKOPIA_PURE asks for the Python definitions alone."""
    if os.environ.get("PYKOPIA_PURE"):
        return []
    return [
        Extension(
            ".".join(source.with_suffix("").parts),
            [str(source)],
            define_macros=[("Py_LIMITED_API", hex(STABLE_ABI)), ("CYTHON_LIMITED_API", "1")],
            extra_compile_args=["-O3", "-fno-strict-aliasing"],
            py_limited_api=True,
            optional=True,  # without a compiler the Python definitions serve
        )
        for source in sorted(Path("pykopia").rglob("*.pyx"))
    ]


setup(
    ext_modules=extensions(),
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
