"""Requests to POST /exams, and what a PACS answers to STOW-RS."""

import base64
from typing import Any

from tests.support.dicom_files import CT


def stored(*uids: str) -> dict[str, Any]:
    items = [
        {
            "00081150": {"vr": "UI", "Value": [CT]},
            "00081155": {"vr": "UI", "Value": [uid]},
            "00081190": {"vr": "UR", "Value": [f"http://pacs.internal/studies/1.2.3/series/1.2.3.4/instances/{uid}"]},
        }
        for uid in uids
    ]
    return {"00081199": {"vr": "SQ", "Value": items}}


def failed(uid: str, reason: int) -> dict[str, Any]:
    item = {
        "00081150": {"vr": "UI", "Value": [CT]},
        "00081155": {"vr": "UI", "Value": [uid]},
        "00081197": {"vr": "US", "Value": [reason]},
    }
    return {"00081198": {"vr": "SQ", "Value": [item]}}


def form(*files: tuple[str, bytes], boundary: str = "xyz") -> dict[str, Any]:
    body = b""
    for name, content in files:
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="whatever"; filename="{name}"\r\n\r\n'
        body += head.encode() + content + b"\r\n"
    return request(body + f"--{boundary}--\r\n".encode(), f"multipart/form-data; boundary={boundary}")


def request(body: bytes, content_type: str) -> dict[str, Any]:
    headers = {"content-type": content_type, "host": "api.example.org"}
    return {"body": base64.b64encode(body).decode(), "isBase64Encoded": True, "headers": headers}
