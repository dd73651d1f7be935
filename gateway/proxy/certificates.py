"""Certificates of a listener that change while it runs: watched files, a new context for every change, chosen by SNI.

A pair that does not match would break a live context for every later handshake (Python's `ssl`), so nothing is ever
loaded into one: a new context is made, and swapped in only if it could be made. Connections that are open keep theirs.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Mapping
from pathlib import Path

from cryptography import x509

from gateway.core.settings import TlsSettings
from gateway.proxy.tls import server_context

log = logging.getLogger("gateway.certificates")

Stamp = tuple[tuple[int, int, int], ...]


class Certificates:
    """The contexts of one listener. `front` is given to the server; it hands each handshake to the right context.

    `expires`: when the first of its certificates does, in Unix seconds. `failed`: the files changed and are not served.

    Made before the workers are forked: session tickets are sealed with the keys of `front`, which all workers then
    share, so a session resumes on any of them, and also after the certificate has changed.
    """

    def __init__(self, settings: TlsSettings) -> None:
        """Raises OSError or ssl.SSLError if a certificate cannot be served."""
        self._settings = settings
        self._stamp = _stamp(settings)
        self._default, self._by_name = _contexts(settings)
        self.expires = _expires(settings)
        self.front = server_context(settings)
        self.front.sni_callback = self._choose
        self.failed = False

    def poll(self) -> bool:
        """Look at the files; returns whether another certificate is served from now on.

        `stat` follows links, so a Secret that Kubernetes swaps by its link is seen. A pair that is being written,
        or does not match, leaves the old one in place: the log says so once, and every later look tries again.
        """
        stamp = _stamp(self._settings)
        if stamp == self._stamp:
            self.failed = False
            return False
        try:
            (self._default, self._by_name), self.expires = _contexts(self._settings), _expires(self._settings)
        except (OSError, ValueError) as error:
            if not self.failed:
                log.warning("the changed certificate %s is not served: %s", self._settings.certificate, error)
            self.failed = True
            return False
        self._stamp = stamp
        self.failed = False
        log.info("the changed certificate %s is served from now on", self._settings.certificate)
        return True

    def _choose(self, handshake: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        handshake.context = _named(self._by_name, name) or self._default


def _contexts(settings: TlsSettings) -> tuple[ssl.SSLContext, dict[str, ssl.SSLContext]]:
    by_name: dict[str, ssl.SSLContext] = {}
    for pair in settings.extra:
        context = server_context(settings, pair)
        for name in _names(pair.certificate):
            by_name.setdefault(name, context)
    return server_context(settings), by_name


def _expires(settings: TlsSettings) -> float:
    files = [settings.certificate, *(pair.certificate for pair in settings.extra)]
    return min(_leaf(file).not_valid_after_utc.timestamp() for file in files if file is not None)


def _leaf(certificate: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificates(certificate.read_bytes())[0]


def _names(certificate: Path) -> list[str]:
    """The DNS names a certificate is for, in lower case."""
    try:
        alternative = _leaf(certificate).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [name.lower() for name in alternative.get_values_for_type(x509.DNSName)]


def _named(contexts: Mapping[str, ssl.SSLContext], name: str | None) -> ssl.SSLContext | None:
    if not contexts or not name:
        return None
    lower = name.lower()
    return contexts.get(lower) or contexts.get("*." + lower.partition(".")[2])


def _stamp(settings: TlsSettings) -> Stamp:
    """What tells one state of the files from another; a missing file is a state too."""
    files = [settings.certificate, settings.private_key, settings.client_ca]
    files += [path for pair in settings.extra for path in (pair.certificate, pair.private_key)]
    return tuple(_file_stamp(path) for path in files if path is not None)


def _file_stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError:
        return (0, 0, 0)
    return (status.st_ino, status.st_mtime_ns, status.st_size)
