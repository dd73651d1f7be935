"""gateway.config.certificates: what is wrong with the files that a configuration names."""

import datetime as dt
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)

from gateway.config import check, load, problems
from gateway.core.settings import CertificateSettings, TlsSettings

NOW = dt.datetime.now(dt.UTC)


def pem_pair(start=-1, end=1, encryption=None):
    """A self-signed certificate valid from `start` to `end` days from now, and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=test.example.com")
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW + dt.timedelta(days=start))
        .not_valid_after(NOW + dt.timedelta(days=end))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())
    return certificate.public_bytes(Encoding.PEM), private


@pytest.fixture
def pair(tmp_path):
    """A function that writes a pair and gives the TLS block that names it."""

    def write(certificate, key, name="server"):
        crt, private = tmp_path / f"{name}.crt", tmp_path / f"{name}.key"
        for file, content in ((crt, certificate), (private, key)):
            if content is not None:
                file.write_bytes(content)
                file.chmod(0o600)
        return TlsSettings(certificate=crt, private_key=private)

    return write


def told(tls):
    """The problems as text, folders left out."""
    return [str(error).replace(f"{tls.certificate.parent}/", "") for error in problems(tls)]


def test_a_sound_pair_has_no_problems(pair):
    """The control: the pair all other tests spoil is accepted, alone and before its chain."""
    assert told(pair(*pem_pair())) == []
    certificate, key = pem_pair()
    assert told(pair(certificate + pem_pair()[0], key)) == []


def test_a_pair_that_does_not_fit_names_both_files(pair):
    """Certificate and key of two issues."""
    assert told(pair(pem_pair()[0], pem_pair()[1])) == [
        "server.crt: does not belong to the private key server.key; name the pair that was issued together"
    ]


def test_a_chain_in_the_wrong_order_is_told(pair):
    """The key fits a later certificate of the file."""
    certificate, key = pem_pair()
    assert told(pair(pem_pair()[0] + certificate, key)) == [
        "server.crt: server.key fits certificate 2 of this file; put the server's own first"
    ]


def test_certificates_out_of_time_are_told(pair):
    """Expired, and not yet valid, with the day."""
    expired, early = told(pair(*pem_pair(-9, -2))), told(pair(*pem_pair(2, 9)))
    day = f"{NOW - dt.timedelta(days=2):%Y-%m-%d}"
    assert expired[0].startswith(f"server.crt: the certificate CN=test.example.com expired on {day} ")
    assert expired[0].endswith(" UTC; renew it")
    assert early[0].endswith(" UTC only; is the clock of this machine right?")


@pytest.mark.parametrize(
    ("certificate", "key", "expected"),
    [
        (None, None, ["server.crt: no such certificate file", "server.key: no such private key file"]),
        (b"junk", None, ["server.crt: holds no PEM certificates (-----BEGIN CERTIFICATE-----), or a damaged one"]),
        (None, b"junk", ["server.key: holds no PEM private key (-----BEGIN PRIVATE KEY-----), or a damaged one"]),
        (
            None,
            pem_pair(encryption=BestAvailableEncryption(b"x"))[1],
            ["server.key: the private key is encrypted; give one without a passphrase, mode 0600"],
        ),
    ],
)
def test_files_that_are_not_what_they_should_be(pair, certificate, key, expected):
    """Missing, damaged and encrypted files each say so."""
    found = told(pair(certificate, key))
    assert [line for line in expected if line not in found] == []


def test_a_file_that_may_not_be_read_is_told(pair, tmp_path):
    """A folder where a file should be: the system's own reason is passed on."""
    tls = pair(None, pem_pair()[1])
    tls.certificate.mkdir()
    assert told(tls) == ["server.crt: the certificate cannot be read: Is a directory"]


def test_further_certificates_and_authorities_are_looked_at(pair, tmp_path):
    """`extra` and `client_ca` are checked as the main pair is."""
    main, other = pair(*pem_pair()), pair(pem_pair()[0], pem_pair()[1], "other")
    ca = tmp_path / "ca.pem"
    ca.write_text("junk")
    tls = TlsSettings(
        certificate=main.certificate,
        private_key=main.private_key,
        client_ca=ca,
        extra=(CertificateSettings(other.certificate, other.private_key),),
    )
    assert [line.split(":")[0] for line in told(tls)] == ["other.crt", "ca.pem"]


@pytest.fixture
def findings(tmp_path):
    """A function that checks a text in an empty folder."""

    def check_text(text):
        file = tmp_path / "gateway.yaml"
        file.write_text(text)
        return check(load(file, {}))

    return check_text


def test_what_the_first_start_makes_is_only_a_warning(findings, tmp_path):
    """A fresh folder: certificate, token and master key are told as still to come, and nothing is an error."""
    found = findings("data_dir: var\n")
    assert found.errors == ()
    assert [warning.replace(str(tmp_path), "…") for warning in found.warnings] == [
        "…/var/tls/server.crt: not there yet: made at the first start, or by scoregate certificate dev",
        "…/var/admin-token: not there yet: made at the first start (the admin token)",
        "…/var/master.key: not there yet: made at the first start (the master key)",
    ]


def test_a_certificate_that_was_named_must_be_there(findings):
    """A path of one's own that does not exist is an error, for the scoring and for the admin port."""
    found = findings(
        "scoring: {tls: {certificate: a.crt, private_key: a.key}}\n"
        "admin: {tls: {certificate: b.crt, private_key: b.key}}\n"
    )
    assert [Path(error.file).name for error in found.errors] == ["a.crt", "a.key", "b.crt", "b.key"]


def test_half_a_generated_pair_is_an_error(findings, tmp_path):
    """A certificate without its key is not made good by the first start."""
    (tmp_path / "var/tls").mkdir(parents=True)
    (tmp_path / "var/tls/server.crt").write_bytes(pem_pair()[0])
    assert [error.reason for error in findings("data_dir: var\n").errors] == ["no such private key file"]


def test_replicas_are_told_to_share_their_master_key(findings):
    """With PostgreSQL a master key of one's own would open nothing."""
    warnings = findings("store: {url: 'postgresql://h/d'}\n").warnings
    assert any("copy the one all replicas share there before the start (the master key)" in text for text in warnings)


def test_files_that_others_may_read_are_warned_of(findings, pair, tmp_path):
    """Private key, token and master key open to every user; with 0600 the warning is gone (the control)."""
    tls = pair(*pem_pair())
    names = ["server.key", "token", "master"]
    for name in names[1:]:
        (tmp_path / name).write_text("x")
    text = (
        f"scoring: {{tls: {{certificate: {tls.certificate}, private_key: {tls.private_key}}}}}\n"
        "admin: {token_file: token}\nstore: {master_key_file: master}\n"
    )
    for mode in (0o604, 0o600):
        for name in names:
            (tmp_path / name).chmod(mode)
        found = findings(text)
        assert found.errors == ()
        expected = [
            f"{tmp_path / name}: readable by every user of this machine: chmod 600 {tmp_path / name}" for name in names
        ]
        assert list(found.warnings) == (expected if mode == 0o604 else [])
