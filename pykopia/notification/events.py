"""Sending what happened to all profiles of a repository that want to know."""

import logging
from collections.abc import Mapping
from datetime import tzinfo
from typing import Any

from pykopia import __version__, clock
from pykopia.errors import NotFoundError, PykopiaError
from pykopia.notification import messages, sending
from pykopia.notification.profiles import SEVERITIES, Notifying, Profile, custom_templates, list_profiles

log = logging.getLogger(__name__)


def template_text(repository: Notifying, name: str) -> str:
    """Return a template: the one that users stored, else the built-in one.

    Raises:
        NotFoundError: there is none of this name.
    """
    stored = custom_templates(repository).get(name)
    if stored is not None:
        return stored[0]
    if name not in messages.TEMPLATES:
        raise NotFoundError(f"there is no notification template {name!r}: there are {', '.join(messages.TEMPLATES)}")
    return messages.TEMPLATES[name]


def send_to(
    repository: Notifying,
    profile: Profile,
    template: str,
    event: Mapping[str, Any],
    severity: str,
    zone: tzinfo | None = None,
) -> None:
    """Send an event to one profile.

    Raises:
        NotificationError: it could not be sent.
        TemplateError: the template can't be rendered.
    """
    message = messages.compose(
        template_text(repository, f"{template}.{profile.format}"),
        event,
        now_ns=clock.now(),
        hostname=repository.hostname,
        version=__version__,
        severity=SEVERITIES[severity],
        zone=zone,
    )
    sending.send(profile, message)


def notify(
    repository: Notifying, template: str, event: Mapping[str, Any], severity: str, zone: tzinfo | None = None
) -> None:
    """Send an event to all profiles whose least severity it has; what can't be sent is logged, and changes nothing."""
    try:
        profiles = list_profiles(repository)
    except PykopiaError as error:
        log.warning("no notification was sent: %s", error)
        return
    for profile in profiles:
        if SEVERITIES[severity] < profile.min_severity:
            continue
        try:
            send_to(repository, profile, template, event, severity, zone)
        except PykopiaError as error:
            log.warning("%s", error)


__all__ = ["notify", "send_to", "template_text"]
