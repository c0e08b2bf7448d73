"""The script uploads real studies through the deployed stack: a folder, a ZIP of it, files larger than a request takes.

The files are made here; the PACS counts them.
"""

import io
import json
import os
import sys
import time
import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests

from scripts import upload_exam
from tests.support.dicom_files import element
from tests.support.stack import Stack
from tests.support.upload_files import ROOT, dicom, meta, text
from tests.support.uploads import filed

SOAK = bool(os.environ.get("SOAK"))
FILES = 300 if SOAK else 40
MIB = 1024 * 1024


def new_study() -> str:
    return f"{ROOT}.{time.time_ns()}"


def in_pacs(stack: Stack, study: str) -> int:
    answer = stack.pacs_request("GET", f"/studies/{study}/instances", headers={"Accept": "application/dicom+json"})
    return len(answer.json()) if answer.status_code == 200 and answer.content else 0


def run(stack: Stack, *arguments: str | Path) -> int:
    where = ["--api-url", stack.api_url, "--key", stack.service_key, "--timeout", "120"]
    return upload_exam.main([*map(str, arguments), *where])


@pytest.fixture
def folder(tmp_path: Path) -> tuple[str, Path]:
    """A study as a folder."""
    study = new_study()
    base = tmp_path / "study"
    for number in range(FILES):
        series = base / f"SE{number % 3}"
        series.mkdir(parents=True, exist_ok=True)
        (series / f"IM{number}").write_bytes(dicom(number, study=study, pixels=20_000))
    return study, base


def test_a_folder_and_a_zip_of_it(
    stack: Stack, folder: tuple[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN a study as a folder, and a ZIP of it as on a CD
    study, base = folder
    cd = tmp_path / "cd.zip"
    with zipfile.ZipFile(cd, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.TXT", "viewer")
        for path in sorted(base.rglob("IM*")):
            archive.write(path, path.relative_to(base))

    # WHEN the ZIP is uploaded THEN the PACS, which had none of them, has each instance
    assert in_pacs(stack, study) == 0
    codes = [run(stack, cd)]
    assert in_pacs(stack, study) == FILES
    # WHEN the folder is uploaded as well
    codes.append(run(stack, base))

    # THEN both end well, and the PACS has each instance once, of either way
    told = capsys.readouterr().out
    assert codes == [0, 0], told
    assert told.count("uploads: 1 completed") == 2
    assert told.count("stored         ") == FILES + 1
    assert f"({FILES} stored, 1 skipped)" in told
    assert in_pacs(stack, study) == FILES
    assert list(tmp_path.glob(".*.upload.json")) == []


def test_small_files_travel_together(stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    # GIVEN a folder of small files, and a text beside them
    study, base = new_study(), tmp_path / "study"
    base.mkdir()
    for number in range(12):
        (base / f"IM{number}").write_bytes(dicom(number, study=study))
    (base / "NOTES").write_text("no image")

    # WHEN it is sent with --zip
    code = run(stack, "--zip", base)

    # THEN one object carried all, what is no image is left out, and the ZIP is gone
    told = capsys.readouterr().out
    assert (code, in_pacs(stack, study)) == (0, 12), told
    assert "uploads: 1 completed" in told
    assert "(12 stored, 1 skipped)" in told
    assert list(tmp_path.glob(".*")) == []


def test_an_interrupted_upload_goes_on(
    stack: Stack, folder: tuple[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # GIVEN an upload whose line breaks for good after ten files
    study, base = folder
    posted: list[str] = []
    original = upload_exam.Sender._post

    def breaks(self: Any, file: dict[str, Any], path: Path) -> requests.Response:
        if len(posted) >= 10:
            raise upload_exam.UploadFailed("the line is cut")
        posted.append(str(path))
        return original(self, file, path)

    monkeypatch.setattr(upload_exam.Sender, "_post", breaks)
    assert run(stack, base) == 2
    state = base.with_name(".study.upload.json")
    first = json.loads(state.read_text())[0]["upload_id"]

    # WHEN the same command is given again
    monkeypatch.setattr(upload_exam.Sender, "_post", original)
    assert run(stack, base) == 0

    # THEN the same upload was gone on with
    assert stack.request("GET", f"/uploads/{first}").json()["instances"] == FILES == in_pacs(stack, study)


def test_bad_files_are_named_and_the_others_stored(
    stack: Stack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = new_study()
    (tmp_path / "good.dcm").write_bytes(dicom(1, study=study))
    (tmp_path / "letter.txt").write_text("Dear colleague")
    (tmp_path / "empty").write_bytes(b"")

    assert run(stack, tmp_path / "good.dcm", tmp_path / "letter.txt", tmp_path / "empty") == 1

    told = capsys.readouterr().out
    assert "letter.txt  NO_DICM" in told
    assert "empty  EMPTY" in told
    assert in_pacs(stack, study) == 1


def test_a_file_that_takes_parts(stack: Stack, tmp_path: Path) -> None:
    # GIVEN an instance that one POST does not take; with SOAK=1 of a gigabyte
    study, size = new_study(), (1024 if SOAK else 70) * MIB
    path = tmp_path / "large.dcm"
    with path.open("wb") as file:
        uids = text(0x00080016, "UI", "1.2.840.10008.5.1.4.1.1.2") + text(0x00080018, "UI", f"{study}.1")
        uids += text(0x0020000D, "UI", study) + text(0x0020000E, "UI", f"{study}.2")
        head = element(0x7FE00010, b"OW", b"")[:-4] + size.to_bytes(4, "little")
        file.write(bytes(128) + b"DICM" + meta(f"{study}.1") + uids + head)
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))

    assert run(stack, path) == 0

    orthanc = stack.pacs.url.removesuffix("/dicom-web")
    login = (stack.pacs.user, stack.pacs.password)
    found = requests.post(f"{orthanc}/tools/lookup", data=f"{study}.1", auth=login, timeout=60).json()
    length = requests.get(f"{orthanc}/instances/{found[0]['ID']}/attachments/dicom/size", auth=login, timeout=60)
    assert int(length.text) == path.stat().st_size


def test_the_presigned_form_takes_only_what_was_announced(stack: Stack) -> None:
    # GIVEN the form of one file
    study = new_study()
    content = dicom(1, study=study)
    body = {"files": [{"name": "a", "size": len(content)}]}
    file = stack.request("POST", "/uploads", json=body).json()["files"][0]

    def post(data: bytes, **changed: str) -> int:
        form = requests.post(file["url"], data={**file["fields"], **changed}, files={"file": data}, timeout=30)
        return form.status_code

    # WHEN it is used for something else, it is refused; unchanged it works
    assert post(content + b"x") == 400
    assert post(content[:-1]) == 400
    assert post(content, key="uploads/other") == 403
    assert post(content, **{"Content-Type": "text/html"}) == 403
    assert post(content, **{"x-amz-signature": "0" * 64}) == 403
    assert post(content) == 204


def test_a_dropped_file_is_stored_and_reported(stack: Stack) -> None:
    study = new_study()
    s3 = stack.client("s3")
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a", dicom(1, study=study))
    for name, content in (("a b.dcm", dicom(2, study=study)), ("cd.zip", buffer.getvalue()), ("x.txt", b"text")):
        s3.put_object(Bucket=stack.staging_bucket, Key=f"drop/{study}/{name}", Body=content)

    reports = {
        name: _report(stack, f"reports/{filed(f'drop/{study}/{name}')}.json") for name in ("a b.dcm", "cd.zip", "x.txt")
    }

    assert [report["state"] for report in reports.values()] == ["stored", "stored", "rejected"]
    assert in_pacs(stack, study) == 2
    head = s3.head_object(Bucket=stack.staging_bucket, Key=f"quarantine/{filed(f'drop/{study}/x.txt')}")
    assert head["Metadata"]["reason"] == "NO_DICM"


def _report(stack: Stack, key: str) -> Any:
    s3 = stack.client("s3")
    for _ in range(60):
        listed = s3.list_objects_v2(Bucket=stack.staging_bucket, Prefix=key)
        if listed["KeyCount"]:
            return json.loads(s3.get_object(Bucket=stack.staging_bucket, Key=key)["Body"].read())
        time.sleep(0.5)
    print(stack.log[-4000:], file=sys.stderr)
    raise AssertionError(f"no {key}")
