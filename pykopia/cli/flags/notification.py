"""Flags of `notification profile` and `notification template`."""

from pykopia.cli.json_flags import JsonFlags
from pykopia.cli.parsing import Options, argument, flag, flag_list
from pykopia.cli.values import existing_file, integer

_SEVERITIES = ("verbose", "success", "report", "warning", "error")
_FORMATS = ("html", "txt")


class ProfileFlags(Options):
    """Flag that names a profile."""

    profile_name = flag("", "Name of the profile.", required=True)


class ConfigureFlags(ProfileFlags):
    """Flags of all kinds of profiles."""

    send_test_notification = flag(False, "Send a test before the profile is saved.")
    min_severity = flag("", "Least severity of what is sent.", choices=_SEVERITIES)


class ConfigureEmailOptions(ConfigureFlags):
    """Flags of `notification profile configure email`."""

    smtp_server = flag("", "Mail server.", placeholder="HOST")
    smtp_port = flag(0, "Port of the mail server; 587 when not given.", kind=integer, placeholder="PORT")
    smtp_identity = flag("", "Identity for the mail server; most have none.")
    smtp_username = flag("", "User of the mail server.")
    smtp_password = flag("", "Password of the mail server.")
    mail_from = flag("", "Address of the sender.")
    mail_to = flag("", "Addresses of the receivers, with commas between.")
    mail_cc = flag("", "Addresses of those who get a copy.")
    format = flag("", "Of the text.", choices=_FORMATS)


class ConfigureWebhookOptions(ConfigureFlags):
    """Flags of `notification profile configure webhook`."""

    endpoint = flag("", "Address that is called.", placeholder="URL")
    method = flag("", "HTTP method; POST when not given.", choices=("POST", "PUT"))
    http_header = flag_list("Header that is sent too.", placeholder="KEY:VALUE")
    format = flag("", "Of the text.", choices=_FORMATS)


class ConfigurePushoverOptions(ConfigureFlags):
    """Flags of `notification profile configure pushover`."""

    app_token = flag("", "Token of the application.")
    user_key = flag("", "Key of the user.")
    format = flag("", "Of the text.", choices=_FORMATS)


class ProfileListOptions(JsonFlags):
    """Flags of `notification profile list`."""

    raw = flag(False, "With --json: the stored profiles, with their passwords.")


class ProfileShowOptions(ProfileListOptions, ProfileFlags):
    """Flags of `notification profile show`."""


class ProfileTestOptions(ProfileFlags):
    """Flags of `notification profile test`."""


class ProfileDeleteOptions(ProfileFlags):
    """Flags of `notification profile delete`."""


class TemplateListOptions(JsonFlags):
    """Flags of `notification template list`."""


class TemplateFlags(Options):
    """Argument that names a template."""

    template = argument("Template, as `notification template list` shows it.")


class TemplateShowOptions(TemplateFlags):
    """Flags of `notification template show`."""

    format = flag("", "Ignored.", choices=("html", "md"), hidden=True)
    original = flag(False, "The built-in template, even if there is another.")
    html = flag(False, "Ignored: the text is printed.", hidden=True)


class TemplateSetOptions(TemplateFlags):
    """Flags of `notification template set`."""

    from_stdin = flag(False, "Read the template from standard input.")
    from_file = flag("", "Read the template from this file.", kind=existing_file)
    editor = flag(False, "Edit the template.")


class TemplateRemoveOptions(TemplateFlags):
    """Flags of `notification template remove`."""


__all__ = [
    "ConfigureEmailOptions",
    "ConfigureFlags",
    "ConfigurePushoverOptions",
    "ConfigureWebhookOptions",
    "ProfileDeleteOptions",
    "ProfileListOptions",
    "ProfileShowOptions",
    "ProfileTestOptions",
    "TemplateListOptions",
    "TemplateRemoveOptions",
    "TemplateSetOptions",
    "TemplateShowOptions",
]
