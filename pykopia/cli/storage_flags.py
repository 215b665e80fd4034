"""Flags of each kind of storage: what its options declare, as the options of a command, and the connection they mean."""

from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from pykopia.cli import values
from pykopia.cli.connect_flags import CreateFlags
from pykopia.cli.parsing import Command, CommandLineError, Options, flag, flag_list
from pykopia.cli.session import Session
from pykopia.errors import UsageError

if TYPE_CHECKING:
    from pykopia.storage.connection import ConnectionInfo
    from pykopia.storage.flags import Flag


class StorageFlags(Options):
    """Flags that name a storage."""

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection that the flags describe.

        Args:
            session: The run of the program.
            create: Whether a repository is to be created there.
        """
        raise NotImplementedError


class BackendFlags(StorageFlags):
    """The flags that the options of a kind of storage declare."""

    backend: ClassVar[str]
    """Type of the storage."""

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection that the flags describe."""
        from pykopia.cli import passwords  # noqa: PLC0415 -- `--help` does without
        from pykopia.storage import registry  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415
        from pykopia.storage.flags import FlagContext  # noqa: PLC0415

        context = FlagContext(
            creating=create,
            format_version=session.options(CreateFlags).format_version if create else 0,
            home=session.environment.get("HOME", ""),
            ask=lambda prompt: passwords.ask(session, prompt),
        )
        given = {each.name: getattr(self, name) for name, each in zip(self._attributes, self.parameters, strict=True)}
        try:
            return ConnectionInfo.from_options(registry.options_class(self.backend).from_flags(given, context))
        except UsageError as error:
            raise CommandLineError(str(error)) from None


@cache
def flags_of(kind: str) -> type[BackendFlags]:
    """Return the flags of a kind of storage, as the options of a command."""
    from pykopia.storage import registry  # noqa: PLC0415

    declared: dict[str, object] = {
        name.replace("-", "_"): _declared(each) for name, each in registry.options_class(kind).flags().items()
    }
    return type(f"{kind}Flags", (BackendFlags,), {"backend": kind, **declared})


def _declared(each: "Flag") -> object:
    if isinstance(each.default, tuple):
        return flag_list(each.help, env=each.env, placeholder=each.placeholder, hidden=each.hidden)
    return flag(
        each.default,
        each.help,
        kind=values.existing_file if each.is_file else None,
        env=each.env,
        placeholder=each.placeholder,
        hidden=each.hidden,
        required=each.required,
    )


def storage_commands(run: str, summary: str) -> tuple[Command, ...]:
    """Return a command for each kind of storage, and one for what a connection file says."""
    from pykopia.storage import registry  # noqa: PLC0415

    found = {
        name: Command(name, f"{summary} {backend.description}.", run, options=partial(flags_of, kind))
        for name, (kind, backend) in registry.commands().items()
    }
    found["from-config"] = Command(
        "from-config", f"{summary} what a connection file or token says.", run, options=lambda: FromConfigFlags
    )
    return tuple(found[name] for name in sorted(found))


class FromConfigFlags(StorageFlags):
    """Connection from another connection file or a token."""

    file = flag("", "Connection file.")
    token = flag("", "Token that `repository status --reconnect-token` printed.")
    token_file = flag("", "File with the token.")
    token_stdin = flag(False, "Read the token from stdin.")

    def connection(self, session: Session, *, create: bool) -> "ConnectionInfo":
        """Return the connection; a password inside the token serves unless one is given."""
        from pykopia.format.token import ConnectionToken  # noqa: PLC0415
        from pykopia.repository.connection_file import read_config  # noqa: PLC0415
        from pykopia.storage import registry  # noqa: PLC0415
        from pykopia.storage.connection import ConnectionInfo  # noqa: PLC0415
        from pykopia.storage.flags import read_flag_file  # noqa: PLC0415

        if self.file and not create:
            return ConnectionInfo.from_json(read_config(Path(self.file)).storage)
        if self.token:
            text = self.token
        elif self.token_file:
            try:
                text = read_flag_file("--token-file", self.token_file).decode("utf-8", "replace")
            except UsageError as error:
                raise CommandLineError(str(error)) from None
        elif self.token_stdin:
            text = session.stdin.read()
        else:
            choices = (
                "--token-file, --token-stdin or --token" if create else "--file, --token-file, --token-stdin or --token"
            )
            message = f"one of {choices} must be given"
            raise CommandLineError(message)
        token = ConnectionToken.decode(text.strip())
        info = ConnectionInfo.from_json(token.storage)
        registry.find(info.type)
        if token.password:
            session.flags.password = token.password
        return info


__all__ = ["BackendFlags", "FromConfigFlags", "StorageFlags", "flags_of", "storage_commands"]
