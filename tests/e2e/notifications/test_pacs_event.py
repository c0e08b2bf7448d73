"""On the deployed stack with CALLBACK_FORMAT=pacs-event: receivers of the reference get what the PACS reported."""

from typing import Any

from tests.support.exams import exam, upload_to_pacs
from tests.support.stack import Stack
from tests.support.waiting import wait_for
from tests.support.webhooks import receiving


def test_the_event_of_the_pacs_is_passed_on_signed_and_tried_again(stack: Stack) -> None:
    with receiving(stack, ["/event"], "1,1,2,2,4,8,16,30,30", "pacs-event") as receiver:
        # GIVEN a receiver that fails at first
        receiver.statuses["/event"] = 500
        # WHEN Orthanc reports a study that it has
        study, files = exam(1, 2)
        upload_to_pacs(stack, files)
        wait_for(lambda: ("/event", 500) in receiver.answered)
        del receiver.statuses["/event"]

        def delivered() -> list[dict[str, Any]]:
            found = [delivery.body for delivery in list(receiver.deliveries)]
            return [body for body in found if body.get("StudyInstanceUID") == study]

        # THEN the body, whose signature the receiver has verified, is Orthanc's report, as the API gives it back
        body = wait_for(delivered)[0]
        (report,) = stack.request("GET", f"/exams/studies/{study}/callbacks").json()
        assert body == report["fields"]
        assert (body["SourceID"], body["NumberOfStudyRelatedInstances"]) == ("orthanc", "2")
        assert receiver.rejected == []
