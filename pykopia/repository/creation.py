"""Creation of a repository: parameters, secrets, and the check that its place is empty."""

import secrets

from pykopia import __version__
from pykopia.arguments import check_choice
from pykopia.chunking.splitters import SPLITTERS
from pykopia.errors import DamagedFormatBlobError, RepositoryExistsError, UsageError
from pykopia.format.blob_names import BLOBCFG_ID, FORMAT_BLOB_ID
from pykopia.format.ecc import DEFAULT_ECC, ECC_ALGORITHMS
from pykopia.format.encryption import ENCRYPTIONS
from pykopia.format.hashing import HASHES
from pykopia.format.repository_blob import FORMAT_ENCRYPTION, BlobConfiguration, FormatBlob
from pykopia.format.repository_format import RepositoryFormat
from pykopia.repository import format_blobs
from pykopia.repository.creation_claim import CLAIM_PREFIX
from pykopia.repository.format_blobs import FormatBlobs
from pykopia.repository.options import NewRepositoryOptions
from pykopia.storage.base import BlobStorage

SECRET_LENGTH = 32
TOOL = "pykopia"
"""What the format block names as its maker; Kopia shows it and nothing more."""


def new_blobs(options: NewRepositoryOptions, password: str) -> FormatBlobs:
    """Return the central blobs of a new repository, not yet written.

    Raises:
        UnsupportedFormatError: a format version that is not known.
        UsageError: an option that makes no sense, or no password.
    """
    repository_format = new_format(options)
    configuration = BlobConfiguration(
        retention_mode=options.retention_mode, retention_period_ns=options.retention_period_ns
    )
    configuration.validate()
    if not password:
        raise UsageError("can't create a repository without a password")
    blob = FormatBlob(
        tool=TOOL,
        build_version=__version__,
        unique_id=options.unique_id or new_unique_id(),
        key_derivation=options.key_derivation,
        encryption=FORMAT_ENCRYPTION,
    )
    return FormatBlobs(
        raw=b"",
        blob=blob,
        format_key=blob.derive_key(password),
        format=repository_format,
        configuration=configuration,
    )


def new_unique_id() -> bytes:
    """Return the ID of a new repository, from which keys are derived."""
    return secrets.token_bytes(SECRET_LENGTH)


def new_format(options: NewRepositoryOptions) -> RepositoryFormat:
    """Return the parameters of a new repository, with fresh secrets.

    Raises:
        UnsupportedFormatError: a format version that is not known.
        UsageError: an algorithm that is not known, or options that exclude each other.
    """
    check_choice("hash", options.hash, HASHES)
    check_choice("encryption", options.encryption, ENCRYPTIONS)
    check_choice("splitter", options.splitter, SPLITTERS)
    if not 0 <= options.ecc_overhead_percent <= 100:
        raise UsageError(f"error correction overhead must be 0 to 100 percent, not {options.ecc_overhead_percent}")
    ecc = options.ecc or DEFAULT_ECC
    if options.ecc_overhead_percent:
        check_choice("error correction", ecc, ECC_ALGORITHMS)
        if options.format_version == 1:
            raise UsageError("error correction needs format version 2 or 3")
    return RepositoryFormat.new(
        secret=secrets.token_bytes(SECRET_LENGTH),
        master_key=secrets.token_bytes(SECRET_LENGTH),
        version=options.format_version,
        hash=options.hash,
        encryption=options.encryption,
        splitter=options.splitter,
        ecc=ecc,
        ecc_overhead_percent=options.ecc_overhead_percent,
    )


def require_empty(storage: BlobStorage) -> None:
    """Refuse a place that holds a repository, or what is left of one.

    Raises:
        RepositoryExistsError: there is a repository.
        DamagedFormatBlobError: there is one whose format block is lost.
    """
    if format_blobs.has_blob(storage, FORMAT_BLOB_ID):
        raise RepositoryExistsError(
            f"there is a repository in {storage.display_name} already: connect to it, or choose another place"
        )
    # a creation that was cut off leaves this one blob, and nothing depends on it
    if format_blobs.has_blob(storage, BLOBCFG_ID) and any(
        blob.blob_id != BLOBCFG_ID and not blob.blob_id.startswith(CLAIM_PREFIX) for blob in storage.list()
    ):
        if format_blobs.has_blob(storage, FORMAT_BLOB_ID):  # another client has made it between these looks
            raise RepositoryExistsError(f"a repository has just been made in {storage.display_name}: connect to it")
        raise DamagedFormatBlobError(
            f"{storage.display_name} has {BLOBCFG_ID} and no {FORMAT_BLOB_ID}: the format block of a repository seems to be "
            "lost; restore it from a copy, nothing was changed"
        )


__all__ = ["new_blobs", "new_format", "require_empty"]
