"""template.yaml: each function gets the variables that it reads, and each chapter holds what belongs together."""

import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.settings_read import settings_loaded, variables_read
from tests.support.template import RESOURCES, TEMPLATE

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "template.yaml").read_text()
FUNCTIONS = {
    resource["Properties"]["CodeUri"].strip("/").rpartition("/")[2]: resource["Properties"]
    for resource in RESOURCES.values()
    if resource["Type"] == "AWS::Serverless::Function"
}
GLOBAL = set(TEMPLATE["Globals"]["Function"]["Environment"]["Variables"])
# What no parameter of the template sets: limits with a default that only tests and benchmarks change.
FIXED = {
    *("INGEST_BATCH_BYTES", "INGEST_BATCH_PARTS", "INGEST_MAX_INFLATED_BYTES", "INGEST_SPOOL_BYTES"),
    *("INGEST_ZIP_BYTES", "INGEST_ZIP_ENTRIES", "INGEST_ZIP_RATIO", "UPLOAD_KEEP_DAYS", "STAGED_LATE_SECONDS"),
}


def variables_given(function: str) -> set[str]:
    return set(FUNCTIONS[function].get("Environment", {}).get("Variables", {}))


def chapter_of() -> dict[str, str]:
    """Return the chapter that each resource stands in."""
    chapters, chapter = {}, ""
    for line in TEXT.split("\nResources:\n")[1].split("\nOutputs:\n")[0].splitlines():
        if line.startswith("  # ==== "):
            chapter = line[9:]
        elif found := re.match(r"  (\w+):", line):
            chapters[found[1]] = chapter
    return chapters


def references(value: Any) -> set[str]:
    """Return the resources that a value names, as `Name` or `Name.Attribute`."""
    if isinstance(value, dict):
        return set().union(*map(references, value.values()))
    if isinstance(value, list):
        return set().union(*map(references, value))
    return {str(value).split(".")[0]} & RESOURCES.keys()


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_a_function_gets_the_variables_that_it_reads_and_no_other(function: str) -> None:
    """A missing variable falls back to its default unnoticed; one too many says where data is that is not read."""
    assert variables_given(function) == {variable.name for variable in variables_read(function)} - FIXED


def test_the_variables_that_functions_read_are_found() -> None:
    assert len(FUNCTIONS) > 30
    assert {variable.name for function in FUNCTIONS for variable in variables_read(function)} >= FIXED
    assert not [v.name for function in FUNCTIONS for v in variables_read(function) if v.required and v.name in FIXED]
    assert ("dicom_service.settings", "PacsSettings") in settings_loaded("list_exams")
    assert not GLOBAL - {"POWERTOOLS_SERVICE_NAME", "POWERTOOLS_LOG_LEVEL"}


@pytest.mark.parametrize("function", sorted(FUNCTIONS))
def test_a_function_names_the_role_below_it(function: str) -> None:
    """With `Policies` in its place SAM would add managed policies that reach every queue of the account."""
    name = next(n for n, resource in RESOURCES.items() if resource["Properties"] is FUNCTIONS[function])
    assert "Policies" not in FUNCTIONS[function]
    assert FUNCTIONS[function]["Role"] == f"{name.removesuffix('Function')}Role.Arn"


def test_an_alarm_and_its_queue_have_one_name_and_one_chapter() -> None:
    chapters, watched = chapter_of(), {}
    for name, resource in RESOURCES.items():
        if resource["Type"] == "AWS::CloudWatch::Alarm":
            for queue in references(resource["Properties"].get("Dimensions", [])):
                if RESOURCES[queue]["Type"] == "AWS::SQS::Queue":
                    watched[name] = queue
    assert len(watched) >= 6
    assert watched == {name: name.removesuffix("Alarm") + "Queue" for name in watched}
    assert not {name for name, queue in watched.items() if chapters[name] != chapters[queue]}


def test_a_queue_stands_beside_its_dead_letter_queue_and_the_function_that_reads_it() -> None:
    chapters = chapter_of()
    assert set(chapters) == set(RESOURCES)
    pairs = set()
    for name, resource in RESOURCES.items():
        properties = resource["Properties"]
        pairs |= {(name, dead) for dead in references(properties.get("RedrivePolicy", {}))}
        for event in properties.get("Events", {}).values():
            if event["Type"] == "SQS":
                pairs |= {(name, queue) for queue in references(event["Properties"]["Queue"])}
    assert len(pairs) >= 10
    assert not {pair for pair in pairs if chapters[pair[0]] != chapters[pair[1]]}


def test_the_architecture_lists_each_function_in_its_chapter_as_behind_a_route_or_internal() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    listed: dict[str, tuple[str, bool]] = {}
    for chapter, routed, internal in re.findall(r"^\| ([^|]+) \| ?([^|]*) \| ?([^|]*) ?\|$", text, re.M):
        listed |= {name: (chapter, True) for name in re.findall(r"`(\w+)`", routed)}
        listed |= {name: (chapter, False) for name in re.findall(r"`(\w+)`", internal)}
    chapters = chapter_of()
    deployed: dict[str, tuple[str, bool]] = {}
    for name, resource in RESOURCES.items():
        if resource["Type"] == "AWS::Serverless::Function":
            events = resource["Properties"].get("Events", {}).values()
            function = resource["Properties"]["CodeUri"].strip("/").rpartition("/")[2]
            deployed[function] = chapters[name], any(event["Type"] == "Api" for event in events)
    assert {name: where for name, where in listed.items() if name in deployed} == deployed
