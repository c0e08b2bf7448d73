"""JSON over HTTP, as the worklist services speak it."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from dicomweb.errors import PacsFault
from dicomweb.transport import DICOM_JSON, Body, Response, Transport


@dataclass(frozen=True)
class Answer:
    """The answer of a PACS.

    Parameters
    ----------
    status
        HTTP status: a success, or one that the caller asked to see.
    body
        The JSON that came with it, None when nothing came.
    """

    status: int
    body: Any = None


class Rest:
    """One REST service of a PACS.

    Parameters
    ----------
    url
        Base URL; the paths of the calls are put behind it.
    transport
        Sends the requests.
    """

    def __init__(self, url: str, transport: Transport) -> None:
        self._url = url.rstrip("/")
        self._transport = transport

    def call(
        self,
        method: str,
        path: str,
        *,
        query: str = "",
        payload: Any = None,
        also: Collection[int] = (),
        media_type: str = DICOM_JSON,
    ) -> Answer:
        """Send one request and return its answer.

        Parameters
        ----------
        path
            Starts with a slash, encoded already.
        query
            Encoded already, without the question mark.
        payload
            Sent as JSON unless None.
        also
            Statuses that are an answer here, not an error.
        media_type
            Of the payload and of the answer asked for.
        """
        url = self._url + path + (f"?{query}" if query else "")
        body = None if payload is None else Body.of(json.dumps(payload).encode(), media_type)
        # Only GET is retried: where the answer to a change is lost after the change was made, a repetition would be
        # rejected. The caller reads the workitem to find out.
        response = self._transport.request(method, url, headers={"Accept": media_type}, body=body)
        if response.status in also:
            return Answer(response.status)
        response.raise_for_status()
        return Answer(response.status, _parsed(response, must=method == "GET"))


def datasets(answer: Answer) -> list[dict[str, Any]]:
    """Return the datasets of an answer: an array, one alone, or none.

    Raises
    ------
    PacsFault
        The JSON is something else.
    """
    found = [] if answer.body is None else answer.body if isinstance(answer.body, list) else [answer.body]
    if not all(isinstance(each, dict) for each in found):
        raise PacsFault("the PACS answered JSON that is not a dataset", status=answer.status)
    return found


def _parsed(response: Response, *, must: bool) -> Any:
    if not response.content.strip():
        return None
    if "json" in response.media_type:
        return response.json()
    # Text after a change may be a remark; after a question, or as a web page, it is a login form or a proxy's error.
    if must or "html" in response.media_type:
        raise PacsFault("the PACS answered something that is not JSON", status=response.status)
    return None
