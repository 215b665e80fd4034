"""`policy export`, `policy import`, `policy edit`: policies as JSON that people write."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.cli_runner import Runner


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    cli.ok("repo", "create", "filesystem", "--path", str(tmp_path / "storage"), "--override-hostname=h",
           "--override-username=u")  # fmt: skip
    return cli


def exported(client: Runner, *words: str) -> dict[str, Any]:
    document: dict[str, Any] = client.ok("policy", "export", *words).json
    return document


def imported(client: Runner, document: object, *words: str) -> None:
    text = document if isinstance(document, str) else json.dumps(document)
    client.ok("policy", "import", *words, stdin=text.encode())


def test_an_export_names_each_target_in_order(client: Runner) -> None:
    client.ok("policy", "set", "/b", "@h", "someone@h", "--keep-daily=4")
    document = exported(client)
    assert list(document) == ["(global)", "@h", "someone@h", "u@h:/b"]
    assert document["@h"]["retention"] == {"keepDaily": 4}
    assert list(exported(client, "/b", "(global)")) == ["(global)", "u@h:/b"]
    assert list(exported(client, "--global")) == ["(global)"]
    assert len(client.ok("policy", "export").lines) == 1
    assert len(client.ok("policy", "export", "--json-indent").lines) > 100


def test_an_export_goes_to_a_file_that_only_its_owner_reads(client: Runner, tmp_path: Path) -> None:
    file = tmp_path / "policies.json"
    client.ok("policy", "export", "--to-file", str(file))
    assert json.loads(file.read_text()) == exported(client)
    assert file.stat().st_mode & 0o777 == 0o600
    file.write_text("mine")
    assert "--overwrite replaces it" in client.fails("policy", "export", "--to-file", str(file)).stderr
    assert "no policy is defined" in client.fails(
        "policy", "export", "--overwrite", "--to-file", str(file), "/x"
    ).stderr  # fmt: skip
    assert file.read_text() == "mine"
    client.ok("policy", "export", "--overwrite", "--to-file", str(file))
    assert json.loads(file.read_text()) == exported(client)
    assert "needs --to-file" in client.fails("policy", "export", "--overwrite").stderr
    assert client.fails("policy", "export", "--to-file", "/no/such/folder/x").stderr


def test_what_was_exported_is_imported_as_it_was(client: Runner) -> None:
    client.ok("policy", "set", "/b", "--add-ignore=*.tmp", "--before-folder-action=/bin/x 1", "--snapshot-time=8:00")
    before = client.ok("policy", "export").stdout
    client.ok("policy", "delete", "/b", "(global)")
    imported(client, before)
    assert client.ok("policy", "export").stdout == before


def test_ignore_rules_keep_their_order(client: Runner) -> None:
    imported(client, {"/b": {"files": {"ignore": ["*", "!keep", "a"]}}})
    assert exported(client)["u@h:/b"]["files"] == {"ignore": ["*", "!keep", "a"]}


def test_only_chosen_targets_are_imported_and_others_deleted_when_asked(client: Runner) -> None:
    document = {target: {"retention": {"keepDaily": 1}} for target in ("(global)", "@h", "/b")}
    imported(client, document, "/b")
    assert "keepDaily" in exported(client)["u@h:/b"]["retention"]
    assert set(exported(client)) == {"(global)", "u@h:/b"}
    imported(client, document, "--delete-other-policies", "--global", )  # fmt: skip
    assert list(exported(client)) == ["(global)"]
    imported(client, document)
    assert set(exported(client)) == {"(global)", "@h", "u@h:/b"}
    result = client.ok("policy", "import", "/nothing", stdin=json.dumps(document).encode())
    assert "there is no policy for u@h:/nothing" in result.stderr


def test_unknown_fields_are_refused_or_kept_forever(client: Runner) -> None:
    document = {"/b": {"retention": {"keepDaily": 1, "keepForever": [1]}, "future": {"a": 1}}}
    result = client.fails("policy", "import", stdin=json.dumps(document, indent=1).encode())
    assert "line 5, column 4: unknown field /b retention.keepForever" in result.stderr
    imported(client, document, "--allow-unknown-fields")
    client.ok("policy", "set", "/b", "--keep-daily=2")
    policy = exported(client)["u@h:/b"]
    assert policy["retention"] == {"keepDaily": 2, "keepForever": [1]}
    assert policy["future"] == {"a": 1}
    assert client.ok("policy", "show", "/b", "--json").json["retention"]["keepDaily"] == 2


WRONG = [
    ('{"/b": {"retention": {"keepDaily": "x"}}}', "line 1, column 36: /b retention.keepDaily must be a whole number"),
    ('{"/b": {"retention":\n  {"keepDaily" 1}}}', "line 2, column 16: not JSON"),
    ('{"/b": [1]}', "line 1, column 8: /b must be an object, not a list"),
    ("[]", "policies must be an object"),
    ("", "not JSON"),
    ('{"/b": {"retention": {"keepDaily": -1}}}', "retention.keepDaily: must not be negative"),
    ('{"/b": {"compression": {"compressorName": "lz5"}}}', "'lz5' is no compressor"),
    ('{"/b": {"splitter": {"algorithm": "FIXED-3M"}}}', "'FIXED-3M' is no splitter"),
    ('{"/b": {"scheduling": {"timeOfDay": [{"hour": 25}]}}}', "25:00 is no time of day"),
    ('{"/b": {"scheduling": {"cron": ["x"]}}}', "scheduling.cron[0]"),
    ('{"/b": {"scheduling": {"manual": true, "intervalSeconds": 5}}}', "scheduling.manual can't be combined"),
    ('{"/b": {"files": {"ignore": ["[b"]}}}', "files.ignore[0]"),
    ('{"/b": {"actions": {"beforeFolder": {}}}}', "must have either a path or a script"),
    ('{"u@h:b": {"retention": {"keepDaily": 1}}}', "the path 'b' is relative"),
    ('{"u@h:/b/": {"retention": {"keepDaily": 1}}}', "leave out the slash"),
    ('{"u@": {}}', "is no source"),
]


GOOD = '{"/a": {"retention": {"keepDaily": 1}}, '


def test_what_makes_no_sense_is_refused_and_all_stays_as_it_was(client: Runner) -> None:
    client.ok("policy", "set", "/b", "--keep-daily=7")
    before = client.ok("policy", "export").stdout
    for document, told in WRONG:
        assert told in client.fails("policy", "import", "--delete-other-policies", stdin=document.encode()).stderr
    for document, _ in WRONG:
        if document.startswith("{"):
            client.fails("policy", "import", "--delete-other-policies", stdin=document.replace("{", GOOD, 1).encode())
    assert client.ok("policy", "export").stdout == before


def test_set_refuses_what_makes_no_sense(client: Runner) -> None:
    before = client.ok("policy", "export").stdout
    for flags, told in (
        (["--keep-latest=-1"], "must not be negative"),
        (["--add-ignore=[b"], "files.ignore[0]"),
        (["--parallel-upload-above-size-mib=0"], "must not be 0"),
        (["--max-parallel-snapshots=2"], "maxParallelSnapshots can be set only globally"),
        (["--action-command-timeout=-1s", "--before-folder-action=x"], "must not be negative"),
        (["--snapshot-time-crontab=1 2"], "scheduling.cron[0]"),
        (["--max-file-size=-5"], "must be a size such as"),
    ):
        assert told in client.fails("policy", "set", "/b", *flags).stderr
    assert client.ok("policy", "export").stdout == before


def test_odd_values_are_stored_with_a_warning(client: Runner) -> None:
    result = client.ok("policy", "set", "/b", "--add-never-compress=zip")
    assert "'zip' never matches; write it as '.zip'" in result.stderr
    assert "never matches" not in client.ok("policy", "set", "/b", "--keep-latest=1").stderr


# --- an editor ---


@pytest.fixture
def editor(tmp_path: Path) -> Path:
    """A program that does to the file what the test says, one script for each time it is opened."""
    program = tmp_path / "an editor"
    program.write_text(
        f'#!/bin/sh\nset -e\nfile="$2"\n[ "$1" = -w ]\ncp "$file" {tmp_path}/shown\n'
        f"count=$(ls {tmp_path} | grep -c ^opened || true)\ntouch {tmp_path}/opened$count\n"
        f". {tmp_path}/step$count\n"
    )
    program.chmod(0o755)
    return program


def edit(client: Runner, editor: Path, *steps: str, answers: str = "y\n", fails: bool = False) -> str:
    for path in editor.parent.glob("opened*"):
        path.unlink()
    for number, step in enumerate(steps):
        (editor.parent / f"step{number}").write_text(step)
    words = ("policy", "edit", "/b")
    run = client.fails if fails else client.ok
    result = run(*words, stdin=answers.encode(), EDITOR="unused", VISUAL=f"'{editor}' -w")
    return result.stdout + result.stderr


def write(document: object) -> str:
    text = document if isinstance(document, str) else json.dumps(document)
    return f"cat > \"$file\" <<'EOF'\n# a comment\n{text}\nEOF\n"


def test_an_edited_policy_is_saved_when_confirmed(client: Runner, editor: Path) -> None:
    client.ok("policy", "set", "/b", "--keep-daily=7")
    told = edit(client, editor, """sed -i 's/"keepDaily": 7/"keepDaily": 8/' "$file" """)
    assert "Save updated policy? (y/N)" in told
    shown = (editor.parent / "shown").read_text()
    assert "The policy of u@h:/b" in shown
    assert "# Snapshots to keep" in shown
    assert exported(client, "/b")["u@h:/b"]["retention"] == {"keepDaily": 8}
    edit(client, editor, write({"retention": {"keepDaily": 9}}), answers="n\n")
    assert exported(client, "/b")["u@h:/b"]["retention"] == {"keepDaily": 8}
    assert "unchanged" in edit(client, editor, ":")


def test_a_policy_that_is_wrong_is_opened_again(client: Runner, editor: Path) -> None:
    steps = [
        write('{"retention":\n {"keepDaily": x}}'),
        write({"unheard": 1}),
        write({"compression": {"compressorName": "lz5"}}),
        write({"retention": {"keepDaily": 3}}),
    ]
    told = edit(client, editor, *steps, answers="y\n\nyes\ny\n")
    assert "line 3, column 16: not JSON" in told
    assert "unknown field unheard" in told
    assert "'lz5' is no compressor" in told
    assert exported(client, "/b")["u@h:/b"]["retention"] == {"keepDaily": 3}


def test_giving_up_leaves_the_policy_as_it_was(client: Runner, editor: Path) -> None:
    assert "left as it is" in edit(client, editor, write("{"), answers="n\n", fails=True)
    assert "left as it is" in edit(client, editor, write("{"), answers="", fails=True)
    assert "exit status 4" in edit(client, editor, "exit 4", fails=True)
    result = client.fails("policy", "edit", "/b", EDITOR="/no/such/editor")
    assert "can't start the editor /no/such/editor" in result.stderr
    assert list(exported(client)) == ["(global)"]
