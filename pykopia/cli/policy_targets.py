"""Which policies a command works on."""

from typing import TYPE_CHECKING

from pykopia.cli.parsing import CommandLineError, Options, arguments, flag

if TYPE_CHECKING:
    from pykopia.api.repository import Repository
    from pykopia.format.source import SourceInfo


class PolicyTargetFlags(Options):
    """Flags that name policies."""

    target = arguments("Path, user@host:/path, user@host, @host, or the ID of a policy.")
    global_ = flag(False, "The global policy.")

    @property
    def given(self) -> bool:
        """Whether any target is named."""
        return self.global_ or bool(self.target)

    def targets(self, repository: "Repository") -> "list[SourceInfo]":
        """Return the targets named.

        Raises:
            CommandLineError: Both or neither of `--global` and targets are given.
        """
        from pykopia.cli.snapshot_sources import parse_source  # noqa: PLC0415 -- `--help` does without
        from pykopia.format.source import SourceInfo  # noqa: PLC0415

        if self.global_ == bool(self.target):
            message = "either --global or targets must be given: a path, user@host:/path, user@host or @host"
            raise CommandLineError(message)
        if self.global_:
            return [SourceInfo(host="", user_name="", path="")]
        by_id: dict[str, SourceInfo] = {each.id: each.target for each in repository.policies.list() if each.id}
        return [by_id[text] if text in by_id else parse_source(repository, text) for text in self.target]


__all__ = ["PolicyTargetFlags"]
