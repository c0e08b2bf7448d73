"""``GET /otps``: the list of one-time passwords, page by page."""

from typing import Any
from urllib.parse import urlencode

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from dicom_service.edge import answer, base_url
from dicom_service.otp.inputs import read_subject
from dicom_service.otp.manage import Manager
from dicom_service.query import Query


def list_otps(app: APIGatewayRestResolver, manager: Manager) -> Response[Any]:
    """Return a page of the list, with a link to the next one if there is one (RFC 8288)."""
    query = Query(app, "studyUID", "patientID", "limit", "cursor")
    limit = query.limit()
    cursor = query.text("cursor", longest=64)
    subject = read_subject(query)
    codes, next_cursor = manager.find(
        study_uid=subject.study_uid, patient_id=subject.patient_id, limit=limit, cursor=cursor
    )
    if next_cursor is None:
        return answer(codes)
    filters = {"studyUID": subject.study_uid} if subject.study_uid else {"patientID": subject.patient_id}
    next_page = f"{base_url(app)}/otps?{urlencode({**filters, 'limit': limit, 'cursor': next_cursor})}"
    return answer(codes, headers={"Link": f'<{next_page}>; rel="next"'})
