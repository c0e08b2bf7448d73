"""The services for viewers as Lambda runs them: an archive on loopback, the cloud in process (moto)."""

from collections.abc import Iterator

import pytest

from tests.support.cloud import moto
from tests.support.viewer_calls import Viewer, viewing
from tests.support.viewers import Archive

__all__ = ["moto"]


@pytest.fixture
def archive() -> Archive:
    return Archive()


@pytest.fixture
def viewer(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> Iterator[Viewer]:
    with archive.server() as server, viewing(monkeypatch, server.url) as viewer:
        yield viewer
