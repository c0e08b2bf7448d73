"""Reads the packed pages: an index, and one precompressed body for each path (written by web/pack.py)."""

import gzip
import hashlib
import html
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources.abc import Traversable
from typing import Any

INDEX = "index.json"
_PLACEHOLDER = re.compile(r"{{(\w+)}}")


@dataclass(frozen=True)
class Page:
    """One file as it is served.

    Parameters
    ----------
    body
        Its bytes, compressed if `is_gzip`.
    media_type
        Its Content-Type.
    tag
        Its ETag, with quotes.
    policy
        Name of its Content-Security-Policy (`dicom_service.pages.policies`).
    is_immutable
        Whether its path changes with its content, so that browsers may keep it for good.
    """

    body: bytes
    is_gzip: bool
    media_type: str
    tag: str
    policy: str
    is_immutable: bool

    def identity(self) -> bytes:
        """Return the body without compression."""
        return gzip.decompress(self.body) if self.is_gzip else self.body


class Pages:
    """The packed pages, each read when it is first asked for and kept.

    Parameters
    ----------
    folder
        What web/pack.py wrote.
    values
        What the placeholders ``{{name}}`` of a document stand for; escaped here.
    """

    def __init__(self, folder: Traversable, values: Mapping[str, str]) -> None:
        self._folder = folder
        self._values = values
        self._index: dict[str, dict[str, Any]] = json.loads((folder / INDEX).read_bytes())
        self._read: dict[str, Page] = {}

    def find(self, path: str) -> Page | None:
        """Return the page of a path without its leading slash, or None."""
        entry = self._index.get(path)
        if entry is None:
            return None
        if path not in self._read:
            self._read[path] = self._make(entry)
        return self._read[path]

    def _make(self, entry: Mapping[str, Any]) -> Page:
        body, is_gzip, tag = (self._folder / entry["file"]).read_bytes(), entry["gzip"], entry["tag"]
        if entry["filled"]:
            text = gzip.decompress(body).decode("utf-8") if is_gzip else body.decode("utf-8")
            filled = _PLACEHOLDER.sub(lambda match: html.escape(self._values[match[1]]), text).encode()
            body, is_gzip, tag = gzip.compress(filled, mtime=0), True, hashlib.sha256(filled).hexdigest()[:32]
        return Page(body, is_gzip, entry["type"], f'"{tag}"', entry["policy"], entry["immutable"])
