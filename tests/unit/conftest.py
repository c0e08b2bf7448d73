"""Fixtures of all tests in process."""

import io
import logging
from collections.abc import Iterator

import pytest


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
