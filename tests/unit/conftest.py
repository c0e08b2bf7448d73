"""Fixtures of all tests in process."""

import io
import logging
import sys
from collections.abc import Iterator

import pytest

from dicom_service.aws import tables


@pytest.fixture(autouse=True)
def fresh_dependencies() -> Iterator[None]:
    """Let no test see objects that another has wired: empty the caches of every `dependencies` module."""
    yield
    for name, module in list(sys.modules.items()):
        if name.startswith("dicom_service.") and name.endswith(".dependencies"):
            for factory in vars(module).values():
                if hasattr(factory, "cache_clear"):
                    factory.cache_clear()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Everything that is logged, as it leaves the process."""
    text = io.StringIO()
    loggers = [logging.getLogger(name) for name in ("dicom-service", "dicom-service-audit")]
    handlers = [entry for one in loggers for entry in one.handlers if isinstance(entry, logging.StreamHandler)]
    before = [handler.setStream(text) for handler in handlers]
    yield text
    for handler, stream in zip(handlers, before, strict=True):
        handler.setStream(stream)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the attempts after which a pause would have been made."""
    made: list[int] = []
    monkeypatch.setattr(tables, "pause", made.append)
    return made
