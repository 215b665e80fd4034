"""Policies that either program sets are shown, exported and applied by the other just the same."""

import json
import shutil
from collections import Counter
from pathlib import Path

from pykopia.format.compression import HEADER_NAMES
from tests.cli_runner import Runner

from .kopia_cli import KopiaCLI
from .repositories import connect_ours

CHANGES = {
    "retention": ["--keep-latest=3", "--keep-annual=0", "--keep-daily=inherit", "--ignore-identical-snapshots=true"],
    "files": ["--add-ignore=*.tmp", "--add-ignore=!keep", "--add-dot-ignore=.ig", "--max-file-size=99"],
    "more-files": ["--one-file-system=true", "--ignore-cache-dirs=false"],
    "errors": ["--ignore-file-errors=true", "--ignore-dir-errors=false", "--ignore-unknown-types=false"],
    "compression": ["--compression=zstd", "--compression-min-size=7", "--compression-max-size=77"],
    "endings": ["--add-never-compress=.zip", "--add-never-compress=.gz", "--add-only-compress=.txt"],
    "metadata": ["--metadata-compression=none", "--splitter=FIXED-1M"],
    "interval": ["--snapshot-interval=90m", "--snapshot-time=20:15,8:00", "--run-missed=true"],
    "cron": ["--snapshot-time-crontab=0 3 * * *;0 4 * * *"],
    "manual": ["--manual"],
    "actions": ['--before-folder-action=/bin/run "an argument" b', "--action-command-timeout=9s"],
    "optional": ["--after-snapshot-root-action=/bin/x", "--action-command-mode=optional"],
    "shadow": ["--enable-volume-shadow-copy=when-available"],
    "logging": ["--log-dir-snapshotted=1", "--log-entry-cache-miss=10"],
    "upload": ["--max-parallel-file-reads=5", "--parallel-upload-above-size-mib=3"],
    "alone": ["--inherit=false", "--keep-latest=5"],
}


def test_a_policy_set_by_either_is_shown_by_both_alike(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    kopia.create_repository(tmp_path / "repository")
    connect_ours(ours, kopia, tmp_path / "repository")
    kopia.run("policy", "set", "--global", "--add-ignore=from-above", "--add-never-compress=.7z")
    ours.ok("policy", "set", f"@{kopia.hostname}", "--keep-weekly=9", "--snapshot-time=5:55")
    for name, flags in CHANGES.items():
        kopia.run("policy", "set", f"/kopia/{name}", *flags)
        ours.ok("policy", "set", f"/pykopia/{name}", *flags)

    document = kopia.run("policy", "export").stdout
    assert ours.ok("policy", "export").stdout == document
    assert ours.ok("policy", "export", "--json-indent").stdout == kopia.run("policy", "export", "--json-indent").stdout
    policies = json.loads(document)
    for name in CHANGES:
        owner = f"{kopia.username}@{kopia.hostname}"
        assert policies[f"{owner}:/pykopia/{name}"] == policies[f"{owner}:/kopia/{name}"]
        for target, *form in ((f"/pykopia/{name}",), (f"/kopia/{name}/below", "--json")):
            theirs = kopia.run("policy", "show", target, *form).stdout
            assert ours.ok("policy", "show", target, *form).stdout == theirs


def test_what_one_exports_the_other_imports(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    kopia.create_repository(tmp_path / "repository")
    connect_ours(ours, kopia, tmp_path / "repository")
    for name, flags in CHANGES.items():
        kopia.run("policy", "set", f"/{name}", *flags)
    file = tmp_path / "policies.json"
    kopia.run("policy", "export", "--to-file", file)
    document = file.read_text()
    targets = list(json.loads(document))
    ours.ok("policy", "delete", *targets)
    ours.ok("policy", "import", "--from-file", str(file))
    assert kopia.run("policy", "export").stdout == document
    ours.ok("policy", "export", "--overwrite", "--to-file", str(file))
    assert file.read_text() == document
    kopia.run("policy", "delete", *targets)
    kopia.run("policy", "import", "--from-file", file)
    assert ours.ok("policy", "export").stdout == document
    kopia.run("policy", "import", "--from-file", file, "--delete-other-policies", "/files")
    owner = f"{kopia.username}@{kopia.hostname}"
    assert list(ours.ok("policy", "export").json) == [f"{owner}:/files"]


def compressions(kopia: KopiaCLI) -> Counter[tuple[str, int]]:
    """Return compressor and original length of contents, but for manifests and what one compressor gains nothing of."""
    listed = kopia.content_list(compression=True)
    return Counter(
        (HEADER_NAMES.get(each.get("compression", 0), ""), each["originalLength"])
        for each in listed
        if not each["contentID"].startswith("m") and not 100 < each["originalLength"] < 400
    )


def test_rules_and_compression_of_a_policy_are_applied_alike(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    """The same folder, policies at three levels and ignore files at two: the same root object."""
    source = tmp_path / "source"
    for folder in ("a/b", "cache", "logs/old", "sub/deep"):
        (source / folder).mkdir(parents=True)
    for name in (
        "keep.txt",
        "x.log",
        "a/y.log",
        "a/b/z.log",
        "a/b/important.log",
        "logs/old/1",
        "sub/u.tmp",
        "sub/text",
        "sub/deep/v",
    ):
        (source / name).write_text(name * 500)
    (source / "large.bin").write_bytes(bytes(300_000))
    (source / "packed.gz").write_bytes(b"text " * 20_000)
    (source / "small.txt").write_bytes(b"s" * 40)
    (source / "cache" / "CACHEDIR.TAG").write_text("Signature: 8a477f597d28d172789f06886806bc55\n")
    (source / "cache" / "content").write_text("left out")
    (source / ".kopiaignore").write_text("# a comment\n*.log\n/logs/*\n\n")
    (source / "a" / "b" / ".kopiaignore").write_text("!important.log\n")
    (source / "sub" / ".other").write_text("deep/\n")
    kopia.create_repository(tmp_path / "repository")
    connect_ours(ours, kopia, tmp_path / "repository")
    general = ("--compression=zstd", "--add-never-compress=.gz", "--compression-min-size=100")
    kopia.run("policy", "set", "--global", *general)
    kopia.run("policy", "set", source, "--max-file-size=200000", "--metadata-compression=zstd", "--splitter=FIXED-4M")
    kopia.run("policy", "set", source / "sub", "--add-dot-ignore=.other", "--add-ignore=*.tmp", "--compression=pgzip")
    first = kopia.snapshot_create(source)
    second = ours.ok("snapshot", "create", str(source), "--force-hash=100", "--json").json
    assert second["rootEntry"] == first["rootEntry"]
    compressed = compressions(kopia)

    # each of them in a repository of its own, for what is stored
    document = kopia.run("policy", "export").stdout
    shutil.rmtree(ours.folder)
    ours.ok(
        "repository", "create", "filesystem", "--path", str(tmp_path / "ours"), "--override-username", kopia.username,
        "--override-hostname", kopia.hostname,
    )  # fmt: skip
    ours.ok("policy", "import", stdin=document.encode())
    second = ours.ok("snapshot", "create", str(source), "--json").json
    other = kopia.client("other")
    other.connect(tmp_path / "ours")
    assert compressions(other) == compressed
    assert {"zstd", "pgzip", ""} == {name for name, _ in compressed}
    listed = {line.partition("/")[2] for line in ours.ok("ls", "-r", second["rootEntry"]["obj"]).lines}
    assert "a/b/important.log" in listed
    assert not {"x.log", "large.bin", "sub/u.tmp", "sub/deep/v", "cache/content"} & listed
