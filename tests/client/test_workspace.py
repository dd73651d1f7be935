"""Both shells against a gateway on real sockets with TLS: the same tests for the blocking and the awaited form."""

import asyncio
import inspect
import logging
import socket
from datetime import UTC, datetime

import pytest
from fake_gateway import ADMIN_TOKEN, TWO_ROWS

from gateway.client import (
    NotAllowedError,
    RefusedError,
    ScoringError,
    UnreachableError,
    Webservice,
    WebserviceNotFound,
    Workspace,
)
from gateway.client.aio import AsyncWebservice, AsyncWorkspace


class Sync:
    """The blocking shell behind the awaited form of its calls: each in a thread, as an application would."""

    workspace_type = Workspace

    async def get(self, workspace, name):
        return await asyncio.to_thread(Webservice, workspace, name=name)

    async def call(self, method, *arguments, **named):
        return await asyncio.to_thread(method, *arguments, **named)

    webservice_type = Webservice


class Aio:
    """The asyncio shell."""

    workspace_type = AsyncWorkspace
    webservice_type = AsyncWebservice

    async def get(self, workspace, name):
        return await AsyncWebservice.get(workspace, name)

    async def call(self, method, *arguments, **named):
        result = method(*arguments, **named)
        return await result if inspect.isawaitable(result) else result


@pytest.fixture(params=[Sync, Aio])
def shell(request):
    return request.param()


@pytest.fixture
async def connect(shell):
    """Makes workspaces, and closes them at the end."""
    made = []

    def make(url, credential=ADMIN_TOKEN, ca_file=None, **named):
        made.append(shell.workspace_type(url, credential, ca_file, **named))
        return made[-1]

    yield make
    for workspace in made:
        await shell.call(workspace.close)


@pytest.fixture
def workspace(connect, fake):
    return connect(fake.admin_url, ca_file=fake.ca_file)


async def test_the_fields_of_a_service(shell, workspace, fake):
    """Every property is what the admin API said, times as timezone-aware datetimes."""
    fake.add("risk", tags={"team": "a"}, description="d", token_auth_enabled=True, swagger_uri=None)
    service = await shell.get(workspace, "risk")
    assert (service.name, service.state, service.compute_type) == ("risk", "Healthy", "AKS")
    assert service.scoring_uri == f"{fake.admin_url}/api/v1/service/risk/score"
    assert (service.auth_enabled, service.token_auth_enabled, service.swagger_uri) == (True, True, None)
    assert (service.tags, service.description) == ({"team": "a"}, "d")
    assert service.created_at.tzinfo is not None
    assert service.updated_at == datetime.fromisoformat("2026-11-21T08:00:00+00:00")


async def test_a_missing_service(shell, workspace):
    """The constructor raises WebserviceNotFound with the gateway's words."""
    with pytest.raises(WebserviceNotFound, match="There is no service nobody"):
        await shell.get(workspace, "nobody")


async def test_list_follows_pages_and_filters(shell, workspace, fake):
    """Five services on pages of two are all there; tags and compute type narrow the list."""
    for name in ("aaa", "bbb", "ccc"):
        fake.add(name, tags={"team": name})
    fake.add("ddd", compute_type="ACI")
    listed = await shell.call(shell.webservice_type.list, workspace)
    assert [service.name for service in listed] == ["aaa", "bbb", "ccc", "ddd", "diabetes"]
    assert len(fake.requests("GET", "/v1/services")) == 3
    tagged = await shell.call(shell.webservice_type.list, workspace, tags=[["team", "bbb"]])
    typed = await shell.call(shell.webservice_type.list, workspace, "ACI")
    assert [service.name for service in tagged + typed] == ["bbb", "ddd"]


async def test_keys(shell, workspace, fake):
    """get_keys gives both; regen_key gives a random one or takes the given; the caller's own next run passes."""
    service = await shell.get(workspace, "diabetes")
    assert await shell.call(service.get_keys) == ("diabetes-primary-value", "diabetes-secondary-value")
    assert await shell.call(service.regen_key, "Primary") == "random-1"
    assert await shell.call(service.regen_key, "secondary", set_key="mine") == "mine"
    assert fake.keys["diabetes"] == {"primary": "random-1", "secondary": "mine"}
    assert await shell.call(service.run, {"data": []}) == TWO_ROWS


async def test_the_life_of_a_key(shell, workspace, fake):
    """Grace and end go with a regeneration; the end can be set later; how the keys are used is told without them."""
    service = await shell.get(workspace, "diabetes")
    ends = datetime(2027, 1, 31, tzinfo=UTC)
    await shell.call(service.regen_key, "Primary", grace_seconds=60, expires_at=ends)
    assert fake.seen[-1].document == {"grace_seconds": 60, "expires_at": ends.isoformat()}
    await shell.call(service.expire_key, "Secondary", ends)
    assert fake.key_ends == {"secondary": ends.isoformat()}
    await shell.call(service.expire_key, "secondary", None)
    assert fake.key_ends == {"secondary": None}
    slots = await shell.call(service.key_slots)
    assert [slots[slot]["safe_to_regenerate"] for slot in ("primary", "secondary")] == [False, True]
    assert "diabetes-primary-value" not in str(slots)


async def test_run_with_a_key_that_was_rotated_by_somebody_else(shell, workspace, fake):
    """A 401 leads to one look at the keys and one more try, which passes."""
    service = await shell.get(workspace, "diabetes")
    await shell.call(service.run, {"data": []})
    fake.keys["diabetes"]["primary"] = "rotated"
    assert await shell.call(service.run, {"data": []}) == TWO_ROWS
    assert len(fake.requests("POST", "/score")) == 3


async def test_run_with_a_token_that_is_refreshed(shell, workspace, fake):
    """A token within refresh_by is reused, one past it is issued anew, a revoked one is replaced after the 401."""
    fake.add("tokened", auth_enabled=False, token_auth_enabled=True)
    service = await shell.get(workspace, "tokened")
    for _ in range(2):
        assert await shell.call(service.run, {"data": []}) == TWO_ROWS
    assert fake.issued == 1
    fake.tokens.clear()
    fake.refresh_in = -1
    assert await shell.call(service.run, {"data": []}) == TWO_ROWS
    assert fake.issued == 2
    assert await shell.call(service.run, {"data": []}) == TWO_ROWS
    assert fake.issued == 3
    fake.away = True
    assert await shell.call(service.run, {"data": []}) == TWO_ROWS
    sent = [seen.headers["authorization"] for seen in fake.requests("POST", "/score")]
    assert sent == [f"Bearer token-{number}" for number in (1, 1, 1, 2, 3, 3)]


async def test_get_token(shell, workspace, fake):
    """The token opens the service; refresh_by is timezone-aware."""
    fake.add("tokened", auth_enabled=False, token_auth_enabled=True)
    token, refresh_by = await shell.call((await shell.get(workspace, "tokened")).get_token)
    assert token in fake.tokens
    assert refresh_by.utcoffset() is not None


async def test_bytes_in_and_out(shell, workspace):
    """An image goes as its media type and comes back byte for byte."""
    picture = bytes(range(256)) * 2000
    service = await shell.get(workspace, "diabetes")
    assert await shell.call(service.run, picture, content_type="image/png") == picture


async def test_text_is_posted_as_is(shell, workspace, fake):
    """A JSON text is not encoded twice."""
    service = await shell.get(workspace, "diabetes")
    await shell.call(service.run, '{"data":  [1]}')
    seen = fake.requests("POST", "/score")[-1]
    assert (seen.body, seen.headers["content-type"]) == (b'{"data":  [1]}', "application/json")
    assert (seen.headers["user-agent"], seen.headers["accept-encoding"]) == ("scoregate-sdk", "identity")


async def test_a_scoring_error(shell, workspace):
    """Status, headers and body of the refusal are in the exception."""
    service = await shell.get(workspace, "diabetes")
    with pytest.raises(ScoringError, match=r"400 Bad Request: not JSON \(request id r-77\)") as caught:
        await shell.call(service.run, "{")
    assert (caught.value.status, caught.value.body, caught.value.headers["x-request-id"]) == (400, b"not JSON", "r-77")


async def test_create_update_delete(shell, workspace, fake):
    """A service is made, changed by merge patch and deleted; each mutation carries an Idempotency-Key."""
    create = shell.webservice_type.create
    service = await shell.call(create, workspace, "fresh", backends=["http://127.0.0.1:5002"])
    await shell.call(service.update, description="new", tags={"a": "1"})
    assert (service.description, service.tags) == ("new", {"a": "1"})
    fake.services["fresh"]["description"] = "by others"
    await shell.call(service.refresh)
    assert service.description == "by others"
    await shell.call(service.delete)
    assert "fresh" not in fake.services
    patch = fake.requests("PATCH", "/fresh")[0]
    assert patch.document == {"description": "new", "tags": {"a": "1"}}
    assert patch.headers["content-type"] == "application/merge-patch+json"
    assert all("idempotency-key" in seen.headers for seen in fake.seen if seen.method in ("PUT", "PATCH", "DELETE"))


async def test_wrong_fields_are_told(shell, workspace):
    """A 400 of the admin API comes with its detail and each path and reason."""
    with pytest.raises(RefusedError, match=r"\[backend: unknown key; did you mean backends\?\]"):
        await shell.call(shell.webservice_type.create, workspace, "fresh", backend="x")


async def test_wait_for_deployment(shell, workspace, fake, capsys):
    """It returns at health, tells the changes on stdout, and the state is read anew."""
    service = await shell.get(workspace, "diabetes")
    fake.states = ["Transitioning", "Healthy"]
    await shell.call(service.wait_for_deployment, show_output=True, timeout_seconds=10)
    assert capsys.readouterr().out == "diabetes: Transitioning\ndiabetes: Healthy\n"
    assert service.state == "Healthy"


async def test_status_and_logs(shell, workspace):
    """status() is the operation's answer, get_logs() the same as lines of text."""
    service = await shell.get(workspace, "diabetes")
    assert (await shell.call(service.status))["queue"] == {"length": 7}
    lines = (await shell.call(service.get_logs)).splitlines()
    assert lines[0] == "service diabetes: Healthy, 7 waiting"
    assert lines[2] == "backend http://127.0.0.1:5001: healthy since 2026-11-21T08:00:00Z, 3 outstanding"


async def test_a_wrong_admin_token(shell, connect, fake):
    """A 401 is NotAllowedError, and its text does not hold the token that was sent."""
    workspace = connect(fake.admin_url, "wrong-secret", fake.ca_file)
    with pytest.raises(NotAllowedError, match="send the admin token") as caught:
        await shell.get(workspace, "diabetes")
    assert "wrong-secret" not in str(caught.value)


async def test_a_wrong_ca(shell, connect, fake, other_authority):
    """The text says whose signature is missing and which setting mends it; the control is every other test here."""
    for ca_file, signer in (
        (str(other_authority), f"the CA in {other_authority}"),
        (None, "any CA this system trusts"),
    ):
        workspace = connect(fake.admin_url, ca_file=ca_file)
        with pytest.raises(UnreachableError) as caught:
            await shell.get(workspace, "diabetes")
        text = str(caught.value)
        assert f"the certificate is not signed by {signer}" in text
        assert "Give ca_file" in text
        assert text.startswith(f"{fake.admin_url} did not answer")


async def test_a_name_the_certificate_lacks(shell, connect, fake, monkeypatch):
    """A certificate for other names is told as that, not as an unknown CA."""
    resolve = socket.getaddrinfo

    def elsewhere(host, *arguments, **named):
        return resolve("127.0.0.1" if host in ("gw.example", b"gw.example") else host, *arguments, **named)

    monkeypatch.setattr(socket, "getaddrinfo", elsewhere)
    workspace = connect(f"https://gw.example:{fake.port}", ca_file=fake.ca_file)
    with pytest.raises(UnreachableError, match=r"its certificate does not hold the name gw\.example"):
        await shell.get(workspace, "diabetes")


async def test_nobody_listens(shell, connect, fake):
    """A refused connection says so, and where."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = f"https://127.0.0.1:{taken.getsockname()[1]}"
        workspace = connect(url, ca_file=fake.ca_file)
        with pytest.raises(UnreachableError, match=rf"^{url} did not answer: nothing listens there") as caught:
            await shell.get(workspace, "diabetes")
    assert caught.value.url.startswith(url)


async def test_http_to_a_tls_port_and_tls_to_an_http_port(shell, connect, fake, plain_fake):
    """The wrong scheme is named either way."""
    workspace = connect(plain_fake.admin_url.replace("http:", "https:"), ca_file=fake.ca_file)
    with pytest.raises(UnreachableError, match="Write the address with http://"):
        await shell.get(workspace, "diabetes")
    workspace = connect(fake.admin_url.replace("https:", "http:"))
    with pytest.raises(UnreachableError, match="If that port speaks TLS, the address needs https://"):
        await shell.get(workspace, "diabetes")


async def test_plain_http_behind_a_terminator(shell, connect, plain_fake):
    """An admin API without TLS works by its http:// address."""
    assert (await shell.get(connect(plain_fake.admin_url), "diabetes")).name == "diabetes"


async def test_silence_ends(shell, connect):
    """A gateway that accepts and says nothing is given up after timeout_seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        workspace = connect(f"http://127.0.0.1:{silent.getsockname()[1]}", timeout_seconds=0.2)
        with pytest.raises(UnreachableError, match="no answer in the time given"):
            await shell.get(workspace, "diabetes")


async def test_redirects_are_not_followed(shell, connect, fake):
    """A redirect would carry the credential elsewhere: it is an error that names the other address."""
    workspace = connect(f"{fake.admin_url}/moved", ca_file=fake.ca_file)
    with pytest.raises(RefusedError, match="Redirects are not followed"):
        await shell.call(shell.webservice_type.list, workspace)
    assert len(fake.seen) == 1


async def test_a_page_is_no_admin_api(shell, connect, fake):
    """HTML with status 200 is told as the wrong address."""
    workspace = connect(f"{fake.admin_url}/portal", ca_file=fake.ca_file)
    with pytest.raises(Exception, match="not that of a gateway's admin API"):
        await shell.call(shell.webservice_type.list, workspace)


async def test_no_secret_in_repr_or_log(shell, workspace, fake, caplog):
    """Workspace and service show addresses, never what opens them; nothing is logged."""
    caplog.set_level(logging.DEBUG)
    service = await shell.get(workspace, "diabetes")
    await shell.call(service.run, {"data": []})
    shown = f"{workspace!r} {service!r} {vars(service)!r} {caplog.text}"
    assert fake.admin_url in shown
    assert ADMIN_TOKEN not in shown
    assert "primary-value" not in shown
