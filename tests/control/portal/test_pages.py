"""The portal: what people see, and who may see it."""

from __future__ import annotations

import re

import pytest

from gateway.control.portal.session import LIFETIME_SECONDS, MAX_SESSIONS, Sessions

TOKEN = "sga_" + "t" * 40


@pytest.fixture
async def make_portal(aiohttp_client, make_rig):
    async def make(*arguments, **changes):
        rig = await make_rig(*arguments, **changes)
        return await aiohttp_client(rig.app)

    return make


async def sign_in(client, token: str = TOKEN, **headers: str):
    return await client.post("/sign-in", data={"token": token}, headers=headers, allow_redirects=False)


async def test_signed_out_sees_nothing(make_portal, make_spec) -> None:
    """Without a session every page leads to the form, and no name of a service is told."""
    client = await make_portal({"diabetes": make_spec()})
    for path in ("/", "/services/diabetes", "/services/nothing"):
        answer = await client.get(path, allow_redirects=False)
        assert (answer.status, answer.headers["Location"]) == (303, "/sign-in")
    text = await (await client.get("/")).text()
    assert "Admin token" in text
    assert "diabetes" not in text


async def test_session_cookie(make_portal) -> None:
    """The cookie is for this site only, out of scripts' reach, random, and not the token."""
    client = await make_portal()
    answer = await sign_in(client)
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    cookie = answer.headers["Set-Cookie"]
    for attribute in ("HttpOnly", "SameSite=Strict", "Path=/", f"Max-Age={LIFETIME_SECONDS}"):
        assert attribute in cookie
    assert "Secure" not in cookie
    assert TOKEN not in cookie
    assert len(answer.cookies["scoregate"].value) >= 43
    assert (await client.get("/", allow_redirects=False)).status == 200


async def test_session_cookie_with_tls(make_portal) -> None:
    """With TLS the cookie is Secure and bound to the host by its name."""
    answer = await sign_in(await make_portal(secure=True))
    assert answer.headers["Set-Cookie"].startswith("__Host-scoregate=")
    assert "Secure" in answer.headers["Set-Cookie"]


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "sg1_" + "a" * 42])
async def test_wrong_token(make_portal, token: str) -> None:
    """A wrong token gives the form again, with a word, and no cookie."""
    answer = await sign_in(await make_portal(), token)
    assert answer.status == 401
    assert "not the admin token" in await answer.text()
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize(
    "headers", [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_forms_of_other_sites(make_portal, headers) -> None:
    """A form that another site sends neither signs in nor out; the control, our own origin, does."""
    client = await make_portal()
    assert (await sign_in(client, **headers)).status == 403
    own = {"Origin": f"http://{client.host}:{client.port}", "Sec-Fetch-Site": "same-origin"}
    assert (await sign_in(client, **own)).status == 303
    assert (await client.post("/sign-out", headers=headers)).status == 403
    assert (await client.get("/", allow_redirects=False)).status == 200


async def test_sign_out(make_portal) -> None:
    """After signing out the old cookie opens nothing."""
    client = await make_portal()
    cookie = (await sign_in(client)).cookies["scoregate"].value
    await client.post("/sign-out")
    answer = await client.get("/", headers={"Cookie": f"scoregate={cookie}"}, allow_redirects=False)
    assert answer.status == 303


async def test_cookie_does_not_open_the_api(make_portal) -> None:
    """A session is for pages: the API wants its header, so that no page can use it."""
    client = await make_portal()
    await sign_in(client)
    assert (await client.get("/v1/services")).status == 401


async def test_list_and_page(make_portal, make_spec) -> None:
    """Name, state, URLs and door of each service; its page with samples in six languages and no key."""
    client = await make_portal(
        {
            "diabetes": make_spec(token_auth_enabled=True, description="Ridge <b>model</b>", tags={"team": "health"}),
            "open": make_spec(auth_enabled=False, swagger_path=None, example={"data": [[42]]}),
        }
    )
    await sign_in(client)
    text = await (await client.get("/", headers={"Host": "gw.example:8444"})).text()
    assert "https://gw.example:8443/api/v1/service/diabetes/score" in text
    assert "https://gw.example:8443/api/v1/service/diabetes/swagger.json" in text
    assert "a key or a token" in text
    assert "anyone may call it" in text
    assert "Ridge &lt;b&gt;model&lt;/b&gt;" in text
    page = await (await client.get("/services/diabetes", headers={"Host": "gw.example:8444"})).text()
    for word in (
        "curl",
        "import requests",
        "HttpClient",
        "package main",
        "java.net.http",
        "library(httr)",
        "SCORING_KEY",
    ):
        assert word in page
    assert page.count("https://gw.example:8443/api/v1/service/diabetes/score") == 7
    assert "sg1_" not in page
    page = await (await client.get("/services/open")).text()
    assert "Authorization" not in page
    assert "42" in page
    answer = await client.get("/services/nothing")
    assert answer.status == 404
    assert "no service named nothing" in await answer.text()


async def test_no_service_yet(make_portal) -> None:
    """An empty gateway says how to get a service."""
    client = await make_portal()
    await sign_in(client)
    assert "scoregate services create" in await (await client.get("/")).text()


async def test_hostile_host_header(make_portal, make_spec) -> None:
    """A Host header that is none appears nowhere."""
    client = await make_portal({"diabetes": make_spec()})
    await sign_in(client)
    text = await (await client.get("/", headers={"Host": 'x"><script>alert(1)</script>'})).text()
    assert "<script" not in text
    assert "https://localhost:8443/api" in text


async def test_policy_and_own_resources_only(make_portal, make_spec) -> None:
    """Pages run no script, load nothing from elsewhere, may not be framed, and say so."""
    client = await make_portal({"diabetes": make_spec()})
    await sign_in(client)
    for path in ("/", "/services/diabetes"):
        answer = await client.get(path)
        policy = answer.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "same-origin", "with no-referrer our forms come with Origin: null"
        text = await answer.text()
        assert not re.search(r"<script|<style| style=| on\w+=|(src|href)=\"(https?:)?//", text)
    style = await client.get("/portal.css")
    assert style.content_type == "text/css"
    assert "url(" not in await style.text()


class Seen:
    """A request with nothing but cookies, and an answer that keeps the one it is given."""

    def __init__(self) -> None:
        self.cookies: dict[str, str] = {}

    def set_cookie(self, name: str, value: str, **_attributes) -> None:
        self.cookies[name] = value


def test_sessions_end() -> None:
    """A session ends after eight hours, and the oldest makes room when there are very many."""
    now = 0.0
    sessions = Sessions(secure=False, clock=lambda: now)
    first, last = Seen(), Seen()
    sessions.open(first)
    assert sessions.is_open(first)
    now = LIFETIME_SECONDS + 1.0
    assert not sessions.is_open(first)
    sessions.open(first)
    for _ in range(MAX_SESSIONS):
        sessions.open(last)
    assert not sessions.is_open(first)
    assert sessions.is_open(last)
    assert not sessions.is_open(Seen())
