"""What functions count for whoever watches them."""

from typing import Any

import pytest

from functions.authorize import app as authorize
from tests.support.dicom_files import dataset, part10
from tests.support.lambdas import Invoke, sample_event
from tests.support.metrics import written
from tests.support.pacs import FakePacs, dicom_json
from tests.support.store_requests import failed, form, stored

GOOD = part10(dataset())
OTHER = part10(dataset(SOPInstanceUID=b"1.2.3.4.6"))


def test_files_of_a_request_are_counted(invoke: Invoke, capsys: pytest.CaptureFixture[str]) -> None:
    with FakePacs(dicom_json(stored("1.2.3.4.5") | failed("1.2.3.4.6", 0x0110))) as pacs:
        invoke("upload_exam", pacs.url, **form(("a.dcm", GOOD), ("b.dcm", OTHER)))
    counted = written(capsys.readouterr().out)
    assert (counted["FilesStored"], counted["FilesRejected"]) == (1, 1)
    assert counted["PacsSeconds"] > 0


def test_files_that_are_none_are_counted(invoke: Invoke, capsys: pytest.CaptureFixture[str]) -> None:
    invoke("upload_exam", **form(("a.dcm", GOOD), ("b.txt", b"no DICOM"), ("c.txt", b"nor this")))
    counted = written(capsys.readouterr().out)
    assert (counted["FilesStored"], counted["FilesRejected"]) == (0, 2)


def test_a_failure_of_the_authorizer_is_told_apart_from_a_wrong_credential(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Broken:
        def decide(self, event: dict[str, Any]) -> dict[str, Any]:
            raise OSError("the secret cannot be read")

    event = sample_event("authorize")
    for name in ("SERVICE_KEYS_SECRET_ARN", "CALLBACK_SECRET_ARN"):
        monkeypatch.setenv(name, name)
    monkeypatch.setattr(authorize, "authorizer", lambda: Broken())
    with pytest.raises(OSError, match="cannot be read"):
        authorize.lambda_handler(event, None)
    assert written(capsys.readouterr().out)["AuthorizerFailures"] == 1
