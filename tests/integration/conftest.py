"""What the tests against a real PACS share."""

from collections.abc import Iterator

import pytest
import requests

from local.orthanc import Orthanc
from tests.support.stack import running_orthanc


@pytest.fixture(scope="session")
def orthanc_server() -> Iterator[Orthanc]:
    """One Orthanc for all tests of the session."""
    with running_orthanc() as server:
        yield server


@pytest.fixture
def orthanc(orthanc_server: Orthanc) -> Orthanc:
    """Orthanc with nothing in it."""
    pacs = orthanc_server.pacs()
    with requests.Session() as session:
        session.auth = (pacs.user, pacs.password)
        for patient in session.get(f"{orthanc_server.url}/patients", timeout=10).json():
            session.delete(f"{orthanc_server.url}/patients/{patient}", timeout=10).raise_for_status()
    return orthanc_server
