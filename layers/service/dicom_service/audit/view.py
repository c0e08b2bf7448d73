"""A record of the audit as callers and events show it."""

from collections.abc import Mapping
from typing import Any

from dicom_service.audit.actions import ACTIONS, Code


def view(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as callers see it."""
    action = ACTIONS[row["action"]]
    return {
        "id": row["id"],
        "at": row["at"],
        "last": row["last"],
        "count": row["count"],
        "who": row["who"],
        "role": row.get("role"),
        "organisation": row.get("organisation"),
        "address": row.get("address"),
        "action": action.name,
        "event": _coding(action.event),
        "actionCode": action.kind,
        "route": row["route"],
        "status": row.get("status"),
        "outcome": row.get("outcome"),
        "studyUID": row.get("study"),
        "studyUIDs": row["studies"].split() if "studies" in row else None,
        "patientHash": row.get("patient"),
        "requestId": row["requestId"],
    }


def _coding(code: Code) -> dict[str, str]:
    return {"code": code[0], "codeSystem": "DCM", "meaning": code[1]}
