"""Connection of a storage: its type and Kopia's configuration of it (format 03 §4)."""

from collections.abc import Mapping
from dataclasses import field
from typing import Any, Self

from pykopia.dataclass import dataclass
from pykopia.errors import ConnectionFileError, UnsupportedOptionError
from pykopia.storage.options import StorageOptions


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class ConnectionInfo:
    """Type and configuration of a storage, as local configuration and tokens carry them.

    ``config`` is kept as it was read, so what another version wrote survives; ``options()`` gives it typed and checked.
    It holds secrets: they stay out of ``repr``, and ``redacted()`` hides them for output.
    """

    type: str
    """Kopia's name of the storage type, such as ``filesystem`` or ``s3``."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Fields by Kopia's JSON names."""

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Take the value of ``storage`` out of a local configuration or token.

        Raises:
            ConnectionFileError: It is not an object with a type and a configuration.
        """
        fields = {str(key).lower(): item for key, item in value.items()} if isinstance(value, dict) else {}
        kind, config = fields.get("type"), fields.get("config")
        if not isinstance(kind, str) or not isinstance(config, dict):
            raise ConnectionFileError(
                "can't use the storage of this connection: it must be an object with a text `type` and an object "
                "`config`; connect to the repository again to write a new one"
            )
        for name, text in config.items():
            if isinstance(text, str) and "\0" in text:
                raise ConnectionFileError(
                    f"can't use the storage of this connection: its field {name!r} has a NUL character; connect to the "
                    "repository again to write a new one"
                )
        return cls(type=kind, config=dict(config))

    def to_json(self) -> dict[str, Any]:
        """Return what local configuration and tokens hold; it includes the secrets."""
        return {"type": self.type, "config": dict(self.config)}

    @classmethod
    def from_options(cls, options: StorageOptions) -> Self:
        """Return the connection that typed options describe."""
        return cls(type=options.type, config=options.to_config())

    def options(self) -> StorageOptions:
        """Return the configuration typed.

        Raises:
            UnsupportedOptionError: The type is not known.
            ConnectionFileError: A field has a value of the wrong kind.
        """
        from pykopia.storage.registry import options_class  # noqa: PLC0415 -- ten classes, not needed to carry a connection

        return options_class(self.type).from_config(self.config)

    def with_fields(self, fields: Mapping[str, Any]) -> Self:
        """Return a copy in which ``fields`` (by Kopia's JSON names) replace or join the configuration."""
        return type(self)(type=self.type, config={**self.config, **fields})

    def redacted(self) -> dict[str, Any]:
        """Return what ``to_json`` does, with each secret replaced by asterisks of its length, as Kopia shows it."""
        try:
            config = self.options().redacted_config()
        except (ConnectionFileError, UnsupportedOptionError):
            config = dict.fromkeys(self.config, "***")  # it is not known which of them are secret
        return {"type": self.type, "config": config}

    def __repr__(self) -> str:
        return f"{type(self).__name__}(type={self.type!r}, config={self.redacted()['config']!r})"


__all__ = ["ConnectionInfo"]
