"""Functions called as Lambda calls them, and their answers as API Gateway would send them."""

import base64
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dicom_service import metrics

ROOT = Path(__file__).parents[2]


Invoke = Callable[..., "Answer"]


class Answer:
    """A function's answer as API Gateway would send it."""

    def __init__(self, raw: dict[str, Any]) -> None:
        self.status: int = raw["statusCode"]
        self.headers = {name: values[-1] for name, values in raw["multiValueHeaders"].items()}
        body = raw.get("body") or ""
        self.body: bytes = base64.b64decode(body) if raw.get("isBase64Encoded") else body.encode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def sample_event(name: str) -> dict[str, Any]:
    """The event that lies in `events/` for a function."""
    found: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return found


def clear_dependencies() -> None:
    """Let the next call wire its objects from the settings as they are then, as a cold start does."""
    for name, module in list(sys.modules.items()):
        if name.startswith("dicom_service.") and name.endswith(".dependencies"):
            for factory in list(vars(module).values()):
                if hasattr(factory, "cache_clear"):
                    factory.cache_clear()
    metrics._provider.cache_clear()
