"""Records as FHIR R4 AuditEvents, after IHE's Basic Audit Log Patterns (BALP, ITI TF-3 5.7).

Successful searches and reads name the profile that they keep to: ``Query`` or ``Read``, with a patient
``PatientQuery`` or ``PatientRead``. Other records are plain AuditEvents. Two things keep to BALP's constraints but not
to its intention: ``entity[query].query`` holds the route without its parameters, which are values of patients, and
the patient is named by the keyed hash of the id.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from dicom_service.audit.actions import ACTIONS, LIST, SEARCH, Action

_PROFILES = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_ENTITY_TYPES = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_SOURCE = {"system": _DCM, "code": "110153", "display": "Source Role ID"}
_DESTINATION = {"system": _DCM, "code": "110152", "display": "Destination Role ID"}
# The viewer is a person where the credential is one's own; a service key is that of a program.
_PEOPLE = ("oidc:", "otp:")
_RECIPIENT = "IRCP"
_URN = "urn:dicom-service:"


def bundle(rows: Sequence[Mapping[str, Any]], server: str, links: Mapping[str, str]) -> dict[str, Any]:
    """Return a searchset of the AuditEvents of records.

    Parameters
    ----------
    server
        Base URL of the API, which is the server and the source of all of them.
    links
        URLs by their relation.
    """
    return {
        "resourceType": "Bundle",
        "type": "searchset",
        "link": [{"relation": relation, "url": url} for relation, url in links.items()],
        "entry": [
            {"fullUrl": f"{_URN}access:{row['id']}", "resource": audit_event(row, server), "search": {"mode": "match"}}
            for row in rows
        ],
    }


def audit_event(row: Mapping[str, Any], server: str) -> dict[str, Any]:
    """Return the AuditEvent of one record."""
    action = ACTIONS[row["action"]]
    search = action in (SEARCH, LIST)
    event = {
        "resourceType": "AuditEvent",
        "id": row["id"],
        "type": {"system": f"{_TERMINOLOGY}audit-event-type", "code": "rest", "display": "Restful Operation"},
        "subtype": _subtypes(action, search=search),
        "action": action.kind,
        "period": {"start": row["at"], "end": row["last"]},
        "recorded": row["at"],
        "agent": _agents(row, server, search=search),
        "source": {"observer": {"display": urlsplit(server).hostname or server}},
        "entity": _entities(row, search=search),
        "extension": [{"url": f"{_URN}count", "valueInteger": row["count"]}],
    }
    if row.get("outcome") is not None:
        event["outcome"] = str(row["outcome"])
    if row.get("outcome") == 0 and action.kind in ("R", "E") and not action.changes:
        pattern = ("Patient" if row.get("patient") else "") + ("Query" if search else "Read")
        event["meta"] = {"profile": [_PROFILES + pattern]}
    return event


def _subtypes(action: Action, *, search: bool) -> list[dict[str, str]]:
    interactions = {"C": "create", "R": "read", "U": "update", "D": "delete", "E": "operation"}
    rest = "search-type" if search else interactions[action.kind]
    found = [{"system": "http://hl7.org/fhir/restful-interaction", "code": rest, "display": rest}]
    for code, meaning in filter(None, (action.event, action.event_type)):
        found.append({"system": _DCM, "code": code, "display": meaning})
    return found


def _agents(row: Mapping[str, Any], server: str, *, search: bool) -> list[dict[str, Any]]:
    who, address = str(row["who"]), row.get("address")
    person = who.startswith(_PEOPLE)
    network = {"address": address, "type": "2"} if address else {"address": "unknown", "type": "1"}
    # Parameters of a search flow from the client; what is read, changed or sent flows by its own way.
    client, ours = (_SOURCE, _DESTINATION) if search or ACTIONS[row["action"]].kind != "R" else (_DESTINATION, _SOURCE)
    agents: list[dict[str, Any]] = [
        {
            "type": {"coding": [client]},
            "who": {"display": f"client of {who}"} if person else _identified(row, who),
            "requestor": not person,
            "network": network,
        },
        {
            "type": {"coding": [ours]},
            "who": {"identifier": {"value": server}},
            "requestor": False,
            "network": {"address": urlsplit(server).hostname or server, "type": "1"},
        },
    ]
    if person:
        recipient = {
            "system": f"{_TERMINOLOGY}v3-ParticipationType",
            "code": _RECIPIENT,
            "display": "information recipient",
        }
        user = {"type": {"coding": [recipient]}, "who": _identified(row, who), "requestor": True, "name": who}
        if row.get("role"):
            user["role"] = [{"text": row["role"]}]
        agents.append(user)
    return agents


def _identified(row: Mapping[str, Any], who: str) -> dict[str, Any]:
    identifier: dict[str, Any] = {"value": who}
    if row.get("organisation"):
        identifier["assigner"] = {"display": row["organisation"]}
    return {"identifier": identifier}


def _entities(row: Mapping[str, Any], *, search: bool) -> list[dict[str, Any]]:
    system_object = {"system": f"{_TERMINOLOGY}audit-entity-type", "code": "2", "display": "System Object"}
    role = "24" if search else "4"
    entity: dict[str, Any] = {"type": system_object, "role": {"system": f"{_TERMINOLOGY}object-role", "code": role}}
    studies = [row["study"]] if row.get("study") else str(row.get("studies", "")).split()
    if search:
        entity["query"] = base64.b64encode(str(row["route"]).encode()).decode()
        entity["description"] = " ".join([str(row["route"]), *studies])
    else:
        study = {
            "type": "ImagingStudy",
            "identifier": {"system": "urn:dicom:uid", "value": f"urn:oid:{row.get('study')}"},
        }
        entity["what"] = study if row.get("study") else {"display": str(row["route"])}
    request = {"type": {"system": _ENTITY_TYPES, "code": "XrequestId"}}
    entities = [entity, {**request, "what": {"identifier": {"value": str(row["requestId"])}}}]
    if row.get("patient"):
        entities.append(
            {
                "type": {"system": f"{_TERMINOLOGY}audit-entity-type", "code": "1", "display": "Person"},
                "role": {"system": f"{_TERMINOLOGY}object-role", "code": "1", "display": "Patient"},
                "what": {"type": "Patient", "identifier": {"system": f"{_URN}patient-hash", "value": row["patient"]}},
            }
        )
    return entities
