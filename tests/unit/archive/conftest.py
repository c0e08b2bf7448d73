"""Archives in one process: moto for the cloud, and a PACS in memory."""

from collections.abc import Iterator

import pytest

from tests.support import archives
from tests.support.archives import World
from tests.support.cloud import moto

__all__ = ["moto"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with archives.world(monkeypatch) as made:
        yield made
