"""`repository status`."""

from typing import TYPE_CHECKING

from pykopia import clock
from pykopia.cli import formatting, jsontext, passwords
from pykopia.cli.flags.repository_status import StatusOptions
from pykopia.cli.session import Session
from pykopia.repository.connection_file import read_config

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.format.repository_format import RepositoryFormat

_CONTENT_FORMAT = (
    "hash",
    "encryption",
    "ecc",
    "eccOverheadPercent",
    "version",
    "maxPackSize",
    "indexVersion",
    "epochParameters",
    "enablePasswordChange",
)
"""Members of the format that are shown; all others are secret or shown elsewhere."""
_INDENT = " " * 21


def status(session: Session, options: StatusOptions) -> None:
    """Show the connection and the format of the repository."""
    with session.open() as repository:
        if options.json:
            options.write_json(session, _as_json(session, repository))
            return
        for line in _lines(session, repository):
            session.write(line)
        if options.reconnect_token:
            _write_token(session, repository, with_password=options.reconnect_token_with_password)


def _as_json(session: Session, repository: "Repository") -> dict[str, object]:
    client, configuration = repository.client, repository.blob_configuration
    members = repository.format.members()
    client_members: dict[str, object] = {"hostname": client.hostname, "username": client.username}
    if client.read_only:
        client_members["readonly"] = True
    if client.permissive_cache_loading:
        client_members["permissiveCacheLoading"] = True
    if client.description:
        client_members["description"] = client.description
    client_members["enableActions"] = client.enable_actions
    if client.format_blob_cache_duration_ns:
        client_members["formatBlobCacheDuration"] = client.format_blob_cache_duration_ns
    limits = read_config(session.config_path).throttling
    if limits is not None:
        client_members["throttlingLimits"] = limits
    result: dict[str, object] = {
        "configFile": str(session.config_path),
        "uniqueIDHex": repository.unique_id.hex(),
        "clientOptions": client_members,
        "storage": repository.storage.connection_info().redacted(),
    }
    capacity = repository.storage.capacity()
    if capacity is not None:
        result["volume"] = {"capacity": capacity.size, "available": capacity.free}
    retention: dict[str, object] = {}
    if configuration.retention_mode:
        retention = {
            "retentionMode": configuration.retention_mode,
            "retentionPeriod": configuration.retention_period_ns,
        }
    return result | {
        "contentFormat": {name: members[name] for name in _CONTENT_FORMAT if name in members},
        "objectFormat": {"splitter": members["splitter"]} if "splitter" in members else {},
        "blobRetention": retention,
    }


def _lines(session: Session, repository: "Repository") -> list[str]:
    client, parameters = repository.client, repository.format
    keep = client.format_blob_cache_duration_ns
    connection = repository.storage.connection_info().redacted()
    config = jsontext.indent(jsontext.dumps(connection["config"]), prefix=_INDENT)
    lines = [
        f"Config file:         {session.config_path}",
        "",
        f"Description:         {client.description}",
        f"Hostname:            {client.hostname}",
        f"Username:            {client.username}",
        f"Read-only:           {_word(client.read_only)}",
        f"Format blob cache:   {formatting.duration(keep) if keep > 0 else 'disabled'}",
        "",
        f"Storage type:        {connection['type']}",
        *_capacity_lines(session, repository),
        f"Storage config:      {config}",
        "",
        f"Unique ID:           {repository.unique_id.hex()}",
        f"Hash:                {parameters.hash}",
        f"Encryption:          {parameters.encryption}",
        f"Splitter:            {parameters.splitter}",
        f"Format version:      {parameters.version}",
        f"Content compression: {_word(parameters.effective_index_version >= 2)}",
        f"Password changes:    {_word(parameters.enable_password_change)}",
    ]
    if parameters.required_features:
        lines.append(f"Required Features:   {' '.join(each.feature for each in parameters.required_features)}")
    lines += [
        f"Max pack length:     {session.size(parameters.effective_max_pack_size)}",
        f"Index Format:        v{parameters.effective_index_version}",
        *_epoch_lines(session, repository),
    ]
    configuration = repository.blob_configuration
    if configuration.retention_mode:
        lines += [
            "",
            f"Blob retention mode:     {configuration.retention_mode}",
            f"Blob retention period:   {formatting.duration(configuration.retention_period_ns)}",
        ]
    return lines + _upgrade_lines(session, parameters)


def _capacity_lines(session: Session, repository: "Repository") -> list[str]:
    capacity = repository.storage.capacity()
    if capacity is None:
        return ["Storage capacity:    unbounded"]
    return [
        f"Storage capacity:    {session.size(capacity.size)}",
        f"Storage available:   {session.size(capacity.free)}",
    ]


def _epoch_lines(session: Session, repository: "Repository") -> list[str]:
    epochs = repository.format.epoch_parameters
    if not epochs.enabled:
        return ["Epoch Manager:       disabled"]
    advance = f"{epochs.advance_on_count} blobs or {session.size(epochs.advance_on_size)}"
    advance += f", minimum {formatting.duration(epochs.min_duration_ns)}"
    return [
        "",
        "Epoch Manager:       enabled",
        f"Current Epoch: {repository.contents.indexes.write_epoch}",
        "",
        f"Epoch refresh frequency: {formatting.duration(epochs.refresh_frequency_ns)}",
        f"Epoch advance on:        {advance}",
        f"Epoch cleanup margin:    {formatting.duration(epochs.cleanup_safety_margin_ns)}",
        f"Epoch range-compaction every: {epochs.checkpoint_frequency} epochs",
    ]


def _upgrade_lines(session: Session, parameters: "RepositoryFormat") -> list[str]:
    lock = parameters.upgrade_lock
    if lock is None:
        return []
    now_ns = clock.now()
    return [
        "",
        f"Ongoing upgrade:     {lock.message}",
        f"Upgrade Time:        {session.time(lock.upgrade_time_ns)}",
        f"Upgrade Owner:       {lock.owner_id}",
        f"Upgrade lock:        {'Locked' if lock.locked(now_ns) else 'Unlocked'}",
        f"Lock status:         {'Fully Established' if lock.drained(now_ns) else 'Draining'}",
    ]


def _write_token(session: Session, repository: "Repository", *, with_password: bool) -> None:
    from pykopia.format.token import ConnectionToken  # noqa: PLC0415

    password = passwords.for_opening(session) if with_password else ""
    # programs look for a line that begins with "$ kopia"; the token serves Kopia and pykopia alike
    token = ConnectionToken(storage=repository.storage.connection_info().to_json(), password=password)
    session.write(
        f"\nTo reconnect to the repository use:\n\n$ kopia repository connect from-config --token {token.encode()}\n"
    )
    if password:
        session.write("NOTICE: anyone can read the password from this token. Keep it as safe as the password itself.")


def _word(truth: bool) -> str:
    return "true" if truth else "false"


__all__ = ["status"]
