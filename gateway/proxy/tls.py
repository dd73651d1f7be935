"""TLS contexts: what clients are offered (Mozilla's "intermediate" profile), and how `https` backends are verified.

The groups (X25519, P-256, P-384) cannot be set through Python's `ssl`: `gateway.__main__` has OpenSSL configured.
"""

from __future__ import annotations

import ssl

from gateway.core.settings import CertificateSettings, TlsSettings
from gateway.core.spec import BackendTlsSpec

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}


def server_context(settings: TlsSettings, pair: CertificateSettings | None = None) -> ssl.SSLContext:
    """A context of a listener, with its main certificate or another `pair`.

    Raises OSError (ssl.SSLError is one) if certificate and key cannot be used together. With `client_ca`, a client
    without a certificate of that authority is refused.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _VERSIONS[settings.minimum_version]
    context.maximum_version = _VERSIONS[settings.maximum_version]
    context.set_ciphers(CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_alpn_protocols(["http/1.1"])
    certificate, private_key = (pair or settings).certificate, (pair or settings).private_key
    assert certificate is not None
    context.load_cert_chain(certificate, private_key)
    if settings.client_ca is not None:
        context.load_verify_locations(settings.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def backend_context(spec: BackendTlsSpec | None) -> ssl.SSLContext:
    """How an `https` backend is verified: by the system's authorities, or by the one of `backend_tls`."""
    context = ssl.create_default_context(cafile=spec.ca if spec else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if spec is not None and spec.client_certificate is not None:
        context.load_cert_chain(spec.client_certificate, spec.client_key)
    return context
