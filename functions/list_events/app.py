"""GET /events: the change feed of all notifications."""

from typing import Any

from aws_lambda_powertools.event_handler import Response

from dicom_service.audit.notes import note_fields
from dicom_service.edge import answer, create_app, serve
from dicom_service.notifications.dependencies import feed
from dicom_service.query import Query

app = create_app()


@app.get("/events")
def list_events() -> Response[Any]:
    query = Query(app, "after", "limit")
    after = query.text("after", longest=64)
    limit = query.limit()
    query.check()
    page = feed().read(after, limit)
    for notification in page.notifications:
        note_fields(notification.detail)
    return answer({"events": [notification.body() for notification in page.notifications], "next": page.next})


lambda_handler = serve(app)
