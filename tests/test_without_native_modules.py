"""Where nothing could be compiled, the Python definitions serve."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import sys
from importlib.machinery import ExtensionFileLoader, PathFinder
from pathlib import Path


class NoNativeModules:
    """Finds what the path finder finds, but no compiled module of pykopia."""

    refused = []

    def find_spec(self, name, path=None, target=None):
        if not name.startswith("pykopia."):
            return None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None and isinstance(spec.loader, ExtensionFileLoader):
            self.refused.append(name)
            raise ModuleNotFoundError(f"{name} is not built", name=name)
        return spec


sys.meta_path.insert(0, NoNativeModules())

import pykopia

source, target, repository = map(Path, sys.argv[1:])
with pykopia.create(repository, "a good password") as opened:
    first = opened.snapshots.create(source)
    (source / "folder" / "small").write_bytes(b"changed")
    second = opened.snapshots.create(source)
    assert not first.errors and not second.errors
    verified = opened.snapshots.verify(options=pykopia.VerifyOptions(files_percent=100))
    assert not verified.errors, verified.errors
    restored = opened.snapshots.restore(second.manifest.id, target)
    assert not restored.errors, restored.errors
print(*sorted(NoNativeModules.refused))
assert not [name for name in sys.modules if name.startswith("pykopia.") and (sys.modules[name].__file__ or "").endswith(".so")]
'''


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
def test_a_tree_is_saved_verified_and_restored_without_native_modules(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "folder" / "below").mkdir(parents=True)
    (source / "empty").write_bytes(b"")
    (source / "folder" / "small").write_bytes(b"small")
    (source / "folder" / "below" / "large").write_bytes(bytes(range(256)) * (40 << 10))  # two chunks at least
    for number in range(50):
        (source / "folder" / f"file{number}").write_bytes(b"%d" % number * 100)
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, source, target, tmp_path / "repository"],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert contents(target) == contents(source)
