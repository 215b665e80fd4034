"""The program ``kopia`` of the image: pykopia's command line, connected to the mover's repository, for inspection.

``kubectl exec POD -- kopia snapshot list`` works as people know it. The connection file lies in a private folder that is
gone when the command ends; the command is another process, so this one stays on the public API.
"""

import contextlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import pykopia
from pykopia import ClientOptions, __version__
from pykopia.errors import InvalidPasswordError, PykopiaError
from pykopia.storage.connection import ConnectionInfo
from pykopia_mover.connecting import named_connection, password_forms
from pykopia_mover.explain import Place, explained
from pykopia_mover.failures import MoverError
from pykopia_mover.identity import wanted_by
from pykopia_mover.loading import load_connection_document
from pykopia_mover.output import Output
from pykopia_mover.redaction import Redactor
from pykopia_mover.run import Places
from pykopia_mover.settings import Environment, Settings

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
    redactor = Redactor.of_environment(environment)
    document = load_connection_document(settings, Places(), Output(sys.stderr, redactor), redactor)
    connection, _ = named_connection(environment, document)
    wanted = wanted_by(settings, document)
    with tempfile.TemporaryDirectory(prefix="pykopia-look-", dir=_work_folder(settings)) as folder:
        config = Path(folder) / "repository.config"
        password = _connect(
            password_forms(settings.password),
            connection,
            config=config,
            client=ClientOptions(username=wanted.user or "mover", hostname=wanted.host or "pod", read_only=True),
            cache_root=Path(folder) / "cache",
        )
        passed = environment.without_own() | {"KOPIA_PASSWORD": password, "HOME": folder}
        command = [sys.executable, "-P", "-m", "pykopia", f"--config-file={config}", f"--log-dir={folder}/logs", *words]
        return subprocess.run(command, env=passed, check=False).returncode


def _connect(passwords: Sequence[str], connection: ConnectionInfo, **options: Any) -> str:  # noqa: ANN401
    """Connect with the first password that opens the repository, and return it."""
    for password in passwords[:-1]:
        with contextlib.suppress(InvalidPasswordError):
            pykopia.connect(connection, password, **options).close()
            return password
    pykopia.connect(connection, passwords[-1], **options).close()
    return passwords[-1]


def _work_folder(settings: Settings) -> str | None:
    """Return the cache folder where the pod has no folder for temporary files, else None."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError:
        return settings.cache_dir
    return None


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
