"""An imitation of the service that gives tokens for Azure: of the client credentials grant, and no more."""

import base64
import contextlib
import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass, field

from pykopia import clock
from tests.servers import process
from tests.servers.imitation import Answering, serving
from tests.servers.tls import Certificates

TENANT = "0a1b2c3d-1111-2222-3333-444455556666"
CLIENT = "9f8e7d6c-1111-2222-3333-444455556666"
SECRET = "canary-client-secret-27e0"


@dataclass
class Entra:
    """A running server."""

    port: int = 0
    requests: list[dict[str, str]] = field(default_factory=list)
    """The form of each."""

    @property
    def authority(self) -> str:
        """What AZURE_AUTHORITY_HOST is to be."""
        return f"https://{process.HOST}:{self.port}"


@contextlib.contextmanager
def entra(certificates: Certificates) -> Iterator[Entra]:
    """Run the server with TLS, as its clients talk to no other."""
    found = Entra()
    with serving(_Handler, certificates, entra=found) as found.port:
        yield found


class _Handler(Answering):
    entra: Entra

    def on_post(self) -> None:
        """Give a token to a client that has the secret, or an assertion: the test looks at that."""
        form = dict(urllib.parse.parse_qsl(self.body().decode()))
        self.entra.requests.append(form)
        right = form.get("client_secret") == SECRET or "client_assertion" in form
        if self.path != f"/{TENANT}/oauth2/v2.0/token" or form.get("client_id") != CLIENT or not right:
            told = {"error": "invalid_client", "error_description": "AADSTS7000215: Invalid client secret provided."}
            self.send(401, json.dumps(told).encode(), **{"Content-Type": "application/json"})
            return
        answer = {"token_type": "Bearer", "expires_in": 3600, "access_token": _token()}
        self.send(200, json.dumps(answer).encode(), **{"Content-Type": "application/json"})


def _token() -> str:
    now = clock.now() // 10**9
    claims = {"aud": "https://storage.azure.com", "iss": f"https://sts.windows.net/{TENANT}/", "iat": now}
    claims |= {"nbf": now - 60, "exp": now + 3600}
    parts = [{"alg": "RS256", "typ": "JWT"}, claims]
    return ".".join([*(_encoded(json.dumps(part).encode()) for part in parts), _encoded(b"no signature")])


def _encoded(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
