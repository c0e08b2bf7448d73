"""The documents name what is there: every setting, every route, every error code, and no page that is not there."""

import ast
import contextlib
import importlib
import importlib.util
import re
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from dicom_service.contract import contract

ROOT = Path(__file__).parents[2]
METHODS = {"get", "post", "put", "patch", "delete"}
# A code is given by name, is a class's default, is listed with a trouble of the PACS, or is written by the gateway.
CODES = re.compile(r'\b(?:default_)?code\s*=\s*"([A-Z][A-Z_]+)"|"code":\s*"([A-Z][A-Z_]+)"|\d{3}, "(PACS_[A-Z_]+)"')
# Why a file is not stored: the first thing said of it, or a name in the list of reasons.
REFUSED = re.compile(r'\b(?:NotDicom|ZipRejected|StoreFailure)\(\s*"([A-Z][A-Z_]+)"')
REASONS = re.compile(r'^[A-Z_]+ = "([A-Z][A-Z_]+)"$', re.M)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def _text(name: str) -> str:
    return (ROOT / name).read_text("utf-8")


def _sources(*folders: str) -> str:
    return "\n".join(path.read_text("utf-8") for path in _python(*folders))


def _python(*folders: str) -> list[Path]:
    """Return the modules below some folders, without the programs that the local stack has installed."""
    found = [path for folder in folders for path in sorted((ROOT / folder).rglob("*.py"))]
    return [path for path in found if ".state" not in path.parts]


def _trees(*folders: str) -> Iterator[ast.Module]:
    return (ast.parse(path.read_text("utf-8")) for path in _python(*folders))


def _codes_by_constant(trees: Iterable[ast.Module]) -> set[str]:
    """Return the codes that are given by a constant's name, whichever module the constant is in."""
    constants: dict[str, set[str]] = {}
    names: set[str] = set()
    for node in (node for tree in trees for node in ast.walk(tree)):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            for target in node.targets:
                if isinstance(target, ast.Name):
                    constants.setdefault(target.id, set()).add(node.value.value)
        elif isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Name | ast.Attribute):
            names.add(ast.unparse(node.value).rpartition(".")[2])
    return {code for name in names for code in constants.get(name, ()) if code.isupper()}


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
    codes |= _codes_by_constant(_trees("layers/service", "functions"))
    assert {"NOT_DICOM", "BAD_REQUEST", "PACS_TIMEOUT", "UNAUTHENTICATED", "WORKITEM_BUSY"} <= codes
    assert not codes - _in_code(_text("docs/errors.md"))


def test_a_code_given_by_a_constant_is_seen() -> None:
    texts = ['BUSY = "A_BUSY"', 'raise Conflict("", code=rules.BUSY)', 'OTHER = "NO_CODE"', "PacsError(code=code)"]
    assert _codes_by_constant(map(ast.parse, texts)) == {"A_BUSY"}


def test_every_reason_of_a_file_is_explained() -> None:
    reasons = _named(REFUSED, _sources("layers/service"))
    reasons |= _named(REASONS, _text("layers/service/dicom_service/storing/failure_reasons.py"))
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


FOLDERS = ("web", "layers", "functions", "local", "scripts", "tests", "benchmarks", "release")
OTHERS = (
    "template.yaml",
    "Makefile",
    "samconfig.toml",
    "local/bootstrap.sh",
    "local/packages.sh",
    "local/callback.lua",
)
PAGE = re.compile(r"(?<![\w/.-])((?:docs/)?(?:decisions/)?[\w-]+\.md)\b")
HEADING = re.compile(r'\b((?:docs/)?[\w-]+\.md)[,:;]\s+"([^"]+)"')
ANCHOR = re.compile(r"(?<![\w/.-])((?:docs/)?(?:decisions/)?[\w-]+\.md)#([\w-]+)")
MODULE = re.compile(r"`((?:dicom_service|dicomweb|imaging|local|scripts|benchmarks)(?:\.\w+)*)`")


def _dangling(text: str) -> set[str]:
    """Return the pages, headings and modules that a text names and that are not there."""
    missing = {page for page in PAGE.findall(text) if _page(page) is None}
    for page, heading in HEADING.findall(text):
        found = _page(page)
        if found is None or not re.search(rf"^#+ {re.escape(heading)}$", found.read_text("utf-8"), re.M):
            missing.add(f'{page}, "{heading}"')
    for page, anchor in ANCHOR.findall(text):
        found = _page(page)
        if found is None or anchor not in _anchors(found.read_text("utf-8")):
            missing.add(f"{page}#{anchor}")
    return missing | {name for name in MODULE.findall(text) if not _is_there(name)}


def _page(name: str) -> Path | None:
    """Return a page by the name that code gives it: from the top, or short for one in docs."""
    places = (ROOT / name, ROOT / "docs" / name)
    return next((path for path in places if path.is_file()), None)


def _is_there(name: str) -> bool:
    """Whether a dotted name is a module, or something in one."""
    module, rest = name, ""
    while importlib.util.find_spec(module.partition(".")[0]) and "." in module:
        with contextlib.suppress(ModuleNotFoundError):
            if importlib.util.find_spec(module):
                break
        module, _, last = module.rpartition(".")
        rest = f"{last}.{rest}".rstrip(".")
    place: Any = importlib.import_module(module)
    for part in filter(None, rest.split(".")):
        if not hasattr(place, part):
            return False
        place = getattr(place, part)
    return True


def test_code_and_documents_name_nothing_that_is_not_there() -> None:
    text = _sources(*FOLDERS) + "".join(map(_text, OTHERS)) + _contract_sources()
    assert len(HEADING.findall(text)) >= 10 and len(MODULE.findall(text)) >= 10
    assert not _dangling(text)
    modules = {(page, name) for page in _markdown() for name in MODULE.findall(_text(page))}
    assert not {(page, name) for page, name in modules if not _is_there(name)}


@pytest.mark.parametrize(
    ("reference", "missing"),
    [
        ("`dicom_service.notifications." + "receivers`", True),
        ("`dicom_service.otp.keyring.Keyring`", False),
        ("`dicom_service.otp.keyring." + "Lock`", True),
        ("(security" + '.md, "OTP")', True),
        ('(security.md, "OTP and tokens")', False),
        ("(api" + '.md: "Conventions of old")', True),
        ("docs/otp" + ".md#no-such-heading", True),
        ("docs/otp.md#what-holds", False),
        ("docs/no-such-page" + ".md", True),
        ("see no-such-page" + ".md", True),
        ("docs/otp.md", False),
    ],
)
def test_a_dangling_reference_is_seen(reference: str, missing: bool) -> None:
    assert bool(_dangling(reference)) is missing


# An error code, a reason, a variable: several words in capitals, set as code.
CAPITALS = re.compile(r"`([A-Z][A-Z0-9]+(?:_[A-Z0-9]+)+)`")


def _contract_sources() -> str:
    return "\n".join(path.read_text("utf-8") for path in sorted((ROOT / "layers/service/openapi").glob("*.yaml")))


def _docstrings(tree: ast.Module) -> Iterator[ast.Constant]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            yield node.value


def _capitals_in_use(trees: Iterable[ast.Module]) -> set[str]:
    """Return the words in capitals that code uses: names and texts, but not what comments and docstrings say."""
    used = set()
    for tree in trees:
        spoken = {id(node) for node in _docstrings(tree)}
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in spoken:
                used |= set(re.findall(r"[A-Z0-9_]+", node.value))
            elif isinstance(node, ast.Name):
                used.add(node.id)
    return used


def _known_capitals() -> set[str]:
    modules = sorted(str(path.relative_to(ROOT)) for path in (ROOT / "web").glob("*/*.js"))
    plain = "".join(map(_text, [*OTHERS, *modules, ".ci/run"]))
    folders = [folder for folder in FOLDERS if folder != "tests"] + ["tests/conformance", "tests/support"]
    return _capitals_in_use(_trees(*folders)) | set(re.findall(r"[A-Z][A-Z0-9_]+", plain))


def _unknown_capitals(text: str, known: set[str]) -> set[str]:
    return set(CAPITALS.findall(text)) - known


def test_documents_and_comments_name_no_code_or_variable_that_is_not_there() -> None:
    known = _known_capitals()
    # What was is in the changelog and in decisions; what others have, in the page on compatibility.
    elsewhere = ("CHANGELOG.md", "docs/decisions/", "docs/reference-compatibility.md")
    pages = [page for page in _markdown() if not page.startswith(elsewhere)]
    text = "".join(map(_text, pages)) + _sources("layers", "functions", "scripts") + _contract_sources()
    assert len(CAPITALS.findall(text)) > 100
    assert not _unknown_capitals(text, known)


@pytest.mark.parametrize(("text", "missing"), [("409 `WORKITEM_BUSY`", False), ("409 `NO_SUCH_" + "CODE`", True)])
def test_a_code_that_is_not_there_is_seen(text: str, missing: bool) -> None:
    assert bool(_unknown_capitals(text, _known_capitals())) is missing


def test_a_code_that_only_a_docstring_names_is_not_in_use() -> None:
    tree = ast.parse('"""Answers `ONLY_SAID`."""\nCODE = "REALLY_USED"')
    assert _capitals_in_use([tree]) == {"CODE", "REALLY_USED"}
