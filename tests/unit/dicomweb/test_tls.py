"""TLS: private certificate authorities, client certificates, and servers that are not trusted."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from dicomweb.client import DicomwebClient, Timeouts
from dicomweb.errors import PacsTimeout, PacsUnreachable
from tests.support.pacs import FakePacs, dicom_json, drip, stall

QUICK = Timeouts(connect=1.0, read=0.5, total=2.0)
OK = dicom_json([])


@dataclass(frozen=True)
class Identity:
    certificate: str
    key: str


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    """A self-signed certificate for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "pacs")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder: Path = tmp_path_factory.mktemp("tls")
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return Identity(str(folder / "cert.pem"), str(folder / "key.pem"))


def secured(pacs: FakePacs, identity: Identity, *, ask_client: bool = False) -> str:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    if ask_client:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(identity.certificate)
    pacs.socket = context.wrap_socket(pacs.socket, server_side=True)
    return pacs.url.replace("http:", "https:")


def test_private_authority_is_trusted_when_named(identity: Identity) -> None:
    pacs = FakePacs(OK)
    url = secured(pacs, identity)
    with pacs:
        client = DicomwebClient(url, verify=identity.certificate, timeouts=QUICK)
        client.ping()
        client.ping()
    assert pacs.received[0].connection == pacs.received[1].connection


def test_unknown_authority_is_unreachable(identity: Identity) -> None:
    pacs = FakePacs(OK)
    url = secured(pacs, identity)
    with pacs, pytest.raises(PacsUnreachable, match="TLS"):
        DicomwebClient(url, timeouts=QUICK).ping()
    assert pacs.received == []


def test_client_certificate(identity: Identity) -> None:
    pacs = FakePacs(OK)
    url = secured(pacs, identity, ask_client=True)
    with pacs:
        with pytest.raises(PacsUnreachable):
            DicomwebClient(url, verify=identity.certificate, timeouts=QUICK).ping()
        cert = (identity.certificate, identity.key)
        DicomwebClient(url, verify=identity.certificate, cert=cert, timeouts=QUICK).ping()
    assert len(pacs.received) == 1


@pytest.mark.parametrize("slow", [stall, drip([b" "] * 100, 0.1)], ids=["stall", "drip"])
def test_deadline_holds_over_tls(slow, identity: Identity) -> None:  # type: ignore[no-untyped-def]
    pacs = FakePacs(slow)
    url = secured(pacs, identity)
    with pacs, pytest.raises(PacsTimeout):
        DicomwebClient(url, verify=identity.certificate, timeouts=QUICK).search_for_studies()
