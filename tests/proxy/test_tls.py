"""TLS as offered and as demanded: versions, ciphers, groups; which backends are believed."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

import gateway
from gateway.certificate import make_development_certificate
from gateway.core.settings import CertificateSettings, TlsSettings
from gateway.core.spec import BackendTlsSpec
from gateway.proxy.tls import backend_context, server_context

OPENSSL_CNF = Path(gateway.__file__).with_name("openssl.cnf")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return make_development_certificate(tmp_path_factory.mktemp("tls"), ["model.internal"])


@pytest.fixture
def settings(made):
    """`settings(minimum_version="1.3", …)`: TLS settings with the development certificate."""
    return lambda **keys: TlsSettings(certificate=made.certificate, private_key=made.private_key, **keys)


def shake(server: ssl.SSLContext, client: ssl.SSLContext, name="localhost"):
    """A handshake in memory: (version, cipher) as both see it; raises what the client, else the server, met."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    here = client.wrap_bio(to_client, to_server, server_hostname=name)
    there = server.wrap_bio(to_server, to_client, server_side=True)
    for _ in range(10):
        done = [_step(side) for side in (here, there)]
        if all(done):
            # TLS 1.3 tells a client certificate's refusal only now.
            _read(here)
            return here.version(), here.cipher()[0]
    raise AssertionError("no end")


def _step(side) -> bool:
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True


def _read(side) -> None:
    try:
        side.read(1)
    except ssl.SSLWantReadError:
        return


def client_context(made, *, lowest=ssl.TLSVersion.TLSv1_2, highest=ssl.TLSVersion.TLSv1_3, ciphers=None):
    context = ssl.create_default_context(cafile=made.ca)
    context.minimum_version, context.maximum_version = lowest, highest
    if ciphers:
        context.set_ciphers(ciphers)
    return context


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_both_versions(made, settings, version) -> None:
    """TLS 1.2 and 1.3 are spoken, and HTTP/1.1 is what is agreed on."""
    client = client_context(made, lowest=version, highest=version)
    client.set_alpn_protocols(["h2", "http/1.1"])
    assert shake(server_context(settings()), client)[0] == {"TLSv1_2": "TLSv1.2", "TLSv1_3": "TLSv1.3"}[version.name]


@pytest.mark.parametrize(
    ("bounds", "refused"),
    [({"minimum_version": "1.3"}, ssl.TLSVersion.TLSv1_2), ({"maximum_version": "1.2"}, ssl.TLSVersion.TLSv1_3)],
)
def test_bounds(made, settings, bounds, refused) -> None:
    """A version outside the configured bounds is refused."""
    with pytest.raises(ssl.SSLError):
        shake(server_context(settings(**bounds)), client_context(made, lowest=refused, highest=refused))


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion:DeprecationWarning")
def test_old_versions(made, settings) -> None:
    """A client that really offers TLS 1.1 is refused, while a server that allows it would have agreed: the control."""
    old = client_context(made, ciphers="DEFAULT@SECLEVEL=0")
    old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(ssl.SSLError):
        shake(server_context(settings()), old)
    lax = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    lax.minimum_version = ssl.TLSVersion.TLSv1
    lax.set_ciphers("DEFAULT@SECLEVEL=0")
    lax.load_cert_chain(made.certificate, made.private_key)
    assert shake(lax, old)[0] == "TLSv1.1"


@pytest.mark.parametrize(
    "cipher", ["AES128-SHA", "AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES128-CCM"]
)
def test_weak_ciphers(made, settings, cipher: str) -> None:
    """Ciphers without forward secrecy or without authenticated encryption are refused."""
    client = client_context(made, highest=ssl.TLSVersion.TLSv1_2, ciphers=f"{cipher}:@SECLEVEL=0")
    with pytest.raises(ssl.SSLError):
        shake(server_context(settings()), client)


def test_options(settings) -> None:
    """No renegotiation, no compression; the server's order of ciphers counts."""
    options = server_context(settings()).options
    for option in (ssl.OP_NO_RENEGOTIATION, ssl.OP_NO_COMPRESSION, ssl.OP_CIPHER_SERVER_PREFERENCE):
        assert options & option


GROUPS = """
import json, ssl, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
from test_tls import shake
from gateway.core.settings import TlsSettings
from gateway.proxy.tls import server_context

tls = Path({tls!r})
server = server_context(TlsSettings(certificate=tls / "server.crt", private_key=tls / "server.key"))
answers = {{}}
for group in ("X25519", "prime256v1", "secp384r1", "secp521r1", "X448"):
    client = ssl.create_default_context(cafile=tls / "ca.crt")
    try:
        client.set_ecdh_curve(group)
        answers[group] = shake(server, client)[0]
    except (ssl.SSLError, ValueError) as error:
        answers[group] = type(error).__name__
print(json.dumps(answers))
"""


@pytest.mark.parametrize("configured", [True, False])
def test_groups(run_script, made, configured: bool) -> None:
    """With our OpenSSL configuration P-256 and P-384 pass and P-521 does not; without it P-521 passes: the control."""
    environ = {"OPENSSL_CONF": str(OPENSSL_CNF) if configured else "/dev/null"}
    source = GROUPS.format(folder=str(Path(__file__).parent), tls=str(made.certificate.parent))
    answers = run_script(source, environ=environ)
    assert {answers[group] for group in ("prime256v1", "secp384r1")} == {"TLSv1.3"}
    assert (answers["secp521r1"] == "TLSv1.3") is not configured


def test_certificate_without_its_key(made, settings, tmp_path) -> None:
    """A key that is not the certificate's is refused when the context is made, not at the first handshake."""
    other = make_development_certificate(tmp_path)
    with pytest.raises(ssl.SSLError):
        server_context(TlsSettings(certificate=made.certificate, private_key=other.private_key))
    with pytest.raises(FileNotFoundError):
        server_context(TlsSettings(certificate=tmp_path / "none.crt", private_key=other.private_key))


def test_another_pair(made, settings, tmp_path) -> None:
    """A context may serve another certificate than the main one, under the same rules."""
    other = make_development_certificate(tmp_path, ["other.example"])
    pair = CertificateSettings(certificate=other.certificate, private_key=other.private_key)
    server = server_context(settings(), pair)
    assert shake(server, client_context(other), "other.example")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server, client_context(made), "other.example")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates(made, settings, version) -> None:
    """With `client_ca`, a client with a certificate of that authority gets in, and one without does not."""
    server = server_context(settings(client_ca=made.ca))
    client = client_context(made, lowest=version, highest=version)
    with pytest.raises(ssl.SSLError):
        shake(server, client)
    client.load_cert_chain(made.certificate, made.private_key)
    # The development certificate is for servers only: OpenSSL tells it apart, and so do we.
    with pytest.raises(ssl.SSLError):
        shake(server, client)


def test_backend_is_verified(made, settings) -> None:
    """A backend is believed by the named authority only, and under its own name."""
    server = server_context(settings())
    named = backend_context(BackendTlsSpec(ca=str(made.ca)))
    assert shake(server, named, "model.internal")
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(server, named, "another.internal")
    for context in (backend_context(None), backend_context(BackendTlsSpec())):
        with pytest.raises(ssl.SSLCertVerificationError):
            shake(server, context, "model.internal")
    assert named.minimum_version == ssl.TLSVersion.TLSv1_2


def test_backend_is_shown_a_certificate(made, tmp_path) -> None:
    """A client certificate for the backend is loaded; one that cannot be is an error when the service is compiled."""
    spec = BackendTlsSpec(ca=str(made.ca), client_certificate=str(made.certificate), client_key=str(made.private_key))
    assert backend_context(spec)
    with pytest.raises(OSError):
        backend_context(BackendTlsSpec(client_certificate=str(tmp_path / "none.pem"), client_key="none"))
