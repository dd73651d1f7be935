"""Where the gateway is and what opens it."""

import json

import pytest

from gateway.client import ClientError, UnknownGatewayError, Workspace
from gateway.client.address import Address, from_environment, from_ready_file, tls_context

URL = "https://127.0.0.1:8444"


@pytest.mark.parametrize("given", [URL, f"{URL}/", f"{URL}/v1", f"{URL}/v1/"])
def test_the_admin_url_is_taken_with_and_without_its_tail(given):
    """Every way people write the address leads to the same one."""
    assert Address(given, "t").admin_url == URL


@pytest.mark.parametrize("given", ["127.0.0.1:8444", "ftp://x", "https://", "https://user:pass@x", ""])
def test_what_is_no_address_is_refused_by_example(given):
    """The text shows how an address looks, and does not repeat what may hold a password."""
    with pytest.raises(UnknownGatewayError, match=r"such as https://127\.0\.0\.1:8444") as caught:
        Address(given, "t")
    assert "pass@" not in str(caught.value)


@pytest.mark.parametrize("credential", ["", "two\nlines"])
def test_a_credential_that_cannot_be_sent_is_refused(credential):
    """Empty and broken credentials are told before anything is sent, without their value."""
    with pytest.raises(ClientError) as caught:
        Address(URL, credential)
    assert "lines" not in str(caught.value)


def test_environment(tmp_path):
    """URL, token file and CA come from the variables; the file goes before the value."""
    file = tmp_path / "token"
    file.write_text("from-file\n")
    environ = {"SCOREGATE_ADMIN_URL": URL, "SCOREGATE_ADMIN_TOKEN": "from-value", "SCOREGATE_CA_FILE": "ca.pem"}
    assert from_environment(environ) == Address(URL, "from-value", "ca.pem")
    for name in ("SCOREGATE_ADMIN_TOKEN_FILE", "SCOREGATE_TOKEN_FILE"):
        assert from_environment(environ | {name: str(file)}).credential == "from-file"


def test_workspace_from_environment(monkeypatch):
    """The class reads the variables of the process."""
    monkeypatch.setenv("SCOREGATE_ADMIN_URL", URL)
    monkeypatch.setenv("SCOREGATE_ADMIN_TOKEN", "secret")
    workspace = Workspace.from_environment()
    assert repr(workspace) == f"Workspace({URL!r})"


@pytest.mark.parametrize(
    ("environ", "text"),
    [({}, "SCOREGATE_ADMIN_URL is not set"), ({"SCOREGATE_ADMIN_URL": URL}, "set SCOREGATE_ADMIN_TOKEN_FILE")],
)
def test_a_missing_variable_is_named(environ, text):
    """The text names the variable to set."""
    with pytest.raises(UnknownGatewayError, match=text):
        from_environment(environ)


def test_ready_file(tmp_path):
    """The ready file gives URL, token and CA."""
    token = tmp_path / "admin-token"
    token.write_text("secret\n")
    ready = tmp_path / "ready.json"
    ready.write_text(json.dumps({"admin_url": URL, "admin_token_file": str(token), "ca_file": "/ca.crt"}))
    assert from_ready_file(ready) == Address(URL, "secret", "/ca.crt")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, "cannot be read: No such file"),
        ("[]", "is no ready file"),
        ("{", "is no ready file"),
        ("\xff", "is no text"),
    ],
)
def test_what_is_no_ready_file(tmp_path, content, text):
    """A missing, foreign or broken file is named with what is wrong."""
    ready = tmp_path / "ready.json"
    if content is not None:
        ready.write_bytes(content.encode("latin-1"))
    with pytest.raises(UnknownGatewayError, match=f"ready.json {text}"):
        from_ready_file(ready)


def test_an_empty_token_file_is_named(tmp_path):
    """An empty token file is told as such, not as a refusal of the gateway."""
    (tmp_path / "token").write_text("\n")
    with pytest.raises(UnknownGatewayError, match="token is empty"):
        from_environment({"SCOREGATE_ADMIN_URL": URL, "SCOREGATE_TOKEN_FILE": str(tmp_path / "token")})


def test_a_bad_ca_file_is_named(tmp_path):
    """A missing CA file and one without a certificate have their own words."""
    with pytest.raises(UnknownGatewayError, match=r"ca_file .*none.pem cannot be read: No such file"):
        tls_context(str(tmp_path / "none.pem"))
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(UnknownGatewayError, match=r"text.pem holds no PEM certificate"):
        tls_context(str(tmp_path / "text.pem"))
