"""The HTTP contract as OpenAPI 3.1, and a page to read and try it.

The document is written in YAML, one file for each capability (``layers/service/openapi``); ``build_contract.py`` makes
the one JSON of it that lies beside this module.
"""

import base64
import hashlib
import json
import re
from functools import cache
from importlib.resources import files
from typing import Any

from dicom_service.edge import to_json


def contract(server: str = "/") -> dict[str, Any]:
    """Return the whole contract.

    Parameters
    ----------
    server
        Base URL of the stage it is served from.
    """
    return {**_document(), "servers": [{"url": server}]}


def methods_of(path: str) -> list[str]:
    """Return the methods of the route that `path` is of, as the document writes them; none where there is no route.

    A literal segment counts more than a parameter, as at the gateway: ``/otps/redeem`` is not an otpId.
    """
    paths = _document()["paths"]
    for template in sorted(paths, key=lambda template: template.count("{")):
        if re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template)), path):
            return list(paths[template])
    return []


@cache
def _document() -> dict[str, Any]:
    document: dict[str, Any] = json.loads((files("dicom_service") / "openapi.json").read_bytes())
    return document


def page() -> tuple[str, str]:
    """Return the page that shows the contract, and the Content-Security-Policy it needs.

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
