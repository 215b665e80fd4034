"""`notification profile` and `notification template`."""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from pykopia.cli.flags.notification import (
    ConfigureEmailOptions,
    ConfigureFlags,
    ConfigurePushoverOptions,
    ConfigureWebhookOptions,
    ProfileDeleteOptions,
    ProfileListOptions,
    ProfileShowOptions,
    ProfileTestOptions,
    TemplateListOptions,
    TemplateRemoveOptions,
    TemplateSetOptions,
    TemplateShowOptions,
)
from pykopia.cli.parsing import CommandLineError
from pykopia.cli.policy_edit import open_editor
from pykopia.cli.session import Session
from pykopia.errors import NotFoundError
from pykopia.format import gojson
from pykopia.notification import messages, profiles
from pykopia.notification.events import send_to, template_text
from pykopia.notification.profiles import SEVERITIES, Profile, ProfileNotFoundError
from pykopia.notification.template import parse

_NAMES = {number: name for name, number in SEVERITIES.items()}


# --- profiles --------------------------------------------------------------------------------------------------------


def configure_email(session: Session, options: ConfigureEmailOptions) -> None:
    """Make or change a profile that sends e-mail."""
    values = {
        "smtpServer": options.smtp_server,
        "smtpPort": options.smtp_port,
        "smtpIdentity": options.smtp_identity,
        "smtpUsername": options.smtp_username,
        "smtpPassword": options.smtp_password,
        "from": options.mail_from,
        "to": options.mail_to,
        "cc": options.mail_cc,
        "format": options.format,
    }
    _configure(session, options, "email", values)


def configure_webhook(session: Session, options: ConfigureWebhookOptions) -> None:
    """Make or change a profile that calls a web address."""
    for header in options.http_header:
        if ":" not in header:
            message = f"--http-header must be KEY:VALUE; it is {header!r}"
            raise CommandLineError(message)
    values = {
        "endpoint": options.endpoint,
        "method": options.method,
        "headers": "\n".join(options.http_header),
        "format": options.format,
    }
    _configure(session, options, "webhook", values)


def configure_pushover(session: Session, options: ConfigurePushoverOptions) -> None:
    """Make or change a profile that sends to Pushover."""
    values = {"appToken": options.app_token, "userKey": options.user_key, "format": options.format}
    _configure(session, options, "pushover", values)


def _configure(session: Session, options: ConfigureFlags, method: str, values: Mapping[str, object]) -> None:
    with session.open() as repository:
        try:
            before = profiles.get_profile(repository, options.profile_name)
        except ProfileNotFoundError:
            before = Profile(name=options.profile_name, method=method)
        if before.method != method:
            message = f"profile {before.name!r} exists already and sends by {before.method}; choose another name"
            raise CommandLineError(message)
        severity = SEVERITIES[options.min_severity] if options.min_severity else None
        after = before.changed(values, severity)
        if options.send_test_notification:
            session.log.info("Sending test notification to %s", after.summary)
            send_to(repository, after, messages.TEST, {}, "success", session.zone)
        with repository.writer() as writer:
            profiles.save_profile(writer, after)
    session.log.info(
        'Saving notification profile "%s" of type "%s" with severity "%s".',
        after.name,
        method,
        _NAMES.get(after.min_severity, after.min_severity),
    )


def list_profiles(session: Session, options: ProfileListOptions) -> None:
    """List notification profiles."""
    with session.open() as repository:
        found = profiles.list_profiles(repository)
    if options.json:
        printer = options.json_list(session)
        for each in found:
            printer.add(_raw(each) if options.raw else each.summary_members())
        printer.end()
        return
    for number, each in enumerate(found):
        if number:
            session.write()
        session.write(f"{_heading(each)}\n  {each.summary}")


def show_profile(session: Session, options: ProfileShowOptions) -> None:
    """Show a notification profile."""
    with session.open() as repository:
        found = profiles.get_profile(repository, options.profile_name)
    if options.json:
        options.write_json(session, _raw(found) if options.raw else found.summary_members())
    else:
        session.write(f"{_heading(found)}\n{found.summary}")


def _heading(profile: Profile) -> str:
    severity = _NAMES.get(profile.min_severity, "")
    return f'Profile "{profile.name}" Type "{profile.method}" Minimum Severity: {severity}'


def _raw(profile: Profile) -> dict[str, object]:
    members = profile.members()
    members["method"] = {"type": profile.method, "config": gojson.sorted_map(dict(profile.config))}
    return members


def test_profile(session: Session, options: ProfileTestOptions) -> None:
    """Send a test message."""
    with session.open() as repository:
        profile = profiles.get_profile(repository, options.profile_name)
        session.log.info("Sending test notification to %s", profile.summary)
        send_to(repository, profile, messages.TEST, {}, "success", session.zone)


def delete_profile(session: Session, options: ProfileDeleteOptions) -> None:
    """Delete a notification profile; without one nothing is changed."""
    with session.open() as repository, repository.writer() as writer:
        if not profiles.delete_profile(writer, options.profile_name):
            session.log.info("There is no notification profile %s.", options.profile_name)


# --- templates -------------------------------------------------------------------------------------------------------


def list_templates(session: Session, options: TemplateListOptions) -> None:
    """List the templates of messages."""
    with session.open() as repository:
        custom = profiles.custom_templates(repository)
    names = sorted({*messages.TEMPLATES, *custom})
    if options.json:
        printer = options.json_list(session)
        for name in names:
            if name in custom:
                printer.add({"name": name, "lastModified": gojson.format_time(custom[name][1])})
            else:
                printer.add({"name": name, "isBuiltIn": True})
        printer.end()
        return
    session.write(f"{'NAME':<30} {'TYPE':<15} MODIFIED")
    for name in names:
        kind, when = ("<customized>", session.time(custom[name][1])) if name in custom else ("<built-in>", "")
        session.write(f"{name:<30} {kind:<15} {when}")


def show_template(session: Session, options: TemplateShowOptions) -> None:
    """Print a template.

    Raises:
        NotFoundError: there is none of this name.
    """
    _check_name(options.template)
    with session.open() as repository:
        text = messages.TEMPLATES[options.template] if options.original else template_text(repository, options.template)
    session.write(text.rstrip("\n"))


def set_template(session: Session, options: TemplateSetOptions) -> None:
    """Replace a built-in template.

    Raises:
        CommandLineError: it is not said where the new one comes from.
        TemplateError: it can't be used; the stored one is unchanged.
    """
    _check_name(options.template)
    with session.open() as repository:
        if options.from_stdin:
            text = session.stdin.read()
        elif options.from_file:
            text = Path(options.from_file).read_text(encoding="utf-8")
        elif options.editor:
            text = _edited(session, template_text(repository, options.template))
        else:
            message = "give the template by --from-file, --from-stdin or --editor"
            raise CommandLineError(message)
        parse(text)
        with repository.writer() as writer:
            profiles.save_template(writer, options.template, text)


def _edited(session: Session, text: str) -> str:
    with tempfile.TemporaryDirectory(prefix="kopia") as folder:
        path = Path(folder) / "template.md"
        path.write_text(text, encoding="utf-8")
        open_editor(session, path)
        return path.read_text(encoding="utf-8")


def remove_template(session: Session, options: TemplateRemoveOptions) -> None:
    """Return to a built-in template."""
    with session.open() as repository, repository.writer() as writer:
        profiles.reset_template(writer, options.template)


def _check_name(name: str) -> None:
    if name not in messages.TEMPLATES:
        message = f"there is no notification template {name!r}: there are {', '.join(messages.TEMPLATES)}"
        raise NotFoundError(message)


__all__ = [
    "configure_email",
    "configure_pushover",
    "configure_webhook",
    "delete_profile",
    "list_profiles",
    "list_templates",
    "remove_template",
    "set_template",
    "show_profile",
    "show_template",
    "test_profile",
]
