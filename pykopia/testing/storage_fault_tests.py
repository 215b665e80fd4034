"""Tests of what a storage on a network must withstand: a backend passes them by subclassing. They need pytest.

.. code-block:: python

    class TestMyStorageWithFaults(StorageFaultTests):
        secrets = ("the password",)

        @pytest.fixture
        def proxy(self, server):
            with FaultyProxy(server.host, server.port) as proxy:
                yield proxy

        @pytest.fixture
        def storage(self, proxy):  # as opened, without retries, with a time-out of about half a second
            with MyStorage(proxy.host, proxy.port, timeout=0.5) as storage:
                yield storage

        @pytest.fixture
        def direct(self, server):  # the same place, not through the proxy
            with MyStorage(server.host, server.port) as storage:
                yield storage
"""

import email.utils
import traceback
from collections.abc import Callable
from functools import partial
from typing import ClassVar

import pytest

from pykopia import clock
from pykopia.errors import (
    BlobNotFoundError,
    PykopiaError,
    StorageAccessDeniedError,
    StorageFullError,
    StorageUnavailableError,
)
from pykopia.ids import BlobID
from pykopia.storage.base import BlobStorage
from pykopia.storage.retrying import RetryingStorage, RetrySchedule
from pykopia.testing.proxy import FaultyProxy
from pykopia.testing.storage_tests import FORMAT, PACK

_OTHER = BlobID("q102a5fa3c3e3c6216a09ff876ced02ed4")
_OLD, _NEW = b"old" * 1000, bytes(range(256)) * 4096


class StorageFaultTests:
    """What every storage behind a network must bear."""

    speaks_http: ClassVar[bool] = True
    """Whether the proxy can answer in the place of the server: plain HTTP."""
    secrets: ClassVar[tuple[str, ...]] = ()
    """What must not stand in any error."""
    lost_connection: ClassVar[Exception] = ConnectionResetError(104, "Connection reset by peer")
    """What the library beneath raises when a connection is lost."""
    denied_statuses: ClassVar[tuple[int, ...]] = (403,)
    """Statuses by which a server refuses for good."""

    @pytest.fixture
    def proxy(self) -> FaultyProxy:
        """Return the proxy before the server: to be overridden."""
        raise NotImplementedError("a subclass of StorageFaultTests must give the fixture `proxy`")

    @pytest.fixture
    def storage(self, proxy: FaultyProxy) -> BlobStorage:
        """Return an empty storage through the proxy, without retries and with a short time-out: to be overridden."""
        raise NotImplementedError("a subclass of StorageFaultTests must give the fixture `storage`")

    @pytest.fixture
    def direct(self, storage: BlobStorage) -> BlobStorage:
        """Return the same storage not through the proxy: to be overridden."""
        raise NotImplementedError("a subclass of StorageFaultTests must give the fixture `direct`")

    @pytest.fixture
    def retrying(self, storage: BlobStorage) -> BlobStorage:
        """Return the storage with retries that don't pause."""
        return RetryingStorage(storage, schedule=RetrySchedule(), sleep=lambda _: None)

    def fails(self, kind: type[PykopiaError], call: Callable[[], object]) -> PykopiaError:
        """Check that a call fails with such an error, whose text holds no secret, and return it."""
        with pytest.raises(kind) as caught:
            call()
        told = "".join(traceback.format_exception(caught.value)) + repr(caught.value)
        assert not [secret for secret in self.secrets if secret in told]
        return caught.value

    @pytest.mark.parametrize("after", [0, 1, 700, 300_000])
    def test_a_put_that_is_cut_off_leaves_the_old_blob(
        self, proxy: FaultyProxy, storage: BlobStorage, direct: BlobStorage, after: int
    ) -> None:
        """Or none if there was none; never a part. The error is temporary."""
        direct.put(PACK, _OLD)
        for blob_id in (PACK, _OTHER):
            proxy.kill_uploads(after, times=-1)
            assert self.fails(StorageUnavailableError, partial(storage.put, blob_id, _NEW)).temporary
            assert proxy.hits
            proxy.heal()
        assert direct.get(PACK) == _OLD
        assert [(blob.blob_id, blob.length) for blob in direct.list()] == [(PACK, len(_OLD))]
        with pytest.raises(BlobNotFoundError):
            direct.get(_OTHER)
        storage.put(PACK, _NEW)
        assert direct.get(PACK) == _NEW

    @pytest.mark.parametrize("after", [0, 1, 300_000])
    def test_a_put_that_was_cut_off_is_done_again(
        self, proxy: FaultyProxy, retrying: BlobStorage, direct: BlobStorage, after: int
    ) -> None:
        """With retries nobody notices."""
        retrying.put(FORMAT, _OLD)
        proxy.kill_uploads(after, times=2)
        retrying.put(FORMAT, _NEW)
        assert proxy.hits == 2
        assert direct.get(FORMAT) == _NEW

    def test_a_put_whose_answer_is_lost_is_done_again(
        self, proxy: FaultyProxy, retrying: BlobStorage, direct: BlobStorage
    ) -> None:
        """And the blob is there once, whole."""
        proxy.lose_answers(times=2)
        retrying.put(PACK, _NEW)
        assert proxy.hits == 2
        assert direct.get(PACK) == _NEW
        assert [blob.length for blob in direct.list()] == [len(_NEW)]

    @pytest.mark.parametrize("after", [0, 1, 300_000])
    def test_a_get_that_is_cut_off_gives_no_part(
        self, proxy: FaultyProxy, storage: BlobStorage, direct: BlobStorage, after: int
    ) -> None:
        """It is a temporary error, and done again with retries."""
        direct.put(PACK, _NEW)
        proxy.kill_downloads(after, times=-1)
        assert self.fails(StorageUnavailableError, lambda: storage.get(PACK)).temporary
        assert self.fails(StorageUnavailableError, lambda: storage.get(PACK, 5, 900_000)).temporary
        proxy.heal()
        assert storage.get(PACK, 5, 900_000) == _NEW[5:900_005]

    def test_gets_and_listings_are_done_again(
        self, proxy: FaultyProxy, retrying: BlobStorage, direct: BlobStorage
    ) -> None:
        """With retries nobody notices; so with deletes."""
        direct.put(PACK, _NEW)
        calls: tuple[Callable[[], object], ...] = (
            lambda: retrying.get(PACK) == _NEW,
            lambda: retrying.get(PACK, 100, 500_000) == _NEW[100:500_100],
            lambda: retrying.metadata(PACK).length == len(_NEW),
            lambda: [blob.blob_id for blob in retrying.list()] == [PACK],
            lambda: retrying.delete(PACK) is None,
            lambda: [*direct.list()] == [],
        )
        for call in calls:
            proxy.kill_downloads(times=2)
            assert call()

    def test_a_server_that_stands_still_is_given_up_in_time(
        self, proxy: FaultyProxy, storage: BlobStorage, direct: BlobStorage
    ) -> None:
        """And is tried again, as it may have come back."""
        direct.put(PACK, _NEW)
        assert storage.get(PACK) == _NEW
        proxy.stall()
        for call in (lambda: storage.get(PACK), lambda: storage.put(PACK, _OLD), lambda: [*storage.list()]):
            assert self.fails(StorageUnavailableError, call).temporary
        proxy.heal()
        assert storage.get(PACK) == _NEW

    def test_a_slow_server_is_tried_again(self, proxy: FaultyProxy, retrying: BlobStorage) -> None:
        """The first connections stand still, a later one is answered."""
        proxy.stall(times=2)
        retrying.put(PACK, _NEW)
        assert proxy.hits == 2
        proxy.heal()
        assert retrying.get(PACK) == _NEW

    def test_a_refused_connection_is_temporary(self, proxy: FaultyProxy, storage: BlobStorage) -> None:
        """And names the server."""
        proxy.refuse()
        error = self.fails(StorageUnavailableError, lambda: storage.get(PACK))
        assert str(proxy.port) in str(error)
        proxy.heal()
        with pytest.raises(BlobNotFoundError):
            storage.get(PACK)

    @pytest.mark.parametrize("status", [429, 500, 502, 503])
    def test_a_storm_of_temporary_answers_is_survived(
        self, proxy: FaultyProxy, retrying: BlobStorage, direct: BlobStorage, status: int
    ) -> None:
        """All calls go through in the end."""
        self.need_http()
        direct.put(PACK, _OLD)
        calls: tuple[Callable[[], object], ...] = (
            lambda: retrying.get(PACK) == _OLD,
            lambda: retrying.get(PACK, 3, 5) == _OLD[3:8],
            lambda: retrying.metadata(PACK).length == len(_OLD),
            lambda: retrying.put(_OTHER, _NEW) or direct.get(_OTHER) == _NEW,
            lambda: {blob.blob_id for blob in retrying.list()} == {PACK, _OTHER},
            lambda: retrying.delete(_OTHER) is None,
        )
        for call in calls:
            proxy.answer(status, times=4)
            assert call()
            assert proxy.hits == 4
        assert [blob.blob_id for blob in direct.list()] == [PACK]

    @pytest.mark.parametrize("status", [429, 500, 503])
    def test_without_retries_such_an_answer_is_a_temporary_error(
        self, proxy: FaultyProxy, storage: BlobStorage, status: int
    ) -> None:
        """Which names the status."""
        self.need_http()
        proxy.answer(status, times=-1)
        error = self.fails(StorageUnavailableError, lambda: storage.put(PACK, _NEW))
        assert error.temporary
        assert str(status) in str(error)

    @pytest.mark.parametrize("status", [429, 503])
    def test_the_wait_that_a_service_asks_for_is_kept_within_bounds(
        self, proxy: FaultyProxy, storage: BlobStorage, direct: BlobStorage, status: int
    ) -> None:
        """Seconds or a date, beside the pause that there is anyway; what makes no sense is passed over."""
        self.need_http()
        direct.put(PACK, _NEW)
        schedule = RetrySchedule()
        in_a_minute = email.utils.formatdate(clock.now_seconds() + 60, usegmt=True)
        for asked, least, most in (("7", 7, 7), ("100000", 120, 120), (in_a_minute, 30, 61), ("soon", 0, 0)):
            calls: tuple[Callable[[BlobStorage], object], ...] = (
                lambda storage: storage.get(PACK),
                lambda storage: storage.put(PACK, _NEW),
                lambda storage: [*storage.list()],
            )
            for call in calls:
                waits: list[float] = []
                retrying = RetryingStorage(storage, schedule=schedule, sleep=waits.append, chance=lambda: 0.0)
                proxy.answer(status, headers={"Retry-After": asked})
                call(retrying)
                assert len(waits) == 1
                assert least <= waits[0] - schedule.first_pause <= most
                proxy.heal()

    def test_what_goes_wrong_while_the_place_itself_is_looked_for_is_a_temporary_error(
        self, retrying: BlobStorage, storage: BlobStorage, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A missing blob leads to a second request: is the folder or bucket there? It fails, and is made again."""
        if not hasattr(storage, "_check_root"):
            pytest.skip("this storage makes no second request")
        look, left = storage._check_root, 0  # noqa: SLF001 -- where a proxy can't tell the two requests apart

        def look_or_fail() -> None:
            nonlocal left
            if left:
                left -= 1
                raise self.lost_connection
            look()

        monkeypatch.setattr(storage, "_check_root", look_or_fail)
        calls: tuple[Callable[[BlobStorage], object], ...] = (
            lambda storage: storage.get(PACK),
            lambda storage: storage.get(PACK, 1, 5),
            lambda storage: storage.metadata(PACK),
        )
        for call in calls:
            left = 1
            assert self.fails(StorageUnavailableError, partial(call, storage)).temporary
            left = 2
            with pytest.raises(BlobNotFoundError):
                call(retrying)
            assert not left

    def test_a_full_storage_ends_a_put_at_once(
        self, proxy: FaultyProxy, retrying: BlobStorage, direct: BlobStorage
    ) -> None:
        """The old blob is left, and the error says what can be done."""
        self.need_http()
        direct.put(PACK, _OLD)
        proxy.answer(507, times=-1)
        error = self.fails(StorageFullError, lambda: retrying.put(PACK, _NEW))
        assert not error.temporary
        assert "space" in str(error)
        assert direct.get(PACK) == _OLD

    def test_what_is_denied_is_not_tried_again(
        self, proxy: FaultyProxy, retrying: BlobStorage, direct: BlobStorage
    ) -> None:
        """A denied delete leaves the blob."""
        self.need_http()
        direct.put(PACK, _OLD)
        for status in self.denied_statuses:
            calls: tuple[Callable[[], object], ...] = (
                lambda: retrying.delete(PACK),
                lambda: retrying.put(PACK, _NEW),
                lambda: retrying.get(PACK),
            )
            for call in calls:
                proxy.answer(status, times=-1)
                assert not self.fails(StorageAccessDeniedError, call).temporary
                assert proxy.hits <= 2
                proxy.heal()
        assert direct.get(PACK) == _OLD

    def need_http(self) -> None:
        """Skip a test that needs plain HTTP."""
        if not self.speaks_http:
            pytest.skip("the proxy can't answer in the place of this server")


__all__ = ["StorageFaultTests"]
