"""The house rules that no linter knows (CONTRIBUTING.md), read off the syntax trees of the tracked sources."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
AWS = {"boto3", "botocore", "aws_lambda_powertools", "dicom_service", "functions", "app"}
# Who must not import what, by the folder a file is in.
FORBIDDEN = {
    "layers/dicomweb/": AWS | {"imaging"},
    "layers/imaging/": AWS | {"dicomweb", "requests"},
    "layers/service/": {"functions", "app", "local", "tests"},
    "functions/": {"boto3", "botocore", "requests", "urllib3", "os", "functions", "local", "tests"},
}
# Rooms of dicom_service, and those they do not import: an exam is where all ways in end, and what is uploaded does not
# know who brings it to the PACS.
BELOW = {
    "exams": {"storing", "thumbnails", "uploads", "ingest"},
    "storing": {"thumbnails", "uploads", "ingest"},
    "thumbnails": {"storing", "uploads", "ingest"},
    "uploads": {"thumbnails", "ingest"},
}
SHIPPED = ("functions/", "layers/", "local/", "scripts/")
# What tests and benchmarks share lies here; a test module that imports another runs it with its own fixtures.
SHARED = "tests.support."
# Where one message of a batch must not stop the others.
CATCHES_EVERYTHING = "layers/service/dicom_service/isolation.py"
# Where the errors of botocore become this service's, and requests are repeated.
EDGE_TO_AWS = "layers/service/dicom_service/aws/"
AWS_ERROR = re.compile(r"^boto(core|3)\.exceptions\b|^(?!urllib3|requests|aws_lambda_powertools).+\.exceptions\.\w+$")
# Requests that AWS may do in part, or that writers who meet must repeat: behind the edge they are whole.
NOT_WHOLE = re.compile(r"batch_(get|write)_item|transact_\w+_items|send_message_batch|change_message_visibility\w*")
# Another invocation is waited for here, not AWS.
WAITS = "layers/service/dicom_service/storing/store_files.py"
LONGEST_FILE = 400
LONGEST_FUNCTION = 60
LONGEST_HANDLER_MODULE = 60
# Modules of one package, one importing the next: whoever reads the first has to know that many.
LONGEST_CHAIN = 6
MACHINE_PATH = re.compile(r"(?<![\w.}/~:-])/(?:work|home|Users|root|tmp)/\w")


def _tracked(*patterns: str) -> list[str]:
    # Also what is new and not added yet, so that a rule holds before the commit.
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    return sorted(name for name in listed if (ROOT / name).is_file())


SOURCES = _tracked("*.py")
TREES = {name: ast.parse((ROOT / name).read_text()) for name in SOURCES}


def imported(tree: ast.AST) -> Iterator[str]:
    """Give the top package of every absolute import, at whatever depth of the file it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.split(".")[0]


def imported_tests(tree: ast.AST) -> Iterator[str]:
    """Return the modules of tests that a module imports, other than those made to be shared."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"tests.(relative).{node.module}"]
        else:
            continue
        yield from (name for name in names if f"{name}.".startswith("tests.") and not f"{name}.".startswith(SHARED))


def caught_too_widely(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            kinds = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            if any(kind is None or getattr(kind, "id", "") in ("Exception", "BaseException") for kind in kinds):
                yield node.lineno


def import_fallbacks(tree: ast.AST) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Try) and any(isinstance(line, ast.Import | ast.ImportFrom) for line in node.body):
            yield node.lineno


def long_functions(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or first.lineno) - first.lineno + 1
            if length > LONGEST_FUNCTION:
                yield f"{node.name} ({length} lines)"


def path_edits(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            targets = [node.func.value]
        yield from (text for text in map(ast.unparse, targets) if re.match(r"sys\.path\b", text))


def undocumented(tree: ast.Module) -> Iterator[str]:
    """Give the public modules, classes and functions without a docstring; nested functions are private."""
    if not ast.get_docstring(tree):
        yield "the module"
    for node in tree.body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
            if not ast.get_docstring(node):
                yield node.name
            for member in node.body if isinstance(node, ast.ClassDef) else []:
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    overrides = any(getattr(mark, "id", "") == "overload" for mark in member.decorator_list)
                    if not overrides and not ast.get_docstring(member):
                        yield f"{node.name}.{member.name}"


def test_the_sources_are_there() -> None:
    # A wrong folder would let every rule below hold for nothing.
    for folder in (*FORBIDDEN, "tests/", "local/"):
        assert any(name.startswith(folder) for name in SOURCES), folder


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_imports_point_down_only(folder: str) -> None:
    wrong = {
        name: sorted(found)
        for name in SOURCES
        if name.startswith(folder) and (found := set(imported(TREES[name])) & FORBIDDEN[folder])
    }
    assert not wrong


@pytest.mark.parametrize("package", BELOW)
def test_no_room_knows_those_above_it(package: str) -> None:
    folder = f"layers/service/dicom_service/{package}/"
    found = {
        name: above
        for name in SOURCES
        if name.startswith(folder) and (above := sorted(set(rooms(TREES[name])) & BELOW[package]))
    }
    assert not found


def rooms(tree: ast.AST) -> Iterator[str]:
    """Return the packages of dicom_service that a module imports from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name.split(".")[1] for name in names if name.startswith("dicom_service."))


@pytest.mark.parametrize(
    "line",
    [
        "from dicom_service.storing.claims import Claims",
        "from dicom_service.storing import claims",
        "from dicom_service import storing",
        "def f():\n    import dicom_service.storing.claims",
    ],
)
def test_an_import_of_a_room_is_seen(line: str) -> None:
    assert list(rooms(ast.parse(line))) == ["storing"]
    assert not list(rooms(ast.parse("from dicomweb.client import Client\nimport dicom_service")))


def test_tests_and_benchmarks_share_helpers_not_test_modules() -> None:
    sharing = {name for name in SOURCES if f"from {SHARED}" in (ROOT / name).read_text()}
    assert len(sharing) > 20
    assert not {name: found for name in SOURCES if (found := sorted(imported_tests(TREES[name])))}


@pytest.mark.parametrize(
    "line",
    [
        "from tests.unit.worklist.test_contract import body",
        "from tests.e2e.otp.conftest import issue",
        "def f():\n    import tests.unit.test_docs",
        "from tests import unit",
        "from .test_docs import ROOT",
    ],
)
def test_an_import_of_a_test_module_is_seen(line: str) -> None:
    assert list(imported_tests(ast.parse(line)))
    assert not list(imported_tests(ast.parse("from tests.support.stack import Stack\nimport tests.support.pacs")))


def test_files_and_functions_stay_small() -> None:
    lines = {name: len((ROOT / name).read_text().splitlines()) for name in SOURCES}
    assert not {name: count for name, count in lines.items() if count >= LONGEST_FILE}
    handlers = {name: count for name, count in lines.items() if re.fullmatch(r"functions/\w+/app\.py", name)}
    assert handlers and not {name: count for name, count in handlers.items() if count > LONGEST_HANDLER_MODULE}
    shipped = [name for name in SOURCES if name.startswith(SHIPPED)]
    assert not {name: found for name in shipped if (found := list(long_functions(TREES[name])))}


def test_nothing_is_caught_wholesale_and_no_import_has_a_fallback() -> None:
    shipped = [name for name in SOURCES if name.startswith(SHIPPED)]
    assert {name for name in shipped if list(caught_too_widely(TREES[name]))} == {CATCHES_EVERYTHING}
    assert len(list(caught_too_widely(TREES[CATCHES_EVERYTHING]))) == 1
    assert not {name: lines for name in shipped if (lines := list(import_fallbacks(TREES[name])))}


def aws_errors(tree: ast.AST) -> Iterator[str]:
    """Yield what names the exceptions of botocore or boto3: an import, or `client.exceptions`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and not node.level:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.Attribute):
            names = [ast.unparse(node)]
        else:
            continue
        yield from (name for name in names if AWS_ERROR.search(name))


def test_errors_of_aws_are_named_at_the_edge_to_it_only() -> None:
    shipped = [name for name in SOURCES if name.startswith(("functions/", "layers/service/"))]
    naming = {name for name in shipped if list(aws_errors(TREES[name]))}
    assert any(name.startswith(EDGE_TO_AWS) for name in naming)
    assert not {name for name in naming if not name.startswith(EDGE_TO_AWS)}


@pytest.mark.parametrize(
    "line",
    [
        "from botocore.exceptions import ClientError",
        "from botocore import exceptions",
        "import botocore.exceptions as theirs",
        "from boto3.exceptions import S3UploadFailedError",
        "try:\n    call()\nexcept client.exceptions.NoSuchKey:\n    pass",
    ],
)
def test_a_name_of_an_aws_error_is_seen(line: str) -> None:
    assert list(aws_errors(ast.parse(line)))
    assert not list(aws_errors(ast.parse("from botocore.auth import SigV4Auth\nfrom dicom_service.aws import errors")))


def repetitions(tree: ast.AST) -> Iterator[str]:
    """Yield what is repeated behind the edge: waiting, and requests that may be done in part."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            names = [node.attr] if NOT_WHOLE.fullmatch(node.attr) else [ast.unparse(node)]
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        yield from (name for name in names if name == "time.sleep" or NOT_WHOLE.fullmatch(name))


def test_requests_are_repeated_at_the_edge_to_aws_only() -> None:
    shipped = [name for name in SOURCES if name.startswith(("functions/", "layers/service/"))]
    repeating = {name for name in shipped if list(repetitions(TREES[name]))}
    assert any(name.startswith(EDGE_TO_AWS) for name in repeating)
    assert {name for name in repeating if not name.startswith(EDGE_TO_AWS)} == {WAITS}
    assert set(repetitions(TREES[WAITS])) == {"time.sleep"}


@pytest.mark.parametrize(
    "line",
    [
        "time.sleep(1)",
        "def f(sleep=time.sleep):\n    pass",
        "from time import sleep",
        "aws.dynamodb().batch_get_item(RequestItems={})",
        "call = client.transact_write_items",
        "self._client.change_message_visibility_batch(Entries=[])",
    ],
)
def test_a_repetition_is_seen(line: str) -> None:
    assert list(repetitions(ast.parse(line)))
    assert not list(repetitions(ast.parse("aws.dynamodb().put_item()\naws.transact([])\ntime.monotonic()")))


def modules_by_name() -> dict[str, str]:
    """Return the files of the layers by the names that they are imported by."""
    found = {}
    for name in SOURCES:
        layer = re.match(r"layers/\w+/(.+)\.py$", name)
        if layer:
            found[layer[1].replace("/", ".").removesuffix(".__init__")] = name
    return found


def runs_imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Yield the imports of a module that ever run: those inside functions too, those for the type checker not."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            yield from runs_imports(child)


def neighbours(module: str, modules: dict[str, str], trees: dict[str, ast.Module]) -> set[str]:
    """Return the modules of its own package that a module imports."""
    package = package_of(module)
    found = set()
    for node in runs_imports(trees[modules[module]]):
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            found |= {name if name in modules else str(node.module) for name in names}
        else:
            found |= {alias.name for alias in node.names}
    return {name for name in found if name in modules and name != module and package_of(name) == package}


def package_of(module: str) -> str:
    """Return the package that a module belongs to; what lies beside the packages of dicom_service is one for itself."""
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "dicom_service" else parts[0]


def longest_chain(module: str, modules: dict[str, str], trees: dict[str, ast.Module]) -> list[str]:
    below = (longest_chain(name, modules, trees) for name in sorted(neighbours(module, modules, trees)))
    return [module, *max(below, key=len, default=[])]


def test_no_package_is_deeper_than_six_modules() -> None:
    modules = modules_by_name()
    packages = {package_of(name) for name in modules}
    chains = {name: longest_chain(name, modules, TREES) for name in modules}
    assert {"dicom_service.uploads", "dicom_service.otp", "dicomweb", "imaging"} <= packages
    assert max(map(len, chains.values())) == LONGEST_CHAIN  # not above, and not a measure that finds nothing
    assert not {name: chain for name, chain in chains.items() if len(chain) > LONGEST_CHAIN}


def test_an_import_inside_a_function_counts_in_a_chain() -> None:
    sources = {
        "a.b": "def f():\n    from a import c",
        "a.c": "import a.d",
        "a.d": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import a.e",
        "a.e": "",
    }
    trees = {name: ast.parse(text) for name, text in sources.items()}
    assert longest_chain("a.b", {name: name for name in sources}, trees) == ["a.b", "a.c", "a.d"]


def test_no_source_edits_the_import_path() -> None:
    assert not {name: lines for name in SOURCES if (lines := list(path_edits(TREES[name])))}


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    text = _tracked("*.py", "*.md", "*.yaml", "*.toml", "*.json", "*.sh", "*.lua", "Makefile", "**/Makefile")
    assert not [name for name in text if MACHINE_PATH.search((ROOT / name).read_text())]


def test_what_is_public_says_what_it_is_for() -> None:
    public = [name for name in SOURCES if name.startswith("layers/") and not Path(name).name.startswith("_")]
    assert not {name: missing for name in public if (missing := list(undocumented(TREES[name])))}
