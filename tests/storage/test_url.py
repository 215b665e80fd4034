"""Repository URLs name storages as far as they can, and never repeat what may be a password."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pykopia.errors import InvalidURLError, UsageError
from pykopia.storage.connection import ConnectionInfo
from pykopia.storage.url import storage_from_url


@pytest.mark.parametrize(
    ("url", "kind", "fields"),
    [
        ("/mnt/backups", "filesystem", {"path": "/mnt/backups"}),
        ("/mnt//backups/../other/", "filesystem", {"path": "/mnt/other"}),
        ("/mnt/a?b#c%20", "filesystem", {"path": "/mnt/a?b#c%20"}),
        ("/mnt/a:b", "filesystem", {"path": "/mnt/a:b"}),
        ("  /mnt/backups \n", "filesystem", {"path": "/mnt/backups"}),
        ("filesystem:///mnt/backups", "filesystem", {"path": "/mnt/backups"}),
        ("file:///mnt/backups/", "filesystem", {"path": "/mnt/backups"}),
        ("FILE:///mnt/backups", "filesystem", {"path": "/mnt/backups"}),
        ("file:////mnt/backups", "filesystem", {"path": "/mnt/backups"}),
        ("file:///a%20b", "filesystem", {"path": "/a%20b"}),
        ("memory://name", "memory", {"name": "name"}),
        ("memory://", "memory", {"name": ""}),
        ("s3://backup-bucket/my-backups", "s3", {"bucket": "backup-bucket", "prefix": "my-backups/"}),
        ("s3://bucket/path1/path2/path3", "s3", {"bucket": "bucket", "prefix": "path1/path2/path3/"}),
        ("s3://bucket/path with space", "s3", {"bucket": "bucket", "prefix": "path with space/"}),
        ("s3://bkt/", "s3", {"bucket": "bkt", "prefix": None}),
        ("s3://bkt", "s3", {"bucket": "bkt", "prefix": None, "endpoint": "s3.amazonaws.com"}),
        ("s3://bkt//", "s3", {"bucket": "bkt", "prefix": None}),
        ("s3://bucket/a//b/", "s3", {"bucket": "bucket", "prefix": "a/b/"}),
        ("S3://Bucket_1/a", "s3", {"bucket": "Bucket_1", "prefix": "a/"}),
        ("gcs://my-gcs-bucket/backups", "gcs", {"bucket": "my-gcs-bucket", "prefix": "backups/"}),
        ("gs://bucket", "gcs", {"bucket": "bucket", "prefix": None}),
        ("azure://container/backups", "azureBlob", {"container": "container", "prefix": "backups/"}),
        ("az://$web", "azureBlob", {"container": "$web", "prefix": None}),
        ("b2://bucket/path/to/backups", "b2", {"bucket": "bucket", "prefix": "path/to/backups/"}),
        ("sftp://backup-server.example.com/backups", "sftp", {"host": "backup-server.example.com", "port": 22}),
        ("sftp://backup-server.example.com/backups", "sftp", {"path": "/backups", "username": ""}),
        ("sftp://me@h:2222/p/q/", "sftp", {"host": "h", "port": 2222, "path": "/p/q", "username": "me"}),
        ("sftp://a@b@h/p", "sftp", {"host": "h", "username": "a@b"}),
        ("sftp://[2001:db8::1]:22/p", "sftp", {"host": "2001:db8::1", "port": 22}),
        ("sftp://[::1]/p", "sftp", {"host": "::1"}),
        ("webdav://host:8443/remote.php/dav/", "webdav", {"url": "https://host:8443/remote.php/dav"}),
        ("davs://host", "webdav", {"url": "https://host"}),
        ("dav://[::1]:80/p", "webdav", {"url": "https://[::1]:80/p"}),
        ("webdav+http://host/p", "webdav", {"url": "http://host/p"}),
        ("rclone://remote-name:/backups", "rclone", {"remotePath": "remote-name:/backups"}),
        ("rclone://remote:path/to", "rclone", {"remotePath": "remote:path/to"}),
        ("rclone://remote:", "rclone", {"remotePath": "remote:"}),
        ("gdrive://1A2b3C4d5E_-fgh", "gdrive", {"folderID": "1A2b3C4d5E_-fgh"}),
        ("gdrive://1A2b3C4d5E/", "gdrive", {"folderID": "1A2b3C4d5E"}),
    ],
)
def test_a_url_names_a_storage(url: str, kind: str, fields: dict[str, Any]) -> None:
    info = storage_from_url(url)
    assert info.type == kind
    assert {name: info.config.get(name) for name in fields} == fields
    assert ConnectionInfo.from_options(info.options()) == info


def test_a_relative_folder_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for url in ("backups", "./backups", "C:/backups", "my:backups"):
        assert storage_from_url(url).config["path"] == os.path.join(tmp_path, os.path.normpath(url))


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "empty"),
        (" \t", "empty"),
        ("ftp://host/x", "unsupported repository URL scheme 'ftp'; supported: az, azure, b2, .*webdavs"),
        ("s3:bucket/x", "must start with s3://"),
        ("s3:/bucket/x", "must start with s3://"),
        ("filesystem:/x", "must start with filesystem://"),
        ("filesystem://relative/x", "not absolute"),
        ("filesystem://", "not absolute"),
        ("filesystem:///a/../b", r"'\.\.'"),
        ("filesystem:///a?b", r"can't hold '\?'"),
        ("filesystem:///a\nb", "control characters"),
        ("memory://a/b", "no slash"),
        ("s3://b1/x", "3 to 63 characters"),
        ("s3://" + "b" * 64, "3 to 63 characters"),
        ("s3://bucket/a/../b", r"'\.\.'"),
        ("s3:///x", "names no bucket"),
        ("s3://", "names no bucket"),
        ("s3://My Bucket/x", "names no bucket"),
        ("s3://-bucket/x", "names no bucket"),
        ("s3://buc..ket/x", "names no bucket"),
        ("s3://10.0.0.1/x", "an address"),
        ("s3://bucket/x?region=y", r"can't hold '\?'"),
        ("s3://bucket/x#y", "can't hold '#'"),
        ("s3://bucket\\x", "can't hold"),
        ("gcs:///x", "names no bucket"),
        ("azure://", "names no bucket"),
        ("b2://a b/c", "names no bucket"),
        ("sftp://host", "names no folder"),
        ("sftp://host/", "names no folder"),
        ("sftp:///path", "no host"),
        ("sftp://@host/path", "empty"),
        ("sftp://host:0/path", "port"),
        ("sftp://host:65536/path", "port"),
        ("sftp://host:ssh/path", "port"),
        ("sftp://host:999999999999999999999999/path", "port"),
        ("sftp://[::1/path", "no host"),
        ("sftp://::1/path", "no host"),
        ("sftp://ho st/path", "no host"),
        ("webdav://", "no host"),
        ("webdav:///path", "no host"),
        ("rclone://remote", "names no remote"),
        ("rclone://:path", "names no remote"),
        ("rclone://a/b:c", "names no remote"),
        ("gdrive://folder-id", "names no folder"),
        ("gdrive://1A2b3C4d5E/below", "names no folder"),
        ("gdrive://", "names no folder"),
    ],
)
def test_what_names_no_storage_is_refused_with_the_reason(url: str, reason: str) -> None:
    with pytest.raises(InvalidURLError, match=reason) as caught:
        storage_from_url(url)
    assert isinstance(caught.value, UsageError)


@pytest.mark.parametrize(
    "url",
    [
        "sftp://me:hunter2@host/path",
        "webdav://me:hunter2@host/path",
        "s3://me:hunter2@bucket/path",
        "s3://bucket/?secret=hunter2",
        "gcs://me:hunter2@bucket",
        "azure://me:hunter2@container",
        "b2://me:hunter2@bucket",
        "gdrive://me:hunter2@folder",
        "rclone://hunter2@remote",
        "filesystem://me:hunter2@host/path",
        "ftp://me:hunter2@host/path",
        "sftp://host:hunter2/path",
    ],
)
def test_a_password_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(InvalidURLError) as caught:
        storage_from_url(url)
    assert "hunter2" not in str(caught.value)


SCHEMES = [
    "az",
    "azure",
    "b2",
    "dav",
    "file",
    "filesystem",
    "gcs",
    "gdrive",
    "memory",
    "rclone",
    "s3",
    "sftp",
    "webdav",
]


@given(st.sampled_from(SCHEMES), st.text(max_size=30) | st.from_regex(r"[a-z@:\[\]/.0-9]{0,30}", fullmatch=True))
def test_any_text_is_a_storage_or_an_invalid_url(scheme: str, rest: str) -> None:
    try:
        info = storage_from_url(f"{scheme}://{rest}")
    except InvalidURLError:
        return
    prefix = info.config.get("prefix") or ""
    assert not prefix.startswith("/")
    assert "//" not in prefix
    assert prefix in ("", prefix.rstrip("/") + "/")
    assert ".." not in str(info.config.get("path", "")).split("/")
