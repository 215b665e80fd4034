"""The kinds of objects that the operator works with, and their paths on the API server."""

from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of object."""

    api_version: str
    name: str
    plural: str
    namespaced: bool = True

    @property
    def root(self) -> str:
        """Path of its group and version."""
        return f"/{'apis' if '/' in self.api_version else 'api'}/{self.api_version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the path of an object, or of all objects.

        >>> KINDS["Job"].path("prod", "app")
        '/apis/batch/v1/namespaces/prod/jobs/app'
        """
        parts = [self.root]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        parts += [each for each in (name, subresource) if each]
        return "/".join(parts)


_KINDS: Final = (
    Kind("v1", "Namespace", "namespaces", namespaced=False),
    Kind("v1", "Node", "nodes", namespaced=False),
    Kind("v1", "PersistentVolume", "persistentvolumes", namespaced=False),
    Kind("v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    Kind("v1", "Pod", "pods"),
    Kind("v1", "Secret", "secrets"),
    Kind("v1", "ConfigMap", "configmaps"),
    Kind("v1", "ServiceAccount", "serviceaccounts"),
    Kind("v1", "Event", "events"),
    Kind("batch/v1", "Job", "jobs"),
    Kind("batch/v1", "CronJob", "cronjobs"),
    Kind("rbac.authorization.k8s.io/v1", "Role", "roles"),
    Kind("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings"),
    Kind("coordination.k8s.io/v1", "Lease", "leases"),
    Kind("storage.k8s.io/v1", "StorageClass", "storageclasses", namespaced=False),
    Kind("snapshot.storage.k8s.io/v1", "VolumeSnapshot", "volumesnapshots"),
    Kind("snapshot.storage.k8s.io/v1", "VolumeSnapshotClass", "volumesnapshotclasses", namespaced=False),
    Kind("populator.storage.k8s.io/v1beta1", "VolumePopulator", "volumepopulators", namespaced=False),
    Kind("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False),
    Kind("authentication.k8s.io/v1", "TokenReview", "tokenreviews", namespaced=False),
    Kind("authorization.k8s.io/v1", "SubjectAccessReview", "subjectaccessreviews", namespaced=False),
    Kind("volsync.backube/v1alpha1", "ReplicationSource", "replicationsources"),
    Kind("volsync.backube/v1alpha1", "ReplicationDestination", "replicationdestinations"),
    Kind("volsync.backube/v1alpha1", "KopiaMaintenance", "kopiamaintenances"),
)

KINDS: Final = {each.name: each for each in _KINDS}


def kind_of(obj: dict[str, Any]) -> Kind:
    """Return the kind of an object."""
    return KINDS[obj["kind"]]
