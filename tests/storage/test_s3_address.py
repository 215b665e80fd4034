"""Where the bucket stands in requests: as Kopia's client has it."""

import pytest

from pykopia.errors import UsageError
from pykopia.storage.backends.s3.address import S3Address
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.backends.s3.storage import S3Storage


def url(endpoint: str, *, bucket: str = "bucket", region: str = "us-east-1", tls: bool = True, style: str = "") -> str:
    return S3Address(endpoint=endpoint, bucket=bucket, tls=tls, style=style).url("a/b c", region)


@pytest.mark.parametrize(
    ("endpoint", "region", "expected"),
    [
        ("s3.amazonaws.com", "us-east-1", "https://bucket.s3.amazonaws.com/a/b%20c"),
        ("s3.amazonaws.com", "eu-west-1", "https://bucket.s3.eu-west-1.amazonaws.com/a/b%20c"),
        ("s3.eu-west-1.amazonaws.com", "eu-west-1", "https://bucket.s3.eu-west-1.amazonaws.com/a/b%20c"),
        ("s3-eu-west-1.amazonaws.com", "eu-west-1", "https://bucket.s3.eu-west-1.amazonaws.com/a/b%20c"),
        ("s3.us-gov-west-1.amazonaws.com", "us-gov-west-1", "https://bucket.s3.us-gov-west-1.amazonaws.com/a/b%20c"),
        (
            "s3.dualstack.eu-west-1.amazonaws.com",
            "eu-west-1",
            "https://bucket.s3.dualstack.eu-west-1.amazonaws.com/a/b%20c",
        ),
        ("s3.cn-north-1.amazonaws.com.cn", "cn-north-1", "https://bucket.s3.cn-north-1.amazonaws.com.cn/a/b%20c"),
        ("s3-accelerate.amazonaws.com", "eu-west-1", "https://bucket.s3-accelerate.amazonaws.com/a/b%20c"),
        ("s3-fips.us-east-1.amazonaws.com", "us-east-1", "https://bucket.s3-fips.us-east-1.amazonaws.com/a/b%20c"),
        (
            "bucket.vpce-1a2b-5e.s3.us-east-1.vpce.amazonaws.com",
            "us-east-1",
            "https://bucket.bucket.vpce-1a2b-5e.s3.us-east-1.vpce.amazonaws.com/a/b%20c",
        ),
        ("storage.googleapis.com", "us-east-1", "https://bucket.storage.googleapis.com/a/b%20c"),
        ("oss-cn-hangzhou.aliyuncs.com", "us-east-1", "https://bucket.oss-cn-hangzhou.aliyuncs.com/a/b%20c"),
        (
            "oss-eu-central-1-internal.aliyuncs.com",
            "x",
            "https://bucket.oss-eu-central-1-internal.aliyuncs.com/a/b%20c",
        ),
        ("minio:9000", "us-east-1", "https://minio:9000/bucket/a/b%20c"),
        ("s3.eu-central-003.backblazeb2.com", "x", "https://s3.eu-central-003.backblazeb2.com/bucket/a/b%20c"),
        ("fra1.digitaloceanspaces.com", "us-east-1", "https://fra1.digitaloceanspaces.com/bucket/a/b%20c"),
        ("s3.wasabisys.com", "us-east-1", "https://s3.wasabisys.com/bucket/a/b%20c"),
        ("x.s3-outposts.eu-west-1.amazonaws.com", "x", "https://x.s3-outposts.eu-west-1.amazonaws.com/bucket/a/b%20c"),
        ("[fd00::1]:9000", "us-east-1", "https://[fd00::1]:9000/bucket/a/b%20c"),
        ("127.0.0.1", "us-east-1", "https://127.0.0.1/bucket/a/b%20c"),
    ],
)
def test_the_bucket_stands_where_the_service_wants_it(endpoint: str, region: str, expected: str) -> None:
    assert url(endpoint, region=region) == expected


def test_a_bucket_with_a_dot_stands_in_the_path_of_tls() -> None:
    assert url("s3.amazonaws.com", bucket="my.bucket") == "https://s3.amazonaws.com/my.bucket/a/b%20c"
    assert url("s3.amazonaws.com", bucket="my.bucket", tls=False) == "http://my.bucket.s3.amazonaws.com/a/b%20c"


def test_a_setting_overrules_the_endpoint() -> None:
    assert url("minio:9000", style="virtual") == "https://bucket.minio:9000/a/b%20c"
    assert url("oss-cn-hangzhou.aliyuncs.com", style="path") == "https://oss-cn-hangzhou.aliyuncs.com/bucket/a/b%20c"
    assert (
        url("s3.amazonaws.com", style="path", region="eu-west-1") == "https://s3.eu-west-1.amazonaws.com/bucket/a/b%20c"
    )


def test_a_setting_that_is_none_is_refused() -> None:
    with pytest.raises(UsageError, match="addressing style 'host'"):
        S3Storage(S3Options(bucket="bucket", endpoint="127.0.0.1:1", addressing_style="host"))
