"""Notifications: profiles as Kopia stores them, and messages to servers that run here."""

import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from pykopia.notification.messages import TEMPLATES, compose, error_report
from pykopia.notification.profiles import Profile
from pykopia.notification.template import TemplateError, parse, render
from tests.cli_runner import Runner


class Web(HTTPServer):
    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.received: list[tuple[str, dict[str, str], str]] = []
        self.answer = 200

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        web = self.server
        assert isinstance(web, Web)
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        web.received.append((self.command + " " + self.path, dict(self.headers), body))
        self.send_response(web.answer)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_PUT = do_POST  # noqa: N815 -- the name that the base calls

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def web() -> Iterator[Web]:
    with Web() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Mail(socketserver.TCPServer):
    allow_reuse_address = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _MailHandler)
        self.commands: list[str] = []
        self.text = ""


class _MailHandler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        mail = self.server
        assert isinstance(mail, Mail)
        self.wfile.write(b"220 here\r\n")
        for line in self.rfile:
            command = line.decode().strip()
            mail.commands.append(command)
            if command.upper() == "DATA":
                self.wfile.write(b"354 go on\r\n")
                for each in self.rfile:
                    if each == b".\r\n":
                        break
                    mail.text += each.decode()
                self.wfile.write(b"250 taken\r\n")
            elif command.upper() == "QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"250 fine\r\n")


@pytest.fixture
def mail() -> Iterator[Mail]:
    with Mail() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def client(cli: Runner, tmp_path: Path) -> Runner:
    (tmp_path / "source").mkdir()
    (tmp_path / "source" / "file").write_text("hello")
    cli.ok("repository", "create", "filesystem", "--path", str(tmp_path / "repository"))
    return cli


PROFILE = ("notification", "profile")


def test_a_snapshot_is_reported_to_a_webhook(client: Runner, web: Web, tmp_path: Path) -> None:
    client.ok(
        *PROFILE,
        "configure",
        "webhook",
        "--profile-name=hook",
        "--endpoint",
        f"{web.url}/in",
        "--http-header=Key:value",
    )
    client.ok("snapshot", "create", str(tmp_path / "source"))
    ((request, headers, body),) = web.received
    assert request == "POST /in"
    assert headers["Subject"].startswith(f"Successfully created a snapshot of {tmp_path}/source on ")
    assert headers["Key"] == "value"
    assert "Size:     5 B" in body
    assert "Files:    1" in body
    client.ok("snapshot", "create", str(tmp_path / "source"), "--no-send-snapshot-report")
    assert len(web.received) == 1


def test_a_failed_snapshot_is_reported_as_an_error(client: Runner, web: Web, tmp_path: Path) -> None:
    client.ok(
        *PROFILE, "configure", "webhook", "--profile-name=hook", "--endpoint", web.url, "--min-severity=error",
        "--method=PUT", "--format=html",
    )  # fmt: skip
    client.ok("snapshot", "create", str(tmp_path / "source"))
    assert web.received == []
    client.fails("snapshot", "create", str(tmp_path / "missing"))
    ((request, headers, body),) = web.received
    assert request == "PUT /"
    assert headers["Subject"].startswith("Failed to create a snapshot of")
    assert "does not exist" in body
    assert "<table" in body


def hook(client: Runner, web: Web) -> None:
    client.ok(*PROFILE, "configure", "webhook", "--profile-name=hook", "--endpoint", web.url)


def test_a_command_that_fails_is_reported(client: Runner, web: Web) -> None:
    hook(client, web)
    client.ok("snapshot", "list")
    assert web.received == []
    client.fails("ls", "k0000000000000000000000000000000f")
    ((_, headers, body),) = web.received
    assert headers["Subject"].startswith("list failed on ")
    assert "k0000000000000000000000000000000f" in body


@pytest.mark.parametrize(
    ("choice", "terminal", "sent"),
    [("always", True, 1), ("always", False, 1), ("never", False, 0), ("non-interactive", True, 0)],
)
def test_whether_a_failure_is_reported_can_be_chosen(
    client: Runner, web: Web, choice: str, *, terminal: bool, sent: int
) -> None:
    hook(client, web)
    assert client("ls", "k0f", f"--error-notifications={choice}", terminal=terminal).status
    assert client("ls", "k0f", terminal=terminal, KOPIA_SEND_ERROR_NOTIFICATIONS=choice).status
    assert len(web.received) == 2 * sent


def test_a_verification_that_finds_damage_is_reported(client: Runner, web: Web, tmp_path: Path) -> None:
    hook(client, web)
    (tmp_path / "source" / "large").write_bytes(bytes(range(256)) * 1000)
    client.ok("snapshot", "create", str(tmp_path / "source"), "--no-send-snapshot-report")
    (pack,) = (tmp_path / "repository").glob("p*/**/*.f")
    pack.unlink()
    for words in (["snapshot", "verify"], ["content", "verify"], ["check"]):
        web.received.clear()
        client.fails(*words)
        ((_, headers, _),) = web.received
        assert headers["Subject"].startswith(f"{' '.join(words)} failed on ")


def test_a_failure_is_reported_once(client: Runner, web: Web, tmp_path: Path) -> None:
    hook(client, web)
    missing = str(tmp_path / "missing")
    client.fails("snapshot", "create", missing)
    client.fails("snapshot", "create", missing, "--no-send-snapshot-report")
    assert [headers["Subject"].partition(" ")[0] for _, headers, _ in web.received] == ["Failed", "snapshot"]


def test_a_failure_that_cant_be_reported_keeps_its_status(client: Runner, web: Web) -> None:
    status = client("ls", "k0f").status
    hook(client, web)
    web.answer = 503
    result = client("ls", "k0f")
    assert "the server answered 503" in result.stderr
    assert result.status == status
    client.fails(*PROFILE, "test", "--profile-name=hook")
    assert len(web.received) == 2


def test_a_server_that_refuses_changes_nothing_but_is_told(client: Runner, web: Web, tmp_path: Path) -> None:
    client.ok(*PROFILE, "configure", "webhook", "--profile-name=hook", "--endpoint", web.url)
    web.answer = 503
    result = client.ok("snapshot", "create", str(tmp_path / "source"))
    assert "the server answered 503" in result.stderr
    assert "the server answered 503" in client.fails(*PROFILE, "test", "--profile-name=hook").stderr


def test_pushover_gets_its_json(client: Runner, web: Web) -> None:
    profile = Profile(
        name="p", method="pushover", config={"appToken": "t", "userKey": "u", "format": "txt", "endpoint": web.url}
    )
    from pykopia.notification import sending

    message = compose("Subject: s\n\ntext", {}, now_ns=0, hostname="h", version="1", severity=0, zone=None)
    sending.send(profile, message)
    assert web.received[0][2] == '{"token": "t", "user": "u", "message": "s\\n\\ntext"}'


def test_an_email_is_sent(client: Runner, mail: Mail) -> None:
    host, port = mail.server_address[:2]
    client.ok(
        *PROFILE, "configure", "email", "--profile-name=post", "--smtp-server", str(host), "--smtp-port", str(port),
        "--mail-from=from@example.org", "--mail-to=to@example.org,other@example.org", "--mail-cc=cc@example.org",
        "--send-test-notification",
    )  # fmt: skip
    for address in ("to", "other", "cc"):
        assert any(f"<{address}@example.org>" in command for command in mail.commands)
    assert "Subject: Test of notifications" in mail.text
    assert "text/html" in mail.text


def test_profiles_are_listed_shown_changed_and_deleted(client: Runner, web: Web) -> None:
    client.ok(*PROFILE, "configure", "webhook", "--profile-name=hook", "--endpoint", web.url)
    client.ok(*PROFILE, "configure", "webhook", "--profile-name=hook", "--format=html", "--min-severity=warning")
    assert client.ok(*PROFILE, "list").lines == [
        'Profile "hook" Type "webhook" Minimum Severity: warning',
        f'  Webhook POST {web.url} Format "html"',
    ]
    assert client.ok(*PROFILE, "show", "--profile-name=hook", "--json", "--raw").json["method"]["config"] == {
        "endpoint": web.url, "format": "html", "headers": "", "method": "POST",
    }  # fmt: skip
    client.ok(*PROFILE, "delete", "--profile-name=hook")
    client.ok(*PROFILE, "delete", "--profile-name=hook")
    assert client.ok(*PROFILE, "list").stdout == ""
    assert "no notification profile 'hook'" in client.fails(*PROFILE, "show", "--profile-name=hook").stderr


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["email", "--mail-to=a@b"], "the SMTP server must be given"),
        (["webhook", "--endpoint=ftp://host"], "must begin with http:// or https://"),
        (["webhook", "--endpoint=http://host", "--http-header=x"], "--http-header must be KEY:VALUE"),
        (["pushover", "--app-token=t"], "the User Key must be given"),
    ],
)
def test_a_profile_that_cant_work_is_refused(client: Runner, words: list[str], message: str) -> None:
    assert message in client.fails(*PROFILE, "configure", *words, "--profile-name=x").stderr


def test_a_profile_keeps_its_kind(client: Runner, web: Web) -> None:
    client.ok(*PROFILE, "configure", "webhook", "--profile-name=x", "--endpoint", web.url)
    result = client.fails(*PROFILE, "configure", "pushover", "--profile-name=x", "--app-token=a", "--user-key=b")
    assert "sends by webhook" in result.stderr


def test_templates_are_replaced_and_reset(client: Runner, web: Web) -> None:
    name = "test-notification.txt"
    template = ("notification", "template")
    client.ok(*template, "set", name, "--from-stdin", stdin=b"Subject: mine on {{ .Hostname }}\n\nbody\n")
    assert client.ok(*template, "show", name).lines[0] == "Subject: mine on {{ .Hostname }}"
    assert any("<customized>" in line for line in client.ok(*template, "list").lines if name in line)
    client.ok(*PROFILE, "configure", "webhook", "--profile-name=x", "--endpoint", web.url, "--send-test-notification")
    assert web.received[0][1]["Subject"].startswith("mine on ")
    client.ok(*template, "remove", name)
    assert all("<built-in>" in line for line in client.ok(*template, "list").lines[1:])
    assert "without {{end}}" in client.fails(*template, "set", name, "--from-stdin", stdin=b"{{ if .X }}").stderr
    assert "no notification template 'none'" in client.fails(*template, "show", "none").stderr


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("a {{ .Name }} b", "a x b"),
        ("{{ range .List }}<{{ . }}>{{ else }}none{{ end }}", "<1><2>"),
        ("{{ range .Empty }}{{ . }}{{ else }}none{{ end }}", "none"),
        ("{{ if .Name }}yes{{ else }}no{{ end }}{{ if .Empty }}yes{{ end }}", "yes"),
        ("a {{- .Name -}} b", "axb"),
        ('{{ "text" | upper }}{{ upper .Name }}', "TEXTX"),
        ("{{/* nothing */}}{{ .Deep.Er }}{{ $.Name }}", "1x"),
    ],
)
def test_a_template_is_rendered(template: str, expected: str) -> None:
    values = {"Name": "x", "List": [1, 2], "Empty": [], "Deep": {"Er": 1}}
    assert render(template, values, {"upper": lambda value: value.upper()}) == expected


@pytest.mark.parametrize(
    "template", ["{{ .No }}", "{{ unknown .Name }}", "{{ if .Name }}", "{{ end }}", "{{ .Name", "{{}}"]
)
def test_a_template_that_makes_no_sense_is_refused(template: str) -> None:
    with pytest.raises(TemplateError):
        render(template, {"Name": "x"}, {})


@pytest.mark.parametrize("name", TEMPLATES)
def test_the_built_in_templates_can_be_read(name: str) -> None:
    parse(TEMPLATES[name])


def test_an_error_is_put_into_words() -> None:
    event = error_report("maintenance run", "no space", start_ns=0, end_ns=90_500_000_000)
    message = compose(
        TEMPLATES["generic-error.txt"], event, now_ns=0, hostname="host", version="1", severity=20, zone=None
    )
    assert message.subject == "maintenance run failed on host"
    assert "after 1m30.5s" in message.body
