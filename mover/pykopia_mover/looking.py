"""The program ``kopia`` of the image: pykopia's command line, connected to the mover's repository, for inspection.

``kubectl exec POD -- kopia snapshot list`` works as people know it. The connection file lies in a private folder that is
gone when the command ends; the command is another process, so this one stays on the public API.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pykopia
from pykopia import ClientOptions, __version__
from pykopia.errors import PykopiaError
from pykopia_mover.explain import Place, explained
from pykopia_mover.failures import MoverError
from pykopia_mover.identity import wanted_by
from pykopia_mover.redaction import Redactor
from pykopia_mover.settings import Environment

COMMANDS: Final = (("snapshot", "list"), ("policy", "show"), ("repository", "status"))
"""Commands that only read. For all others, use another client."""


def look(words: Sequence[str], environment: Environment) -> int:
    """Run a command of pykopia on the mover's repository; return its exit status.

    Raises:
        MoverError: another command, or variables that name no repository.
        PykopiaError: the repository can't be opened.
    """
    plain = tuple(word for word in words if not word.startswith("-"))[:2]
    if plain not in COMMANDS:
        known = ", ".join(" ".join(each) for each in COMMANDS)
        raise MoverError("usage", f"this is pykopia in a mover: there are only {known}, and --version")
    settings, _ = environment.settings()
    wanted = wanted_by(settings)
    with tempfile.TemporaryDirectory(prefix="pykopia-look-") as folder:
        config = Path(folder) / "repository.config"
        pykopia.connect(
            environment.storage().connection,
            settings.password,
            config=config,
            client=ClientOptions(username=wanted.user or "mover", hostname=wanted.host or "pod", read_only=True),
            cache_root=Path(folder) / "cache",
        ).close()
        passed = environment.without_own() | {"KOPIA_PASSWORD": settings.password, "HOME": folder}
        command = [sys.executable, "-m", "pykopia", f"--config-file={config}", f"--log-dir={folder}/logs", *words]
        return subprocess.run(command, env=passed, check=False).returncode


def main() -> int:
    """Run with what the process was given."""
    words = sys.argv[1:]
    if words == ["--version"]:
        sys.stdout.write(f"pykopia {__version__}\n")
        return 0
    environment = Environment(os.environ)
    try:
        return look(words, environment)
    except (MoverError, PykopiaError) as error:
        told = explained(error, Place())
        sys.stderr.write(Redactor.of_environment(environment)(f"ERROR: {told}\n"))
        return told.code.status


if __name__ == "__main__":
    sys.exit(main())

__all__ = ["COMMANDS", "look", "main"]
