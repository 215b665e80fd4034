"""A folder of Google Drive: its configuration, with Kopia's field names (format 03 §4), and its URLs."""

import re
from collections.abc import Mapping
from dataclasses import field
from typing import Any, ClassVar

from pykopia.dataclass import dataclass
from pykopia.errors import InvalidURLError
from pykopia.storage.flags import EMBED_CREDENTIALS, Flag, FlagContext, embedded_credentials
from pykopia.storage.options import (
    NO_LIMITS,
    StorageOptions,
    ThrottlingLimits,
    base64_field,
    flag_field,
    json_field,
    retry_field,
    text_field,
)
from pykopia.storage.url_parts import shown

_FOLDER_ID = re.compile(r"[A-Za-z0-9_-]{10,}")


@dataclass(frozen=True, kw_only=True, slots=True, repr=False)
class GoogleDriveOptions(StorageOptions):
    """A folder of Google Drive."""

    type: ClassVar[str] = "gdrive"
    required: ClassVar[tuple[str, ...]] = ("folderID",)
    holder: ClassVar[str] = "shared folder"
    url_form: ClassVar[str] = "gdrive://FOLDER_ID, without a path"
    credential_variables: ClassVar[str] = "GOOGLE_DRIVE_CREDENTIALS"
    more_flags: ClassVar[Mapping[str, Flag]] = {
        "embed-credentials": EMBED_CREDENTIALS,
    }

    folder_id: str = text_field("folderID", flag=Flag("ID of the folder.", required=True))
    credentials_file: str = text_field(
        "credentialsFile", omit=True, flag=Flag("JSON file with the credentials.", is_file=True)
    )
    credentials: object = json_field("credentials")
    """JSON of a service account."""
    read_only: bool = flag_field("readOnly", omit=True, flag=Flag("Ask for reading rights only."))
    throttling: ThrottlingLimits = NO_LIMITS
    root_ca: bytes = base64_field("rootCA")
    """PEM of the authorities to trust besides those of the system; Kopia does not know this field."""
    retry_for: str = retry_field()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def location(self) -> str:
        """See ``StorageOptions.location``."""
        return f"{self.type} {self.folder_id}"

    @classmethod
    def more_from_flags(cls, given: Mapping[str, Any], context: FlagContext) -> dict[str, Any]:  # noqa: ARG003
        """Return the credentials, or the file that has them."""
        return embedded_credentials(given)


def of_url(scheme: str, rest: str) -> GoogleDriveOptions:
    """Return the options that a URL names: ``rest`` is what follows ``scheme://``."""
    if not _FOLDER_ID.fullmatch(rest.rstrip("/")):
        raise InvalidURLError(
            f"{scheme}://{shown(rest)} names no folder: the form is {scheme}://FOLDERID with the ID from the folder's "
            "address in a browser, at least 10 letters, digits, '-' or '_'"
        )
    return GoogleDriveOptions(folder_id=rest.rstrip("/"))


__all__ = ["GoogleDriveOptions", "of_url"]
