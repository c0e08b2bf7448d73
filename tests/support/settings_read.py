"""Which environment variables a function can read: the settings that anything reachable from its handler loads.

Reachable is whatever the code names, from definition to definition, through imports at any depth. An object is made
by code that names its class, so annotations do not count; a branch that may never run does.
"""

import ast
import importlib
from collections.abc import Iterator
from dataclasses import MISSING, dataclass, fields
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "layers/service"
LOAD = ("dicom_service.settings", "load")

Name = tuple[str, str]  # module, top-level name


@dataclass(frozen=True)
class Variable:
    """An environment variable of a settings class."""

    name: str
    required: bool


@dataclass(frozen=True)
class Module:
    """The top-level definitions of a module, and what its imports stand for."""

    definitions: dict[str, list[ast.AST]]
    imports: dict[str, Name]


@cache
def module(name: str) -> Module | None:
    """Read a module of the service layer, or ``functions/<name>/app.py`` as ``functions.<name>``."""
    base = ROOT / name.replace(".", "/") if name.startswith("functions.") else LAYER / name.replace(".", "/")
    files = [base / "app.py", base.with_suffix(".py"), base / "__init__.py"]
    path = next((file for file in files if file.is_file()), None)
    if path is None:
        return None
    tree = ast.parse(path.read_text())
    found = Module({}, {})
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            assert node.module and not node.level, f"{name}: a relative import"
            for alias in node.names:
                found.imports[alias.asname or alias.name] = (node.module, alias.name)
    for node in tree.body:
        for defined in _defined(node):
            found.definitions.setdefault(defined, []).append(node)
    return found


def _defined(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return [target.id for target in targets if isinstance(target, ast.Name)] or [""]


def _named(node: ast.AST) -> Iterator[ast.Name | ast.Attribute]:
    """Return the names that code uses, without its annotations."""
    for field, value in ast.iter_fields(node):
        if field in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.Name | ast.Attribute):
                yield child
            if isinstance(child, ast.AST):
                yield from _named(child)


def _resolve(where: str, node: ast.expr) -> Name | None:
    """Return the definition that a name stands for, through any number of imports."""
    if isinstance(node, ast.Attribute):
        package = _resolve(where, node.value)
        return _follow(".".join(filter(None, package)), node.attr) if package and not package[1] else None
    return _follow(where, node.id) if isinstance(node, ast.Name) else None


def _follow(where: str, name: str) -> Name | None:
    here = module(where)
    if here is None:
        return None
    if name in here.definitions:
        return where, name
    if name in here.imports:
        source, original = here.imports[name]
        return (f"{source}.{original}", "") if module(f"{source}.{original}") else _follow(source, original)
    return None


def settings_loaded(function: str) -> set[Name]:
    """Return the settings classes that a function can load."""
    app = module(f"functions.{function}")
    assert app, function
    open_names: list[Name] = [(f"functions.{function}", name) for name in app.definitions]
    seen, loaded = set(open_names), set()
    while open_names:
        where, name = open_names.pop()
        here = module(where)
        assert here
        for definition in here.definitions.get(name, []):
            for call in ast.walk(definition):
                if isinstance(call, ast.Call) and _resolve(where, call.func) == LOAD:
                    settings = _resolve(where, call.args[0])
                    assert settings, f"{where}: load of what has no name"
                    loaded.add(settings)
            found = {_resolve(where, used) for used in _named(definition)}
            found |= {(name[0], "") for name in found if name}  # what a module does when it is imported
            new = {name for name in found if name and name not in seen and module(name[0])}
            seen |= new
            open_names.extend(new)
    return loaded


def variables_read(function: str) -> set[Variable]:
    """Return the variables that a function can read."""
    return {
        Variable(field.metadata["variable"], field.default is MISSING)
        for where, name in settings_loaded(function)
        for field in fields(getattr(importlib.import_module(where), name))
    }
