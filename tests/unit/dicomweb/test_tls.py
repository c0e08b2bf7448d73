"""TLS: private certificate authorities, client certificates, and servers that are not trusted."""

from __future__ import annotations

import pytest

from dicomweb.client import DicomwebClient, Timeouts
from dicomweb.errors import PacsTimeout, PacsUnreachable
from tests.support.pacs import FakePacs, dicom_json, drip, stall
from tests.support.tls import Identity, secured, self_signed

QUICK = Timeouts(connect=1.0, read=0.5, total=2.0)
OK = dicom_json([])


@pytest.fixture(scope="module")
def identity(tmp_path_factory: pytest.TempPathFactory) -> Identity:
    return self_signed(tmp_path_factory.mktemp("tls"), "pacs")


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
