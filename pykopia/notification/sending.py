"""Messages on their way: SMTP, webhooks, Pushover."""

import json
import smtplib
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage

from pykopia.errors import PykopiaError
from pykopia.notification.messages import Message
from pykopia.notification.profiles import Profile

TIMEOUT_SECONDS = 30
PUSHOVER_URL = "https://api.pushover.net/1/messages.json"
_SMTPS_PORT = 465
_OK = range(200, 300)


class NotificationError(PykopiaError):
    """A message could not be sent."""

    def __init__(self, profile: str, reason: str) -> None:
        self.profile, self.reason = profile, reason
        super().__init__(
            f"no notification was sent by the profile {profile!r}: {reason}; `notification profile test "
            f"--profile-name={profile}` tries it again"
        )


def send(profile: Profile, message: Message) -> None:
    """Send a message to where a profile says.

    Raises:
        NotificationError: it could not be sent.
    """
    if mistake := profile.mistake():
        raise NotificationError(profile.name, mistake)
    try:
        {"email": _send_email, "webhook": _send_webhook, "pushover": _send_pushover}[profile.method](profile, message)
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NotificationError(profile.name, _reason(error)) from error


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"the server answered {error.code} {error.reason}"
    if isinstance(error, urllib.error.URLError):
        return f"the server can't be reached: {error.reason}"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return "the mail server does not take the user name and password"
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error.decode(errors="replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        return f"the mail server answered {error.smtp_code} {text}"
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return f"the mail server refuses to send to {', '.join(error.recipients)}"
    if isinstance(error, OSError):
        return f"the server can't be reached: {error.strerror or error}"
    return str(error)


def email_of(config: Mapping[str, object], message: Message, *, as_html: bool) -> EmailMessage:
    """Return the e-mail of a message."""
    mail = EmailMessage()
    mail["Subject"] = " ".join(message.subject.split())
    mail["From"] = str(config["from"])
    mail["To"] = str(config["to"])
    if config.get("cc"):
        mail["Cc"] = str(config["cc"])
    for name, value in message.headers.items():
        if name not in mail:
            mail[name] = value
    mail.set_content(message.body, subtype="html" if as_html else "plain")
    return mail


def _send_email(profile: Profile, message: Message) -> None:
    config = profile.config
    mail = email_of(config, message, as_html=profile.format == "html")
    host, port = str(config["smtpServer"]), int(config.get("smtpPort") or 587)
    context = ssl.create_default_context()
    if port == _SMTPS_PORT:
        server: smtplib.SMTP = smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_SECONDS, context=context)
    else:
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_SECONDS)
    with server:
        server.ehlo_or_helo_if_needed()
        if port != _SMTPS_PORT and server.has_extn("starttls"):
            server.starttls(context=context)
        if config.get("smtpUsername"):
            server.login(str(config["smtpUsername"]), str(config.get("smtpPassword") or ""))
        server.send_message(mail)


def _send_webhook(profile: Profile, message: Message) -> None:
    config = profile.config
    headers = {"Subject": _header(message.subject), "Content-Type": f"text/{_SUBTYPES[profile.format]}; charset=utf-8"}
    for line in str(config.get("headers") or "").splitlines():
        name, colon, value = line.partition(":")
        if colon:
            headers[name.strip()] = value.strip()
    headers |= {name: _header(value) for name, value in message.headers.items()}
    _request(str(config["endpoint"]), str(config.get("method") or "POST"), headers, message.body.encode())


def _send_pushover(profile: Profile, message: Message) -> None:
    config = profile.config
    fields = {
        "token": config["appToken"],
        "user": config["userKey"],
        "message": f"{message.subject}\n\n{message.body}",
    }
    if profile.format == "html":
        fields["html"] = "1"
    url = str(config.get("endpoint") or PUSHOVER_URL)
    _request(url, "POST", {"Content-Type": "application/json"}, json.dumps(fields).encode())


_SUBTYPES = {"html": "html", "txt": "plain"}


def _header(text: str) -> str:
    """Return a text that can stand in a header of HTTP."""
    return " ".join(text.split()).encode("latin-1", "replace").decode("latin-1")


def _request(url: str, method: str, headers: Mapping[str, str], body: bytes) -> None:
    request = urllib.request.Request(url, data=body, headers=dict(headers), method=method)  # noqa: S310 -- checked
    with urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
        if response.status not in _OK:
            raise ValueError(f"the server answered {response.status}")


__all__ = ["PUSHOVER_URL", "TIMEOUT_SECONDS", "NotificationError", "email_of", "send"]
