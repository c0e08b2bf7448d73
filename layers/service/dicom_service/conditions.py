"""What a caller has already and what it can read: entity tags and codings of a request's header (RFC 9110)."""

from aws_lambda_powertools.event_handler import APIGatewayRestResolver


def caller_has(app: APIGatewayRestResolver, tag: str) -> bool:
    """Return whether the caller names this entity tag as its own (RFC 9110 §13.1.2)."""
    known = _header(app, "if-none-match")
    return any(entry.strip().removeprefix("W/") in (tag, "*") for entry in known.split(","))


def takes_gzip(app: APIGatewayRestResolver) -> bool:
    """Return whether the caller takes bodies compressed by gzip (RFC 9110 §12.5.3)."""
    accepted: dict[str, bool] = {}
    for entry in _header(app, "accept-encoding").lower().split(","):
        coding, _, parameters = entry.strip().partition(";")
        weight = parameters.replace(" ", "").removeprefix("q=")
        accepted[coding.strip()] = not weight.startswith("0") or weight.strip("0.") != ""
    return accepted.get("gzip", accepted.get("*", False))


def _header(app: APIGatewayRestResolver, name: str) -> str:
    return str(app.current_event.headers.get(name) or "")
