"""Copies, caches and their options: what PersistentVolumeClaims and VolumeSnapshots a run makes, and what is left afterwards."""

from pathlib import Path

import pytest

from tests.k8s.api import Object
from tests.k8s.kubelet import IMAGE
from tests.k8s.scenario import Scenario, condition, destination, files, source
from tests.k8s.volumes import IMMEDIATE, OTHER_SNAPSHOT_CLASS, WAITING

FILES = {"a": "one", "b/c": "two"}
CONTENT = {name: text.encode() for name, text in FILES.items()}
COPY = "volsync-app-src"
CACHE = "volsync-src-app-cache"


def seen(scenario: Scenario, kind: str, name: str) -> Object:
    """Return an object of a run as soon as it is there, before the run ends."""
    return scenario.namespace.wait(f"{name} exists", kind, name, lambda _: True)


@pytest.mark.parametrize("method", ["Direct", "Clone", "Snapshot"])
@pytest.mark.parametrize("storage_class", [IMMEDIATE, WAITING])
def test_row_121_every_copy_method_backs_up_every_class(
    scenario: Scenario, method: str, storage_class: str, tmp_path: Path
) -> None:
    namespace = scenario.namespace
    if storage_class == WAITING:
        bind_by_a_pod(scenario, "data")
        for name, text in FILES.items():
            path = namespace.volume("data") / name
            path.parent.mkdir(exist_ok=True)
            path.write_text(text)
    else:
        namespace.filled_claim("data", FILES)
    scenario.back_up(source(copyMethod=method))
    assert scenario.bucket.restored(tmp_path / "restored") == CONTENT
    namespace.gone("PersistentVolumeClaim", COPY)
    namespace.gone("VolumeSnapshot", COPY)
    assert files(namespace.volume("data")) == CONTENT


def bind_by_a_pod(scenario: Scenario, claim: str) -> None:
    """Create a claim that waits for its first consumer, and a pod that is one."""
    scenario.namespace.claim(claim, storage_class=WAITING)
    container = {
        "name": "app",
        "image": IMAGE,
        "command": ["/bin/true"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    scenario.namespace.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "consumer"},
            "spec": {
                "restartPolicy": "Never",
                "containers": [container],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}],
            },
        }
    )
    scenario.namespace.volume(claim)
    scenario.namespace.delete("Pod", "consumer")


def test_rows_117_120_the_copy_is_like_the_source_by_default(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES, storage="3Gi")
    namespace.machine.kubelet.pods_may_start.clear()
    try:
        namespace.apply(source(copyMethod="Clone"))
        copy = seen(scenario, "PersistentVolumeClaim", COPY)
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    assert copy["spec"]["resources"]["requests"]["storage"] == "3Gi"
    assert copy["spec"]["storageClassName"] == IMMEDIATE
    assert copy["spec"]["accessModes"] == ["ReadWriteOnce"]
    origin = copy["spec"]["dataSource"]
    assert (origin["kind"], origin["name"]) == ("PersistentVolumeClaim", "data")
    owner = copy["metadata"]["ownerReferences"][0]
    assert (owner["kind"], owner["name"]) == ("ReplicationSource", "app")
    assert copy["metadata"]["labels"]["app.kubernetes.io/created-by"] == "volsync"
    assert "volsync.backube/cleanup" in copy["metadata"]["labels"]
    scenario.synced("ReplicationSource", "app")


def test_rows_117_118_120_options_of_the_copy_are_taken_from_the_spec(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES, storage="1Gi")
    options: Object = {
        "copyMethod": "Snapshot",
        "storageClassName": WAITING,
        "accessModes": ["ReadWriteMany"],
        "capacity": "4Gi",
        "volumeSnapshotClassName": OTHER_SNAPSHOT_CLASS,
    }
    namespace.machine.kubelet.pods_may_start.clear()
    try:
        namespace.apply(source(**options))
        snapshot = seen(scenario, "VolumeSnapshot", COPY)
        copy = seen(scenario, "PersistentVolumeClaim", COPY)
    finally:
        namespace.machine.kubelet.pods_may_start.set()
    assert snapshot["spec"]["volumeSnapshotClassName"] == OTHER_SNAPSHOT_CLASS
    assert copy["spec"]["storageClassName"] == WAITING
    assert copy["spec"]["accessModes"] == ["ReadWriteMany"]
    assert copy["spec"]["resources"]["requests"]["storage"] == "4Gi"
    assert (copy["spec"]["dataSource"]["kind"], copy["spec"]["dataSource"]["name"]) == ("VolumeSnapshot", COPY)
    scenario.synced("ReplicationSource", "app")


def test_rows_125_126_127_204_the_cache_is_a_claim_like_the_source(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES, storage="3Gi")
    scenario.back_up()
    cache = namespace.get("PersistentVolumeClaim", CACHE)["spec"]
    assert cache["resources"]["requests"]["storage"] == "1Gi"
    assert (cache["storageClassName"], cache["accessModes"]) == (IMMEDIATE, ["ReadWriteOnce"])
    (run,) = namespace.runs()
    assert run.environment["KOPIA_CACHE_CAPACITY_BYTES"] == str(1 << 30)
    assert any(mount.path == "/cache" and mount.source for mount in run.container.mounts)


def test_rows_126_127_203_the_cache_takes_class_and_modes_by_precedence(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    between = source("between", storageClassName=WAITING, accessModes=["ReadWriteMany"])
    explicit = source(
        "explicit",
        storageClassName=IMMEDIATE,
        accessModes=["ReadWriteOnce"],
        cacheStorageClassName=WAITING,
        cacheAccessModes=["ReadWriteMany"],
        cacheCapacity="2Gi",
    )
    for thing in (between, explicit):
        scenario.back_up(thing)
        cache = namespace.get("PersistentVolumeClaim", f"volsync-src-{thing['metadata']['name']}-cache")["spec"]
        assert (cache["storageClassName"], cache["accessModes"]) == (WAITING, ["ReadWriteMany"])
    assert cache["resources"]["requests"]["storage"] == "2Gi"


def test_row_201_a_larger_cache_capacity_enlarges_the_claim(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up()
    scenario.back_up(source(manual="second", cacheCapacity="3Gi"))
    namespace.wait(
        "the cache has grown",
        "PersistentVolumeClaim",
        CACHE,
        lambda thing: thing["status"]["capacity"]["storage"] == "3Gi",
    )
    scenario.back_up(source(manual="third", cacheCapacity="3Gi"))
    assert namespace.runs()[-1].environment["KOPIA_CACHE_CAPACITY_BYTES"] == str(3 << 30)


def test_a_cache_that_cannot_grow_is_kept_and_reported_once(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up(source(cacheStorageClassName=WAITING))
    for number in range(2):
        scenario.back_up(source(manual=f"more-{number}", cacheStorageClassName=WAITING, cacheCapacity="3Gi"))
    assert namespace.get("PersistentVolumeClaim", CACHE)["spec"]["resources"]["requests"]["storage"] == "1Gi"
    assert len(namespace.events("app", "CacheResizeNotPossible")) == 1
    assert namespace.runs()[-1].environment["KOPIA_CACHE_CAPACITY_BYTES"] == str(1 << 30)


def test_everything_of_a_source_goes_with_it(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.filled_claim("data", FILES)
    scenario.back_up(source(copyMethod="Snapshot"))
    namespace.delete("ReplicationSource", "app")
    namespace.gone("PersistentVolumeClaim", CACHE)
    for kind in ("ServiceAccount", "Role", "RoleBinding"):
        namespace.gone(kind, "volsync-src-app")
    assert files(namespace.volume("data")) == CONTENT


@pytest.fixture
def backed_up(scenario: Scenario) -> Scenario:
    """Have one backup of a source of the name `app`."""
    scenario.namespace.filled_claim("data", FILES)
    scenario.back_up()
    return scenario


def test_rows_165_166_a_restore_makes_a_volume_and_a_snapshot_of_it(backed_up: Scenario) -> None:
    namespace = backed_up.namespace
    wish: Object = {
        "copyMethod": "Snapshot",
        "capacity": "2Gi",
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": IMMEDIATE,
    }
    thing = backed_up.restore(destination(**wish, volumeSnapshotClassName=OTHER_SNAPSHOT_CLASS))
    image = thing["status"]["latestImage"]
    assert (image["kind"], image["apiGroup"]) == ("VolumeSnapshot", "snapshot.storage.k8s.io")
    snapshot = namespace.get("VolumeSnapshot", image["name"])
    assert snapshot["status"]["readyToUse"]
    assert snapshot["spec"]["volumeSnapshotClassName"] == OTHER_SNAPSHOT_CLASS
    claim = namespace.get("PersistentVolumeClaim", "volsync-app-dest")
    assert claim["spec"]["resources"]["requests"]["storage"] == "2Gi"
    source_of = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": image["name"]}
    namespace.claim("restored", storage="2Gi", dataSource=source_of)
    assert files(namespace.volume("restored")) == CONTENT


def test_o_092_an_image_is_recorded_only_when_it_is_ready_to_use(backed_up: Scenario) -> None:
    namespace, volumes = backed_up.namespace, backed_up.namespace.machine.volumes
    volumes.snapshots_become_ready.clear()
    try:
        namespace.apply(destination(copyMethod="Snapshot", capacity="1Gi", accessModes=["ReadWriteOnce"]))

        def bound(thing: Object) -> bool:
            snapshots = namespace.objects("VolumeSnapshot")
            return bool(snapshots) and bool(snapshots[0].get("status", {}).get("boundVolumeSnapshotContentName"))

        thing = namespace.wait("the snapshot is bound", "ReplicationDestination", "app", bound)
        assert "latestImage" not in namespace.get("ReplicationDestination", "app").get("status", {})
        assert "lastSyncTime" not in thing.get("status", {})
    finally:
        volumes.snapshots_become_ready.set()
    backed_up.synced("ReplicationDestination", "app")


def test_the_older_image_goes_when_the_new_one_is_recorded_unless_it_is_marked(backed_up: Scenario) -> None:
    namespace = backed_up.namespace
    wish: Object = {"copyMethod": "Snapshot", "capacity": "1Gi", "accessModes": ["ReadWriteOnce"]}
    images = []
    for number in range(3):
        thing = backed_up.restore(destination(manual=str(number), **wish))
        images.append(thing["status"]["latestImage"]["name"])
        if number == 1:
            labels = {"metadata": {"labels": {"volsync.backube/do-not-delete": "true"}}}
            namespace.patch("VolumeSnapshot", images[1], labels)
    assert len(set(images)) == 3
    namespace.gone("VolumeSnapshot", images[0])
    assert namespace.get("VolumeSnapshot", images[1])
    assert namespace.get("VolumeSnapshot", images[2])["status"]["readyToUse"]


def test_row_165_a_temporary_volume_goes_at_the_end_if_asked(backed_up: Scenario) -> None:
    wish: Object = {
        "copyMethod": "Snapshot",
        "capacity": "1Gi",
        "accessModes": ["ReadWriteOnce"],
        "cleanupTempPVC": True,
    }
    thing = backed_up.restore(destination(**wish))
    backed_up.namespace.gone("PersistentVolumeClaim", "volsync-app-dest")
    assert backed_up.namespace.get("VolumeSnapshot", thing["status"]["latestImage"]["name"])


@pytest.mark.parametrize("clean", [True, False])
def test_rows_168_169_170_the_cache_of_a_restore(backed_up: Scenario, clean: bool) -> None:
    namespace = backed_up.namespace
    namespace.claim("target")
    wish: Object = {"cleanupCachePVC": True} if clean else {}
    backed_up.restore(destination(destinationPVC="target", **wish))
    name = "volsync-dst-app-cache"
    if clean:
        namespace.gone("PersistentVolumeClaim", name)
    else:
        cache = namespace.get("PersistentVolumeClaim", name)["spec"]
        assert cache["resources"]["requests"]["storage"] == "1Gi"
        assert cache["storageClassName"] == IMMEDIATE
        namespace.delete("ReplicationDestination", "app")
        namespace.gone("PersistentVolumeClaim", name)
    assert files(namespace.volume("target")) == CONTENT


def test_a_missing_claim_is_named_and_waited_for(scenario: Scenario) -> None:
    namespace = scenario.namespace
    namespace.apply(source(claim="missing"))
    thing = namespace.wait(
        "the missing claim is reported",
        "ReplicationSource",
        "app",
        lambda thing: condition(thing, "Synchronizing").get("reason") == "Error",
    )
    message = condition(thing, "Synchronizing")["message"]
    assert "missing" in message
    assert namespace.name in message
    namespace.filled_claim("missing", FILES)
    scenario.synced("ReplicationSource", "app")
