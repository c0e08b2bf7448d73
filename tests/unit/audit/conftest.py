"""The table of the audit in process (moto)."""

from collections.abc import Iterator

import pytest

from dicom_service.audit.recorder import Recorder
from tests.support import audit
from tests.support import cloud as clouds
from tests.support.audit import Clock
from tests.support.cloud import moto

__all__ = ["moto"]


@pytest.fixture(autouse=True)
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with clouds.cloud(monkeypatch):
        yield


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def recorder(clock: Clock) -> Recorder:
    return audit.recorder(clock)
