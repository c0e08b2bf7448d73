"""Staged uploads to the deployed stack, with the forms that it presigns."""

from collections.abc import Mapping
from typing import Any

import requests

from tests.support.stack import Stack
from tests.support.waiting import wait_for


def stage(stack: Stack, contents: Mapping[str, bytes]) -> dict[str, Any]:
    """Send files with their presigned forms and wait for what becomes of the upload; return its progress."""
    return ended(stack, send(stack, contents))


def send(stack: Stack, contents: Mapping[str, bytes]) -> str:
    """Open an upload and send its files with their presigned forms; return its id."""
    files = [{"name": name, "size": len(content)} for name, content in contents.items()]
    opened = stack.request("POST", "/uploads", json={"files": files})
    assert opened.status_code == 201, opened.text
    for file, content in zip(opened.json()["files"], contents.values(), strict=True):
        sent = requests.post(file["url"], data=file["fields"], files={"file": content}, timeout=60)
        assert sent.status_code == 204, sent.text
    return str(opened.json()["uploadId"])


def progress(stack: Stack, upload_id: str) -> dict[str, Any]:
    """Return how far an upload is."""
    answer: dict[str, Any] = stack.request("GET", f"/uploads/{upload_id}").json()
    return answer


def stage_all(stack: Stack, contents: list[bytes]) -> list[dict[str, Any]]:
    """Send files in one upload; return what became of each."""
    files: list[dict[str, Any]] = stage(stack, {str(n): content for n, content in enumerate(contents)})["files"]
    return files


def ended(stack: Stack, upload_id: str) -> dict[str, Any]:
    """Wait for the end of an upload; return its progress."""
    found: dict[str, Any] = {}

    def is_over() -> bool:
        found.update(progress(stack, upload_id))
        return bool(found["state"] != "open")

    wait_for(is_over, 120)
    return found
