"""Changing the parameters of a repository that is in use (format 01 §1.5)."""

from pykopia.arguments import check_kind
from pykopia.format.repository_blob import POISON_INDEX_BLOB, POISON_INDEX_BLOB_ID
from pykopia.format.repository_format import RepositoryFormat
from pykopia.index.upgrading import copy_to_first_epoch
from pykopia.repository.core import Core
from pykopia.repository.options import ParameterChanges
from pykopia.repository.parameters import change_parameters
from pykopia.repository.view import Look, complete_view


def set_parameters(repository: Core, changes: ParameterChanges) -> RepositoryFormat:
    """Change what may be changed after creation; return the format as it is now.

    Raises:
        UsageError: nothing changes, or a value is out of range; nothing was written.
        ContradictedViewError: the index is to be moved to epochs, and it is not proven to be complete.
    """
    check_kind("changes", changes, ParameterChanges)
    repository.check_writable("change parameters")
    repository.read_format_again()
    changed, configuration = change_parameters(repository.format, repository.blob_configuration, changes)
    to_epochs = changed.epoch_parameters.enabled and not repository.format.epoch_parameters.enabled
    if to_epochs:
        view = complete_view(repository, "move the index to epochs", packs=Look())
        copy_to_first_epoch(repository.contents.indexes, view)
    repository.write_format(changed, configuration)
    if to_epochs:
        repository.storage.put(POISON_INDEX_BLOB_ID, POISON_INDEX_BLOB)
    return repository.format


__all__ = ["set_parameters"]
