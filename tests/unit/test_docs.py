"""The documents name what is there: every setting, every route, every error code, and no page that is not there."""

import re
import subprocess
from pathlib import Path

import pytest

from dicom_service.contract import contract

ROOT = Path(__file__).parents[2]
METHODS = {"get", "post", "put", "patch", "delete"}
# A code is given by name, is a class's default, is listed with a trouble of the PACS, or is written by the gateway.
CODES = re.compile(r'\b(?:default_)?code\s*=\s*"([A-Z][A-Z_]+)"|"code":\s*"([A-Z][A-Z_]+)"|\d{3}, "(PACS_[A-Z_]+)"')
# Why a file is not stored: the first thing said of it, or a name in the list of reasons.
REFUSED = re.compile(r'\b(?:NotDicom|ArchiveRefused|Refusal)\(\s*"([A-Z][A-Z_]+)"')
REASONS = re.compile(r'^[A-Z_]+ = "([A-Z][A-Z_]+)"$', re.M)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _sources(*folders: str) -> str:
    return "\n".join(path.read_text("utf-8") for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


def _named(pattern: re.Pattern[str], text: str) -> set[str]:
    return {next(filter(None, found.groups())) for found in pattern.finditer(text)}


def _in_code(text: str) -> set[str]:
    """Give the words that a document sets as code, without their arguments."""
    return set(re.findall(r"`([^`\n]+)`", text))


def _markdown() -> list[str]:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(name for name in listed if (ROOT / name).is_file())


def _anchors(text: str) -> set[str]:
    """Give the anchors that GitHub makes of a document's headings."""
    headings = re.findall(r"^#+ (.+)$", text, re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_template_parameter_is_among_the_settings() -> None:
    block = _text("template.yaml").split("\nParameters:\n")[1].split("\nConditions:\n")[0]
    parameters = set(re.findall(r"^  (\w+):$", block, re.M))
    listed = set(re.findall(r"^\| `(\w+)` \|", _text("docs/settings.md"), re.M))
    assert "PacsUrl" in parameters
    assert not parameters - listed
    # Names of variables and of secrets' kinds are in the first column of other tables.
    assert not {name for name in listed if name[0].isupper() and "_" not in name} - parameters


def test_every_route_is_in_the_readme() -> None:
    paths = contract()["paths"]
    routes = {f"{method.upper()} {path}" for path, item in paths.items() for method in METHODS & set(item)}
    listed = set(re.findall(r"^\| `([A-Z]+ /\S*)` \|", _text("README.md"), re.M))
    assert "POST /exams" in routes
    assert listed == routes


def test_every_error_code_is_explained() -> None:
    codes = _named(CODES, _sources("layers/service", "functions") + _text("template.yaml"))
    assert {"NOT_DICOM", "BAD_REQUEST", "PACS_TIMEOUT", "UNAUTHENTICATED"} <= codes
    assert not codes - _in_code(_text("docs/errors.md"))


def test_every_reason_of_a_file_is_explained() -> None:
    reasons = _named(REFUSED, _sources("layers/service"))
    reasons |= _named(REASONS, _text("layers/service/dicom_service/uploads/reasons.py"))
    assert {"TRUNCATED", "EXPIRED", "PACS_OUT_OF_RESOURCES"} <= reasons
    assert not reasons - _in_code(_text("docs/errors.md"))


@pytest.mark.parametrize("name", _markdown())
def test_links_between_documents_lead_somewhere(name: str) -> None:
    broken = []
    for target in LINK.findall(_text(name)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = (ROOT / name).parent / path if path else ROOT / name
        if not file.exists() or (anchor and anchor not in _anchors(file.read_text("utf-8"))):
            broken.append(target)
    assert not broken


def test_code_names_no_document_that_is_not_there() -> None:
    text = _sources("layers", "functions", "local", "scripts") + _text("template.yaml") + _text("Makefile")
    named = set(re.findall(r"\bdocs/[\w/-]+\.md\b", text))
    assert not {name for name in named if not (ROOT / name).is_file()}
