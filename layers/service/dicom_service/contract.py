"""The HTTP contract as OpenAPI 3.1, and a page to read and try it.

Each capability keeps its routes in a file of its own under ``openapi/``; here they become one document. What every
route answers alike (401, 403, the PACS's troubles) is added here, so that no file repeats it.
"""

import base64
import hashlib
import json
from importlib.resources import files
from typing import Any

from dicom_service.edge import to_json

_SECURED = {"401": "Unauthorized", "403": "Forbidden"}
_PACS = {"502": "PacsTrouble", "503": "PacsBusy", "504": "PacsTimeout"}


def contract(server: str = "/") -> dict[str, Any]:
    """Give the whole contract.

    Parameters
    ----------
    server
        Base URL of the stage it is served from.
    """
    parts = [json.loads(part.read_text("utf-8")) for part in _part_files()]
    base = next(part for part in parts if "openapi" in part)
    for part in parts:
        if part is base:
            continue
        base["paths"] |= part.get("paths", {})
        base["tags"] += part.get("tags", [])
        for kind, entries in part.get("components", {}).items():
            base["components"].setdefault(kind, {}).update(entries)
    for methods in base["paths"].values():
        for operation in methods.values():
            _add_common(operation)
    return {**base, "servers": [{"url": server}]}


def _part_files() -> list[Any]:
    folder = files("dicom_service") / "openapi"
    return sorted((entry for entry in folder.iterdir() if entry.name.endswith(".json")), key=lambda entry: entry.name)


def _add_common(operation: dict[str, Any]) -> None:
    secured = operation.get("security") != []
    common = (_SECURED if secured else {}) | (_PACS if operation.get("x-pacs") else {})
    for status, name in common.items():
        operation["responses"].setdefault(status, {"$ref": f"#/components/responses/{name}"})


def page() -> tuple[str, str]:
    """Give the page that shows the contract, and the Content-Security-Policy it needs.

    Everything is in the page: it works in a closed network, and the policy lets nothing else run.
    """
    assets = files("aws_lambda_powertools.event_handler.openapi.swagger_ui")
    script = (assets / "swagger-ui-bundle.min.js").read_text("utf-8").replace("</script", "<\\/script")
    style = (assets / "swagger-ui.min.css").read_text("utf-8")
    start = f"window.ui = SwaggerUIBundle({{spec: {_embedded()}, dom_id: '#ui', tryItOutEnabled: true}});"
    html = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>DICOM Service</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<style>{style}</style></head><body><div id="ui"></div>'
        f"<script>{script}</script><script>{start}</script></body></html>"
    )
    hashes = " ".join(f"'sha256-{_digest(text)}'" for text in (script, start))
    policy = (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return html, policy


def _embedded() -> str:
    # The page lies beside the routes, so its own folder is the server.
    return to_json(contract(".")).replace("</", "<\\/")


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
