"""A PACS with the minimum of DICOMweb, and one that a proxy takes services from."""

from collections.abc import Iterator

import pytest

from dicomweb.client import DicomwebClient
from local.orthanc import Orthanc
from local.tinypacs import TinyPacs
from tests.support.faults import FaultyProxy
from tests.support.stack import running_tiny_pacs


@pytest.fixture(scope="session")
def tiny_pacs() -> Iterator[TinyPacs]:
    with running_tiny_pacs() as server:
        yield server


@pytest.fixture
def tiny(tiny_pacs: TinyPacs) -> Iterator[tuple[FaultyProxy, DicomwebClient]]:
    """tiny_pacs behind a proxy that counts, and a client of it."""
    with FaultyProxy(tiny_pacs.pacs.url) as proxy:
        yield proxy, DicomwebClient(proxy.url)


@pytest.fixture
def lame(orthanc: Orthanc) -> Iterator[tuple[FaultyProxy, DicomwebClient]]:
    """Orthanc behind a proxy that takes services from it, and a client of it."""
    from dicomweb.auth import make_auth

    pacs = orthanc.pacs()
    with FaultyProxy(pacs.url) as proxy:
        yield (
            proxy,
            DicomwebClient(proxy.url, auth=make_auth("basic", {"username": pacs.user, "password": pacs.password})),
        )
