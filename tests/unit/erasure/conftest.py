"""All stores of the template in process (moto), filled for two patients by the code that fills them in production."""

from collections.abc import Iterator

import pytest

from tests.support.erasure import World, world_of
from tests.support.uploads import cloud


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with cloud(monkeypatch) as ingest:
        yield world_of(ingest)
