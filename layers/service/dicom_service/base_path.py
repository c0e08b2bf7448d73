"""The path inside the API, whatever domain the request came by."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote


def without_base_path(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the event with the path that routes are written in.

    A custom domain may map the API under a base path; API Gateway then leaves it in ``path``, though not in
    ``resource``. What precedes the matched route is taken off; where the two do not fit together nothing is.

    Parameters
    ----------
    event
        The REST API's proxy event.
    """
    path, inner = str(event.get("path") or ""), str(event.get("resource") or "")
    parameters = event.get("pathParameters") or {}
    for encode in (str, quote):
        own = inner
        for name, value in parameters.items():
            own = own.replace(f"{{{name}}}", encode(value)).replace(f"{{{name}+}}", encode(value))
        for spelling in (own, own + "/"):
            if own.startswith("/") and len(own) > 1 and path.endswith(spelling):
                return {**event, "path": spelling}
    return dict(event)
