"""Probes and metrics over HTTP, and what a reader of metrics must be."""

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from pykopia_operator.control import meters
from pykopia_operator.control.carry_out import Performer
from pykopia_operator.control.http import metrics, metrics_context, probes, serve
from pykopia_operator.control.meters import DEFINITIONS, Meters
from pykopia_operator.decide.plan import Measure, Patch, Plan
from pykopia_operator.errors import ApiError
from pykopia_operator.settings import Settings

from tests.operator.fake_api import Clock, FakeApi


async def ask(port: int, path: str, *, token: str = "", context: ssl.SSLContext | None = None) -> tuple[int, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    extra = f"Authorization: Bearer {token}\r\n" if token else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n{extra}\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return int(head.split(" ")[1]), body


def test_readiness_follows_the_operator_and_liveness_does_not() -> None:
    async def scene() -> list[int]:
        ready = False
        server = await serve("127.0.0.1:0", probes(lambda: ready))
        port = server.sockets[0].getsockname()[1]
        async with server:
            found = [(await ask(port, path))[0] for path in ("/healthz", "/readyz", "/other")]
            ready = True
            return [*found, (await ask(port, "/readyz"))[0]]

    assert asyncio.run(scene()) == [200, 503, 404, 200]


class Reviewer:
    """An API server that knows two tokens."""

    async def create(self, obj: dict[str, Any]) -> dict[str, Any]:
        if obj["kind"] == "TokenReview":
            token = obj["spec"]["token"]
            return {"status": {"authenticated": token in {"good", "known"}, "user": {"username": token}}}
        assert obj["spec"]["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
        return {"status": {"allowed": obj["spec"]["user"] == "good"}}


@pytest.mark.parametrize(("token", "status"), [("", 401), ("bad", 401), ("known", 403), ("good", 200)])
def test_metrics_are_served_by_tls_to_authorized_readers_alone(token: str, status: int) -> None:
    async def scene() -> tuple[int, str]:
        handler = metrics(lambda: b"pykopia_x 1\n", Reviewer())  # type: ignore[arg-type]
        server = await serve("127.0.0.1:0", handler, context=metrics_context(Settings()))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        async with server:
            return await ask(server.sockets[0].getsockname()[1], "/metrics", token=token, context=context)

    found, body = asyncio.run(scene())
    assert found == status
    assert ("pykopia_x" in body) == (status == 200)


def test_metrics_have_volsyncs_names_and_deleted_objects_lose_theirs() -> None:
    meters = Meters(clock=lambda: 1000.0)
    labels = {"obj_name": "app", "obj_namespace": "prod", "role": "source"}
    meters.take(Measure(name="sync_duration_seconds", value=2.5, labels=labels))
    meters.take(Measure(name="missed_intervals_total", labels=labels | {"once": "run 1"}))
    meters.take(Measure(name="missed_intervals_total", labels=labels | {"once": "run 1"}))
    meters.take(Measure(name="last_success_timestamp_seconds", value=900, labels=labels))
    text = meters.text().decode()
    with_method = 'method="kopia",obj_name="app",obj_namespace="prod"'
    assert f'volsync_missed_intervals_total{{{with_method},role="source"}} 1.0' in text
    assert f'volsync_sync_duration_seconds{{{with_method},quantile="0.9",role="source"}} 2.5' in text
    assert 'pykopia_snapshot_age_seconds{obj_name="app",obj_namespace="prod",role="source"} 100.0' in text
    meters.forget("prod", "app", "source")
    assert "obj_name" not in meters.text().decode()


def test_every_metric_has_a_name_of_one_of_the_three_families() -> None:
    assert all(full.startswith(("volsync_", "volsync_kopia_", "pykopia_")) for full, _, _ in DEFINITIONS.values())


def test_every_metric_that_is_declared_is_filled_somewhere() -> None:
    """A name that nothing fills would be a series that never changes."""
    folder = Path(meters.__file__).parents[1]
    code = "".join(path.read_text() for path in (folder / "decide").rglob("*.py"))
    filled = {name for name in DEFINITIONS if f'measure("{name}"' in "".join(code.split()) or f'"{name}",' in code}
    collected = {"snapshot_age_seconds", "queue_depth", "parallel_operations_active"}
    assert DEFINITIONS.keys() - filled == collected
    text = Meters().text().decode()
    assert "volsync_kopia_queue_depth 0.0" in text
    assert "volsync_kopia_parallel_operations_active 0.0" in text


def test_a_plan_that_is_refused_counts_nothing() -> None:
    """It is decided anew, and would be counted twice."""

    class Counter:
        def __init__(self) -> None:
            self.taken: list[str] = []

        def take(self, measure: Measure) -> None:
            self.taken.append(measure.name)

    clock, counter = Clock(), Counter()
    api = FakeApi(clock)
    thing = api.put({"kind": "ReplicationSource", "metadata": {"name": "app", "namespace": "prod"}})
    change = {"metadata": {"resourceVersion": "0"}, "status": {"lastSyncTime": "2026-03-01T00:00:00Z"}}
    plan = Plan().add(Measure(name="consecutive_failures"), Patch(obj=thing, change=change, subresource="status"))
    performer = Performer(api, clock.now, counter)
    with pytest.raises(ApiError):
        asyncio.run(performer.carry_out(plan))
    assert counter.taken == []
    change["metadata"]["resourceVersion"] = thing["metadata"]["resourceVersion"]
    asyncio.run(performer.carry_out(plan))
    assert counter.taken == ["consecutive_failures"]
