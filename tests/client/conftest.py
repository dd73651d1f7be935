import ssl
import sys
from pathlib import Path

import pytest

from gateway.certificate import make_development_certificate

sys.path.insert(0, str(Path(__file__).parent))
from fake_gateway import FakeGateway


@pytest.fixture(scope="session")
def development_tls(tmp_path_factory):
    return make_development_certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def other_authority(tmp_path_factory):
    return make_development_certificate(tmp_path_factory.mktemp("other-tls")).ca


@pytest.fixture
def fake(development_tls):
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(development_tls.certificate, development_tls.private_key)
    gateway = FakeGateway(str(development_tls.ca), context)
    gateway.start()
    gateway.add("diabetes")
    yield gateway
    gateway.stop()


@pytest.fixture
def plain_fake():
    gateway = FakeGateway("", None)
    gateway.start()
    gateway.add("diabetes")
    yield gateway
    gateway.stop()
