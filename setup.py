"""The native twins: one optional extension for each ``.pyx``; all else stands in pyproject.toml."""

import os
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext

STABLE_ABI = 0x030B0000  # CPython 3.11: one wheel a platform serves every later version

UNCHECKED_IMPORT = 'inspect = PyImport_ImportModule("inspect");\n'
"""A line that Cython generates under the limited API. The lines after it use the pointer without a check."""


class CheckedBuild(build_ext):
    """Builds extensions whose initialization survives an exception in an import.

    A signal handler may raise in the import of ``inspect`` that the generated code starts with. Without the check the
    process then ends with a segmentation fault.
    """

    def build_extension(self, ext: Extension) -> None:
        """Generate the C code, add the check, and compile."""
        from Cython.Build import cythonize  # noqa: PLC0415 -- the Python definitions alone build without it

        ext.sources = cythonize(ext, force=bool(self.force), quiet=True)[0].sources
        for source in map(Path, ext.sources):
            code = source.read_text()
            if UNCHECKED_IMPORT in code:
                checked = UNCHECKED_IMPORT.rstrip("\n") + " if (!inspect) return -1;\n"
                source.write_text(code.replace(UNCHECKED_IMPORT, checked))
        super().build_extension(ext)


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
    cmdclass={"build_ext": CheckedBuild},
    ext_modules=extensions(),
    options={"bdist_wheel": {"py_limited_api": "cp311"}},
)
