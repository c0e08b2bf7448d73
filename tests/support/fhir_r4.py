"""FHIR R4 (4.0.1) as far as an AuditEvent needs it: elements, how often each may be, primitive types, required codes.

Read off the definitions of HL7, which are in the public domain.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

_NUMBERS = {"!": (1, 1), "*": (0, None), "+": (1, None), "": (0, 1)}
_ELEMENT = re.compile(r"(\w+):([\w.]+)([!*+]?)")
_Elements = dict[str, tuple[str, int, int | None]]


def _elements(text: str) -> _Elements:
    """Read ``name:Type``, behind it ``!`` for 1..1, ``*`` for 0..*, ``+`` for 1..*, nothing for 0..1."""
    return {name: (kind, *_NUMBERS[number]) for name, kind, number in _ELEMENT.findall(text)}


_ANY = "id:string extension:Extension* "
_PART = _ANY + "modifierExtension:Extension* "
TYPES = {
    "AuditEvent": _elements(
        "resourceType:code! id:id meta:Meta implicitRules:uri language:code extension:Extension* "
        "modifierExtension:Extension* type:Coding! subtype:Coding* action:code period:Period recorded:instant! "
        "outcome:code outcomeDesc:string purposeOfEvent:CodeableConcept* agent:AuditEvent.agent+ "
        "source:AuditEvent.source! entity:AuditEvent.entity*"
    ),
    "AuditEvent.agent": _elements(
        _PART + "type:CodeableConcept role:CodeableConcept* who:Reference altId:string name:string requestor:boolean! "
        "location:Reference policy:uri* media:Coding network:AuditEvent.agent.network purposeOfUse:CodeableConcept*"
    ),
    "AuditEvent.agent.network": _elements(_PART + "address:string type:code"),
    "AuditEvent.source": _elements(_PART + "site:string observer:Reference! type:Coding*"),
    "AuditEvent.entity": _elements(
        _PART + "what:Reference type:Coding role:Coding lifecycle:Coding securityLabel:Coding* name:string "
        "description:string query:base64Binary detail:AuditEvent.entity.detail*"
    ),
    "AuditEvent.entity.detail": _elements(_PART + "type:string! valueString:string valueBase64Binary:base64Binary"),
    "Meta": _elements(
        _ANY + "versionId:id lastUpdated:instant source:uri profile:canonical* security:Coding* tag:Coding*"
    ),
    "Coding": _elements(_ANY + "system:uri version:string code:code display:string userSelected:boolean"),
    "CodeableConcept": _elements(_ANY + "coding:Coding* text:string"),
    "Reference": _elements(_ANY + "reference:string type:uri identifier:Identifier display:string"),
    "Identifier": _elements(
        _ANY + "use:code type:CodeableConcept system:uri value:string period:Period assigner:Reference"
    ),
    "Period": _elements(_ANY + "start:dateTime end:dateTime"),
    # Of the fifty types that a value may have, the one that is used.
    "Extension": _elements(_ANY + "url:uri! valueInteger:integer"),
}
_TIME = (
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-](0\d|1[0-4]):[0-5]\d)"
)
PRIMITIVES = {
    "string": r"(?s)\s*\S.*",
    "code": r"\S+( \S+)*",
    "id": r"[A-Za-z0-9.-]{1,64}",
    "uri": r"\S+",
    "canonical": r"\S+",
    "instant": _TIME,
    # Of a day or month alone none is written.
    "dateTime": _TIME,
    "base64Binary": r"([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
}
_SPECIAL: dict[str, type] = {"boolean": bool, "integer": int}
CODES = {
    "AuditEvent.resourceType": {"AuditEvent"},
    "AuditEvent.action": set("CRUDE"),
    "AuditEvent.outcome": {"0", "4", "8", "12"},
    "AuditEvent.agent.network.type": set("12345"),
    "Identifier.use": {"usual", "official", "temp", "secondary", "old"},
}


def problems(value: Any, kind: str = "AuditEvent", path: str = "AuditEvent") -> Iterator[str]:
    """Yield what an element has that its type does not allow, and what it lacks."""
    if kind in _SPECIAL:
        if type(value) is not _SPECIAL[kind]:
            yield f"{path} is no {kind}"
    elif kind in PRIMITIVES:
        if not isinstance(value, str) or not re.fullmatch(PRIMITIVES[kind], value):
            yield f"{path} is no {kind}"
    elif not isinstance(value, Mapping) or not value:
        yield f"{path} is no {kind}, or empty"
    else:
        yield from _members(value, kind, path)
        # sev-1
        if kind == "AuditEvent.entity" and {"name", "query"} <= value.keys():
            yield f"{path} has a name and a query"


def _members(value: Mapping[str, Any], kind: str, path: str) -> Iterator[str]:
    yield from (f"{path}.{name} is no element of R4" for name in value.keys() - TYPES[kind].keys())
    for name, (type_, least, most) in TYPES[kind].items():
        where = f"{path}.{name}"
        given = value.get(name)
        if given is not None and isinstance(given, list) != (most is None):
            yield f"{where} is a list, or should be one"
            continue
        found = [] if given is None else given if isinstance(given, list) else [given]
        if len(found) < least or given == []:
            yield f"{where} is missing, or an empty list"
        for one in found:
            yield from problems(one, type_, where)
            if (codes := CODES.get(f"{kind}.{name}")) and one not in codes:
                yield f"{where} is not of its value set"
