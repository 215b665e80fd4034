"""A folder on this machine: the variables of the environment that name it."""

import re

from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.backends.filesystem.options import FilesystemOptions
from pykopia.storage.environment_variables import EnvironmentBackend, URLConfig, Variables, check_folder, folder_of


def _options(variables: Variables, url: URLConfig) -> FilesystemOptions:
    path = variables.over(url.get("path", ""), "KOPIA_FS_PATH", normal=folder_of)
    if not path:
        raise InvalidEnvironmentError(
            "KOPIA_FS_PATH", "must be defined, or a URL filesystem:///PATH in KOPIA_REPOSITORY"
        )
    check_folder(variables.set_name("KOPIA_FS_PATH"), path)
    return FilesystemOptions(
        path=path, file_mode=_mode(variables, "KOPIA_FS_FILE_MODE"), dir_mode=_mode(variables, "KOPIA_FS_DIR_MODE")
    )


def _mode(variables: Variables, name: str) -> int:
    text = variables.text(name).strip()
    if not text:
        return 0
    if not re.fullmatch("[0-7]{1,4}", text):
        raise InvalidEnvironmentError(name, "must be permission bits in octal, such as 0640")
    return int(text, 8)


ENVIRONMENT = EnvironmentBackend(
    rank=3,
    variables=("KOPIA_FS_PATH", "KOPIA_FS_FILE_MODE", "KOPIA_FS_DIR_MODE"),
    needs=(("KOPIA_FS_PATH",),),
    make=_options,
)  # fmt: skip

__all__ = ["ENVIRONMENT"]
