"""What must exist before a mover can start: Secret, authority certificates, policies, further volumes."""

from typing import Final

from pykopia_operator.decide.job import check_args, check_more, repository_in_volume
from pykopia_operator.decide.objects import namespace_of
from pykopia_operator.decide.quantities import parse_quantity
from pykopia_operator.decide.world import Keys, World
from pykopia_operator.errors import InvalidObjectError
from pykopia_operator.model.common import MoverOptions

LOCATION_KEYS: Final = frozenset(
    {
        "KOPIA_REPOSITORY",
        "KOPIA_S3_BUCKET",
        "KOPIA_AZURE_CONTAINER",
        "KOPIA_GCS_BUCKET",
        "KOPIA_FS_PATH",
        "KOPIA_B2_BUCKET",
        "WEBDAV_URL",
        "SFTP_HOST",
        "RCLONE_REMOTE_PATH",
        "GOOGLE_DRIVE_FOLDER_ID",
        "KOPIA_STRUCTURED_REPOSITORY_CONFIG",
    }
)
"""Keys of which one at least must say where the repository is."""


def check_options(kopia: MoverOptions) -> None:
    """Refuse options that contradict each other or have impossible values.

    Raises:
        InvalidObjectError: the message names the field.
    """
    if not kopia.repository:
        raise InvalidObjectError("kopia.repository must name the Secret with the connection to the repository")
    for name, quantity in (("capacity", kopia.capacity), ("cacheCapacity", kopia.cache_capacity)):
        if quantity is not None:
            try:
                size = parse_quantity(quantity)
            except ValueError as error:
                raise InvalidObjectError(f"kopia.{name}: {error}") from None
            if size <= 0:
                raise InvalidObjectError(f"kopia.{name} must be more than zero")
    ca = kopia.custom_ca
    if ca is not None:
        if ca.secret_name and ca.config_map_name:
            raise InvalidObjectError("kopia.customCA: set secretName or configMapName, not both")
        if (ca.secret_name or ca.config_map_name) and not ca.key:
            raise InvalidObjectError("kopia.customCA.key must name the key that holds the certificate, such as ca.crt")
    policy = kopia.policy_config
    if policy is not None:
        if policy.config_map_name and policy.secret_name:
            raise InvalidObjectError("kopia.policyConfig: set configMapName or secretName, not both")
        if not (policy.config_map_name or policy.secret_name or policy.repository_config):
            raise InvalidObjectError("kopia.policyConfig: set configMapName or secretName")
        for name, file in (
            ("globalPolicyFilename", policy.global_policy_filename),
            ("repositoryConfigFilename", policy.repository_config_filename),
        ):
            if "/" in file or not file:
                raise InvalidObjectError(f'kopia.policyConfig.{name} "{file}" must be a key, without /')
    check_args(kopia.additional_args)
    check_more(kopia.mover_volumes)


def check_objects(world: World, kopia: MoverOptions) -> list[str]:
    """Check that the objects exist that a mover needs, and return warnings about what is missing but not needed.

    Raises:
        InvalidObjectError: an object or a key of it is missing; the message names it and its namespace.
    """
    namespace = namespace_of(world.owner)
    check_secret(kopia.repository or "", namespace, world.secret, has_volume=bool(_volume_repository(kopia)))
    ca = kopia.custom_ca
    if ca is not None and (ca.secret_name or ca.config_map_name):
        kind, name = ("Secret", ca.secret_name) if ca.secret_name else ("ConfigMap", ca.config_map_name)
        if world.ca is None:
            raise InvalidObjectError(f"{kind} {namespace}/{name} of customCA does not exist; create it", kind="ca")
        if ca.key not in world.ca.names:
            raise InvalidObjectError(
                f"{kind} {namespace}/{name} of customCA has no key {ca.key}; it has {_listed(world.ca)}", kind="ca"
            )
    warnings = []
    policy = kopia.policy_config
    if policy is not None and (policy.config_map_name or policy.secret_name):
        kind, name = ("Secret", policy.secret_name) if policy.secret_name else ("ConfigMap", policy.config_map_name)
        if world.policy is None:
            raise InvalidObjectError(
                f"{kind} {namespace}/{name} of policyConfig does not exist; create it", kind="policy"
            )
        files = {policy.global_policy_filename, policy.repository_config_filename}
        if not files & world.policy.names:
            warnings.append(
                f"{kind} {namespace}/{name} of policyConfig has neither {policy.global_policy_filename} nor "
                f"{policy.repository_config_filename}; it has {_listed(world.policy)}"
            )
    for key, exists in sorted(world.secret_volumes.items()):
        if not exists:
            kind, _, name = key.partition("/")
            raise InvalidObjectError(
                f"{kind} {namespace}/{name} of moverVolumes does not exist; create it", kind="volume"
            )
    if kopia.mover_service_account and world.service_account is None:
        raise InvalidObjectError(
            f"ServiceAccount {namespace}/{kopia.mover_service_account} of moverServiceAccount does not exist; create it",
            kind="service-account",
        )
    return warnings


def check_secret(name: str, namespace: str, secret: Keys | None, *, has_volume: bool) -> None:
    """Check the repository Secret.

    Raises:
        InvalidObjectError: the Secret or a key is missing.
    """
    if secret is None:
        raise InvalidObjectError(
            f"Secret {namespace}/{name} does not exist; create it with KOPIA_REPOSITORY and KOPIA_PASSWORD",
            kind="secret",
        )
    if "KOPIA_PASSWORD" not in secret.names:
        raise InvalidObjectError(
            f"Secret {namespace}/{name} has no key KOPIA_PASSWORD; add the password", kind="secret"
        )
    if not has_volume and not secret.names & LOCATION_KEYS:
        raise InvalidObjectError(
            f"Secret {namespace}/{name} has no key KOPIA_REPOSITORY; add the URL of the repository, such as "
            "s3://bucket/folder",
            kind="secret",
        )


def _volume_repository(kopia: MoverOptions) -> str:
    nothing = Keys(name="", version="")
    return repository_in_volume(kopia.mover_volumes, nothing)


def _listed(keys: Keys) -> str:
    return ", ".join(sorted(keys.names)) or "no keys"
