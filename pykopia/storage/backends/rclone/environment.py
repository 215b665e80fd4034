"""Anything that rclone reaches: the variables of the environment that name it."""

from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.backends.rclone.options import RcloneOptions
from pykopia.storage.environment_variables import EnvironmentBackend, URLConfig, Variables, parse_ini

_ENCRYPTED_RCLONE_CONFIG = "RCLONE_ENCRYPT_"


def _options(variables: Variables, url: URLConfig) -> RcloneOptions:
    remote_path = variables.over(url.get("remotePath", ""), "RCLONE_REMOTE_PATH")
    remote, colon, _ = remote_path.partition(":")
    if not remote or not colon:
        raise InvalidEnvironmentError("RCLONE_REMOTE_PATH", "must be defined as remote-name:/path")
    if not variables.text("RCLONE_CONFIG"):
        variables.required("RCLONE_CONFIG", what="rclone's configuration file")
    config = variables.content("RCLONE_CONFIG")
    if _ENCRYPTED_RCLONE_CONFIG not in config:
        parser = parse_ini(config)
        if parser is None:
            raise InvalidEnvironmentError("RCLONE_CONFIG", "is malformed: it must be rclone's configuration file")
        if remote.partition(",")[0] not in parser.sections():
            sections = ", ".join(parser.sections()) or "none"
            raise InvalidEnvironmentError(
                "RCLONE_CONFIG", f"has no remote {remote.partition(',')[0]}; its sections are: {sections}"
            )
    return RcloneOptions(
        remote_path=remote_path,
        rclone_exe=variables.text("RCLONE_EXE").strip(),
        embedded_config=config,
        startup_timeout="15s",
        atomic_writes=True,
    )


ENVIRONMENT = EnvironmentBackend(
    rank=7,
    variables=("RCLONE_REMOTE_PATH", "RCLONE_CONFIG", "RCLONE_EXE"),
    needs=(("RCLONE_REMOTE_PATH",),),
    make=_options,
)  # fmt: skip

__all__ = ["ENVIRONMENT"]
