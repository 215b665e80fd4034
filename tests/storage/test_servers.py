"""The servers of the tests start, answer, and are told about when they are missing."""

from pathlib import Path

import pytest

from tests.servers import process, programs
from tests.servers.azure import AzureServer
from tests.servers.gcs import GCSServer
from tests.servers.s3 import S3Server


def test_s3_answers(seaweedfs: S3Server) -> None:
    assert process.answers_http(int(seaweedfs.endpoint.partition(":")[2]), "/healthz")


def test_azure_answers(azurite: AzureServer) -> None:
    assert process.answers_http(int(azurite.domain.partition(":")[2]), f"/{azurite.account}")


def test_gcs_answers(fake_gcs: GCSServer) -> None:
    assert process.answers_http(int(fake_gcs.url.rpartition(":")[2]), "/storage/v1/b")


def test_a_missing_program_skips_or_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(programs.REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match=r"no such-server: install it by `sh scripts/test-servers\.sh`"):
        programs.require("such-server")
    monkeypatch.setenv(programs.REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="no such-server"):
        programs.require("such-server")


def test_a_server_that_ends_shows_its_log(tmp_path: Path) -> None:
    with (
        pytest.raises(process.ServerFailedError, match=r"ended with status 3; its log ends in:\nno luck"),
        process.running(["sh", "-c", "echo no luck; exit 3"], ready=lambda: False, log=tmp_path / "log"),
    ):
        pass
