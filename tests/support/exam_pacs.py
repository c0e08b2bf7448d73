"""A PACS with one exam, whose every answer is known."""

from typing import Any

from pydicom import dcmread
from pydicom.data import get_testdata_file

from tests.support.pacs import FakePacs, Handler, Received, answer, dicom_json

CT_FILE = str(get_testdata_file("CT_small.dcm"))


CT = dcmread(CT_FILE)


with open(CT_FILE, "rb") as _file:
    CT_BYTES = _file.read()


STUDY, SERIES, INSTANCE = str(CT.StudyInstanceUID), str(CT.SeriesInstanceUID), str(CT.SOPInstanceUID)


METADATA: dict[str, Any] = {
    tag: element for tag, element in CT.to_json_dict().items() if tag != "7FE00010" and "InlineBinary" not in element
}


def pacs(*routes: tuple[str, Any]) -> FakePacs:
    """A PACS that answers by the end of the path; 404 to anything else."""

    def give(handler: Handler, received: Received) -> None:
        for end, reply in routes:
            if received.path.endswith(end):
                return reply(handler, received)  # type: ignore[no-any-return]
        return answer(404)(handler, received)

    return FakePacs(give)


def multipart(content: bytes, media_type: str = "application/dicom") -> Any:
    body = f"--b\r\nContent-Type: {media_type}\r\n\r\n".encode() + content + b"\r\n--b--\r\n"
    return answer(200, body, f'multipart/related; type="{media_type}"; boundary=b')


def row(**values: tuple[str, Any]) -> dict[str, Any]:
    return {tag: {"vr": vr, "Value": [value]} for tag, (vr, value) in values.items()}


SERIES_ROW = {"0020000E": {"vr": "UI", "Value": [SERIES]}, "00080060": {"vr": "CS", "Value": ["CT"]}}


INSTANCE_ROW = {"00080018": {"vr": "UI", "Value": [INSTANCE]}}


METADATA_ROUTE = (f"/instances/{INSTANCE}/metadata", dicom_json([METADATA]))


def picture(**query: str) -> dict[str, Any]:
    return {"queryStringParameters": query, "multiValueQueryStringParameters": {k: [v] for k, v in query.items()}}
