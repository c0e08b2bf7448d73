"""Fixtures of all tests in process."""

import io
import logging
from collections.abc import Iterator

import pytest

from dicom_service.aws import retry
from dicom_service.otp import audit_log
from tests.support.lambdas import clear_dependencies


@pytest.fixture(autouse=True)
def fresh_dependencies() -> Iterator[None]:
    """Let no test see objects that another has wired."""
    yield
    clear_dependencies()


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[io.StringIO]:
    """Everything that is logged, as it leaves the process."""
    text = io.StringIO()
    # pytest adds handlers of its own, which are of a subclass
    handlers = [entry for entry in logging.getLogger("dicom-service").handlers if type(entry) is logging.StreamHandler]
    before = [handler.setStream(text) for handler in handlers]
    # Not by sys.stdout, which pytest replaces once more when the test begins.
    monkeypatch.setattr(audit_log, "write_line", lambda line: print(line, file=text))
    yield text
    for handler, stream in zip(handlers, before, strict=True):
        handler.setStream(stream)


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Numbers of the attempts after which a pause would have been made."""
    made: list[int] = []
    monkeypatch.setattr(retry, "pause", made.append)
    return made
