"""The ingest in one process, as in the tests of uploads: what guards the PACS is tried by what sends to it."""

from collections.abc import Iterator

import pytest

from tests.support.cloud import moto
from tests.support.uploads import World, cloud

__all__ = ["moto"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with cloud(monkeypatch) as made:
        yield made
