"""The ingest in one process: moto for the cloud, made from template.yaml, and a PACS that obeys the test."""

from collections.abc import Iterator

import pytest

from tests.support.cloud import moto
from tests.support.uploads import World, cloud

__all__ = ["moto"]


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with cloud(monkeypatch) as made:
        yield made
