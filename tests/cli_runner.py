"""Runs the command line inside the test's process, with streams and environment of its own."""

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pykopia.cli.main import run


class _Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Result:
    """What a run left behind."""

    status: int
    stdout_bytes: bytes
    stderr: str

    @property
    def stdout(self) -> str:
        return self.stdout_bytes.decode("utf-8", "surrogateescape")

    @property
    def lines(self) -> list[str]:
        return self.stdout.splitlines()

    @property
    def json(self) -> Any:  # noqa: ANN401 -- whatever was printed
        return json.loads(self.stdout)


@dataclass
class Runner:
    """One client: its connection file, log folder and home lie below ``folder``."""

    folder: Path
    password: str = "secret-of-the-test"
    environment: dict[str, str] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.folder / "repository.config"

    def __call__(self, *words: str, stdin: bytes = b"", terminal: bool = False, **environment: str) -> Result:
        streams: Mapping[str, io.TextIOWrapper] = {
            name: (_Terminal if terminal else io.TextIOWrapper)(
                io.BytesIO(stdin if name == "stdin" else b""), "utf-8", errors="surrogateescape"
            )
            for name in ("stdin", "stdout", "stderr")
        }
        status = run(
            ["--config-file", str(self.config), "--log-dir", str(self.folder / "logs"), "--timezone", "utc", *words],
            environment={
                "HOME": str(self.folder / "home"),
                "KOPIA_PASSWORD": self.password,
                **self.environment,
                **environment,
            },
            **streams,
        )
        outputs = {}
        for name in ("stdout", "stderr"):
            streams[name].flush()
            buffer = streams[name].buffer
            assert isinstance(buffer, io.BytesIO)
            outputs[name] = buffer.getvalue()
        return Result(status, outputs["stdout"], outputs["stderr"].decode("utf-8", "surrogateescape"))

    def ok(self, *words: str, stdin: bytes = b"", **environment: str) -> Result:
        result = self(*words, stdin=stdin, terminal=False, **environment)
        assert result.status == 0, f"{words}: {result.stderr}"
        return result

    def fails(self, *words: str, stdin: bytes = b"", **environment: str) -> Result:
        result = self(*words, stdin=stdin, terminal=False, **environment)
        assert result.status != 0, f"{words} should have failed: {result.stdout}"
        assert "Traceback" not in result.stderr
        return result
