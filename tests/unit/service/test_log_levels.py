"""Lines of the log under Lambda's own filter, which the local stack does not have."""

import base64
import gzip
import io
import itertools
import json
from datetime import datetime
from typing import Any

import pytest

from dicom_service import log as logs
from dicom_service.otp.audit_log import Actor, copy_lines, write_audit_line

# docs.aws.amazon.com, Lambda, "Log-level filtering": a line without one of these and a time as in RFC 3339 is INFO.
LEVELS = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]
SPELLINGS = {"WARNING": "WARN", "CRITICAL": "FATAL"}
names = itertools.count()


def level_for_lambda(line: dict[str, Any]) -> str:
    try:
        is_time = datetime.fromisoformat(line["timestamp"]).tzinfo is not None and "T" in line["timestamp"]
    except ValueError:
        is_time = False
    level = SPELLINGS.get(line["level"], line["level"])
    return level if is_time and level in LEVELS else "INFO"


def let_through(text: str, level: str) -> list[dict[str, Any]]:
    """Return the lines that Lambda keeps at an application log level."""
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if LEVELS.index(level_for_lambda(line)) >= LEVELS.index(level)]


@pytest.mark.parametrize(
    ("level", "kept"),
    [("DEBUG", ["d", "i", "w", "e"]), ("INFO", ["i", "w", "e"]), ("WARN", ["w", "e"]), ("ERROR", ["e"])],
)
def test_the_log_level_of_the_function_is_the_one_that_holds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str, kept: list[str]
) -> None:
    """The template sets both variables to LogLevel; so far Lambda's, INFO, won over it."""
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", level)
    monkeypatch.setenv("POWERTOOLS_LOG_LEVEL", level)
    logger = logs.get_logger(f"levels-{next(names)}")
    for write, text in ((logger.debug, "d"), (logger.info, "i"), (logger.warning, "w"), (logger.error, "e")):
        write(text)
    assert [line["message"] for line in let_through(capsys.readouterr().out, level)] == kept


@pytest.mark.parametrize("level", LEVELS)
def test_audit_lines_come_through_at_any_level(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], level: str
) -> None:
    monkeypatch.setenv("AWS_LAMBDA_LOG_LEVEL", level)
    write_audit_line("issued", Actor("portal"), otp_id="o", study_uid="1.2")
    (line,) = let_through(capsys.readouterr().out, level)
    assert line["audit"]["EventOutcomeIndicator"] == 0


def test_control_a_line_of_the_log_is_dropped_below_the_level(log: io.StringIO) -> None:
    logs.get_logger().error("not an audit line")
    assert let_through(log.getvalue(), "ERROR")
    assert not let_through(log.getvalue(), "FATAL")


def test_audit_lines_are_copied_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    write_audit_line("revoked", Actor("portal"), otp_id="o", study_uid="1.2")
    written = capsys.readouterr().out
    assert written.count("\n") == 1
    batch = {
        "messageType": "DATA_MESSAGE",
        "owner": "1",
        "logGroup": "g",
        "logStream": "s",
        "subscriptionFilters": ["f"],
        "logEvents": [{"id": "1", "timestamp": 1, "message": written.strip()}],
    }
    data = base64.b64encode(gzip.compress(json.dumps(batch).encode())).decode()
    assert copy_lines({"awslogs": {"data": data}}) == 1
    assert capsys.readouterr().out == written
