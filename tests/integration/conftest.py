"""What the tests against a real PACS share."""

from collections.abc import Iterator

import pytest

from tests.orthanc import OrthancServer


@pytest.fixture(scope="session")
def orthanc_server() -> Iterator[OrthancServer]:
    """One Orthanc for all tests of the session."""
    with OrthancServer() as server:
        yield server


@pytest.fixture
def orthanc(orthanc_server: OrthancServer) -> OrthancServer:
    """Orthanc with nothing in it."""
    orthanc_server.clear()
    return orthanc_server
