"""`policy edit`."""

import shlex
import subprocess
import tempfile
from pathlib import Path

from pykopia.cli.flags.policy_edit import PolicyEditOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.session import Session
from pykopia.errors import InvalidPolicyError
from pykopia.format.policy import Policy
from pykopia.format.source import SourceInfo
from pykopia.snapshot.policy_change import check_change

_EDITOR = "vi"
_HELP = """
# The policy of {target}. Save the file and leave the editor to go on.
# Lines that begin with # do not count; the rest must be one JSON object.

"""
_HINTS = {
    "retention": (
        'Snapshots to keep: "keepLatest", "keepHourly", "keepDaily", "keepWeekly", "keepMonthly", "keepAnnual",',
        "each a number.",
    ),
    "files": (
        'What is left out: "ignore": ["*.tmp", "/cache/"], "ignoreDotFiles": [".kopiaignore"],',
        '"maxFileSize": bytes, "oneFileSystem": true, "ignoreCacheDirs": false.',
    ),
    "scheduling": (
        'When: "intervalSeconds": 3600, "timeOfDay": [{"hour": 20, "min": 15}], "cron": ["0 3 * * *"];',
        'or "manual": true alone.',
    ),
}


def edit(session: Session, options: PolicyEditOptions) -> None:
    """Change policies in an editor: the one that VISUAL or EDITOR names, else vi.

    Raises:
        CommandLineError: The user gave up, or there is no editor; what was saved before stays.
    """
    with session.open() as repository:
        for target in options.targets(repository):
            defined = repository.policies.defined(target)
            before = Policy() if defined is None else defined.policy
            session.log.info("Editing policy for %s using external editor...", target)
            after = _edited(session, target, before)
            if after == before:
                session.log.info("Policy for %s unchanged", target)
                continue
            session.log.info("Updated policy for %s", target)
            for line in after.to_json(indent=2).decode().splitlines():
                session.log.info("%s", line)
            if _answer(session, "Save updated policy? (y/N) ").startswith("y"):
                repository.policies.set(target, after)


def _edited(session: Session, target: SourceInfo, policy: Policy) -> Policy:
    """Let the user edit a policy until it can be set; fields that are not known are refused unless it has such."""
    strict = policy.to_json() == policy.to_json(keep_unknown=False)
    with tempfile.TemporaryDirectory(prefix="kopia") as folder:
        path = Path(folder) / "policy.conf"
        path.write_text(_document(target, policy), encoding="utf-8")
        while True:
            open_editor(session, path)
            try:
                text = _without_comments(path.read_bytes().decode("utf-8", "surrogateescape"))
                edited = Policy.from_json(text, strict=strict)
                check_change(target, policy, edited)
            except InvalidPolicyError as error:
                session.log.error("%s", error)  # noqa: TRY400 -- a person reads it and corrects the text
            else:
                return edited
            if _answer(session, "Reopen editor to fix? (Y/n) ").startswith("n"):
                message = f"the policy of {target} was left as it is"
                raise CommandLineError(message)


def _document(target: SourceInfo, policy: Policy) -> str:
    lines = policy.to_json(indent=2).decode().splitlines()
    for section, hints in _HINTS.items():
        at = next((number for number, line in enumerate(lines) if line.startswith(f'  "{section}": {{')), None)
        if at is not None:
            lines[at:at] = ["", *(f"  # {hint}" for hint in hints)]
    return _HELP.format(target=target) + "\n".join(lines) + "\n"


def _without_comments(text: str) -> str:
    """Empty the lines of comments: those that stay keep their numbers, which errors name."""
    return "\n".join("" if line.lstrip().startswith("#") else line for line in text.split("\n"))


def open_editor(session: Session, path: Path) -> None:
    """Let the user edit a file.

    Raises:
        CommandLineError: There is no editor, or it failed.
    """
    command = session.environment.get("VISUAL") or session.environment.get("EDITOR") or _EDITOR
    words = [*shlex.split(command), str(path)]
    try:
        status = subprocess.run(words, check=False, env=dict(session.environment)).returncode
    except OSError as error:
        message = f"can't start the editor {words[0]}: {error.strerror}; VISUAL or EDITOR names another"
        raise CommandLineError(message) from None
    if status:
        message = f"the editor {words[0]} ended with exit status {status}; nothing was changed"
        raise CommandLineError(message)


def _answer(session: Session, question: str) -> str:
    session.write(question, end="")
    session.stdout.flush()
    answer = session.stdin.readline()
    if not answer:
        session.write()
        return "n"
    return answer.strip().lower()


__all__ = ["edit", "open_editor"]
