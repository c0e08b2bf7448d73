"""The upload engine as pages get it: its modules find each other in one folder, and dicom-parser is a module too."""

import json
import re

import pytest

from web import engine
from web.engine import FOLDER, LOCK

_IMPORT = re.compile(r'(?:from|import) "([^"]+)"')


def test_modules_import_only_what_lies_beside_them() -> None:
    modules = {path.name: path.read_text("utf-8") for path in FOLDER.glob("*.js")}
    imported = {name for text in modules.values() for name in _IMPORT.findall(text)}

    assert len(imported) > 10
    assert {name.removeprefix("./") for name in imported} <= modules.keys() | {"dicom-parser.js"}
    assert all(name.startswith("./") for name in imported)


@pytest.mark.parametrize("word", ["document", "window", "localStorage", "sessionStorage", "innerHTML"])
def test_it_touches_no_document(word: str) -> None:
    users = [path.name for path in FOLDER.glob("*.js") if re.search(rf"\b{word}\.", path.read_text("utf-8"))]
    assert users == []


def test_the_lock_names_one_version_by_a_strong_hash() -> None:
    lock = json.loads(LOCK.read_text("utf-8"))
    assert lock["licence"] == "MIT"
    assert lock["integrity"].startswith("sha512-")


def test_the_parser_becomes_a_module_by_one_exact_text() -> None:
    module = engine._AS_MODULE % (b"!function(){" + engine._UMD + b"}()")
    assert module.startswith(b"const module = ")
    assert module.endswith(b"export default module.exports;\n")
