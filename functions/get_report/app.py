"""GET …/instances/{instanceUID}/report: a report as people read it."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.dependencies import pacs
from dicom_service.edge import answer, check_uids, create_app, empty, serve
from dicom_service.exams.dependencies import keep_document, scope_of
from dicom_service.exams.instance_cache import InstanceName
from dicom_service.exams.report import PDF, fetch_report
from dicom_service.query import Query

app = create_app()


@app.get("/exams/studies/<studyUID>/series/<seriesUID>/instances/<instanceUID>/report")
def get_report(studyUID: str, seriesUID: str, instanceUID: str) -> Response[Any]:
    query = Query(app, "redirect")
    redirect = query.choice("redirect", ("true", "false"), default="true") == "true"
    query.check()
    name = InstanceName(*check_uids(studyUID=studyUID, seriesUID=seriesUID, instanceUID=instanceUID))
    scope = scope_of(app)
    with pacs().shared_deadline():
        scope.ensure_compared(pacs())
        scope.revalidate(pacs())
        report = fetch_report(pacs(), name, scope, keep_document)
    if report.url is not None:
        return empty(303, headers={"Location": report.url}) if redirect else answer({"url": report.url})
    if report.pdf is not None:
        return answer(report.pdf, content_type=PDF)
    return answer(report.tree)


lambda_handler = serve(app)
