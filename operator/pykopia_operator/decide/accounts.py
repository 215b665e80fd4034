"""ServiceAccount, Role and RoleBinding of a mover: no rights, except one constraint on OpenShift."""

from pykopia_operator.decide.names import job_name, metadata_for
from pykopia_operator.decide.objects import Obj, namespace_of

RBAC = "rbac.authorization.k8s.io"


def account_objects(owner: Obj, *, scc: str, pull_secrets: tuple[str, ...] = ()) -> tuple[Obj, Obj, Obj]:
    """Return the three objects.

    Args:
        owner: ReplicationSource or ReplicationDestination.
        scc: SecurityContextConstraints that the mover may use; empty: none.
        pull_secrets: names of Secrets for pulling images.
    """
    name = job_name(owner)
    account: Obj = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata_for(owner, name),
        "automountServiceAccountToken": False,
    }
    if pull_secrets:
        account["imagePullSecrets"] = [{"name": each} for each in pull_secrets]
    rules = []
    if scc:
        rules.append(
            {
                "apiGroups": ["security.openshift.io"],
                "resources": ["securitycontextconstraints"],
                "resourceNames": [scc],
                "verbs": ["use"],
            }
        )
    role: Obj = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": metadata_for(owner, name),
        "rules": rules,
    }
    binding: Obj = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "RoleBinding",
        "metadata": metadata_for(owner, name),
        "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": namespace_of(owner)}],
    }
    return account, role, binding
