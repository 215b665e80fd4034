"""A folder of Google Drive: the variables of the environment that name it."""

import re

from pykopia.errors import InvalidEnvironmentError
from pykopia.storage.backends.gdrive.options import GoogleDriveOptions
from pykopia.storage.environment_variables import EnvironmentBackend, URLConfig, Variables

_PLACEHOLDER_FOLDER = "folder-id"
_FOLDER_ID = re.compile(r"[A-Za-z0-9_-]{10,}")
_DRIVE_CREDENTIALS = ("service_account", "authorized_user")


def _options(variables: Variables, url: URLConfig) -> GoogleDriveOptions:
    folder = variables.over(url.get("folderID", ""), "GOOGLE_DRIVE_FOLDER_ID")
    if not folder or folder == _PLACEHOLDER_FOLDER:
        raise InvalidEnvironmentError(
            "GOOGLE_DRIVE_FOLDER_ID", "must be defined: it is the ID in the folder's address in a browser"
        )
    if not _FOLDER_ID.fullmatch(folder):
        raise InvalidEnvironmentError(
            "GOOGLE_DRIVE_FOLDER_ID", "must be the ID in the folder's address: 10 or more letters, digits, '-' or '_'"
        )
    name = "GOOGLE_DRIVE_CREDENTIALS"
    variables.required(name, what="the JSON of a service account or an authorized user")
    credentials = variables.json_object(name)
    if credentials.get("type") not in _DRIVE_CREDENTIALS:
        raise InvalidEnvironmentError(name, f"must have a type of {' or '.join(_DRIVE_CREDENTIALS)}")
    return GoogleDriveOptions(folder_id=folder, credentials=credentials)


ENVIRONMENT = EnvironmentBackend(
    rank=8,
    variables=("GOOGLE_DRIVE_FOLDER_ID", "GOOGLE_DRIVE_CREDENTIALS"),
    needs=(("GOOGLE_DRIVE_FOLDER_ID",),),
    make=_options,
    placeholder=_PLACEHOLDER_FOLDER,
)  # fmt: skip

__all__ = ["ENVIRONMENT"]
