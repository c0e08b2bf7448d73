"""GET /uid: DICOM UIDs that were never issued before."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.edge import answer, create_app, serve_open
from dicom_service.query import Query
from dicom_service.uid_registry import MAX_COUNT, uid_registry

app = create_app()


@app.get("/uid")
def get_uid() -> Response[Any]:
    query = Query(app, "count")
    count = query.integer("count", default=0, minimum=1, maximum=MAX_COUNT)
    query.check()
    uids = uid_registry().take(count or 1)
    return answer({"uid": uids[0], "uids": uids} if count else {"uid": uids[0]})


lambda_handler = serve_open(app)
