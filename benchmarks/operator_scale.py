"""The operator with many ReplicationSources on a real API server: start, memory, CPU when idle, and writes.

Run ``sh scripts/test-servers.sh --cluster`` once before, then::

    python -m benchmarks.operator_scale --sources 500
"""

import argparse
import os
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from tests.k8s.api import Object
from tests.k8s.chart import NAMESPACE, load_chart
from tests.k8s.machine import Machine, Namespace, start_machine
from tests.k8s.operator_process import Operator
from tests.k8s.scenario import SECRET, condition, source

IDLE_SECONDS = 60
POLL_SECONDS = 1.0
LONGEST_START = 600
_TICKS = os.sysconf("SC_CLK_TCK")


def fill(namespace: Namespace, number: int) -> None:
    """Create sources that have just been backed up, so that each waits for its schedule."""
    moment = datetime.now(UTC)
    now, hour = moment.strftime("%Y-%m-%dT%H:%M:%SZ"), (moment.hour + 12) % 24

    def create(index: int) -> None:
        thing = source(f"app-{index}", f"data-{index}", retain={"daily": 7})
        thing["spec"]["trigger"] = {"schedule": f"{index % 60} {hour} * * *"}
        namespace.create(thing)
        status = {"status": {"lastSyncTime": now}}
        namespace.api.patch("ReplicationSource", f"app-{index}", status, namespace.name, subresource="status")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(create, range(number)))


def waits(thing: Object) -> bool:
    """Return True if an object has got its next time and its condition."""
    scheduled = thing.get("status", {}).get("nextSyncTime")
    return bool(scheduled) and condition(thing, "Synchronizing").get("reason") == "WaitingForSchedule"


def cpu_seconds(pid: int) -> float:
    """Return the CPU time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def memory_mib(pid: int) -> dict[str, float]:
    """Return the resident memory of a process, now and at most."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {line[0].rstrip(":"): int(line[1]) / 1024 for line in lines if line[0] in {"VmRSS:", "VmHWM:"}}


def measure(machine: Machine, folder: Path, number: int) -> None:
    """Print all figures."""
    chart = load_chart()
    machine.api.create({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    machine.install(chart.definitions)
    for thing in chart.prerequisites:
        machine.api.apply(thing, NAMESPACE if "namespace" in thing["metadata"] else None, manager="helm")
    namespace = machine.namespace("scale")
    namespace.secret(SECRET, {"KOPIA_REPOSITORY": "filesystem:///nowhere", "KOPIA_PASSWORD": "x"})
    fill(namespace, number)
    operator = Operator(machine=machine, chart=chart, folder=folder)
    started = time.monotonic()
    operator.start()
    assert operator.process
    try:
        while not all(waits(thing) for thing in namespace.objects("ReplicationSource")):
            assert time.monotonic() - started < LONGEST_START, operator.log.read_text()[-3000:]
            threading.Event().wait(POLL_SECONDS)  # each look costs the API server as much as the operator's work
        print(f"start with {number} sources: {time.monotonic() - started:.1f} s", flush=True)
        pid = operator.process.pid
        before = cpu_seconds(pid)
        print(f"CPU for it: {before:.1f} s")
        settled = len(machine.cluster.audit())
        threading.Event().wait(IDLE_SECONDS)
        used = cpu_seconds(pid) - before
        memory = memory_mib(pid)
        print(f"memory: {memory['VmRSS']:.0f} MiB, at most {memory['VmHWM']:.0f} MiB")
        print(f"idle: {100 * used / IDLE_SECONDS:.2f} % of a core, {len(machine.cluster.audit()) - settled} requests")
        entries = [entry for entry in machine.cluster.audit() if "objectRef" in entry]
        requests = Counter(f"{entry['verb']} {entry['objectRef']['resource']}" for entry in entries)
        print(f"requests: {dict(requests.most_common())}", flush=True)
        operator.kill()
        restart(machine, operator)
    finally:
        operator.kill()


def restart(machine: Machine, operator: Operator) -> None:
    """Print what it costs to start beside objects that have their conditions already."""
    lines, entries, started = len(operator.log.read_text().splitlines()), len(machine.cluster.audit()), time.monotonic()
    operator.start()
    assert operator.process
    while not any("the stores are filled" in line for line in operator.log.read_text().splitlines()[lines:]):
        assert time.monotonic() - started < LONGEST_START
        threading.Event().wait(POLL_SECONDS / 10)
    seconds = time.monotonic() - started
    threading.Event().wait(IDLE_SECONDS / 6)
    writes = [each for each in machine.cluster.audit()[entries:] if each["verb"] in {"create", "patch", "delete"}]
    print(f"restart: {seconds:.1f} s, CPU {cpu_seconds(operator.process.pid):.1f} s, {len(writes)} writes")


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sources", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name, start_machine(Path(name)) as machine:
        measure(machine, Path(name), arguments.sources)


if __name__ == "__main__":
    main()
