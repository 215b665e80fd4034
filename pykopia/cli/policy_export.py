"""`policy export` and `policy import`."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pykopia.cli.flags.policy_export import PolicyExportOptions, PolicyImportOptions
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.policy_targets import PolicyTargetFlags
from pykopia.cli.session import Session
from pykopia.cli.snapshot_sources import parse_source
from pykopia.errors import PolicyNotFoundError
from pykopia.format import gojson
from pykopia.format.policy import Policy

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.format.policy_target import DefinedPolicy
    from pykopia.format.source import SourceInfo

_PRIVATE = 0o600


def export_policies(session: Session, options: PolicyExportOptions) -> None:
    """Write policies as JSON: all, or those of the targets given."""
    if options.overwrite and not options.to_file:
        message = "--overwrite needs --to-file"
        raise CommandLineError(message)
    with session.open() as repository:
        policies = {str(each.target): each.policy for each in _chosen(repository, options)}
    members = {target: gojson.Raw(policy.to_json()) for target, policy in policies.items()}
    document = gojson.dumps(gojson.sorted_map(members), indent=2 if options.json_indent else None) + b"\n"
    if not options.to_file:
        session.write_bytes(document)
        return
    kind = os.O_TRUNC if options.overwrite else os.O_EXCL
    try:
        handle = os.open(options.to_file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | kind, _PRIVATE)
    except FileExistsError:
        message = f"{options.to_file} exists; --overwrite replaces it"
        raise CommandLineError(message) from None
    with open(handle, "wb") as file:
        file.write(document)


def _chosen(repository: "Repository", options: PolicyTargetFlags) -> "list[DefinedPolicy]":
    if not options.given:
        return repository.policies.list()
    chosen = []
    for target in options.targets(repository):
        defined = repository.policies.defined(target)
        if defined is None:
            message = f"no policy is defined for {target}; `policy list` shows all"
            raise PolicyNotFoundError(message)
        chosen.append(defined)
    return chosen


def import_policies(session: Session, options: PolicyImportOptions) -> None:
    """Define the policies in a JSON text: all, or those of the targets given. If one is wrong, none is changed."""
    document = Path(options.from_file).read_bytes() if options.from_file else session.binary_stdin.read()
    policies = Policy.many_from_json(document, strict=not options.allow_unknown_fields)
    with session.open() as repository, repository.writer() as writer:
        wanted = options.targets(repository) if options.given else None
        imported: set[SourceInfo] = set()
        for text, policy in policies.items():
            target = parse_source(repository, text)
            if wanted is None or target in wanted:
                repository.policies.put(writer, target, policy)
                imported.add(target)
        for target in wanted or ():
            if target not in imported:
                session.log.warning("there is no policy for %s in what was read", target)
        if options.delete_other_policies:
            for defined in repository.policies.list():
                if defined.target not in imported and defined.id is not None:
                    writer.manifests.delete(defined.id)
    session.log.info("Imported %d policies.", len(imported))


__all__ = ["export_policies", "import_policies"]
