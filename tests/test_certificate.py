"""gateway.certificate: the development authority and what it issues."""

import datetime as dt
import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID

from gateway import certificate as module
from gateway.certificate import CertificateError, make_development_certificate

FILES = ("ca.crt", "ca.key", "server.crt", "server.key")


def contents(folder):
    """Name → bytes of everything in the folder."""
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def leaf(folder):
    """The server's certificate."""
    return x509.load_pem_x509_certificates((folder / "server.crt").read_bytes())[0]


def write_pair(folder, name, key=None):
    """A certificate of another origin and its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name.from_rfc4514_string("CN=elsewhere")
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 7)
        .not_valid_before(dt.datetime.now(dt.UTC))
        .not_valid_after(dt.datetime.now(dt.UTC) + dt.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )
    (folder / f"{name}.crt").write_bytes(certificate.public_bytes(Encoding.PEM))
    (folder / f"{name}.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def test_the_first_call_makes_four_files(tmp_path):
    """Authority and server, both keys for their owner's eyes only, nothing else left behind."""
    made = make_development_certificate(tmp_path / "tls", ["models.example.com"])
    assert (made.ca_made, made.certificate_made) == (True, True)
    assert sorted(file.name for file in (tmp_path / "tls").iterdir()) == sorted(FILES)
    assert (made.ca, made.ca_key, made.certificate, made.private_key) == tuple(tmp_path / "tls" / f for f in FILES)
    modes = {name: stat.S_IMODE((tmp_path / "tls" / name).stat().st_mode) for name in FILES}
    assert modes == {"ca.crt": 0o644, "ca.key": 0o600, "server.crt": 0o644, "server.key": 0o600}


def test_the_certificate_is_what_verifiers_ask_for(tmp_path):
    """Names, purposes, identifiers, a lifetime of at most 397 days, P-256, and the chain up to the authority."""
    make_development_certificate(tmp_path, ["models.example.com", "10.1.2.3"])
    server, authority = x509.load_pem_x509_certificates((tmp_path / "server.crt").read_bytes())
    find = server.extensions.get_extension_for_class
    names = find(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost", "models.example.com"]
    assert [str(one) for one in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1", "10.1.2.3"]
    assert list(find(x509.ExtendedKeyUsage).value) == [ExtendedKeyUsageOID.SERVER_AUTH]
    assert find(x509.BasicConstraints).value.ca is False
    assert find(x509.KeyUsage).value.digital_signature
    assert server.not_valid_after_utc - server.not_valid_before_utc <= dt.timedelta(days=397)
    assert isinstance(server.public_key().curve, ec.SECP256R1)
    assert find(x509.AuthorityKeyIdentifier).value.key_identifier == (
        authority.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    )
    constraints = authority.extensions.get_extension_for_class(x509.BasicConstraints)
    assert constraints.critical
    assert constraints.value == x509.BasicConstraints(ca=True, path_length=0)
    server.verify_directly_issued_by(authority)


@pytest.mark.skipif(
    shutil.which("openssl") is None and os.environ.get("CI") != "true",
    reason="openssl is missing: apt-get install openssl",
)
@pytest.mark.parametrize(
    ("option", "name", "good"),
    [
        ("-verify_hostname", "localhost", True),
        ("-verify_hostname", "models.example.com", True),
        ("-verify_ip", "127.0.0.1", True),
        ("-verify_ip", "::1", True),
        ("-verify_hostname", "other.example.com", False),
    ],
)
def test_openssl_accepts_it_strictly(tmp_path, option, name, good):
    """`openssl verify -x509_strict` for a TLS server agrees; another name is refused, as control."""
    made = make_development_certificate(tmp_path, ["models.example.com"])
    command = ["openssl", "verify", "-x509_strict", "-purpose", "sslserver", "-CAfile", made.ca, option, name]
    done = subprocess.run([*command, made.certificate], check=False, capture_output=True)
    assert (done.returncode == 0) is good, done.stderr


def shake_hands(context, made, name):
    """One TLS handshake of a client with a server that holds the pair; the client's error, or None."""
    server_context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_context.load_cert_chain(made.certificate, made.private_key)
    ours, theirs = socket.socketpair()

    def serve():
        try:
            server_context.wrap_socket(theirs, server_side=True).close()
        except OSError:
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with context.wrap_socket(ours, server_hostname=name):
            return None
    except ssl.SSLError as error:
        return error
    finally:
        ours.close()
        thread.join()


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1"])
def test_a_client_that_trusts_the_authority_connects(tmp_path, name):
    """ca.crt is all a client needs, under the strict checks; without it the handshake fails (the control)."""
    made = make_development_certificate(tmp_path)
    trusting = ssl.create_default_context(cafile=made.ca)
    trusting.verify_flags |= ssl.VERIFY_X509_STRICT
    assert shake_hands(trusting, made, name) is None
    assert shake_hands(ssl.create_default_context(), made, name) is not None
    assert shake_hands(trusting, made, "other.example.com") is not None


def test_a_second_call_changes_nothing(tmp_path):
    """The files stay byte for byte as long as they are good and the names are the same, in any order."""
    make_development_certificate(tmp_path, ["b.example.com", "A.example.com"])
    before = contents(tmp_path)
    again = make_development_certificate(tmp_path, ["a.example.com", "b.example.com", "localhost"])
    assert (again.ca_made, again.certificate_made) == (False, False)
    assert contents(tmp_path) == before


def test_other_names_renew_the_certificate_alone(tmp_path):
    """A changed name gives a new server certificate; authority and private keys stay, so that trust stays."""
    make_development_certificate(tmp_path)
    before = contents(tmp_path)
    made = make_development_certificate(tmp_path, ["models.example.com"])
    assert (made.ca_made, made.certificate_made) == (False, True)
    changed = [name for name, content in contents(tmp_path).items() if content != before[name]]
    assert changed == ["server.crt"]


def test_a_certificate_near_its_end_is_renewed(tmp_path, monkeypatch):
    """With 29 days left it is made anew, with 31 it stays."""
    for days, renewed in ((29, True), (31, False)):
        monkeypatch.setattr(module, "LIFETIME", dt.timedelta(days=days))
        make_development_certificate(tmp_path / str(days))
        before = leaf(tmp_path / str(days)).serial_number
        monkeypatch.undo()
        assert make_development_certificate(tmp_path / str(days)).certificate_made is renewed
        assert (leaf(tmp_path / str(days)).serial_number != before) is renewed


def test_an_authority_near_its_end_is_made_anew(tmp_path, monkeypatch):
    """Authority and server certificate are replaced together, so that they still fit."""
    monkeypatch.setattr(module, "CA_LIFETIME", dt.timedelta(days=10))
    make_development_certificate(tmp_path)
    monkeypatch.undo()
    made = make_development_certificate(tmp_path)
    assert (made.ca_made, made.certificate_made) == (True, True)
    leaf(tmp_path).verify_directly_issued_by(x509.load_pem_x509_certificate(made.ca.read_bytes()))


def test_a_server_certificate_ends_no_later_than_its_authority(tmp_path, monkeypatch):
    """A chain whose authority dies first would break without a warning."""
    monkeypatch.setattr(module, "CA_LIFETIME", dt.timedelta(days=60))
    make_development_certificate(tmp_path)
    ca = x509.load_pem_x509_certificate((tmp_path / "ca.crt").read_bytes())
    assert leaf(tmp_path).not_valid_after_utc == ca.not_valid_after_utc


def test_a_lost_server_key_is_made_anew(tmp_path):
    """A certificate without its key is useless: both are replaced."""
    make_development_certificate(tmp_path)
    (tmp_path / "server.key").unlink()
    assert make_development_certificate(tmp_path).certificate_made
    ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(tmp_path / "server.crt", tmp_path / "server.key")


def spoil_server(folder):
    write_pair(folder, "server")
    return "server.crt was not issued by"


def spoil_server_beside_authority(folder):
    make_development_certificate(folder)
    return spoil_server(folder)


def spoil_server_text(folder):
    (folder / "server.crt").write_text("mine")
    return "server.crt holds no PEM certificate and is not overwritten; move it away"


def leave_only_the_server_key(folder):
    write_pair(folder, "server")
    (folder / "server.crt").unlink()
    return "server.key has no"


def spoil_authority_text(folder):
    (folder / "ca.crt").write_text("mine")
    return "ca.crt holds no PEM certificate and is not overwritten; move it away"


def put_a_foreign_certificate_as_authority(folder):
    write_pair(folder, "ca")
    return "ca.crt is no authority (basicConstraints CA:TRUE is missing)"


def lose_the_authority_key(folder):
    make_development_certificate(folder, ["old.example.com"])
    (folder / "ca.key").unlink()
    return "ca.key is missing, so nothing can be issued; restore it, or move"


def lose_the_authority(folder):
    make_development_certificate(folder)
    for name in ("ca.crt", "server.crt", "server.key"):
        (folder / name).unlink()
    return "ca.key has no"


def swap_the_authority_key(folder):
    make_development_certificate(folder, ["old.example.com"])
    key = ec.generate_private_key(ec.SECP256R1())
    (folder / "ca.key").write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return "ca.key does not belong to"


def damage_the_server_key(folder):
    make_development_certificate(folder, ["old.example.com"])
    (folder / "server.key").write_text("junk")
    return "server.key holds no PEM private key without passphrase; move it away"


def put_an_rsa_authority(folder):
    write_pair(folder, "ca", rsa.generate_private_key(65537, 2048))
    return "ca.key is no elliptic-curve key, as development certificates have; move it away"


@pytest.mark.parametrize(
    "prepare",
    [
        spoil_server,
        spoil_server_beside_authority,
        spoil_server_text,
        leave_only_the_server_key,
        spoil_authority_text,
        put_a_foreign_certificate_as_authority,
        lose_the_authority_key,
        lose_the_authority,
        swap_the_authority_key,
        damage_the_server_key,
        put_an_rsa_authority,
    ],
)
def test_what_it_did_not_make_is_named_and_left_alone(tmp_path, prepare):
    """A file of another origin, or a pair that is torn apart, ends in a sentence with the file; no byte changes."""
    message = prepare(tmp_path)
    before = contents(tmp_path)
    with pytest.raises(CertificateError) as caught:
        make_development_certificate(tmp_path)
    assert message in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert contents(tmp_path) == before


@pytest.mark.parametrize("name", ["https://h", "a b", "h:8443", "", "-a", "müller.example.com", "a" * 254])
def test_a_name_that_is_none_is_refused(tmp_path, name):
    """Scheme, port, blanks and raw non-ASCII are told before anything is written."""
    with pytest.raises(CertificateError, match="is no host name or address; give names without scheme and port"):
        make_development_certificate(tmp_path, [name])
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("name", ["*.example.com", "[::1]", "Model-1", "xn--mller-kva.example.com"])
def test_names_of_every_kind_are_taken(tmp_path, name):
    """Wildcards, bracketed addresses, upper case and encoded international names (the control)."""
    assert make_development_certificate(tmp_path, [name]).certificate_made


def test_a_write_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    """A full disk in the middle of a renewal: the old certificate stays whole and no scrap is left."""
    make_development_certificate(tmp_path)
    before = contents(tmp_path)

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        make_development_certificate(tmp_path, ["models.example.com"])
    assert contents(tmp_path) == before
