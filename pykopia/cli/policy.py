"""`policy list`, `policy show`, `policy delete`."""

from pykopia.cli.flags.policy import PolicyDeleteOptions, PolicyListOptions, PolicyShowOptions
from pykopia.cli.policy_table import Origin, policy_lines
from pykopia.cli.session import Session
from pykopia.format.gojson import Raw, members
from pykopia.format.policy_merge import EffectivePolicy
from pykopia.format.source import SourceInfo


def list_policies(session: Session, options: PolicyListOptions) -> None:
    """List the policies that are defined."""
    with session.open() as repository:
        defined = sorted(repository.policies.list(), key=lambda each: str(each.target))
    if not options.json:
        for each in defined:
            session.write(f"{each.id} {each.target}")
        return
    printer = options.json_list(session)
    for each in defined:
        target = {"host": each.target.host, "userName": each.target.user_name, "path": each.target.path}
        fields = {name: Raw(text) for name, text in members(each.policy.to_json(keep_unknown=False))}
        printer.add({"id": each.id, "target": target} | fields)
    printer.end()


def show(session: Session, options: PolicyShowOptions) -> None:
    """Show the policy in force, and where each part of it comes from."""
    with session.open() as repository:
        for target in options.targets(repository):
            effective = repository.policies.effective(target)
            if options.json:
                options.write_json(session, Raw(effective.policy.to_json(keep_unknown=False)))
                continue
            session.write(f"Policy for {target}:\n")
            for line in policy_lines(effective.policy, _origin(effective, target), session.size):
                session.write(line)


def _origin(effective: EffectivePolicy, target: SourceInfo) -> Origin:
    def origin(name: str) -> str:
        found = effective.origins.get(name) or SourceInfo(host="", user_name="", path="")
        return "(defined for this target)" if found == target else f"inherited from {found}"

    return origin


def delete(session: Session, options: PolicyDeleteOptions) -> None:
    """Delete policies; what they set is inherited again."""
    with session.open() as repository:
        defined = [(target, repository.policies.defined(target)) for target in options.targets(repository)]
        for target, _ in defined:
            session.log.info('Removing policy on "%s"...', target)
        if options.dry_run:
            return
        with repository.writer() as writer:  # all or none
            for _, found in defined:
                if found is not None and found.id is not None:
                    writer.manifests.delete(found.id)


__all__ = ["delete", "list_policies", "show"]
