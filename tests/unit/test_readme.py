"""What README.md says of settings, routes, ports and commands is what template, contract and code have."""

import json
import re
from pathlib import Path
from typing import NamedTuple

import pytest

from dicom_service.contract import contract
from local.settings import Ports
from tests.support.template import RESOURCES, TEMPLATE

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
NOTHING = "–"


class Setting(NamedTuple):
    """A row of the table of settings."""

    parameters: list[str]
    variables: list[str]
    defaults: list[str]
    meaning: str


def _code(text: str) -> list[str]:
    return re.findall(r"`([^`]+)`", text)


def _settings() -> list[Setting]:
    rows = re.findall(r"^\| (`[A-Z]\w+`.*?) \| (.*?) \| (.*?) \| (.*?) \|$", README, re.M)
    return [
        Setting(_code(names), _code(variables), default.split(", "), meaning)
        for names, variables, default, meaning in rows
    ]


def _default(parameter: str) -> str:
    """Return a default of the template as the README writes it, without its unit."""
    return str(TEMPLATE["Parameters"][parameter].get("Default", "")) or NOTHING


def _sets(variable: str, parameter: str) -> bool:
    """Whether some function gets a parameter by that variable."""
    environments = [each.get("Properties", {}).get("Environment", {}) for each in RESOURCES.values()]
    return any(parameter in json.dumps(each.get("Variables", {}).get(variable, "")) for each in environments)


@pytest.mark.parametrize("row", _settings(), ids=lambda row: row.parameters[0])
def test_settings_have_the_names_defaults_and_values_of_the_template(row: Setting) -> None:
    defaults = [default.strip("`").removesuffix(" s") for default in row.defaults]
    # One dash may stand for several.
    defaults *= 1 if len(defaults) > 1 else len(row.parameters)
    assert defaults == [_default(name) for name in row.parameters]
    # What the template alone uses has no variable.
    variables = zip(row.parameters, row.variables, strict=bool(row.variables))
    assert [name for name, variable in variables if not _sets(variable, name)] == []
    if allowed := TEMPLATE["Parameters"][row.parameters[0]].get("AllowedValues"):
        assert {*_code(row.meaning), defaults[0]} == set(allowed)


def test_there_are_settings() -> None:
    assert len(_settings()) > 10
    assert sum(bool(row.variables) for row in _settings()) > 10


def test_routes_are_marked_open_that_need_no_credential() -> None:
    marked = {
        route for route, text in re.findall(r"^\| `([A-Z]+ /\S*)` \| (.*) \|$", README, re.M) if "(*open*)" in text
    }
    opened = {
        f"{method.upper()} {path}"
        for path, methods in contract()["paths"].items()
        for method, operation in methods.items()
        if operation.get("security") == []
    }
    assert marked == opened != set()


def test_files_are_sent_to_the_port_and_titles_of_the_local_pacs() -> None:
    said = r"`storescu` sends to `127\.0\.0\.1` port (\d+) \(called AE title `(\w+)`,\s+calling `(\w+)`"
    ((port, called, calling),) = re.findall(said, README)
    configuration = (ROOT / "local/orthanc.py").read_text("utf-8")
    assert int(port) == Ports().orthanc_dicom
    assert f'"DicomAet": "{called}"' in configuration
    assert f'["{calling}", "127.0.0.1"' in configuration


def test_every_command_is_one_of_the_makefile() -> None:
    commands = set(re.findall(r"(?:`|^    |in )make ([a-z]+)", README, re.M))
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert {"up", "demo", "test", "soak", "smoke", "down", "reset", "events", "desk"} <= commands
    assert commands <= targets


def test_all_but_the_address_of_the_pacs_has_a_default() -> None:
    assert "`PacsUrl`" in README and "all but PacsUrl have a default" in README
    assert {name for name, each in TEMPLATE["Parameters"].items() if "Default" not in each} == {"PacsUrl"}
