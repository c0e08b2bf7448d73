"""One file of the pages, as it is to be packed."""

from dataclasses import dataclass
from pathlib import Path

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}


@dataclass(frozen=True)
class Source:
    """One file to pack.

    Parameters
    ----------
    path
        Below the stage; the suffix tells the media type, and a path without one is a document.
    policy
        Name of its Content-Security-Policy (`dicom_service.pages.policies`).
    is_immutable
        Whether its path changes with its content.
    is_filled
        Whether it has placeholders for what the operator says of itself.
    """

    path: str
    content: bytes
    policy: str
    is_immutable: bool = False
    is_filled: bool = False

    @property
    def media_type(self) -> str:
        """Its Content-Type."""
        return _TYPES[Path(self.path).suffix or ".html"]
