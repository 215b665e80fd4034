"""S3 by a role: a real token service gives the keys, to who has a key or a web identity, and new ones before they expire."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import pykopia
from pykopia.errors import StorageAccessDeniedError, StorageError
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.backends.s3.storage import S3Storage
from pykopia.storage.connection import ConnectionInfo
from pykopia.testing.storage_tests import FORMAT, PACK
from tests.servers import oidc, s3
from tests.servers.oidc import Issuer
from tests.servers.s3 import ROLE_ARN, SECRET_KEY, S3Server
from tests.servers.tls import Certificates
from tests.storage.test_s3 import new_bucket
from tests.trees import assert_trees_equal, changing_tree


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with oidc.issuer() as issuer:
        yield issuer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates, issuer: Issuer) -> Iterator[S3Server]:
    """SeaweedFS, which is a token service too, with TLS by an authority of its own."""
    with s3.seaweedfs(tmp_path_factory.mktemp("seaweedfs-sts"), certificates, issuer=issuer) as server:
        yield server


@pytest.fixture
def by_key(server: S3Server) -> S3Options:
    """The role for who has a key."""
    return replace(
        new_bucket(server), role_arn=ROLE_ARN, session_name="nightly", role_endpoint=server.url, duration="2h0m0s"
    )


@pytest.fixture
def by_token(by_key: S3Options, issuer: Issuer, tmp_path: Path) -> S3Options:
    """The role for who has a web identity in a file."""
    file = tmp_path / "token"
    file.write_text(issuer.token("mover") + "\n")
    return replace(by_key, access_key_id="", secret_access_key="", web_identity_token_file=str(file))


@pytest.fixture(params=["by_key", "by_token"])
def options(request: pytest.FixtureRequest) -> S3Options:
    found: S3Options = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[S3Storage, timedelta], None]:
    """Make a storage believe that it is later, as far as its keys go."""

    def move(storage: S3Storage, by: timedelta) -> None:
        credentials = found_credentials(storage)
        now = credentials._time_fetcher
        monkeypatch.setattr(credentials, "_time_fetcher", lambda: now() + by)
        monkeypatch.setattr("botocore.credentials._local_now", credentials._time_fetcher)

    return move


def found_credentials(storage: S3Storage) -> Any:  # noqa: ANN401
    return storage.fs.sdk.session._credentials


def test_a_role_gives_the_keys(options: S3Options) -> None:
    with S3Storage(options) as storage:
        storage.put(PACK, b"pack")
        storage.put(FORMAT, b"format")
        assert storage.get(PACK, 1, 2) == b"ac"
        assert {blob.blob_id for blob in storage.list()} == {PACK, FORMAT}
        storage.delete(PACK)
        found = found_credentials(storage)
        assert found._frozen_credentials.token
        assert found._frozen_credentials.access_key != s3.ACCESS_KEY
        assert timedelta(hours=1.9) < found._expiry_time - found._time_fetcher() < timedelta(hours=2.1)


def test_the_keys_of_a_role_are_renewed_before_they_expire(
    options: S3Options, later: Callable[[S3Storage, timedelta], None]
) -> None:
    with S3Storage(options) as storage:
        storage.put(PACK, b"pack")
        first = found_credentials(storage)._frozen_credentials
        later(storage, timedelta(minutes=90))
        storage.put(FORMAT, b"format")
        assert found_credentials(storage)._frozen_credentials == first
        later(storage, timedelta(minutes=25))
        assert storage.get(PACK) == b"pack"
        renewed = found_credentials(storage)._frozen_credentials
        assert renewed.access_key != first.access_key
        assert {blob.blob_id for blob in storage.list()} == {PACK, FORMAT}


def test_a_web_identity_in_a_file_is_read_again_when_keys_are_renewed(
    by_token: S3Options, issuer: Issuer, later: Callable[[S3Storage, timedelta], None]
) -> None:
    file = Path(by_token.web_identity_token_file)
    with S3Storage(by_token) as storage:
        storage.put(PACK, b"pack")
        file.write_text(issuer.token("mover", seconds=-600))
        assert storage.get(PACK) == b"pack"
        later(storage, timedelta(minutes=119))
        with pytest.raises(StorageError, match=r"(?i)token"):
            storage.get(PACK)
        file.write_text(issuer.token("another mover"))
        assert storage.get(PACK) == b"pack"


def test_a_web_identity_of_the_connection_itself_is_taken(by_token: S3Options, issuer: Issuer) -> None:
    options = replace(by_token, web_identity_token_file="", web_identity_token=issuer.token("mover"))
    with S3Storage(options) as storage:
        storage.put(PACK, b"pack")
        assert storage.get(PACK) == b"pack"
    assert options.web_identity_token not in repr(options)


@pytest.mark.parametrize(
    "changes",
    [
        {"role_arn": "arn:aws:iam::role/Nobody"},
        {"secret_access_key": "canary-wrong"},
        {"access_key_id": "", "secret_access_key": "", "web_identity_token": "no.token.at-all"},
    ],
)
def test_who_may_not_take_the_role_is_told(by_key: S3Options, changes: dict[str, str]) -> None:
    with pytest.raises(StorageError) as caught:
        S3Storage(replace(by_key, **changes)).close()  # type: ignore[arg-type]
    assert not caught.value.temporary
    assert SECRET_KEY not in str(caught.value)
    assert "canary-wrong" not in str(caught.value)


def test_a_token_file_that_is_not_there_is_told(by_token: S3Options) -> None:
    with pytest.raises(StorageAccessDeniedError, match=r"can't read the web identity token in /nowhere"):
        S3Storage(replace(by_token, web_identity_token_file="/nowhere/token")).close()


def test_a_repository_is_written_and_read_by_a_role(by_token: S3Options, tmp_path: Path) -> None:
    changing_tree(tmp_path / "source", 0)
    info = ConnectionInfo.from_options(by_token)
    with pykopia.create(info, "password") as repository:
        snapshot = repository.snapshots.create(tmp_path / "source").manifest
    with pykopia.connect(info, "password") as repository:
        repository.snapshots.restore(snapshot.id, tmp_path / "restored")
    assert_trees_equal(tmp_path / "source", tmp_path / "restored")
