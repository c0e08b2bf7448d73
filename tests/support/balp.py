"""What IHE's Basic Audit Log Patterns demand of an AuditEvent, read off their source (IHE/ITI.BasicAudit, 1.1).

The source is FHIR Shorthand; its profiles are no package of PyPI or npm. Each rule is that of the element with the same
id in the StructureDefinition. `STRICTER` is what published ones forbid besides: PatientRead of release 1.1.2, Query of
1.0.1.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.support import fhir_r4

BALP = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit."
_ENTITY_TYPES = "https://profiles.ihe.net/ITI/BALP/CodeSystem/BasicAuditEntityType"
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem/"
_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_REST = "http://hl7.org/fhir/restful-interaction"


@dataclass(frozen=True)
class Rule:
    """What a profile says of one element.

    Parameters
    ----------
    least, most
        How often it is there.
    pattern
        What the value contains.
    fixed
        What the value is.
    among
        The codes of the required value set.
    target
        The type of resource that it refers to, by its ``type``: none of the service's references has an address.
    """

    least: int = 0
    most: float = float("inf")
    pattern: Any = None
    fixed: Any = None
    among: frozenset[tuple[str, str]] | None = None
    target: str = ""


Rules = dict[str, Rule]
NEVER = Rule(most=0)
ONCE = Rule(1, 1)


def _code(system: str, code: str) -> dict[str, str]:
    return {"system": system, "code": code}


def _concept(system: str, code: str) -> Rule:
    return Rule(1, 1, pattern={"coding": [_code(system, code)]})


def _entity(code: str) -> Rule:
    return Rule(1, 1, pattern=_code(f"{_TERMINOLOGY}audit-entity-type", code))


def _role(code: str) -> Rule:
    return Rule(pattern=_code(f"{_TERMINOLOGY}object-role", code))


_ALL: Rules = {
    "type": Rule(pattern=_code(f"{_TERMINOLOGY}audit-event-type", "rest")),
    "subtype": Rule(1),
    "recorded": ONCE,
    "outcome": Rule(pattern="0"),
    "agent": Rule(2),
    "agent:client": ONCE,
    "agent:client.who": ONCE,
    "agent:client.network": ONCE,
    "agent:client.media": NEVER,
    "agent:server": ONCE,
    "agent:server.who": ONCE,
    "agent:server.network": ONCE,
    "agent:server.media": NEVER,
    "agent:user": Rule(most=1),
    "agent:user.type": _concept(f"{_TERMINOLOGY}v3-ParticipationType", "IRCP"),
    "agent:user.who": ONCE,
    "agent:user.requestor": Rule(pattern=True),
    "agent:user.media": NEVER,
    "agent:user.network": NEVER,
    "entity": Rule(1),
    "entity:transaction": Rule(most=1),
    "entity:transaction.type": Rule(1, 1, pattern=_code(_ENTITY_TYPES, "XrequestId")),
    "entity:transaction.what.identifier.value": ONCE,
}
_PATIENT: Rules = {
    "entity": Rule(2),
    "entity:patient": ONCE,
    "entity:patient.type": _entity("1"),
    "entity:patient.role": _role("1"),
    "entity:patient.what": Rule(1, 1, target="Patient"),
}
_READ: Rules = _ALL | {
    "subtype:anyRead": Rule(most=1, fixed=_code(_REST, "read") | {"display": "read"}),
    "subtype:anyVread": Rule(most=1, fixed=_code(_REST, "vread") | {"display": "vread"}),
    "action": Rule(pattern="R"),
    "agent:client.type": _concept(_DCM, "110152"),
    "agent:server.type": _concept(_DCM, "110153"),
    "entity:data": ONCE,
    "entity:data.type": _entity("2"),
    "entity:data.role": Rule(among=frozenset((f"{_TERMINOLOGY}object-role", code) for code in ("3", "4", "20"))),
    "entity:data.what": ONCE,
}
_QUERY: Rules = _ALL | {
    "subtype:anySearch": Rule(most=1, pattern=_code(_REST, "search")),
    "subtype:anySearchT": Rule(most=1, pattern=_code(_REST, "search-type")),
    "subtype:anySearchS": Rule(most=1, pattern=_code(_REST, "search-system")),
    "action": Rule(pattern="E"),
    "agent:client.type": _concept(_DCM, "110153"),
    "agent:server.type": _concept(_DCM, "110152"),
    "entity:query": ONCE,
    "entity:query.type": _entity("2"),
    "entity:query.role": _role("24"),
    "entity:query.what": NEVER,
    "entity:query.lifecycle": NEVER,
    "entity:query.description": Rule(most=1),
    "entity:query.query": ONCE,
    "entity:query.detail": NEVER,
}
PROFILES: dict[str, Rules] = {
    "Read": _READ,
    "PatientRead": _READ | _PATIENT,
    "Query": _QUERY,
    "PatientQuery": _QUERY | _PATIENT,
}
_NOT_OF_SYSTEMS = ("role", "altId", "name", "location", "policy", "purposeOfUse")
_NOT_OF_REQUESTS = ("lifecycle", "securityLabel", "name", "query", "detail")
STRICTER: Rules = {
    **{f"agent:{who}.{name}": NEVER for who in ("client", "server") for name in _NOT_OF_SYSTEMS},
    **{f"agent:user.{name}": NEVER for name in ("altId", "location", "policy")},
    **{f"entity:transaction.{name}": NEVER for name in _NOT_OF_REQUESTS},
}


def problems(event: Mapping[str, Any]) -> Iterator[str]:
    """Yield what is wrong with an AuditEvent: by FHIR R4, by the profiles that it names, by its own promises."""
    yield from fhir_r4.problems(event)
    yield from _promises(event)
    for profile in event.get("meta", {}).get("profile", []):
        rules = PROFILES.get(profile.removeprefix(BALP))
        if rules is None:
            yield f"no such profile: {profile}"
        else:
            yield from broken(event, rules | STRICTER)


def broken(event: Mapping[str, Any], rules: Rules) -> Iterator[str]:
    """Yield the rules that an AuditEvent breaks."""
    for id_, rule in rules.items():
        parent, _, name = id_.rpartition(".")
        for node in nodes(event, parent, rules):
            values = _values(node, name, id_, rules)
            if not rule.least <= len(values) <= rule.most:
                yield f"{id_}: {rule.least}..{rule.most}, not {len(values)}"
            yield from (f"{id_}: {value}" for value in values if not _keeps(value, rule))


def _promises(event: Mapping[str, Any]) -> Iterator[str]:
    """Yield what an event lacks that each of the service's has, though no profile demands it."""
    if [agent.get("requestor") for agent in event.get("agent", [])].count(True) != 1:
        yield "one agent makes the request"
    requests = [one for one in event.get("entity", []) if one["type"] == _code(_ENTITY_TYPES, "XrequestId")]
    if [bool(one["what"]["identifier"]["value"]) for one in requests] != [True]:
        yield "one entity is the request"
    if not any(one["system"] == _REST for one in event.get("subtype", [])):
        yield "a subtype is the interaction"


def nodes(event: Mapping[str, Any], id_: str, rules: Rules) -> list[Any]:
    """Return the elements with an id; the event itself for none."""
    if not id_:
        return [event]
    parent, _, name = id_.rpartition(".")
    return [value for node in nodes(event, parent, rules) for value in _values(node, name, id_, rules)]


def _values(node: Mapping[str, Any], name: str, id_: str, rules: Rules) -> list[Any]:
    """Return the values of a member, of a slice those that its discriminator picks: its type, or the value itself."""
    member, _, slice_ = name.partition(":")
    found = node.get(member, [])
    values = found if isinstance(found, list) else [found]
    if not slice_:
        return values
    if member == "subtype":
        return [value for value in values if _keeps(value, Rule(pattern=rules[id_].pattern, fixed=rules[id_].fixed))]
    return [value for value in values if "type" in value and _keeps(value["type"], rules[f"{id_}.type"])]


def _keeps(value: Any, rule: Rule) -> bool:
    among = rule.among is None or any(_contains(value, _code(system, code)) for system, code in rule.among)
    fixed = rule.fixed is None or value == rule.fixed
    target = not rule.target or _contains(value, {"type": rule.target})
    return among and fixed and target and (rule.pattern is None or _contains(value, rule.pattern))


def _contains(value: Any, pattern: Any) -> bool:
    if isinstance(pattern, dict):
        return isinstance(value, dict) and all(
            name in value and _contains(value[name], part) for name, part in pattern.items()
        )
    if isinstance(pattern, list):
        return isinstance(value, list) and all(any(_contains(one, part) for one in value) for part in pattern)
    return bool(value == pattern)
