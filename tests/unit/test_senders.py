"""A plain sender of the benchmarks has sent what the PACS names as stored, not what it did not complain of."""

from types import SimpleNamespace
from typing import Any, cast

import pytest
import requests

from benchmarks.senders import plain
from benchmarks.servers import Servers, WorkNotDone
from benchmarks.staging import Staged

SERVERS = cast(Servers, SimpleNamespace(pacs=SimpleNamespace(url="http://pacs/dicom-web"), http=requests.Session()))
STAGED = cast(Staged, SimpleNamespace(keys=["a", "b"], fetch=str.encode))


def answering(monkeypatch: pytest.MonkeyPatch, *named: int) -> list[int]:
    """Let a PACS name so many instances as stored, one number for each request, and return those not asked for."""
    left = list(named)

    def post(*_: Any, **__: Any) -> requests.Response:
        answer = requests.Response()
        answer.status_code = 200
        stored = ",".join(["{}"] * left.pop(0))
        answer._content = f'{{"00081199": {{"vr": "SQ", "Value": [{stored}]}}}}'.encode()
        return answer

    monkeypatch.setattr(requests.Session, "post", post)
    return left


def test_a_request_is_sent_again_until_the_pacs_names_all_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    left = answering(monkeypatch, 1, 2, 2)
    plain(2, 1)(SERVERS, [STAGED])
    assert left == [2]


def test_a_pacs_that_never_names_all_of_it_has_not_done_the_work(monkeypatch: pytest.MonkeyPatch) -> None:
    left = answering(monkeypatch, 1, 1, 1, 2)
    with pytest.raises(WorkNotDone):
        plain(2, 1)(SERVERS, [STAGED])
    assert left == [2]
