"""The files a configuration names: whether certificate and key exist, fit, are valid now, and are kept from others.

Rule: looks at files and never changes them; a message names every file concerned.
"""

from __future__ import annotations

import datetime as dt
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from gateway.config.complete import generated_certificate
from gateway.config.error import ConfigError
from gateway.config.read import Loaded
from gateway.core.settings import Settings, TlsSettings


@dataclass(frozen=True, slots=True)
class Findings:
    """What `scoregate check` has to say beside the form of the file."""

    errors: tuple[ConfigError, ...]
    warnings: tuple[str, ...]


def check(loaded: Loaded) -> Findings:
    """Look at the files the settings name. A missing file that the first start makes by itself is only a warning."""
    settings = loaded.settings
    errors: list[ConfigError] = []
    warnings = list(loaded.warnings)
    for tls in listeners_tls(settings):
        if absent := _not_yet_generated(settings, tls):
            warnings.append(f"{absent}: not there yet: made at the first start, or by scoregate certificate dev")
            continue
        errors += problems(tls)
        warnings += exposures(tls)
    warnings += _missing_secrets(settings)
    return Findings(tuple(dict.fromkeys(errors)), tuple(dict.fromkeys(warnings)))


def listeners_tls(settings: Settings) -> list[TlsSettings]:
    """The TLS blocks in use: that of the scoring port, and that of the admin port unless it inherits it."""
    return [tls for tls in (settings.scoring.tls, settings.admin.tls) if isinstance(tls, TlsSettings)]


def problems(tls: TlsSettings) -> list[ConfigError]:
    """Why these certificates (absolute paths) cannot be served now; empty when they can. The server start asks too."""
    found: list[ConfigError] = []
    for certificate, private_key in pairs(tls):
        found += _pair_problems(certificate, private_key)
    if tls.client_ca:
        try:
            _certificates(tls.client_ca)
        except _Unusable as error:
            found.append(error.problem)
    return found


def exposures(tls: TlsSettings) -> list[str]:
    """A warning for each private key that every user of this machine may read."""
    return [
        f"{key}: readable by every user of this machine: chmod 600 {key}"
        for _, key in pairs(tls)
        if key.exists() and key.stat().st_mode & stat.S_IROTH
    ]


def pairs(tls: TlsSettings) -> list[tuple[Path, Path]]:
    """Certificate and private key files of a block, the main pair first."""
    main = [(tls.certificate, tls.private_key)] if tls.certificate and tls.private_key else []
    return main + [(one.certificate, one.private_key) for one in tls.extra]


class _Unusable(Exception):  # noqa: N818 - carries the ConfigError
    def __init__(self, file: Path, reason: str) -> None:
        super().__init__(reason)
        self.problem = ConfigError(str(file), None, "", reason)


def _pair_problems(certificate: Path, private_key: Path) -> Iterator[ConfigError]:
    chain, key = None, None
    try:
        chain = _certificates(certificate)
    except _Unusable as error:
        yield error.problem
    try:
        key = _private_key(private_key)
    except _Unusable as error:
        yield error.problem
    if chain and key:
        yield from _mismatch(certificate, private_key, chain, key)
    if chain:
        yield from _out_of_time(certificate, chain)


def _mismatch(
    certificate: Path, private_key: Path, chain: list[x509.Certificate], key: PrivateKeyTypes
) -> Iterator[ConfigError]:
    public = [_public(one) for one in chain]
    own = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if own == public[0]:
        return
    if own in public:
        reason = f"{private_key} fits certificate {public.index(own) + 1} of this file; put the server's own first"
    else:
        reason = f"does not belong to the private key {private_key}; name the pair that was issued together"
    yield ConfigError(str(certificate), None, "", reason)


def _public(certificate: x509.Certificate) -> bytes:
    return certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _out_of_time(file: Path, chain: list[x509.Certificate]) -> Iterator[ConfigError]:
    now = dt.datetime.now(dt.UTC)
    for one in chain:
        subject = one.subject.rfc4514_string() or "without a subject"
        if now > one.not_valid_after_utc:
            reason = f"the certificate {subject} expired on {one.not_valid_after_utc:%Y-%m-%d %H:%M} UTC; renew it"
            yield ConfigError(str(file), None, "", reason)
        elif now < one.not_valid_before_utc:
            start = f"{one.not_valid_before_utc:%Y-%m-%d %H:%M} UTC"
            reason = f"the certificate {subject} is valid from {start} only; is the clock of this machine right?"
            yield ConfigError(str(file), None, "", reason)


def _certificates(file: Path) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(_read(file, "certificate"))
    except (ValueError, UnsupportedAlgorithm):
        raise _Unusable(file, "holds no PEM certificates (-----BEGIN CERTIFICATE-----), or a damaged one") from None


def _private_key(file: Path) -> PrivateKeyTypes:
    try:
        return load_pem_private_key(_read(file, "private key"), password=None)
    except TypeError:
        raise _Unusable(file, "the private key is encrypted; give one without a passphrase, mode 0600") from None
    except (ValueError, UnsupportedAlgorithm):
        raise _Unusable(file, "holds no PEM private key (-----BEGIN PRIVATE KEY-----), or a damaged one") from None


def _read(file: Path, what: str) -> bytes:
    try:
        return file.read_bytes()
    except FileNotFoundError:
        raise _Unusable(file, f"no such {what} file") from None
    except OSError as error:
        raise _Unusable(file, f"the {what} cannot be read: {error.strerror}") from None


def _not_yet_generated(settings: Settings, tls: TlsSettings) -> Path | None:
    generated = generated_certificate(settings.data_dir)
    missing = [file for file in generated if not file.exists()]
    return missing[0] if (tls.certificate, tls.private_key) == generated and len(missing) == len(generated) else None


def _missing_secrets(settings: Settings) -> Iterator[str]:
    token, master = settings.admin.token_file, settings.store.master_key_file
    if token and not token.exists():
        yield f"{token}: not there yet: made at the first start (the admin token)"
    if master and not master.exists():
        sqlite = str(settings.store.url).startswith("sqlite:")
        advice = "made at the first start" if sqlite else "copy the one all replicas share there before the start"
        yield f"{master}: not there yet: {advice} (the master key)"
    for file in (token, master):
        if file and file.exists() and file.stat().st_mode & stat.S_IROTH:
            yield f"{file}: readable by every user of this machine: chmod 600 {file}"
