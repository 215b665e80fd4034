"""Notifications of commands that fail, for the notification profiles of the repository (``--error-notifications``)."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pykopia import clock
from pykopia.dataclass import dataclass
from pykopia.errors import CanceledError, PykopiaError
from pykopia.format import manifest

if TYPE_CHECKING:
    from datetime import tzinfo

    from pykopia.api.repository import Repository
    from pykopia.format.manifest import ManifestEntry


@dataclass(frozen=True, slots=True)
class KeptManifests:
    """Manifests that can be searched after their repository was closed."""

    entries: Sequence["ManifestEntry"]

    def find(self, labels: Mapping[str, str]) -> list["ManifestEntry"]:
        """Return the manifests that carry all given labels, oldest first."""
        return manifest.find(self.entries, labels)


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipients:
    """What the repository says about who is to be notified, kept for a failure that comes after it was closed."""

    manifests: KeptManifests
    hostname: str


def are_wanted(choice: str, *, terminal: bool) -> bool:
    """Return whether a failure is sent: ``always``, ``never``, or ``non-interactive``, where no person looks on.

    >>> are_wanted("non-interactive", terminal=True)
    False
    """
    return choice == "always" or (choice == "non-interactive" and not terminal)


def recipients_of(repository: "Repository", error: BaseException | None) -> Recipients | None:
    """Return who is to be notified; called before the repository is closed.

    The manifests are read for it only where the command has failed: a command that goes well must not take longer.

    Args:
        repository: still open.
        error: what the command failed with, None where it did not, or not yet.
    """
    store = repository.manifests
    if error is not None and not store.are_loaded and not (isinstance(error, PykopiaError) and error.temporary):
        try:
            store.entries()
        except PykopiaError:  # the command reports its own error
            return None
    if not store.are_loaded:
        return None
    kinds = ("notificationProfile", "notificationTemplate")
    entries = [each for kind in kinds for each in store.find({manifest.TYPE_LABEL: kind})]
    return Recipients(manifests=KeptManifests(entries), hostname=repository.hostname) if entries else None


def send(
    recipients: Recipients, operation: str, error: Exception, text: str, *, started_ns: int, zone: "tzinfo | None"
) -> None:
    """Notify of a command that failed; what can't be sent is logged and changes nothing.

    Args:
        recipients: who is notified.
        operation: the command.
        error: what it failed with; what the user canceled is not reported.
        text: the message.
        started_ns: when the command began, nanoseconds since 1970.
        zone: of the times in the message.
    """
    # most failures of `notification` itself are that nothing can be sent
    if isinstance(error, CanceledError) or operation.startswith("notification "):
        return
    from pykopia.notification.events import notify  # noqa: PLC0415 -- most repositories have no profiles
    from pykopia.notification.messages import ERROR, error_report  # noqa: PLC0415

    event = error_report(operation, text, start_ns=started_ns, end_ns=clock.now())
    notify(recipients, ERROR, event, "error", zone)


__all__ = ["KeptManifests", "Recipients", "are_wanted", "recipients_of", "send"]
