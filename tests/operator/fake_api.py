"""An API server in memory: resource versions, generations, status subresources, preconditions, owners; and failures on demand."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar, cast

from pykopia_operator.api.kinds import KINDS
from pykopia_operator.decide.result import has_ended
from pykopia_operator.decide.times import format_time
from pykopia_operator.decide.world import Keys
from pykopia_operator.errors import ApiError, UnreachableError

Obj = dict[str, Any]
T = TypeVar("T")


class Killed(BaseException):
    """The process of the operator ends at this call."""


def apply_merge(target: Any, change: Any) -> Any:
    if not isinstance(change, dict):
        return change
    found = dict(target) if isinstance(target, dict) else {}
    for key, value in change.items():
        if value is None:
            found.pop(key, None)
        else:
            found[key] = apply_merge(found.get(key), value)
    return found


class Clock:
    """A clock that only moves when it is told to."""

    def __init__(self, start: datetime = datetime(2026, 3, 1, 10, 0, tzinfo=UTC)) -> None:
        self.moment = start

    def now(self) -> datetime:
        return self.moment

    def move(self, **length: float) -> None:
        self.moment += timedelta(**length)


class FakeApi:
    """An API server in memory."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.objects: dict[tuple[str, str, str], Obj] = {}
        self.logs: dict[tuple[str, str], str] = {}
        self.calls: list[tuple[str, str, str]] = []
        """Verb, kind and name of each call."""
        self.writes: list[tuple[str, str, str]] = []
        self.before: Callable[[int, str, str, str], None] = lambda *_: None
        """Called with the number of the call before it takes effect; may raise."""
        self.after: Callable[[int, str, str, str], None] = lambda *_: None
        """The same after it has taken effect: the answer is lost."""
        self._versions = itertools.count(1)
        self._uids = itertools.count(1)

    # ------------------------------------------------------------------ for tests

    def put(self, obj: Obj) -> Obj:
        """Store an object as a user or another controller would; return what was stored."""
        stored = _copy(obj)
        about = stored.setdefault("metadata", {})
        key = (stored["kind"], about.get("namespace") or "", about["name"])
        known = self.objects.get(key)
        about.setdefault("uid", known["metadata"]["uid"] if known else f"uid-{next(self._uids)}")
        about.setdefault("creationTimestamp", format_time(self.clock.now()))
        about.setdefault("generation", 1)
        if known is not None and known.get("spec") != stored.get("spec"):
            about["generation"] = known["metadata"]["generation"] + 1
        about["resourceVersion"] = str(next(self._versions))
        stored.setdefault("apiVersion", KINDS[stored["kind"]].api_version)
        self.objects[key] = stored
        return _copy(stored)

    def find(self, kind: str, name: str, namespace: str = "prod") -> Obj | None:
        return self.objects.get((kind, namespace if KINDS[kind].namespaced else "", name))

    def must(self, kind: str, name: str, namespace: str = "prod") -> Obj:
        found = self.find(kind, name, namespace)
        assert found is not None, f"{kind} {name} does not exist; there are {sorted(self.objects)}"
        return found

    def of_kind(self, kind: str) -> list[Obj]:
        return [each for key, each in self.objects.items() if key[0] == kind]

    def change(self, kind: str, name: str, change: Obj, namespace: str = "prod") -> Obj:
        """Change an object as a user or another controller would."""
        return self.put(apply_merge(self.must(kind, name, namespace), change))

    def remove(self, kind: str, name: str, namespace: str = "prod") -> None:
        gone = self.objects.pop((kind, namespace if KINDS[kind].namespaced else "", name))
        uid = gone["metadata"]["uid"]
        for key, each in list(self.objects.items()):
            if (
                any(owner["uid"] == uid for owner in each["metadata"].get("ownerReferences") or [])
                and key in self.objects
            ):
                self.remove(each["kind"], each["metadata"]["name"], each["metadata"].get("namespace") or "")

    def events(self, reason: str = "") -> list[Obj]:
        return [each for each in self.of_kind("Event") if not reason or each["reason"] == reason]

    # ------------------------------------------------------------------ the interface

    def _enter(self, verb: str, kind: str, name: str) -> int:
        number = len(self.calls)
        self.calls.append((verb, kind, name))
        self.before(number, verb, kind, name)
        if verb in {"create", "patch", "delete"}:
            self.writes.append((verb, kind, name))
        return number

    async def get(self, kind: str, namespace: str, name: str) -> Obj | None:
        number = self._enter("get", kind, name)
        found = self.objects.get((kind, namespace if KINDS[kind].namespaced else "", name))
        self.after(number, "get", kind, name)
        return _copy(found)

    async def keys(self, kind: str, namespace: str, name: str) -> Keys | None:
        number = self._enter("get", kind, name)
        found = self.objects.get((kind, namespace, name))
        self.after(number, "get", kind, name)
        if found is None:
            return None
        data = {**(found.get("data") or {}), **(found.get("stringData") or {})}
        about = found["metadata"]
        return Keys(
            name=name,
            version=f"{about['uid']}/{about['resourceVersion']}",
            names=frozenset(data),
            paths=frozenset(key for key, text in data.items() if text.startswith("/") and "\n" not in text),
        )

    async def list(
        self, kind: str, namespace: str = "", *, labels: str = "", fields: str = "", metadata_only: bool = False
    ) -> tuple[list[Obj], str]:
        number = self._enter("list", kind, labels or fields)
        wanted = dict(each.split("=", 1) for each in labels.split(",") if each)
        selected = dict(each.split("=", 1) for each in fields.split(",") if each)
        found = [
            _copy(each)
            for each in self.of_kind(kind)
            if (not namespace or each["metadata"].get("namespace") == namespace)
            and all((each["metadata"].get("labels") or {}).get(key) == value for key, value in wanted.items())
            and all(_at(each, path) == value for path, value in selected.items())
        ]
        self.after(number, "list", kind, labels)
        return found, str(next(self._versions))

    async def watch(
        self, kind: str, namespace: str, version: str, *, labels: str = "", metadata_only: bool = False
    ) -> AsyncIterator[tuple[str, Obj]]:
        await asyncio.Event().wait()
        yield "BOOKMARK", {}

    async def create(self, obj: Obj) -> Obj:
        about = obj["metadata"]
        number = self._enter("create", obj["kind"], about["name"])
        key = (obj["kind"], about.get("namespace") or "", about["name"])
        if key in self.objects:
            raise ApiError(409, "AlreadyExists", f"{obj['kind']} {about['name']} already exists")
        self.put(obj)
        self.after(number, "create", obj["kind"], about["name"])
        return _copy(self.objects[key])

    async def patch(self, obj: Obj, change: Obj, *, subresource: str = "") -> Obj:
        about = obj["metadata"]
        kind, name = obj["kind"], about["name"]
        number = self._enter("patch", kind, name)
        key = (kind, about.get("namespace") or "", name)
        known = self.objects.get(key)
        if known is None:
            raise ApiError(404, "NotFound", f"{kind} {name} not found")
        version = (change.get("metadata") or {}).get("resourceVersion")
        if version is not None and version != known["metadata"]["resourceVersion"]:
            raise ApiError(409, "Conflict", "the object has been modified")
        if subresource == "status":
            change = {"status": change["status"]}
        elif kind.startswith("Replication"):
            change = {key: value for key, value in change.items() if key != "status"}
        change = _copy(change)
        (change.get("metadata") or {}).pop("resourceVersion", None)
        self.put(apply_merge(known, change))
        self.after(number, "patch", kind, name)
        return _copy(self.objects[key])

    async def delete(self, obj: Obj) -> None:
        about = obj["metadata"]
        kind, name, namespace = obj["kind"], about["name"], about.get("namespace") or ""
        number = self._enter("delete", kind, name)
        known = self.objects.get((kind, namespace, name))
        if known is None:
            raise ApiError(404, "NotFound", f"{kind} {name} not found")
        if about.get("uid") and about["uid"] != known["metadata"]["uid"]:
            raise ApiError(409, "Conflict", "the UID in the precondition does not match")
        if known["metadata"].get("finalizers"):
            known["metadata"]["deletionTimestamp"] = format_time(self.clock.now())
            self.put(known)
        else:
            self.remove(kind, name, namespace)
        self.after(number, "delete", kind, name)

    async def log(self, namespace: str, pod: str, container: str, *, tail_lines: int, most: int) -> str:
        number = self._enter("get", "Pod/log", pod)
        self.after(number, "get", "Pod/log", pod)
        return self.logs.get((namespace, pod), "")[-most:]

    async def read(self, path: str) -> Obj | None:
        self._enter("get", path, "")
        parts = path.split("/")
        if "secrets" in parts:
            return self.objects.get(("Secret", parts[-3], parts[-1]))
        return {"groups": []} if path == "/apis" else None


def _copy(obj: T) -> T:
    """Return a copy of JSON; much faster than a deep copy of anything."""
    found: Any = obj
    if isinstance(obj, dict):
        found = {key: _copy(value) for key, value in obj.items()}
    elif isinstance(obj, list):
        found = [_copy(value) for value in obj]
    return cast("T", found)


def _at(obj: Obj, path: str) -> Any:
    found: Any = obj
    for part in path.split("."):
        found = (found or {}).get(part)
    return found


def refusing(at: int, status: int, reason: str = "") -> Callable[[int, str, str, str], None]:
    """Return a hook that refuses one call."""

    def hook(number: int, verb: str, kind: str, name: str) -> None:
        if number == at:
            if status == 0:
                raise UnreachableError("the connection broke")
            raise ApiError(status, reason, f"refused by the test: {verb} {kind} {name}")

    return hook


class Cluster:
    """What a cluster does besides the API server: binds volumes, makes snapshots, runs movers."""

    def __init__(self, api: FakeApi) -> None:
        self.api = api
        self.outcome: Callable[[Obj], tuple[int, Obj | str]] = backup_succeeds
        """What a mover does: exit status and termination message."""
        self.movers: list[Obj] = []
        """The Jobs whose movers ran."""

    def step(self) -> bool:
        """Do what is due. Return True if something was done."""
        done = False
        for each in list(self.api.of_kind("PersistentVolumeClaim")):
            if not each.get("status"):
                size = each["spec"]["resources"]["requests"]["storage"]
                self._status(each, {"phase": "Bound", "capacity": {"storage": size}})
                done = True
        for each in list(self.api.of_kind("VolumeSnapshot")):
            if not each.get("status"):
                self._status(each, {"boundVolumeSnapshotContentName": "c", "readyToUse": True, "restoreSize": "1Gi"})
                done = True
        for each in list(self.api.of_kind("Job")):
            if not has_ended(each) and each["spec"].get("parallelism", 1) and not each["spec"].get("suspend"):
                self._run(each)
                done = True
        return done

    def _status(self, obj: Obj, status: Obj) -> None:
        self.api.put({**obj, "status": status})

    def _run(self, job: Obj) -> None:
        self.movers.append(job)
        status, message = self.outcome(job)
        text = message if isinstance(message, str) else _json(message)
        about = job["metadata"]
        pod = f"{about['name']}-{len(self.movers)}"
        self.api.put(
            {
                "kind": "Pod",
                "metadata": {
                    "name": pod,
                    "namespace": about["namespace"],
                    "labels": {**job["spec"]["template"]["metadata"]["labels"], "job-name": about["name"]},
                    "ownerReferences": [
                        {"kind": "Job", "name": about["name"], "uid": about["uid"], "controller": True}
                    ],
                },
                "spec": job["spec"]["template"]["spec"],
                "status": {
                    "phase": "Failed" if status else "Succeeded",
                    "containerStatuses": [
                        {
                            "name": job["spec"]["template"]["spec"]["containers"][0]["name"],
                            "state": {"terminated": {"exitCode": status, "message": text}},
                        }
                    ],
                },
            }
        )
        self.api.logs[about["namespace"], pod] = (
            f"some log\nERROR: status {status}\n" if status else "Kopia completed in 1s\n"
        )
        kind = "Failed" if status else "Complete"
        condition = {"type": kind, "status": "True", "lastTransitionTime": format_time(self.api.clock.now())}
        self._status(self.api.must("Job", about["name"], about["namespace"]), {"conditions": [condition]})


def _json(message: Obj) -> str:
    import json

    return json.dumps(message)


def environment_of(job: Obj) -> dict[str, Any]:
    """Return the variables of a mover; those from a Secret as ``secret/key``."""
    found = {}
    for each in job["spec"]["template"]["spec"]["containers"][0]["env"]:
        if "value" in each:
            found[each["name"]] = each["value"]
        else:
            reference = each["valueFrom"]["secretKeyRef"]
            found[each["name"]] = f"{reference['name']}/{reference['key']}"
    return found


def backup_succeeds(job: Obj) -> tuple[int, Obj]:
    variables = environment_of(job)
    identity = f"{variables['KOPIA_OVERRIDE_USERNAME']}@{variables.get('KOPIA_OVERRIDE_HOSTNAME', '*')}"
    path = variables.get("KOPIA_SOURCE_PATH_OVERRIDE", "/data")
    operations = job["spec"]["template"]["spec"]["containers"][0].get("args") or []
    document: Obj = {
        "v": 1,
        "op": "backup",
        "result": "success",
        "code": "ok",
        "message": "",
        "retryable": False,
        "identity": f"{identity}:{path}",
        "snapshot": {"id": "k123", "files": 3, "bytes": 1000, "newBytes": 100},
        "repository": {"type": "s3", "id": "a" * 64},
        "seconds": 1.5,
    }
    if "maintenance" in operations:
        document |= {"op": "maintenance", "maintenance": {"ran": ["quick", "full"], "owner": "maintenance@volsync"}}
    if "restore" in operations:
        document |= {"op": "restore", "restore": {"files": 3, "bytes": 1000}}
    return 0, document


def fails(status: int, code: str, message: str = "it went wrong") -> Callable[[Obj], tuple[int, Obj]]:
    def outcome(job: Obj) -> tuple[int, Obj]:
        return status, {
            "v": 1,
            "op": "backup",
            "result": "failure",
            "code": code,
            "message": message,
            "retryable": code == "unreachable",
        }

    return outcome
