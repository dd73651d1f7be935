"""The development authority and the server certificate it issues: TLS from the first minute, trusted by one file.

Rule: only what this module issued is ever replaced; a certificate of another origin is left alone and named.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import os
import re
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

ALWAYS = ("localhost", "127.0.0.1", "::1")
LIFETIME = dt.timedelta(days=365)
RENEW_BEFORE = dt.timedelta(days=30)
CA_LIFETIME = dt.timedelta(days=3650)
CLOCK_SKEW = dt.timedelta(hours=1)
CA_NAME = "Scoregate development CA"

_HOST = re.compile(r"(?:\*\.)?[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")


class CertificateError(Exception):
    """A development certificate cannot be made; the message names the file and what to do."""


@dataclass(frozen=True, slots=True)
class Paths:
    """Which files are there, and whether this call made them. `certificate` holds the server's and then the CA's."""

    ca: Path
    ca_key: Path
    certificate: Path
    private_key: Path
    ca_made: bool
    certificate_made: bool


@dataclass(frozen=True, slots=True)
class _Issuer:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey
    made: bool


def make_development_certificate(directory: Path, names: Sequence[str] = ()) -> Paths:
    """Make ca.crt, ca.key, server.crt and server.key in `directory`, or keep those that are good for another 30 days.

    `names`: host names and addresses beside localhost, 127.0.0.1 and ::1. Raises CertificateError when a file there is
    of another origin or cannot be used, and OSError when the directory cannot be written.
    """
    wanted = [_general_name(name) for name in dict.fromkeys([*ALWAYS, *(name.lower() for name in names)])]
    directory.mkdir(parents=True, exist_ok=True)
    ca, ca_key = directory / "ca.crt", directory / "ca.key"
    server, server_key = directory / "server.crt", directory / "server.key"
    known = _certificate(ca) if ca.exists() else None
    current = _issued(server, server_key, known)
    if known and current and _good(known) and _good(current) and _covers(current, known, wanted):
        return Paths(ca, ca_key, server, server_key, ca_made=False, certificate_made=False)
    issuer = _issuer(ca, ca_key, known)
    _issue(issuer, server, server_key, wanted)
    return Paths(ca, ca_key, server, server_key, ca_made=issuer.made, certificate_made=True)


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name.strip("[]")))
    except ValueError:
        if len(name) > 253 or not _HOST.fullmatch(name):
            raise CertificateError(
                f"{name!r} is no host name or address; give names without scheme and port, international ones as xn--…"
            ) from None
        return x509.DNSName(name)


def _issued(server: Path, server_key: Path, ca: x509.Certificate | None) -> x509.Certificate | None:
    """The present server certificate, if it and its key are there. Raises CertificateError when it is not ours."""
    if not server.exists():
        if server_key.exists():
            raise CertificateError(f"{server_key} has no {server} beside it; move it away, or name it in scoring.tls")
        return None
    certificate = _certificate(server)
    try:
        if ca is None:
            raise InvalidSignature  # noqa: TRY301 - one place says what to do
        certificate.verify_directly_issued_by(ca)
    except (InvalidSignature, ValueError, TypeError):
        raise CertificateError(
            f"{server} was not issued by {server.with_name('ca.crt')} and is not overwritten; "
            "name it in scoring.tls.certificate, or move it away"
        ) from None
    return certificate if _belongs(server_key, certificate) else None


def _belongs(file: Path, certificate: x509.Certificate) -> bool:
    return file.exists() and _public(_key(file)) == certificate.public_key().public_bytes(
        Encoding.DER, PublicFormat.SubjectPublicKeyInfo
    )


def _good(certificate: x509.Certificate) -> bool:
    now = dt.datetime.now(dt.UTC)
    return certificate.not_valid_before_utc <= now and certificate.not_valid_after_utc >= now + RENEW_BEFORE


def _covers(certificate: x509.Certificate, ca: x509.Certificate, wanted: list[x509.GeneralName]) -> bool:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return False
    return set(names) == set(wanted) and certificate.not_valid_after_utc <= ca.not_valid_after_utc


def _issuer(ca: Path, ca_key: Path, known: x509.Certificate | None) -> _Issuer:
    if known is None:
        if ca_key.exists():
            raise CertificateError(f"{ca_key} has no {ca} beside it; restore {ca}, or move the key away for a new CA")
        return _new_authority(ca, ca_key)
    if not _good(known):
        if known.subject != _subject(CA_NAME):
            raise CertificateError(f"{ca} is out of date and not of our making; renew it, or move it away for a new CA")
        return _new_authority(ca, ca_key)
    if not ca_key.exists():
        raise CertificateError(
            f"{ca_key} is missing, so nothing can be issued; restore it, or move {ca} and the server files away"
        )
    if not _belongs(ca_key, known):
        raise CertificateError(f"{ca_key} does not belong to {ca}; put the right key there, or move both away")
    if not _may_sign(known):
        raise CertificateError(f"{ca} is no authority (basicConstraints CA:TRUE is missing); move it away for a new CA")
    return _Issuer(known, _key(ca_key), made=False)


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return False


def _new_authority(ca: Path, ca_key: Path) -> _Issuer:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = _subject(CA_NAME)
    certificate = (
        _builder(subject, subject, key, dt.datetime.now(dt.UTC) + CA_LIFETIME)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(certificate_sign=True), critical=True)
        .add_extension(_authority(key), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write(ca_key, _pem(key), 0o600)
    _write(ca, certificate.public_bytes(Encoding.PEM), 0o644)
    return _Issuer(certificate, key, made=True)


def _issue(issuer: _Issuer, server: Path, server_key: Path, names: list[x509.GeneralName]) -> None:
    # A renewal keeps the private key: only one file is swapped, and no watcher ever sees a pair that does not fit.
    key = _key(server_key) if server_key.exists() else ec.generate_private_key(ec.SECP256R1())
    end = min(dt.datetime.now(dt.UTC) + LIFETIME - CLOCK_SKEW, issuer.certificate.not_valid_after_utc)
    certificate = (
        _builder(_subject("localhost"), issuer.certificate.subject, key, end)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(certificate_sign=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(_authority(issuer.key), critical=False)
        .sign(issuer.key, hashes.SHA256())
    )
    if not server_key.exists():
        _write(server_key, _pem(key), 0o600)
    chain = certificate.public_bytes(Encoding.PEM) + issuer.certificate.public_bytes(Encoding.PEM)
    _write(server, chain, 0o644)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey, end: dt.datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.now(dt.UTC) - CLOCK_SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _subject(common_name: str) -> x509.Name:
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Scoregate"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _usage(*, certificate_sign: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not certificate_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=certificate_sign,
        crl_sign=certificate_sign,
        encipher_only=False,
        decipher_only=False,
    )


def _authority(key: ec.EllipticCurvePrivateKey) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _certificate(file: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificates(file.read_bytes())[0]
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateError(f"{file} holds no PEM certificate and is not overwritten; move it away") from None


def _key(file: Path) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise CertificateError(f"{file} holds no PEM private key without passphrase; move it away") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise CertificateError(f"{file} is no elliptic-curve key, as development certificates have; move it away")
    return key


def _public(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _write(file: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable by others before its mode is set (mkstemp makes 0600)."""
    descriptor, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchmod(stream.fileno(), mode)
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).replace(file)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
