"""The operator is killed, and its calls fail: it goes on without a second Job, a lost volume or a wrong status.

Between two writes the operator changes nothing outside of its process, and a process remembers nothing of an earlier one: a
kill right after each write, before its answer, covers kills at all calls. Kills at every read are tried in memory
(``tests/operator/test_faults.py``).
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.k8s.api import Object, wait_for
from tests.k8s.chart import NAMESPACE, Chart
from tests.k8s.machine import Machine, Namespace
from tests.k8s.operator_process import Operator, running_operator
from tests.k8s.proxy import Answer, Call, Cut, Fault, Kill, Proxy
from tests.k8s.scenario import SECRET, Bucket, Scenario, condition, destination, files, make_bucket, source
from tests.servers.s3 import S3Server

FILES = {"a": "one", "b/c": "two"}
CONTENT = {name: text.encode() for name, text in FILES.items()}
MOST_WRITES = 80
"""More writes than one run may need; a loop that goes so far is a fault of its own."""


@pytest.fixture
def proxy(machine: Machine) -> Iterator[Proxy]:
    """Run a proxy in front of the API server."""
    proxy = Proxy(machine.cluster.server, str(machine.cluster.certificates.authority))
    proxy.start()
    yield proxy
    proxy.stop()


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One run in a namespace of its own, by an operator of its own behind the proxy."""

    scenario: Scenario
    operator: Operator
    proxy: Proxy

    @property
    def namespace(self) -> Namespace:
        return self.scenario.namespace


@pytest.fixture
def start_trial(
    machine: Machine, chart: Chart, versitygw: S3Server, tmp_path: Path, proxy: Proxy
) -> Iterator[Callable[..., Trial]]:
    """Return a function that makes a namespace and starts an operator for it alone; the last one is ended."""
    trials: list[Trial] = []
    failures = len(machine.failures())

    def end(trial: Trial) -> None:
        trial.operator.kill()
        machine.api.delete("Namespace", trial.namespace.name)

    def start(*, bucket: Bucket | None = None, flags: tuple[str, ...] = ()) -> Trial:
        while trials:
            end(trials.pop())
        proxy.fault = lambda call: None
        namespace = machine.namespace("trial")
        bucket = bucket or make_bucket(versitygw)
        namespace.secret(SECRET, bucket.secret)
        operator = Operator(
            machine=machine,
            chart=chart,
            folder=tmp_path,
            flags=(f"--watch-namespace={namespace.name}", *flags),
            server=proxy.url,
        )
        operator.start()
        trials.append(Trial(scenario=Scenario(namespace=namespace, bucket=bucket), operator=operator, proxy=proxy))
        return trials[-1]

    yield start
    for trial in trials:
        end(trial)
    assert machine.failures()[failures:] == []


def one_good_backup(trial: Trial, folder: Path) -> None:
    """Check that one run was made, that its snapshot is whole, and that nothing of it is left."""
    namespace, bucket = trial.namespace, trial.scenario.bucket
    assert [(run.args, run.exit_code) for run in namespace.runs()] == [(["backup"], 0)]
    assert bucket.sources() == [f"{namespace.name}@app:/data"]
    assert bucket.restored(folder) == CONTENT
    thing = namespace.wait(
        "the run is cleaned up",
        "ReplicationSource",
        "app",
        lambda thing: condition(thing, "Synchronizing").get("reason") == "WaitingForManual",
    )
    status = thing["status"]
    assert status["latestMoverStatus"]["result"] == "Successful"
    assert status["lastManualSync"] == "first"
    assert status["kopia"]["identity"] == f"{namespace.name}@app:/data"
    assert "lastSyncStartTime" not in status
    namespace.gone("Job", "volsync-src-app")
    namespace.gone("PersistentVolumeClaim", "volsync-app-src")
    namespace.gone("VolumeSnapshot", "volsync-app-src")
    assert files(namespace.volume("data")) == CONTENT


def with_kills(trial: Trial, thing: Object) -> list[str]:
    """Run an object by operators of which each one is killed right after its first call that changes something.

    So every state that a run goes through on the API server is once the state that a new process starts from.

    Returns:
        The calls after which a process was killed.
    """
    killed: list[str] = []
    dead = threading.Event()
    name = thing["metadata"]["name"]

    def fault(call: Call) -> Fault | None:
        def kill() -> None:
            if not dead.is_set():
                trial.operator.kill()
                killed.append(str(call))
                dead.set()

        return Kill(caller=kill) if call.writes else None

    def ended() -> bool:
        found = trial.namespace.get(thing["kind"], name)
        manual = found.get("status", {}).get("lastManualSync") == thing["spec"]["trigger"]["manual"]
        return manual and condition(found, "Synchronizing").get("reason") == "WaitingForManual"

    trial.proxy.fault = fault
    trial.namespace.apply(thing)
    while len(killed) <= MOST_WRITES:
        wait_for(
            "the operator is killed, or has done all",
            lambda: dead.is_set() or ended(),
            seconds=90,
            describe=lambda: f"killed after {killed}{trial.namespace.describe(thing['kind'], name)}",
        )
        if not dead.is_set():
            trial.proxy.fault = lambda call: None
            return killed
        dead.clear()
        trial.operator.start(wait=False)
    raise AssertionError(f"a run makes more than {MOST_WRITES} writes: {killed}")


@pytest.mark.timeout(600)
@pytest.mark.parametrize("method", ["Snapshot", "Clone", "Direct"])
def test_a_backup_survives_a_kill_after_each_write(
    start_trial: Callable[..., Trial], method: str, tmp_path: Path
) -> None:
    trial = start_trial()
    trial.namespace.filled_claim("data", FILES)
    killed = with_kills(trial, source(copyMethod=method))
    one_good_backup(trial, tmp_path / "restored")
    copies = {
        "Snapshot": ["persistentvolumeclaims", "volumesnapshots"],
        "Clone": ["persistentvolumeclaims"],
        "Direct": [],
    }
    expected = ["jobs", "persistentvolumeclaims", "rolebindings", "roles", "serviceaccounts", *copies[method]]
    assert created(killed) == sorted(expected)


def created(calls: list[str]) -> list[str]:
    """Return the kinds of what was created, without events; a kind as often as objects of it."""
    kinds = [call.rpartition("/")[2] for call in calls if call.startswith("POST")]
    return sorted(kind for kind in kinds if kind != "events")


@pytest.mark.timeout(600)
def test_a_restore_survives_a_kill_after_each_write(start_trial: Callable[..., Trial], versitygw: S3Server) -> None:
    bucket = make_bucket(versitygw)
    first = start_trial(bucket=bucket)
    first.namespace.filled_claim("data", FILES)
    first.scenario.back_up(source(username="user", hostname="host"))
    trial = start_trial(bucket=bucket)
    namespace = trial.namespace
    wish: Object = {"copyMethod": "Snapshot", "capacity": "1Gi", "accessModes": ["ReadWriteOnce"]}
    killed = with_kills(trial, destination(username="user", hostname="host", **wish))
    thing = namespace.get("ReplicationDestination", "app")
    assert [(run.args, run.exit_code) for run in namespace.runs()] == [(["restore"], 0)]
    (snapshot,) = namespace.objects("VolumeSnapshot")
    assert thing["status"]["latestImage"]["name"] == snapshot["metadata"]["name"]
    assert thing["status"]["kopia"]["result"] == "restored"
    assert files(namespace.volume("volsync-app-dest")) == CONTENT
    namespace.gone("Job", "volsync-dst-app")
    claims = ["persistentvolumeclaims"] * 2  # the restored one and the cache
    assert created(killed) == sorted(["jobs", *claims, "rolebindings", "roles", "serviceaccounts", "volumesnapshots"])
    assert any(call.startswith("PATCH") and "/persistentvolumeclaims/" in call for call in killed), killed


FAULTS: dict[str, Fault] = {
    "409": Answer(code=409, reason="Conflict"),
    "429": Answer(code=429, reason="TooManyRequests", retry_after=1),
    "500": Answer(code=500, reason="InternalError"),
    "503": Answer(code=503, reason="ServiceUnavailable", retry_after=1),
    "cut before": Cut(done=False),
    "cut after": Cut(done=True),
}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", FAULTS)
def test_a_backup_survives_a_failure_of_every_write(
    start_trial: Callable[..., Trial], name: str, tmp_path: Path
) -> None:
    """Each write on each object fails once."""
    trial = start_trial()
    trial.namespace.filled_claim("data", FILES)
    failed: set[str] = set()

    def fault(call: Call) -> Fault | None:
        if not call.writes or call.plural == "events" or str(call) in failed:
            return None
        failed.add(str(call))
        return FAULTS[name]

    trial.proxy.fault = fault
    trial.scenario.back_up(source(copyMethod="Snapshot"), seconds=240)
    one_good_backup(trial, tmp_path / "restored")
    assert len(failed) > 5


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", ["429", "500", "cut before"])
def test_a_backup_survives_a_failure_of_every_kind_of_read(
    start_trial: Callable[..., Trial], name: str, tmp_path: Path
) -> None:
    trial = start_trial()
    trial.namespace.filled_claim("data", FILES)
    failed: set[str] = set()

    def fault(call: Call) -> Fault | None:
        key = f"{call.watches} {call}"
        if call.method != "GET" or key in failed:
            return None
        failed.add(key)
        return FAULTS[name]

    trial.proxy.fault = fault
    trial.scenario.back_up(source(copyMethod="Clone"), seconds=240)
    one_good_backup(trial, tmp_path / "restored")


@pytest.mark.timeout(400)
def test_a_refused_job_is_reported_and_tried_again(start_trial: Callable[..., Trial], tmp_path: Path) -> None:
    """As when a policy of the cluster refuses it, until somebody changes the policy."""
    trial = start_trial()
    trial.namespace.filled_claim("data", FILES)
    refusals = threading.Event()

    def fault(call: Call) -> Fault | None:
        if call.method == "POST" and call.plural == "jobs" and not refusals.is_set():
            return Answer(code=422, reason="Invalid", message="the tests' policy refuses this Job")
        return None

    trial.proxy.fault = fault
    trial.namespace.apply(source())
    trial.namespace.wait(
        "the refusal is reported",
        "ReplicationSource",
        "app",
        lambda thing: "refuses this Job" in condition(thing, "Synchronizing").get("message", ""),
    )
    before = len([call for call in trial.proxy.calls if call.method == "POST" and call.plural == "jobs"])
    assert before < 10, "refused Jobs are tried in a hot loop"
    refusals.set()
    trial.scenario.synced("ReplicationSource", "app", seconds=180)
    one_good_backup(trial, tmp_path / "restored")


def test_watches_that_break_or_expire_lose_no_change(start_trial: Callable[..., Trial], tmp_path: Path) -> None:
    trial = start_trial()
    namespace = trial.namespace
    namespace.filled_claim("data", FILES)
    namespace.machine.kubelet.pods_may_start.clear()
    try:
        namespace.apply(source())
        namespace.wait("the Job exists", "Job", "volsync-src-app", lambda _: True)
        expired: set[str] = set()

        def fault(call: Call) -> Fault | None:
            if not call.watches or call.path in expired:
                return None
            expired.add(call.path)
            return Answer(code=410, reason="Expired", message="too old resource version")

        trial.proxy.fault = fault
        trial.proxy.cut_watches()
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    trial.scenario.synced("ReplicationSource", "app")
    one_good_backup(trial, tmp_path / "restored")
    assert expired


def test_an_api_server_that_restarts_during_a_run_is_waited_for(
    start_trial: Callable[..., Trial], machine: Machine, tmp_path: Path
) -> None:
    trial = start_trial()
    namespace = trial.namespace
    namespace.filled_claim("data", FILES)
    machine.kubelet.pods_may_start.clear()
    try:
        namespace.apply(source())
        namespace.wait("the Job exists", "Job", "volsync-src-app", lambda _: True)
        with machine.cluster.without_api_server():
            machine.kubelet.pods_may_start.set()
    finally:
        machine.kubelet.pods_may_start.set()
    trial.scenario.synced("ReplicationSource", "app", seconds=120)
    one_good_backup(trial, tmp_path / "restored")


def test_an_operator_that_is_terminated_ends_well(start_trial: Callable[..., Trial]) -> None:
    trial = start_trial()
    assert trial.operator.terminate() in {0, 143}
    assert "Traceback" not in trial.operator.log.read_text()


def test_of_two_operators_one_works_and_the_other_takes_over(
    machine: Machine, chart: Chart, versitygw: S3Server, tmp_path: Path
) -> None:
    namespace = machine.namespace("election")
    bucket = make_bucket(versitygw)
    namespace.secret(SECRET, bucket.secret)
    namespace.filled_claim("data", FILES)
    scenario = Scenario(namespace=namespace, bucket=bucket)
    flags = [
        f"--watch-namespace={namespace.name}",
        "--leader-elect=true",
        "--leader-election-lease-duration=4",
        "--leader-election-renew-deadline=3",
        "--leader-election-retry-period=0.5",
    ]
    with running_operator(machine, chart, tmp_path, flags=flags) as first:
        (lease,) = wait_for("the first one leads", lambda: held_leases(machine) or None)
        with running_operator(machine, chart, tmp_path, flags=flags):
            scenario.back_up()
            assert held_leases(machine)[0]["spec"]["holderIdentity"] == lease["spec"]["holderIdentity"]
            first.kill()
            scenario.back_up(source(manual="second"))
            (after,) = held_leases(machine)
    assert after["spec"]["holderIdentity"] != lease["spec"]["holderIdentity"]
    assert after["spec"]["leaseTransitions"] >= 1
    assert [run.exit_code for run in namespace.runs()] == [0, 0]
    machine.api.delete("Namespace", namespace.name)


def held_leases(machine: Machine) -> list[Object]:
    """Return the Leases of operators that have a holder."""
    return [lease for lease in machine.api.objects("Lease", NAMESPACE) if lease["spec"].get("holderIdentity")]
