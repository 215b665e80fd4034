"""What the tests of the page share."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from html import unescape

import httpx2
from starlette.testclient import TestClient

import pykopia
from pykopia.ui.site import Site

PASSWORD = "correct horse"
CLIENT = pykopia.ClientOptions(username="ann", hostname="box")
NEW = pykopia.NewRepositoryOptions(splitter="FIXED-1M", unique_id=b"the same, so keys are cached ...")
SOURCE = pykopia.SourceInfo(user_name="ann", host="box", path="/home/ann")
DAY_NS = 86_400 * 1_000_000_000
BEGIN_NS = 1_790_000_000_000_000_000
"""2026-09-21T14:13:20Z."""
ORIGIN = {"origin": "http://127.0.0.1:8000", "sec-fetch-site": "same-origin"}

Take = Callable[..., pykopia.SnapshotManifest]


@dataclass
class Page:
    """A browser on the page."""

    client: TestClient
    site: Site

    def get(self, place: str, **values: str) -> httpx2.Response:
        return self.client.get(self.site.address.to(place, **values))

    def shows(self, place: str, **values: str) -> str:
        """Return a page that is well."""
        answer = self.get(place, **values)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        return answer.text

    def fails(self, status: int, place: str, **values: str) -> str:
        """Return the page of an error."""
        answer = self.get(place, **values)
        assert answer.status_code == status, answer.text
        assert "Traceback" not in answer.text
        assert "<h1>" in answer.text
        return unescape(answer.text)

    def send(self, place: str, **fields: str) -> httpx2.Response:
        """Send a form of the page."""
        fields = {"secret": self.site.keys.form, **fields}
        return self.client.post(self.site.address.to(place), data=fields, headers=ORIGIN)

    def job(self, place: str, **fields: str) -> str:
        """Send a form that begins a task, wait for the end of the task, and return its page."""
        answer = self.send(place, **fields)
        assert answer.status_code == 303, answer.text
        for each in [*self.site.jobs.running()]:
            assert each.wait(60)
        shown = self.client.get(answer.headers["location"])
        assert shown.status_code == 200
        return shown.text


def words(page: str) -> str:
    """Return what a reader of a page sees, in one line."""
    return re.sub(r" ([,:.)])", r"\1", " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split()))


def links(page: str) -> list[str]:
    """Return the addresses that a page leads to."""
    return [unescape(each) for each in re.findall(r'(?:href|src|action)="([^"]*)"', page)]
