"""What the SDK of S3 is asked for, and that it is not loaded where it has nothing to say."""

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from pykopia.storage.backends.s3.sdk import SDK

LOOK = """
import sys
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.backends.s3.storage import _client
from pykopia.storage.backends.s3.address import S3Address
options = S3Options(bucket="b", endpoint="127.0.0.1:9", access_key_id="a", secret_access_key="s")
client = _client(options, S3Address(endpoint=options.endpoint, bucket="b"))
print(client.region, *sorted({"botocore.session", "botocore.client", "s3fs", "aiohttp", "fsspec"} & sys.modules.keys()))
"""


def told(tmp_path: Path, **variables: str) -> str:
    """Return the region of a connection with a key, and which heavy modules it has loaded."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    environment |= {"HOME": str(tmp_path), **variables}
    return subprocess.run(
        [sys.executable, "-c", LOOK], env=environment, capture_output=True, text=True, check=True
    ).stdout.strip()


def test_a_connection_with_a_key_loads_no_more_than_the_signer(tmp_path: Path) -> None:
    assert told(tmp_path) == "us-east-1"
    assert told(tmp_path, AWS_DEFAULT_REGION="eu-7") == "eu-7"


def test_the_region_of_a_profile_is_that_of_the_files_of_the_sdk(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws/config").write_text("[default]\nregion = eu-8\n[profile other]\nregion = eu-9\n")
    assert told(tmp_path).split()[0] == "eu-8"
    assert told(tmp_path, AWS_PROFILE="other").split()[0] == "eu-9"
    assert told(tmp_path, AWS_PROFILE="other", AWS_DEFAULT_REGION="eu-7").split()[0] == "eu-7"
    assert told(tmp_path, AWS_CONFIG_FILE=str(tmp_path / "none")) == "us-east-1"


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, ""),
        ({"AWS_CA_BUNDLE": "/one.pem"}, "/one.pem"),
        ({"AWS_CA_BUNDLE": ""}, ""),
        ({"AWS_SHARED_CREDENTIALS_FILE": "{folder}/file"}, "/two.pem"),
        ({"AWS_CONFIG_FILE": "{folder}/file"}, "/two.pem"),
    ],
)
def test_a_setting_is_what_the_sdk_itself_would_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str], expected: str
) -> None:
    (tmp_path / "file").write_text("[default]\nca_bundle = /two.pem\n")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(folder=tmp_path))
    sdk = SDK()
    assert sdk.setting("ca_bundle", "AWS_CA_BUNDLE") == expected
    assert (sdk.session.get_config_variable("ca_bundle") or "") == expected
