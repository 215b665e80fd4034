"""Backblaze B2 as its SDK imitates it: in this process, without HTTP."""

import itertools
import threading
import time
from dataclasses import replace
from typing import Any

from b2sdk.v3 import B2Api, B2HttpApiConfig, InMemoryAccountInfo, RawSimulator

from pykopia.storage.backends.b2.options import B2Options
from pykopia.storage.backends.b2.storage import B2Storage


class OneAtATime:
    """The simulator for several threads; it is made for one."""

    def __init__(self, simulator: RawSimulator) -> None:
        self._simulator, self._lock = simulator, threading.RLock()

    def __getattr__(self, name: str) -> object:
        found = getattr(self._simulator, name)
        if not callable(found):
            return found

        def call(*arguments: object, **named: object) -> object:
            with self._lock:
                return found(*arguments, **named)

        return call


class Simulator(RawSimulator):  # type: ignore[misc] # the SDK has no types
    """The SDK's, which forgets to say for which bucket an upload is: so a key for one bucket could do nothing."""

    def _assert_account_auth(
        self,
        api_url: str,
        account_auth_token: str,
        account_id: str,
        capability: str,
        bucket_id: str | None = None,
        file_name: str | None = None,
    ) -> None:
        key = self.auth_token_to_key.get(account_auth_token)
        if bucket_id is None and key is not None and key.buckets_or_none and capability in {"writeFiles", "listFiles"}:
            bucket_id = key.buckets_or_none[0]["id"]
        super()._assert_account_auth(api_url, account_auth_token, account_id, capability, bucket_id, file_name)


class Service:
    """One simulated service with a bucket; every storage of it is another client."""

    def __init__(self, bucket: str = "backups") -> None:
        self.simulator = Simulator()
        self.key_id, self.key = self.simulator.create_account()
        self.config = B2HttpApiConfig(_raw_api_class=lambda _: OneAtATime(self.simulator))
        self.options = B2Options(bucket=bucket, prefix="folder/", key_id=self.key_id, key=self.key)
        self.api = B2Api(InMemoryAccountInfo(), api_config=self.config)
        self.api.authorize_account(self.key_id, self.key)
        self.api.create_bucket(bucket, "allPrivate")
        # its own clock stands at the beginning of 1970
        now = itertools.count(time.time_ns() // 1_000_000)
        self.simulator.bucket_name_to_bucket[bucket].upload_timestamp_counter = now

    def restricted_key(self, *capabilities: str) -> tuple[str, str]:
        """Return ID and secret of a key that may do no more than that, and only in the bucket."""
        bucket = self.api.get_bucket_by_name(self.options.bucket)
        key = self.api.create_key([*capabilities], "restricted", bucket_ids=[bucket.id_])
        return key.id_, key.application_key

    def open(self, **changes: Any) -> B2Storage:  # noqa: ANN401
        return B2Storage(replace(self.options, **changes), config=self.config)
