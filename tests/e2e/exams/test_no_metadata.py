"""A file that Orthanc stores and whose metadata it then fails to write is shown all the same."""

from tests.support.exams import new_uid
from tests.support.images import without_metadata
from tests.support.stack import Stack


def test_its_pictures_are_given(stack: Stack) -> None:
    study = new_uid()
    series, instance = new_uid(), new_uid()
    _, data = without_metadata(study, series, instance)
    given = stack.request("POST", "/exams", data=data, headers={"Content-Type": "application/dicom"})
    assert given.status_code == 200, given.text
    path = f"/studies/{study}/series/{series}"
    # the control: Orthanc does fail
    metadata = stack.pacs_request("GET", f"{path}/instances/{instance}/metadata")
    assert metadata.status_code == 500

    for resource in (f"{path}/instances/{instance}", f"{path}/thumbnail", f"/studies/{study}/thumbnail"):
        shown = stack.request("GET", f"/exams{resource}", params={"fileType": "image/png"})
        assert (shown.status_code, shown.headers.get("X-Thumbnail")) == (200, "frame"), shown.text
        assert shown.content.startswith(b"\x89PNG")
