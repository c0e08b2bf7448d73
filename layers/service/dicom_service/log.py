"""Structured logging that cannot leak patient data: codes, types and places, never messages or values of a dataset."""

import hashlib
import traceback
from types import TracebackType
from typing import Any

from aws_lambda_powertools import Logger


def get_logger(service: str = "dicom-service") -> Logger:
    """Return the JSON logger that all modules share; its level is the template's ``LogLevel``."""
    # Lambda reads the level of a line only beside a time as in RFC 3339, and takes any other line for INFO.
    return Logger(service=service, use_rfc3339=True)


def hashed(uid: str) -> str:
    """Return a short hash of a UID, which links log lines without naming the exam (security.md, "Everywhere")."""
    return hashlib.sha256(uid.encode()).hexdigest()[:12]


def describe(error: BaseException) -> dict[str, Any]:
    """Describe an unexpected error by its type and where it arose.

    The message is omitted on purpose: a KeyError or ValueError quotes the value, which may be a patient's name.
    """
    cause = error.__cause__ or error.__context__
    fields: dict[str, Any] = {"error": type(error).__name__, "at": _places(error.__traceback__)}
    if cause is not None:
        fields["cause"] = type(cause).__name__
    for one in (error, cause):
        # AWS error codes are safe; its messages may quote an item.
        response = getattr(one, "response", None)
        if isinstance(response, dict):
            fields["awsCode"] = response.get("Error", {}).get("Code")
            fields["awsOperation"] = getattr(one, "operation_name", None)
    return fields


def _places(trace: TracebackType | None) -> list[str]:
    frames = traceback.extract_tb(trace)[-6:]
    return [f"{frame.filename.rsplit('/', 2)[-1]}:{frame.lineno} {frame.name}" for frame in frames]
