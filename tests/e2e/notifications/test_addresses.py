"""On the deployed stack: no webhook goes where only the service gets, whatever CALLBACK_URLS says."""

from dicom_service.log import hashed
from tests.support.exams import exam, upload
from tests.support.stack import Stack
from tests.support.waiting import wait_for
from tests.support.webhooks import dead_webhooks, receiving

INSIDE = ("https://10.0.0.1/hook", "https://169.254.169.254/latest/meta-data/", "https://[fec0::1]/hook")


def test_no_webhook_goes_to_an_address_that_is_not_public(stack: Stack) -> None:
    # GIVEN such URLs beside a receiver that is allowed here
    before = dead_webhooks(stack)
    with receiving(stack, ["/hook"], "1", others=INSIDE) as receiver:
        # WHEN an exam is announced THEN the receiver has it, and the others are given up without a connection
        study, files = exam(1, 1)
        upload(stack, files)
        wait_for(lambda: receiver.of(study))
        wait_for(lambda: [len(lines) for lines in tried(stack)] == [2] * len(INSIDE))
        # Those of other tests may come here meanwhile.
        wait_for(lambda: dead_webhooks(stack) >= before + len(INSIDE))
    assert [["ADDRESS_NOT_PUBLIC" in line for line in lines] for lines in tried(stack)] == [[True, True]] * len(INSIDE)


def tried(stack: Stack) -> list[list[str]]:
    """Return what the functions logged of each of the URLs."""
    return [[line for line in stack.log.splitlines() if hashed(url) in line] for url in INSIDE]
