"""Certificates of a listener: which one a client sees, how one is swapped, and what a swap leaves as it was.

Handshakes are real and in memory: OpenSSL on both sides, no sockets.
"""

from __future__ import annotations

import logging
import os
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.core.settings import CertificateSettings, TlsSettings
from gateway.proxy.certificates import Certificates

NOW = datetime.now(UTC)
SOON = NOW + timedelta(days=2)
LATER = NOW + timedelta(days=20)


class Authority:
    """A CA of the tests' own; `file` is its certificate."""

    def __init__(self, folder: Path, name: str = "Tests CA") -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        made = self._builder(self._name, self._key, LATER)
        made = made.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.file = folder / f"{name}.crt"
        self.file.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))

    def issue(self, certificate: Path, key_file: Path, *names: str, until: datetime = LATER) -> Path:
        """Write a certificate for these DNS names, and its key. Returns the certificate's file."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0] if names else "nobody")])
        made = self._builder(subject, key, until)
        if names:
            alternative = x509.SubjectAlternativeName([x509.DNSName(name) for name in names])
            made = made.add_extension(alternative, critical=False)
        certificate.write_bytes(made.sign(self._key, hashes.SHA256()).public_bytes(Encoding.PEM))
        key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return certificate

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, end: datetime) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(hours=1))
            .not_valid_after(end)
        )


@pytest.fixture
def authority(tmp_path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def settings(tmp_path, authority) -> TlsSettings:
    authority.issue(tmp_path / "server.crt", tmp_path / "server.key", "one.test")
    return TlsSettings(certificate=tmp_path / "server.crt", private_key=tmp_path / "server.key")


@pytest.fixture
def client(authority) -> ssl.SSLContext:
    """A client that trusts the authority and looks at no name: tests ask which certificate it got."""
    context = ssl.create_default_context(cafile=authority.file)
    context.check_hostname = False
    return context


def connect(
    certificates: Certificates,
    client: ssl.SSLContext,
    name: str | None = None,
    session: ssl.SSLSession | None = None,
) -> ssl.SSLObject:
    """A handshake and one byte each way. Returns the client's side; raises what either side raises."""
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    near = client.wrap_bio(to_client, to_server, server_hostname=name, session=session)
    far = certificates.front.wrap_bio(to_server, to_client, server_side=True)
    steps = [near.do_handshake, far.do_handshake, lambda: far.write(b"?"), lambda: near.read(1)]
    steps += [lambda: near.write(b"!"), lambda: far.read(1)]
    while steps:
        left = []
        for step in steps:
            try:
                step()
            except ssl.SSLWantReadError:
                left.append(step)
        assert len(left) < len(steps) or to_server.pending or to_client.pending
        steps = left
    return near


def seen(certificates: Certificates, client: ssl.SSLContext, name: str | None = None) -> set[str]:
    """DNS names of the certificate that a client is shown."""
    certificate = connect(certificates, client, name).getpeercert() or {}
    return {str(value) for kind, value in certificate.get("subjectAltName", ()) if kind == "DNS"}


def of_version(client: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    client.minimum_version = client.maximum_version = version
    return client


BOTH = pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])


# --- swapping


@BOTH
def test_a_swap(settings, authority, client, tmp_path, version) -> None:
    """A pair that replaced the old one is served after the next look, and only then."""
    client = of_version(client, version)
    certificates = Certificates(settings)
    assert not certificates.poll()
    authority.issue(tmp_path / "server.crt", tmp_path / "server.key", "two.test")
    assert seen(certificates, client) == {"one.test"}
    assert certificates.poll()
    assert seen(certificates, client) == {"two.test"}
    assert not certificates.poll()


def test_a_pair_that_does_not_match(settings, authority, client, tmp_path, caplog) -> None:
    """Half a swap is refused: the old certificate is served on, said once; with the other half the new one is."""
    certificates = Certificates(settings)
    key = settings.private_key.read_bytes()
    authority.issue(tmp_path / "server.crt", tmp_path / "next.key", "two.test")
    assert [certificates.poll() for _ in range(3)] == [False, False, False]
    assert certificates.failed
    assert seen(certificates, client) == {"one.test"}
    assert caplog.text.count("is not served") == 1
    assert key.decode() not in caplog.text
    (tmp_path / "next.key").replace(tmp_path / "server.key")
    assert certificates.poll()
    assert not certificates.failed
    assert seen(certificates, client) == {"two.test"}


def test_control_a_live_context_would_break(settings, authority, client, tmp_path) -> None:
    """Control: the same half swap, loaded into the context that serves, breaks every later handshake."""
    certificates = Certificates(settings)
    authority.issue(tmp_path / "server.crt", tmp_path / "next.key", "two.test")
    with pytest.raises(ssl.SSLError):
        certificates._default.load_cert_chain(settings.certificate, settings.private_key)
    with pytest.raises(ssl.SSLError):
        connect(certificates, client)


@pytest.mark.parametrize("content", [None, b"", b"-----BEGIN CERTIFICATE-----\nno\n-----END CERTIFICATE-----\n"])
def test_broken_files(settings, client, content) -> None:
    """A certificate file that is gone, empty or damaged leaves the old one in place; the old file heals it."""
    certificates = Certificates(settings)
    kept = settings.certificate.with_name("kept")
    settings.certificate.rename(kept)
    if content is not None:
        settings.certificate.write_bytes(content)
    assert not certificates.poll()
    assert certificates.failed
    assert seen(certificates, client) == {"one.test"}
    kept.replace(settings.certificate)
    assert not certificates.poll()
    assert not certificates.failed


def test_a_secret_of_kubernetes(authority, client, tmp_path) -> None:
    """Both files are links through `..data`, which is swapped by a rename: pair by pair, never half of one."""
    for version, name in (("..1", "one.test"), ("..2", "two.test")):
        (tmp_path / version).mkdir()
        authority.issue(tmp_path / version / "tls.crt", tmp_path / version / "tls.key", name)
    (tmp_path / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    certificates = Certificates(TlsSettings(certificate=tmp_path / "tls.crt", private_key=tmp_path / "tls.key"))
    assert seen(certificates, client) == {"one.test"}
    (tmp_path / "..data_tmp").symlink_to("..2")
    (tmp_path / "..data_tmp").replace(tmp_path / "..data")
    assert certificates.poll()
    assert seen(certificates, client) == {"two.test"}
    assert not certificates.failed


def test_open_connections_stay(settings, authority, client, tmp_path) -> None:
    """A connection from before a swap goes on with what it began with, and keeps its certificate."""
    certificates = Certificates(settings)
    before = connect(certificates, client)
    authority.issue(tmp_path / "server.crt", tmp_path / "server.key", "two.test")
    certificates.poll()
    assert (before.getpeercert() or {})["subjectAltName"] == (("DNS", "one.test"),)
    assert before.write(b"more") == 4


# --- expiry


def test_expiry(settings, authority, tmp_path) -> None:
    """The first certificate to expire is told, extra ones included, and follows a swap."""
    extra = authority.issue(tmp_path / "extra.crt", tmp_path / "extra.key", "extra.test", until=SOON)
    pair = CertificateSettings(certificate=extra, private_key=tmp_path / "extra.key")
    certificates = Certificates(TlsSettings(settings.certificate, settings.private_key, extra=(pair,)))
    assert certificates.expires == pytest.approx(SOON.timestamp(), abs=1)
    authority.issue(tmp_path / "extra.crt", tmp_path / "extra.key", "extra.test")
    certificates.poll()
    assert certificates.expires == pytest.approx(LATER.timestamp(), abs=1)


# --- several certificates


@pytest.fixture
def several(settings, authority, tmp_path) -> TlsSettings:
    pairs = []
    for number, names in enumerate([("a.example.com", "B.example.com"), ("*.wild.test",), ("b.example.com",)]):
        certificate = authority.issue(tmp_path / f"{number}.crt", tmp_path / f"{number}.key", *names)
        pairs.append(CertificateSettings(certificate=certificate, private_key=tmp_path / f"{number}.key"))
    return TlsSettings(settings.certificate, settings.private_key, extra=tuple(pairs))


@BOTH
@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a.example.com", {"a.example.com", "B.example.com"}),
        ("A.EXAMPLE.COM", {"a.example.com", "B.example.com"}),
        ("b.example.com", {"a.example.com", "B.example.com"}),
        ("any.wild.test", {"*.wild.test"}),
        ("wild.test", {"one.test"}),
        ("two.levels.wild.test", {"one.test"}),
        ("unknown.test", {"one.test"}),
        (None, {"one.test"}),
    ],
)
def test_choice_by_name(several, client, name, shown, version) -> None:
    """The name of the handshake chooses: exactly, by a wildcard of one label, first pair first; else the main one."""
    assert seen(Certificates(several), of_version(client, version), name) == shown


def test_an_extra_certificate_is_swapped(several, authority, client, tmp_path) -> None:
    """A change of an extra pair is seen, with other names if it has others; the main one stays."""
    certificates = Certificates(several)
    authority.issue(tmp_path / "0.crt", tmp_path / "0.key", "new.example.com")
    assert certificates.poll()
    assert seen(certificates, client, "new.example.com") == {"new.example.com"}
    assert seen(certificates, client, "a.example.com") == {"one.test"}


def test_a_certificate_without_names(settings, authority, client, tmp_path) -> None:
    """An extra certificate that names no host is chosen by nobody, and breaks nothing."""
    authority.issue(tmp_path / "x.crt", tmp_path / "x.key")
    pair = CertificateSettings(certificate=tmp_path / "x.crt", private_key=tmp_path / "x.key")
    certificates = Certificates(TlsSettings(settings.certificate, settings.private_key, extra=(pair,)))
    assert seen(certificates, client, "nobody") == {"one.test"}


# --- client certificates


@BOTH
def test_client_certificates(several, authority, client, tmp_path, version) -> None:
    """With client_ca a client needs a certificate of that authority, under every name; others are refused."""
    people = Authority(tmp_path, "People CA")
    people.issue(tmp_path / "me.crt", tmp_path / "me.key", "me.test")
    certificates = Certificates(
        TlsSettings(several.certificate, several.private_key, client_ca=people.file, extra=several.extra)
    )
    client = of_version(client, version)
    for name in (None, "a.example.com", "any.wild.test"):
        with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
            connect(certificates, client, name)
    authority.issue(tmp_path / "other.crt", tmp_path / "other.key", "me.test")
    client.load_cert_chain(tmp_path / "other.crt", tmp_path / "other.key")
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        connect(certificates, client)
    client.load_cert_chain(tmp_path / "me.crt", tmp_path / "me.key")
    for name in (None, "a.example.com", "any.wild.test"):
        assert connect(certificates, client, name).version() == version.name.replace("_", ".")


@BOTH
def test_another_client_ca(settings, client, tmp_path, version) -> None:
    """When the file of client_ca changes, the new authority's clients come in and the old one's do not."""
    first, second = Authority(tmp_path, "First CA"), Authority(tmp_path, "Second CA")
    asked = tmp_path / "clients.crt"
    asked.write_bytes(first.file.read_bytes())
    certificates = Certificates(TlsSettings(settings.certificate, settings.private_key, client_ca=asked))
    client = of_version(client, version)
    first.issue(tmp_path / "me.crt", tmp_path / "me.key", "me.test")
    client.load_cert_chain(tmp_path / "me.crt", tmp_path / "me.key")
    connect(certificates, client)
    second.file.replace(asked)
    assert certificates.poll()
    with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
        connect(certificates, client)
    second.issue(tmp_path / "me.crt", tmp_path / "me.key", "me.test")
    client.load_cert_chain(tmp_path / "me.crt", tmp_path / "me.key")
    connect(certificates, client)


# --- sessions


@BOTH
def test_sessions_outlive_a_swap(several, authority, client, tmp_path, version) -> None:
    """A client resumes its session before and after a swap, with and without a name, and is served either way."""
    certificates = Certificates(several)
    client = of_version(client, version)
    for name in (None, "a.example.com"):
        session = connect(certificates, client, name).session
        assert connect(certificates, client, name, session).session_reused
        authority.issue(tmp_path / "server.crt", tmp_path / "server.key", "two.test")
        authority.issue(tmp_path / "0.crt", tmp_path / "0.key", "a.example.com")
        assert certificates.poll()
        assert connect(certificates, client, name, session).session_reused


def test_control_another_listener_does_not_know_the_session(several, client) -> None:
    """Control: a session of one listener is not resumed by another with the same certificates, only begun anew."""
    session = connect(Certificates(several), client).session
    assert not connect(Certificates(several), client, session=session).session_reused


def test_files_are_told_apart_by_more_than_their_time(settings, authority, client, tmp_path, caplog) -> None:
    """A new pair that carries the times of the old one is noticed all the same."""
    caplog.set_level(logging.INFO)
    certificates = Certificates(settings)
    times = {file: file.stat() for file in (settings.certificate, settings.private_key)}
    authority.issue(tmp_path / "next.crt", tmp_path / "next.key", "two.test")
    (tmp_path / "next.crt").replace(settings.certificate)
    (tmp_path / "next.key").replace(settings.private_key)
    for file, status in times.items():
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert certificates.poll()
    assert seen(certificates, client) == {"two.test"}
    assert f"the changed certificate {settings.certificate} is served from now on" in caplog.text
