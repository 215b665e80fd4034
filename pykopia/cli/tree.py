"""All commands: names, aliases, and where what they do is found.

Nothing of a command is imported before its name was read on the command line, so starting stays cheap however many
there are.
"""

from collections.abc import Callable

from pykopia.cli.parsing import Command

_REMOVE = ("remove", "rm")
_LS = ("ls",)
_CAT = ("cat",)


def _storages(run: str, summary: str) -> Callable[[], tuple[Command, ...]]:
    def make() -> tuple[Command, ...]:
        from pykopia.cli.storage_flags import storage_commands  # noqa: PLC0415 -- other commands do without

        return storage_commands(run, summary)

    return make


_REPOSITORY = Command(
    "repository",
    "Create, connect and configure repositories.",
    "",
    Command(
        "change-password",
        "Change the password; what other clients know stays valid until they notice.",
        "repository_settings:change_password",
        options="flags.repository_settings:ChangePasswordOptions",
    ),
    Command(
        "connect",
        "Connect to a repository.",
        "",
        more=_storages("repository_connect:connect", "Connect to a repository in"),
        options="connect_flags:ConnectFlags",
        offline=True,
    ),
    Command(
        "create",
        "Create a repository and connect to it.",
        "",
        more=_storages("repository_connect:create", "Create a repository in"),
        options="connect_flags:CreateFlags",
        offline=True,
    ),
    Command(
        "repair",
        "Bring back the format blob of a repository made in format version 1.",
        "",
        more=_storages("repository_repair:repair", "Repair a repository in"),
        options="flags.repository_repair:RepairFlags",
        offline=True,
        hidden=True,
    ),
    Command(
        "disconnect",
        "Forget the connection, its cache and its stored password.",
        "repository_connect:disconnect",
        offline=True,
    ),
    Command(
        "sync-to",
        "Copy the repository to another storage, or bring a copy up to date.",
        "",
        more=_storages("repository_sync:sync_to", "Copy the repository to"),
        options="flags.repository_sync:SyncFlags",
    ),
    Command(
        "set-client",
        "Change how this client uses the repository.",
        "repository_settings:set_client",
        options="flags.repository_settings:SetClientOptions",
    ),
    Command(
        "set-parameters",
        "Change parameters of the repository itself.",
        "repository_settings:set_parameters",
        options="flags.repository_settings:SetParametersOptions",
        aliases=("set-params",),
    ),
    Command(
        "status",
        "Show the connection and the format of the repository.",
        "repository_status:status",
        options="flags.repository_status:StatusOptions",
    ),
    Command(
        "throttle",
        "Limit the load that this client puts on the storage.",
        "",
        Command(
            "get", "Show the limits.", "repository_throttle:get", options="flags.repository_throttle:ThrottleGetOptions"
        ),
        Command(
            "set",
            "Change limits.",
            "repository_throttle:set_limits",
            options="flags.repository_throttle:ThrottleSetOptions",
        ),
    ),
    Command(
        "upgrade",
        "Upgrade the repository to the newest format.",
        "",
        Command(
            "begin",
            "Begin an upgrade, or go on with one.",
            "repository_upgrade:begin",
            options="flags.repository_upgrade:UpgradeBeginOptions",
        ),
        Command(
            "rollback",
            "Put the format of before the upgrade back.",
            "repository_upgrade:rollback",
            options="flags.repository_upgrade:UpgradeRollbackOptions",
        ),
        Command("validate", "Compare the upgraded index with the one before.", "repository_upgrade:validate"),
        hidden=True,
    ),
    Command(
        "validate-provider",
        "Test that the storage does what a repository needs.",
        "repository_validate:validate_provider",
        options="flags.repository_validate:ValidateProviderOptions",
    ),
    aliases=("repo",),
)

_SNAPSHOT = Command(
    "snapshot",
    "Take, list, restore, verify and delete snapshots.",
    "",
    Command(
        "copy-history",
        "Give the snapshots of a source to another one too.",
        "snapshot_history:copy_history",
        options="flags.snapshot_history:HistoryOptions",
    ),
    Command(
        "create",
        "Take a snapshot of files or folders.",
        "snapshot_create:create",
        options="flags.snapshot_create:CreateOptions",
    ),
    Command(
        "delete",
        "Delete snapshots by their ID.",
        "snapshot_delete:delete",
        options="flags.snapshot_delete:DeleteOptions",
    ),
    Command(
        "estimate",
        "Count what a snapshot would take in.",
        "snapshot_estimate:estimate",
        options="flags.snapshot_estimate:EstimateOptions",
    ),
    Command(
        "expire",
        "Delete the snapshots that policies do not keep.",
        "snapshot_expire:expire",
        options="flags.snapshot_expire:ExpireOptions",
    ),
    Command(
        "fix",
        "Take what can't be read, or is not wanted, out of snapshots.",
        "",
        Command(
            "invalid-files",
            "Replace or remove files that can't be read.",
            "snapshot_fix:invalid_files",
            options="flags.snapshot_fix:FixInvalidFilesOptions",
        ),
        Command(
            "remove-files",
            "Take files and folders out of snapshots.",
            "snapshot_fix:removed_files",
            options="flags.snapshot_fix:FixRemoveFilesOptions",
        ),
    ),
    Command(
        "list",
        "List snapshots.",
        "snapshot_list:list_snapshots",
        options="flags.snapshot_list:SnapshotListOptions",
        aliases=_LS,
    ),
    Command(
        "migrate",
        "Copy snapshots from another repository.",
        "snapshot_migrate:migrate",
        options="flags.snapshot_migrate:MigrateOptions",
    ),
    Command(
        "move-history",
        "Give the snapshots of a source to another one.",
        "snapshot_history:move_history",
        options="flags.snapshot_history:HistoryOptions",
    ),
    Command(
        "pin",
        "Add or remove pins, which keep a snapshot from expiring.",
        "snapshot_pin:pin",
        options="flags.snapshot_pin:PinOptions",
    ),
    Command("restore", "Restore a snapshot or a part of one.", "restore:restore", options="flags.restore:RestoreFlags"),
    Command(
        "verify",
        "Check that snapshots can be restored.",
        "snapshot_verify:verify",
        options="flags.snapshot_verify:VerifyFlags",
    ),
    aliases=("snap",),
)

_POLICY = Command(
    "policy",
    "Show and change policies.",
    "",
    Command("delete", "Delete policies.", "policy:delete", options="flags.policy:PolicyDeleteOptions", aliases=_REMOVE),
    Command("edit", "Change policies in an editor.", "policy_edit:edit", options="flags.policy_edit:PolicyEditOptions"),
    Command(
        "export",
        "Write policies as JSON.",
        "policy_export:export_policies",
        options="flags.policy_export:PolicyExportOptions",
    ),
    Command(
        "import",
        "Define the policies in a JSON text.",
        "policy_export:import_policies",
        options="flags.policy_export:PolicyImportOptions",
    ),
    Command(
        "list",
        "List the policies that are defined.",
        "policy:list_policies",
        options="flags.policy:PolicyListOptions",
        aliases=_LS,
    ),
    Command("set", "Change a policy.", "policy_set:set_policy", options="policy_flags:PolicySetOptions"),
    Command(
        "show",
        "Show the policy in force, and where each part of it comes from.",
        "policy:show",
        options="flags.policy:PolicyShowOptions",
        aliases=("get",),
    ),
    aliases=("policies",),
)

_BLOB = Command(
    "blob",
    "Look at the blobs in storage.",
    "",
    Command(
        "delete", "Delete blobs.", "blob:delete", options="flags.blob:BlobDeleteOptions", aliases=_REMOVE, hidden=True
    ),
    Command(
        "gc",
        "Delete packs that no index lists.",
        "by_hand:collect_blobs",
        options="flags.by_hand:BlobGCOptions",
        hidden=True,
    ),
    Command("list", "List blobs.", "blob:list_blobs", options="flags.blob:BlobListOptions", aliases=_LS),
    Command(
        "shards",
        "Manage the folders that blobs are spread over.",
        "",
        Command(
            "modify",
            "Move the blobs of a repository in a folder to other folders.",
            "blob_shards:modify",
            options="flags.blob_shards:ShardsModifyOptions",
            aliases=("reshard",),
            hidden=True,
        ),
        hidden=True,
        offline=True,
    ),
    Command("show", "Print blobs.", "blob:show", options="flags.blob:BlobShowOptions", aliases=_CAT),
    Command("stats", "Count blobs by size.", "blob:stats", options="flags.blob:BlobStatsOptions"),
    hidden=True,
)

_CONTENT = Command(
    "content",
    "Look at the contents in packs.",
    "",
    Command(
        "delete",
        "Mark contents as deleted.",
        "content_change:delete",
        options="flags.content_change:ContentDeleteOptions",
        aliases=_REMOVE,
        hidden=True,
    ),
    Command("list", "List contents.", "content:list_contents", options="flags.content:ContentListOptions", aliases=_LS),
    Command(
        "rewrite",
        "Store contents again, in new packs.",
        "by_hand:rewrite_contents",
        options="flags.by_hand:ContentRewriteOptions",
        hidden=True,
    ),
    Command("show", "Print contents.", "content:show", options="flags.content:ContentShowOptions", aliases=_CAT),
    Command(
        "stats",
        "Count contents by size and compression.",
        "content_stats:stats",
        options="flags.content_stats:ContentStatsOptions",
    ),
    Command(
        "undelete",
        "Store deleted contents again.",
        "content_change:undelete",
        options="flags.content_change:ContentUndeleteOptions",
        hidden=True,
    ),
    Command(
        "verify",
        "Check that each content lies in a blob that exists.",
        "content_stats:verify",
        options="flags.content_stats:ContentVerifyOptions",
    ),
    aliases=("contents",),
    hidden=True,
)

_INDEX = Command(
    "index",
    "Look at index blobs and recover them.",
    "",
    Command(
        "epoch",
        "Look at the epochs of the index.",
        "",
        Command("list", "List the status of epochs.", "index_repair:list_epochs"),
        hidden=True,
    ),
    Command("inspect", "Print what index blobs hold.", "index:inspect", options="flags.index:IndexInspectOptions"),
    Command("list", "List index blobs.", "index:list_indexes", options="flags.index:IndexListOptions", aliases=_LS),
    Command(
        "optimize",
        "Put index blobs together.",
        "by_hand:optimize_index",
        options="flags.by_hand:IndexOptimizeOptions",
        hidden=True,
    ),
    Command(
        "recover",
        "List the contents of packs in the index anew.",
        "index_repair:recover",
        options="flags.index_repair:IndexRecoverOptions",
    ),
    hidden=True,
)

_MAINTENANCE = Command(
    "maintenance",
    "Keep the repository small and fast.",
    "",
    Command(
        "info",
        "Show who maintains the repository, and what was done.",
        "maintenance:info",
        options="flags.maintenance:InfoOptions",
        aliases=("status",),
    ),
    Command("run", "Run maintenance.", "maintenance:run", options="flags.maintenance:RunOptions"),
    Command(
        "set",
        "Change who maintains the repository, and how.",
        "maintenance:set_maintenance",
        options="flags.maintenance:SetOptions",
    ),
    aliases=("gc",),
)

_MANIFEST = Command(
    "manifest",
    "Look at manifests.",
    "",
    Command(
        "delete",
        "Delete manifests.",
        "manifest:delete",
        options="flags.manifest:ManifestDeleteOptions",
        aliases=_REMOVE,
        hidden=True,
    ),
    Command(
        "list", "List manifests.", "manifest:list_manifests", options="flags.manifest:ManifestListOptions", aliases=_LS
    ),
    Command("show", "Print manifests.", "manifest:show", options="flags.manifest:ManifestShowOptions"),
    hidden=True,
)

_CACHE = Command(
    "cache",
    "Look at the local cache.",
    "",
    Command("clear", "Empty the cache.", "cache:clear", options="flags.cache:CacheClearOptions"),
    Command("info", "Show what the cache holds.", "cache:info", options="flags.cache:CacheInfoOptions"),
    Command(
        "prefetch",
        "Read files and folders of snapshots into the cache.",
        "cache_fill:prefetch",
        options="flags.cache_fill:CachePrefetchOptions",
    ),
    Command(
        "sync",
        "Read all folders and manifests into the cache.",
        "cache_fill:sync",
        options="flags.cache_fill:CacheSyncOptions",
    ),
    Command("set", "Change the sizes of the cache.", "cache:set_cache", options="flags.cache:CacheSetOptions"),
    hidden=True,
)

_LOGS = Command(
    "logs",
    "Look at the logs that Kopia clients leave in the repository.",
    "",
    Command("cleanup", "Delete old logs.", "log_sessions:cleanup", options="flags.log_sessions:LogsCleanupOptions"),
    Command("list", "List logs.", "log_sessions:list_logs", options="flags.log_sessions:LogsListOptions", aliases=_LS),
    Command("show", "Print logs.", "log_sessions:show", options="flags.log_sessions:LogsShowOptions", aliases=_CAT),
    aliases=("log",),
    hidden=True,
)

_SESSION = Command(
    "session",
    "Look at the clients that write to the repository.",
    "",
    Command("list", "List write sessions.", "write_sessions:list_sessions", aliases=_LS),
    hidden=True,
)

_BENCHMARK = Command(
    "benchmark",
    "Measure the algorithms of a repository on this machine.",
    "",
    Command(
        "compression",
        "Measure compressors.",
        "benchmark:compression",
        options="flags.benchmark:CompressionBenchmarkOptions",
    ),
    Command("crypto", "Measure hashes with encryption.", "benchmark:crypto", options="flags.benchmark:BenchmarkFlags"),
    Command("ecc", "Measure error correction.", "benchmark:ecc", options="flags.benchmark:EccBenchmarkFlags"),
    Command(
        "encryption", "Measure encryption.", "benchmark:encryption", options="flags.benchmark:EncryptionBenchmarkFlags"
    ),
    Command("hashing", "Measure hashes.", "benchmark:hashing", options="flags.benchmark:BenchmarkFlags"),
    Command("splitter", "Measure splitters.", "benchmark:splitter", options="flags.benchmark:SplitterBenchmarkOptions"),
    offline=True,
)

_NOTIFICATION = Command(
    "notification",
    "Manage messages about what happened.",
    "",
    Command(
        "profile",
        "Manage where messages go.",
        "",
        Command(
            "configure",
            "Make or change a profile.",
            "",
            Command(
                "email",
                "By e-mail.",
                "notification:configure_email",
                options="flags.notification:ConfigureEmailOptions",
            ),
            Command(
                "pushover",
                "By Pushover.",
                "notification:configure_pushover",
                options="flags.notification:ConfigurePushoverOptions",
            ),
            Command(
                "webhook",
                "By a call of a web address.",
                "notification:configure_webhook",
                options="flags.notification:ConfigureWebhookOptions",
            ),
            aliases=("setup",),
        ),
        Command(
            "delete",
            "Delete a profile.",
            "notification:delete_profile",
            options="flags.notification:ProfileDeleteOptions",
            aliases=("rm",),
        ),
        Command(
            "list",
            "List profiles.",
            "notification:list_profiles",
            options="flags.notification:ProfileListOptions",
            aliases=_LS,
        ),
        Command(
            "show", "Show a profile.", "notification:show_profile", options="flags.notification:ProfileShowOptions"
        ),
        Command(
            "test",
            "Send a test message.",
            "notification:test_profile",
            options="flags.notification:ProfileTestOptions",
            aliases=("send-test-message",),
        ),
    ),
    Command(
        "template",
        "Manage the texts of messages.",
        "",
        Command(
            "list", "List templates.", "notification:list_templates", options="flags.notification:TemplateListOptions"
        ),
        Command(
            "remove",
            "Return to a built-in template.",
            "notification:remove_template",
            options="flags.notification:TemplateRemoveOptions",
            aliases=("rm", "delete"),
        ),
        Command(
            "set",
            "Replace a built-in template.",
            "notification:set_template",
            options="flags.notification:TemplateSetOptions",
        ),
        Command(
            "show", "Print a template.", "notification:show_template", options="flags.notification:TemplateShowOptions"
        ),
    ),
    aliases=("notifications",),
)

ROOT = Command(
    "pykopia",
    "Backups in Kopia's repository format.",
    "",
    Command("help", "Show help for a command.", "help:help_command", options="help:HelpOptions", offline=True),
    _BENCHMARK,
    _BLOB,
    _CACHE,
    _CONTENT,
    Command("check", "Check snapshots, packs and index in one run.", "check:check", options="flags.peers:CheckOptions"),
    Command(
        "completion",
        "Print the completion script for a shell: bash, zsh or fish.",
        "completion:completion",
        options="flags.completion:CompletionOptions",
        offline=True,
    ),
    Command(
        "copy", "Copy single snapshots to another repository.", "snapshot_copy:copy", options="flags.peers:CopyOptions"
    ),
    Command(
        "doctor",
        "Look for what is wrong with client, storage, index and maintenance.",
        "doctor:doctor",
        options="flags.peers:DoctorOptions",
        offline=True,
    ),
    Command(
        "dump",
        "Write a file, or a folder as an archive, to standard output.",
        "dump:dump",
        options="flags.peers:DumpOptions",
    ),
    Command(
        "find", "Look for files and folders by name in all snapshots.", "find:find", options="flags.find:FindOptions"
    ),
    Command(
        "history",
        "Tell in which states the snapshots have a file or folder.",
        "find:history",
        options="flags.find:HistoryOptions",
    ),
    Command(
        "diff",
        "Compare two folders or files of snapshots.",
        "diff:diff",
        options="flags.diff:DiffOptions",
        aliases=("compare",),
    ),
    _INDEX,
    Command("info", "Show what a snapshot holds and costs.", "snapshot_info:info", options="flags.peers:InfoOptions"),
    Command(
        "list", "List a folder of a snapshot.", "objects:list_folder", options="flags.objects:ListOptions", aliases=_LS
    ),
    _LOGS,
    _MAINTENANCE,
    _MANIFEST,
    Command(
        "mount",
        "Mount a snapshot, a source's snapshots or all of them as a folder, for reading.",
        "mount:mount",
        options="flags.mount:MountOptions",
    ),
    _NOTIFICATION,
    _POLICY,
    _REPOSITORY,
    Command("restore", "Restore a snapshot or a part of one.", "restore:restore", options="flags.restore:RestoreFlags"),
    Command(
        "rewrite",
        "Take files and folders out of old snapshots.",
        "snapshot_rewrite:rewrite",
        options="flags.peers:RewriteOptions",
    ),
    _SESSION,
    Command("show", "Print a file of a snapshot.", "objects:show", options="flags.objects:ShowOptions", aliases=_CAT),
    _SNAPSHOT,
    Command("tag", "Set and remove tags of snapshots.", "snapshot_tag:tag", options="flags.peers:TagOptions"),
    Command("ui", "Show the snapshots in a browser of this machine.", "ui:ui", options="flags.ui:PageOptions"),
    options="global_flags:GlobalFlags",
)
"""The program: its commands, and the flags that all of them accept."""


def find(names: list[str]) -> tuple[Command, ...]:
    """Return the commands from the program down to the one that ``names`` leads to; fewer when a name is unknown."""
    path = [ROOT]
    for name in names:
        child = path[-1].find(name)
        if child is None:
            break
        path.append(child)
    return tuple(path)


__all__ = ["ROOT", "find"]
