"""Validates the body of a request about a workitem; all errors are reported together."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from dicom_service.errors import BadRequest
from dicom_service.worklist.values import BadValue, checked
from dicomweb.worklist.attributes import ALIASES, ATTRIBUTES, BY_KEYWORD, Attribute

_LONGEST_NAME_SHOWN = 64

FIXED = ("StudyInstanceUID", "PatientID", "ScheduledProcedureStepID")
"""Fields that cannot change: another patient's procedure is another workitem."""


def check_new(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields of a new workitem in their DICOM form, without the empty ones."""
    fields, errors = _checked(body)
    named = {ALIASES.get(name, name) for name in body}
    for attribute in ATTRIBUTES:
        if attribute.required and attribute.keyword not in named:
            errors.append({"field": attribute.keyword, "problem": "required"})
    _raise(errors)
    return {name: value for name, value in fields.items() if value}


def check_changes(body: Mapping[str, Any]) -> dict[str, str]:
    """Return the fields to change in their DICOM form; an empty value removes the field."""
    fields, errors = _checked(body)
    for name in FIXED:
        if name in body:
            errors.append({"field": name, "problem": "cannot be changed: delete the workitem and create it anew"})
    if not body:
        errors.append({"field": "", "problem": "nothing to change"})
    _raise(errors)
    return fields


def _checked(body: Mapping[str, Any]) -> tuple[dict[str, str], list[dict[str, str]]]:
    fields: dict[str, str] = {}
    errors: list[dict[str, str]] = []
    for name, value in body.items():
        attribute = BY_KEYWORD.get(ALIASES.get(name, name))
        if attribute is None:
            errors.append({"field": name[:_LONGEST_NAME_SHOWN], "problem": _unknown(name)})
        elif attribute.keyword in fields:
            errors.append({"field": name, "problem": f"given twice, also as {attribute.keyword}"})
        else:
            try:
                fields[attribute.keyword] = _value(attribute, value)
            except BadValue as error:
                errors.append({"field": name, "problem": str(error)})
    return fields, errors


def _value(attribute: Attribute, value: Any) -> str:
    text = checked(attribute, _text(attribute, value))
    if attribute.required and not text:
        raise BadValue("required")
    return text


def _text(attribute: Attribute, value: Any) -> str:
    """Return the JSON value of a field as one string.

    Raises
    ------
    BadValue
        The field does not take this JSON type.
    """
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if attribute.vr == "US" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if attribute.multiple and isinstance(value, list) and all(isinstance(each, str) for each in value):
        if any("\\" in each for each in value):
            raise BadValue("has a backslash, which separates values")
        return "\\".join(value)
    raise BadValue("must be a whole number" if attribute.vr == "US" else "must be a string")


def _unknown(name: str) -> str:
    close = difflib.get_close_matches(name[:_LONGEST_NAME_SHOWN], BY_KEYWORD, n=1)
    return f"unknown field; did you mean {close[0]}?" if close else "unknown field"


def _raise(errors: list[dict[str, str]]) -> None:
    if errors:
        listed = "; ".join(f"{error['field']}: {error['problem']}" for error in errors)
        raise BadRequest(f"Bad fields: {listed}.", code="INVALID_WORKITEM", errors=errors)
