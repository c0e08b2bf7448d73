"""The constraints of IHE's Basic Audit Log Patterns, read off the sources of their profiles (IHE/ITI.BasicAudit).

Written out here, since the profiles are no package of PyPI or npm; compared with the differentials of their published
JSON: PatientRead of release 1.1.2, Query of 1.0.1.
"""

import base64
import re
from collections.abc import Iterator, Mapping
from typing import Any

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
DCM = "http://dicom.nema.org/resources/ontology/DCM"
REST = "http://hl7.org/fhir/restful-interaction"
INSTANT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
# What FHIR R4 has for an AuditEvent and its parts.
MEMBERS = {
    "": {
        *("resourceType", "id", "meta", "extension", "type", "subtype", "action", "period", "recorded", "outcome"),
        *("outcomeDesc", "purposeOfEvent", "agent", "source", "entity"),
    },
    "agent": {
        *(
            "type",
            "role",
            "who",
            "altId",
            "name",
            "requestor",
            "location",
            "policy",
            "media",
            "network",
            "purposeOfUse",
        ),
    },
    "entity": {
        *("what", "type", "role", "lifecycle", "securityLabel", "name", "description", "query", "detail"),
    },
}

# What the profiles set to 0..0 in client and server, in the user, and in the entity of the request.
_NOT_OF_SYSTEMS = {"role", "altId", "name", "location", "policy", "media", "purposeOfUse"}
_NOT_OF_USERS = {"altId", "location", "policy", "media", "network"}
_NOT_OF_REQUESTS = {"lifecycle", "securityLabel", "name", "query", "detail"}


def problems(event: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with an AuditEvent: by FHIR R4, and by the profiles that it names."""
    yield from _base(event)
    for profile in event.get("meta", {}).get("profile", []):
        pattern = profile.removeprefix(BALP)
        if pattern not in ("Read", "PatientRead", "Query", "PatientQuery"):
            yield f"no such profile: {profile}"
        yield from _pattern(event, query=pattern.endswith("Query"), patient=pattern.startswith("Patient"))


def _base(event: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"no element of R4: {name}" for name in event.keys() - MEMBERS[""])
    yield from (
        f"no element of R4: agent.{name}" for agent in event["agent"] for name in agent.keys() - MEMBERS["agent"]
    )
    yield from (
        f"no element of R4: entity.{name}" for one in event["entity"] for name in one.keys() - MEMBERS["entity"]
    )
    if event["resourceType"] != "AuditEvent" or not {"system", "code"} <= event["type"].keys():
        yield "type 1..1"
    if not INSTANT.fullmatch(event["recorded"]):
        yield "recorded is no instant"
    if event["action"] not in "CRUDE" or event.get("outcome", "0") not in ("0", "4", "8", "12"):
        yield "action or outcome is not of its value set"
    if not event["agent"] or not all(isinstance(agent.get("requestor"), bool) for agent in event["agent"]):
        yield "agent 1..*, requestor 1..1"
    if [agent["requestor"] for agent in event["agent"]].count(True) != 1:
        yield "one agent makes the request"
    if not event["source"].get("observer"):
        yield "source.observer 1..1"
    # sev-1: an entity has a name or a query, not both.
    if any("name" in entity and "query" in entity for entity in event["entity"]):
        yield "sev-1"


def _pattern(event: Mapping[str, Any], *, query: bool, patient: bool) -> Iterator[str]:
    if (event["type"]["system"], event["type"]["code"]) != (f"{TERMINOLOGY}audit-event-type", "rest"):
        yield "type is rest"
    wanted = {"search", "search-type", "search-system"} if query else {"read", "vread"}
    if len([one for one in event["subtype"] if one["system"] == REST and one["code"] in wanted]) != 1:
        yield "subtype is of the interaction"
    if event["action"] != ("E" if query else "R") or event.get("outcome") != "0":
        yield "action and outcome are fixed"
    client, server = ("110153", "110152") if query else ("110152", "110153")
    for code in (client, server):
        found = _agents(event, DCM, code)
        if len(found) != 1 or not found[0].get("who") or not found[0].get("network"):
            yield f"agent {code}: 1..1 with who and network"
        yield from (f"agent {code}: {name} 0..0" for name in _NOT_OF_SYSTEMS & {name for one in found for name in one})
    for user in _agents(event, f"{TERMINOLOGY}v3-ParticipationType", "IRCP"):
        if not user.get("who") or user["requestor"] is not True or _NOT_OF_USERS & user.keys():
            yield "agent user: who, requestor, no network"
    yield from _entities(event, query=query, patient=patient)


def _entities(event: Mapping[str, Any], *, query: bool, patient: bool) -> Iterator[str]:
    objects, people = _of_type(event, "2"), _of_type(event, "1")
    if len(objects) != 1 or len(event["entity"]) < (2 if patient else 1):
        yield "entity data or query 1..1"
    for entity in objects:
        role = (entity["role"]["system"], entity["role"]["code"])
        if query and (role[1] != "24" or {"what", "lifecycle", "detail"} & entity.keys() or not entity.get("query")):
            yield "entity query: role, query, and no what"
        if query:
            base64.b64decode(entity["query"], validate=True)
        if not query and (role[1] not in ("3", "4", "20") or not entity.get("what")):
            yield "entity data: role and what"
    for entity in event["entity"]:
        is_request = entity["type"]["code"] == "XrequestId"
        if is_request and (not entity["what"]["identifier"]["value"] or _NOT_OF_REQUESTS & entity.keys()):
            yield "entity transaction: what.identifier.value, and nothing else of it"
    yield from _people(people, patient=patient)


def _people(people: list[dict[str, Any]], *, patient: bool) -> Iterator[str]:
    if patient and len(people) != 1:
        yield "entity patient 1..1"
    for entity in people:
        if entity["role"]["code"] != "1" or entity["what"].get("type") != "Patient":
            yield "entity patient: role and a reference to a Patient"


def _agents(event: Mapping[str, Any], system: str, code: str) -> list[dict[str, Any]]:
    def is_it(agent: Mapping[str, Any]) -> bool:
        return any((one["system"], one["code"]) == (system, code) for one in agent["type"]["coding"])

    return [agent for agent in event["agent"] if is_it(agent)]


def _of_type(event: Mapping[str, Any], code: str) -> list[dict[str, Any]]:
    kinds = {"system": f"{TERMINOLOGY}audit-entity-type", "code": code}
    return [entity for entity in event["entity"] if kinds.items() <= entity["type"].items()]
