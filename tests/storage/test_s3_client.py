"""The requests of S3 to servers that are not as S3 is."""

from collections.abc import Callable
from itertools import cycle

import pytest

from pykopia.errors import InvalidRangeError, PykopiaError, WrongServerError
from pykopia.ids import BlobID
from pykopia.storage.backends.s3.options import S3Options
from pykopia.storage.backends.s3.storage import S3Storage
from tests.servers.imitation import Answering, serving
from tests.servers.process import HOST

ITEM = "<Contents><Key>x1</Key><Size>1</Size><LastModified>2024-01-01T00:00:00Z</LastModified></Contents>"


class Bucket(Answering):
    """Gives the answers of ``answer`` to everything, and counts them."""

    answer: Callable[[], tuple[int, str, dict[str, str]]]
    asked: list[str]

    def on_get(self) -> None:
        """Answer."""
        self.asked.append(self.path)
        status, text, headers = type(self).answer()
        self.send(status, text.encode(), **headers)


def bucket(port: int) -> S3Storage:
    options = S3Options(
        bucket="b", endpoint=f"{HOST}:{port}", do_not_use_tls=True, access_key_id="a", secret_access_key="s", region="r"
    )
    return S3Storage(options, checked=False)


def listed(port: int) -> list[str]:
    with bucket(port) as storage:
        return [blob.blob_id for blob in storage.list("x")]


@pytest.mark.parametrize("token", ["", "<NextContinuationToken>t</NextContinuationToken>"])
@pytest.mark.parametrize("truncated", ["true", " True "])
def test_a_listing_whose_next_page_is_this_one_ends(truncated: str, token: str) -> None:
    page = f"<ListBucketResult><IsTruncated>{truncated}</IsTruncated>{token}{ITEM}</ListBucketResult>"
    asked: list[str] = []
    with (
        serving(Bucket, answer=lambda: (200, page, {"Content-Type": "application/xml"}), asked=asked) as port,
        pytest.raises(WrongServerError),
    ):
        listed(port)
    assert len(asked) <= 2


def test_servers_that_name_each_others_region_are_given_up() -> None:
    regions = cycle(["one", "two", "three", "four"])
    error = "<Error><Code>AuthorizationHeaderMalformed</Code><Message>another region</Message></Error>"
    asked: list[str] = []
    with (
        serving(Bucket, answer=lambda: (400, error, {"x-amz-bucket-region": next(regions)}), asked=asked) as port,
        pytest.raises(PykopiaError, match="another region"),
    ):
        listed(port)
    assert len(asked) == 3


@pytest.mark.parametrize(
    ("offset", "length", "part"), [(0, 4, b"0123"), (3, 4, b"3456"), (6, -1, b"6789"), (0, -1, b"0123456789")]
)
def test_a_server_that_knows_no_ranges_is_read_all_the_same(offset: int, length: int, part: bytes) -> None:
    answer = (200, "0123456789", {"Content-Type": "application/octet-stream"})
    with serving(Bucket, answer=lambda: answer, asked=[]) as port, bucket(port) as storage:
        assert storage.get(BlobID("x1"), offset, length) == part
        with pytest.raises(InvalidRangeError):
            storage.get(BlobID("x1"), 8, 4)
