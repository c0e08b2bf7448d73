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
_WORDS = re.compile(r"(\w+)/\w+/lang-(\w\w)\.js")


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
        found = [match for match in map(_WORDS.fullmatch, self._index) if match]
        self._words = {(match[1], match[2]): match[0] for match in found}

    def find(self, path: str) -> Page | None:
        """Return the page of a path without its leading slash, or None."""
        entry = self._index.get(path)
        if entry is None:
            return None
        if path not in self._read:
            self._read[path] = self._make(entry)
        return self._read[path]

    def words(self, page: str, accepted: str) -> str | None:
        """Return the path of a page's words in the first language of an Accept-Language that it has, else in English.

        The page chooses as well. None for a page that has no words of its own.
        """
        languages = [entry.strip()[:2].lower() for entry in accepted.split(",")]
        return next((self._words[page, one] for one in [*languages, "en"] if (page, one) in self._words), None)

    def _make(self, entry: Mapping[str, Any]) -> Page:
        body, is_gzip, tag = (self._folder / entry["file"]).read_bytes(), entry["gzip"], entry["tag"]
        if entry["filled"]:
            text = gzip.decompress(body).decode("utf-8") if is_gzip else body.decode("utf-8")
            filled = _PLACEHOLDER.sub(lambda match: html.escape(self._values[match[1]]), text).encode()
            body, is_gzip, tag = gzip.compress(filled, mtime=0), True, hashlib.sha256(filled).hexdigest()[:32]
        return Page(body, is_gzip, entry["type"], f'"{tag}"', entry["policy"], entry["immutable"])
