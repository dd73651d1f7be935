"""The pages: sign in, all services, one service with sample code."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from gateway import __version__
from gateway.control.api.attempts import Attempts
from gateway.control.api.audit import AUDIT, entry
from gateway.control.api.credential import AdminToken
from gateway.control.api.problem import ACTOR
from gateway.control.api.view import View, moment
from gateway.control.catalog import Catalog
from gateway.control.portal.session import Sessions, is_same_origin
from gateway.control.refusal import Refused
from gateway.control.service import Service
from gateway.core.spec import ServiceSpec

SIGN_IN = "sign_in"
POLICY = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
SAMPLES = ("curl", "Python", "C#", "Go", "Java", "R")
_FILES = {"C#": "csharp"}
_SHOWN_DOCUMENT = {"data": [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]]}


class Portal:
    """Handlers of the pages. Everything but the sign-in form, style sheet and icon needs a session."""

    def __init__(self, catalog: Catalog, view: View, token: AdminToken, attempts: Attempts, *, secure: bool) -> None:
        self._catalog = catalog
        self._view = view
        self._token = token
        self._attempts = attempts
        self._sessions = Sessions(secure=secure)
        static = resources.files("gateway.control.portal") / "static"
        self._style, self._icon = ((static / name).read_text() for name in ("portal.css", "icon.svg"))
        self._templates = Environment(
            loader=PackageLoader("gateway.control.portal"),
            autoescape=select_autoescape(("html",)),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def replace_token(self, token: str) -> None:
        """Only who has this bootstrap token signs in from now on, and nobody is signed in."""
        self._token.replace(token)
        self._sessions.close_all()

    def add_to(self, app: web.Application) -> None:
        """Route the pages."""
        app.router.add_get("/", self.services)
        app.router.add_get("/services/{name}", self.service)
        app.router.add_get("/sign-in", self.form)
        app.router.add_post("/sign-in", self.sign_in)
        app.router.add_post("/sign-out", self.sign_out)
        app.router.add_get("/portal.css", self.style)
        app.router.add_get("/icon.svg", self.icon)

    async def services(self, request: web.Request) -> web.Response:
        """All services."""
        if not self._sessions.is_open(request):
            return _see("/sign-in")
        rows = [self._row(request, service) for _, service in sorted(self._catalog.services.items())]
        return self._page("services.html", services=rows)

    async def service(self, request: web.Request) -> web.Response:
        """One service, and how to call it."""
        if not self._sessions.is_open(request):
            return _see("/sign-in")
        try:
            service = self._catalog.get(request.match_info["name"])
        except Refused as refused:
            return self._page("missing.html", status=404, detail=refused.detail)
        row = self._row(request, service)
        example = service.spec.example if service.spec.example is not None else _SHOWN_DOCUMENT
        samples = {name: self._sample(name, row["scoring_uri"], row["closed"]) for name in SAMPLES}
        return self._page(
            "service.html", service=row, document=json.dumps(example, ensure_ascii=False), samples=samples
        )

    async def form(self, request: web.Request) -> web.Response:
        """The sign-in form."""
        return _see("/") if self._sessions.is_open(request) else self._page("sign_in.html", wrong=False)

    async def sign_in(self, request: web.Request) -> web.Response:
        """Start a session with the admin token. A wrong one: the form again (401; 429 after too many of them)."""
        _require_same_origin(request)
        token = (await request.post()).get("token")
        if not isinstance(token, str) or self._token.actor(token.strip()) is None:
            refused = Refused(401, "This is not the admin token.")
            refused = self._attempts.refused(request, refused, SIGN_IN, in_form=True)
            page = self._page("sign_in.html", status=refused.status, wrong=True)
            page.headers.update(refused.headers)
            return page
        request[ACTOR] = "admin"
        await request.app[AUDIT].show(entry(request, action=SIGN_IN))
        response = _see("/")
        self._sessions.open(response)
        return response

    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session."""
        _require_same_origin(request)
        response = _see("/sign-in")
        self._sessions.close(request, response)
        return response

    async def style(self, _request: web.Request) -> web.Response:
        """The style sheet."""
        return web.Response(text=self._style, content_type="text/css")

    async def icon(self, _request: web.Request) -> web.Response:
        """The mark in the browser's tab."""
        return web.Response(text=self._icon, content_type="image/svg+xml")

    def _page(self, template: str, status: int = 200, **values: Any) -> web.Response:
        signed_in = template != "sign_in.html"
        text = self._templates.get_template(template).render(version=__version__, signed_in=signed_in, **values)
        # Not `no-referrer`: with it browsers send `Origin: null` with our own forms, too.
        headers = {"Content-Security-Policy": POLICY, "Referrer-Policy": "same-origin"}
        return web.Response(text=text, status=status, content_type="text/html", headers=headers)

    def _row(self, request: web.Request, service: Service) -> dict[str, Any]:
        return {
            "name": service.name,
            "description": service.spec.description,
            "tags": service.spec.tags,
            "state": self._view.state(service),
            "door": door(service.spec),
            "closed": service.spec.key_auth or service.spec.token_auth,
            "origin": service.declared_at if service.place else "admin API",
            "updated": moment(service.record.updated_at),
            **self._view.uris(service, request.headers),
        }

    def _sample(self, language: str, url: str, closed: bool) -> str:
        file = f"sample_{_FILES.get(language, language.lower())}.txt"
        return self._templates.get_template(file).render(url=url, closed=closed)


def door(spec: ServiceSpec) -> str:
    """What opens a service, in words."""
    if spec.key_auth:
        return "a key or a token" if spec.token_auth else "a key"
    return "a token" if spec.token_auth else "anyone may call it"


def _see(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


def _require_same_origin(request: web.Request) -> None:
    if not is_same_origin(request):
        raise Refused(403, "This form was sent from a page of another site.")
