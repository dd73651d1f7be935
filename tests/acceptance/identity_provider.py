"""An OpenID Connect provider in a thread: discovery, one key, and the tokens that it signs."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt

from gateway.core.jwk import SigningKey

AUDIENCE = "scoregate"


class IdentityProvider:
    """Listens on a free port of the loopback until it is stopped."""

    def __init__(self) -> None:
        self.key = SigningKey.generate("RS256")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def settings(self, **roles: list[str]) -> dict[str, Any]:
        """The block `admin.oidc` of a gateway that trusts it."""
        return {"issuer": self.issuer, "audience": AUDIENCE, "roles": roles}

    def token(self, subject: str, *roles: str, **claims: object) -> str:
        """A token of somebody with these roles."""
        now = int(time.time())
        told = {"iss": self.issuer, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 300, "roles": roles}
        return jwt.encode(told | claims, self.key.private_key, "RS256", headers={"kid": self.key.kid})

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                discovery = {"issuer": provider.issuer, "jwks_uri": f"{provider.issuer}/keys"}
                document = discovery if "openid" in self.path else {"keys": [provider.key.verifying_key().jwk]}
                body = json.dumps(document).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Nothing: stderr is the test run's."""

        return Handler
