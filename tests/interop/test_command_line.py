"""Our command line beside Kopia's own, on one repository: the same words give the same output."""

import re
from pathlib import Path

from tests.cli_runner import Runner
from tests.trees import TREES, changing_tree

from .kopia_cli import KopiaCLI
from .repositories import connect_ours


def fill(kopia: KopiaCLI, tmp_path: Path) -> None:
    kopia.create_repository(tmp_path / "repository")
    TREES["everything"](tmp_path / "source")
    kopia.snapshot_create(tmp_path / "source", tags=["a:b"], description="first")
    kopia.snapshot_create(tmp_path / "source", pin=["kept"])
    changing_tree(tmp_path / "changing", 1)
    kopia.snapshot_create(tmp_path / "changing")
    changing_tree(tmp_path / "changing", 2)
    kopia.policy_set(tmp_path / "changing", keep_latest=7, compression="zstd", add_ignore=["*.tmp"])
    kopia.policy_set("@otherhost", keep_daily=1)
    kopia.snapshot_create(tmp_path / "changing")
    kopia.run("notification", "profile", "configure", "webhook", profile_name="hook", endpoint="http://localhost:1/x")


SAME_OUTPUT = [
    "snapshot list",
    "snapshot list --all --incomplete --show-identical --manifest-id --owner --mtime --delta",
    "snapshot list {changing}",
    "snapshot list --storage-stats",
    "policy list",
    "policy show --global",
    "policy show {changing}",
    "policy show @otherhost",
    "content list",
    "content list --long --human",
    "content list --compression",
    "content list --summary --non-prefixed",
    "content stats",
    "content stats --raw --prefix k",
    "blob stats",
    "index list",
    "index list --summary",
    "manifest list",
    "manifest list --filter type:snapshot",
    "repository throttle get",
    "snapshot estimate {changing}",
    "notification profile list",
    "notification profile show --profile-name=hook",
    "notification template list",
    "session list",
    "diff {root} {root}",
    "ls {root}",
    "show {root}",
    "content show {root}",
    "snapshot delete {root}",
]


def test_listings_are_those_of_kopia(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    fill(kopia, tmp_path)
    connect_ours(ours, kopia, tmp_path / "repository")
    root = kopia.snapshot_list()[0]["rootEntry"]["obj"]
    different = []
    for line in SAME_OUTPUT:
        words = line.format(changing=tmp_path / "changing", root=root).split()
        theirs = kopia.run_bytes(*words, check=False)
        result = ours(*words)
        same = sorted(result.stdout_bytes.splitlines()) == sorted(theirs.stdout.splitlines())
        ordered = result.stdout_bytes == theirs.stdout or line.startswith(("ls", "content stats"))  # order by chance
        if not (same and ordered and (result.status != 0) == (theirs.returncode != 0)):
            different.append((line, theirs.stdout[:2000], result.stdout_bytes[:2000], result.stderr))
    assert different == []


def test_a_snapshot_taken_by_either_is_told_in_the_same_json(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    fill(kopia, tmp_path)
    connect_ours(ours, kopia, tmp_path / "repository")
    words = ("snapshot", "create", str(tmp_path / "source"), "--json", "--start-time", "2026-08-01 12:00:00 UTC",
             "--end-time", "2026-08-01 12:00:01 UTC", "--tags=a:b", "--override-source", "user@host:/path")  # fmt: skip
    texts = [kopia.run(*words).stdout, ours.ok(*words).stdout]
    assert len({re.sub(r'"id":"[0-9a-f]{32}"', "", text).strip() for text in texts}) == 1, texts


def test_logs_of_kopia_are_shown_as_kopia_shows_them(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    fill(kopia, tmp_path)
    connect_ours(ours, kopia, tmp_path / "repository")
    session = kopia.run("logs", "list", "--all").stdout.split()[0]
    assert ours.ok("logs", "show", session).stdout == kopia.run("logs", "show", session).stdout


def test_notification_profiles_of_each_serve_the_other(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    fill(kopia, tmp_path)
    connect_ours(ours, kopia, tmp_path / "repository")
    ours.ok("notification", "profile", "configure", "email", "--profile-name=post", "--smtp-server=mail",
            "--mail-from=a@b", "--mail-to=c@d", "--min-severity=error")  # fmt: skip
    ours.ok("notification", "template", "set", "test-notification.txt", "--from-stdin", stdin=b"Subject: x\n\ny\n")
    for words in (
        ("profile", "list", "--json", "--raw"),
        ("profile", "list"),
        ("template", "show", "test-notification.txt"),
    ):
        assert ours.ok("notification", *words).stdout == kopia.run("notification", *words).stdout


def test_status_is_that_of_kopia_but_for_the_connection_file(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    fill(kopia, tmp_path)
    connect_ours(ours, kopia, tmp_path / "repository")

    def status(text: str) -> list[str]:
        changing = ("Config file:", "Storage available:", "Description:")
        return [line for line in text.splitlines() if not line.startswith(changing)]

    assert status(ours.ok("repository", "status").stdout) == status(kopia.run("repository", "status").stdout)
    theirs = kopia.repository_status()
    mine = ours.ok("repository", "status", "--json").json
    assert list(mine) == list(theirs)
    for key in ("uniqueIDHex", "storage", "contentFormat", "objectFormat", "blobRetention"):
        assert mine[key] == theirs[key]


def test_kopia_uses_our_connection_file_and_password(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    kopia.create_repository(tmp_path / "repository")
    connect_ours(ours, kopia, tmp_path / "repository")
    for suffix in ("", ".kopia-password"):
        source = ours.config.with_name(ours.config.name + suffix)
        (kopia.folder / f"repository.config{suffix}").write_bytes(source.read_bytes())
    without_password = kopia.client("kopia-client", password="")
    assert without_password.run("snapshot", "list").returncode == 0


def test_kopia_and_we_share_a_repository_that_we_made(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    TREES["small_tree"](tmp_path / "source")
    ours.ok("repository", "create", "filesystem", "--path", str(tmp_path / "repository"))
    ours.ok("policy", "set", "--global", "--compression=zstd", "--keep-latest=5")
    ours.ok("snapshot", "create", str(tmp_path / "source"), "--override-source", f"tester@testhost:{tmp_path}/source")
    kopia.connect(tmp_path / "repository")
    kopia.verify_all()
    (snapshot,) = kopia.snapshot_list()
    assert kopia.policy_show()["compression"]["compressorName"] == "zstd"
    kopia.restore(str(snapshot["id"]), tmp_path / "restored")
    kopia.snapshot_create(tmp_path / "source")
    assert len(ours.ok("snapshot", "list", "--all", "--json").json) == 2


def test_a_token_of_each_serves_the_other(kopia: KopiaCLI, ours: Runner, tmp_path: Path) -> None:
    kopia.create_repository(tmp_path / "repository")
    connect_ours(ours, kopia, tmp_path / "repository")
    lines = kopia.run("repository", "status", "-t", "-s").stdout.splitlines()
    theirs = next(line for line in lines if line.startswith("$ kopia "))
    mine = next(line for line in ours.ok("repository", "status", "-t", "-s").lines if line.startswith("$ kopia "))
    Runner(tmp_path / "by-theirs", password="").ok(*theirs.split()[2:])
    other = kopia.client("by-ours", password="")
    other.folder.mkdir()
    other.run(*mine.split()[2:])
