"""What a server that is not Google's may answer: each answer is named as such, and none is an empty bucket."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pykopia.errors import InvalidRangeError, StorageAccessDeniedError, WrongServerError
from pykopia.ids import BlobID
from pykopia.storage.backends.gcs.options import GCSOptions
from pykopia.storage.backends.gcs.storage import GCSStorage
from tests.servers.imitation import Answering, serving
from tests.servers.process import HOST

ITEM = {"name": "x1", "size": "3", "timeCreated": "2024-01-01T00:00:00Z", "generation": "1"}


class Service(Answering):
    """Gives one answer to everything."""

    answer: tuple[int, Any]

    def on_get(self) -> None:
        """Answer."""
        status, document = self.answer
        self.send(status, json.dumps(document).encode(), **{"Content-Type": "application/json"})


def asked(
    monkeypatch: pytest.MonkeyPatch, act: Callable[[GCSStorage], object], document: object, status: int = 200
) -> Any:  # noqa: ANN401
    with serving(Service, answer=(status, document)) as port:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{HOST}:{port}")
        with GCSStorage(GCSOptions(bucket="b"), checked=False) as storage:
            return act(storage)


LOOKS: list[Callable[[GCSStorage], list[object]]] = [lambda it: [*it.list("x")], lambda it: [*it.versions("x")]]


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize(
    "document",
    [
        {"items": None},
        {"items": {"name": "x1"}},
        {"items": ["x1"]},
        {"items": [{"size": "3"}]},
        {"items": [ITEM | {"name": 5}]},
        {"items": [ITEM | {"size": "many"}]},
        {"items": [ITEM | {"timeCreated": "yesterday"}]},
        {"items": [ITEM], "nextPageToken": "the same"},
        {"status": "ok"},
        [ITEM],
    ],
)
def test_a_listing_of_another_service_is_named(
    monkeypatch: pytest.MonkeyPatch, look: Callable[[GCSStorage], object], document: object
) -> None:
    with pytest.raises(WrongServerError):
        asked(monkeypatch, look, document)


@pytest.mark.parametrize("look", LOOKS)
@pytest.mark.parametrize("document", [{}, {"kind": "storage#objects", "etag": "e"}, {"items": []}])
def test_an_empty_listing_is_one(
    monkeypatch: pytest.MonkeyPatch, look: Callable[[GCSStorage], object], document: object
) -> None:
    assert asked(monkeypatch, look, document) == []


def test_metadata_of_another_service_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WrongServerError):
        asked(monkeypatch, lambda storage: storage.metadata(BlobID("x1")), {"status": "ok"})


@pytest.mark.parametrize("look", LOOKS)
def test_a_refused_listing_is_told(monkeypatch: pytest.MonkeyPatch, look: Callable[[GCSStorage], object]) -> None:
    error = {"error": {"message": "no", "errors": [{"reason": "forbidden"}]}}
    with pytest.raises(StorageAccessDeniedError, match="list the"):
        asked(monkeypatch, look, error, 403)


class WithoutRanges(Answering):
    """Sends the whole object, whatever part of it is asked for."""

    def on_get(self) -> None:
        """Answer."""
        self.send(200, b"0123456789", **{"Content-Type": "application/octet-stream"})


@pytest.mark.parametrize(
    ("offset", "length", "part"), [(0, 4, b"0123"), (3, 4, b"3456"), (6, -1, b"6789"), (0, -1, b"0123456789")]
)
def test_a_server_that_knows_no_ranges_is_read_all_the_same(
    monkeypatch: pytest.MonkeyPatch, offset: int, length: int, part: bytes
) -> None:
    with serving(WithoutRanges) as port:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://{HOST}:{port}")
        with GCSStorage(GCSOptions(bucket="b"), checked=False) as storage:
            assert storage.get(BlobID("x1"), offset, length) == part
            with pytest.raises(InvalidRangeError):
                storage.get(BlobID("x1"), 8, 4)
