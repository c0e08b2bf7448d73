"""Sends the dead letters of a queue again, once the cause is repaired.

::

    python -m scripts.redrive Webhooks      # webhooks that were not delivered within a day
    python -m scripts.redrive Ingest        # staged files that could not be brought to the PACS
    python -m scripts.redrive Zips          # staged ZIPs likewise
    python -m scripts.redrive ExamChecks | Announced | Fetch | Archives

Uses the AWS credentials and the region of the environment; ``--stack`` names the CloudFormation stack. Each message is
sent before it is deleted, so none is lost if this stops; receivers recognize repetitions. A message that comes back
while this runs is left for the next run.
"""

import argparse
import sys
from typing import Any

import boto3

# The queue's name: the outputs of the stack that have its URL and its dead letters' URL.
QUEUES = {
    "Webhooks": ("WebhooksQueue", "DeadWebhooksQueue"),
    "ExamChecks": ("ExamChecksQueue", "DeadExamChecksQueue"),
    "Announced": ("AnnouncedQueue", "DeadAnnouncedQueue"),
    "Fetch": ("FetchQueue", "DeadFetchQueue"),
    "Ingest": ("IngestQueue", "IngestDeadLetterQueue"),
    "Archives": ("ArchiveQueue", "DeadArchiveQueue"),
    "Zips": ("ZipQueue", "DeadZipQueue"),
}


def outputs(stack: str) -> dict[str, str]:
    """Return the outputs of the CloudFormation stack."""
    found = boto3.client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0]
    return {output["OutputKey"]: output["OutputValue"] for output in found["Outputs"]}


def redrive(dead_letters: str, target: str) -> int:
    """Move the messages of one queue to another; return how many."""
    sqs: Any = boto3.client("sqs")
    moved: set[str] = set()
    came_back = False
    while not came_back:
        found = sqs.receive_message(QueueUrl=dead_letters, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        if not found.get("Messages"):
            break
        for message in found["Messages"]:
            if message["Body"] in moved:
                came_back = True
                sqs.change_message_visibility(
                    QueueUrl=dead_letters, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0
                )
                continue
            sqs.send_message(QueueUrl=target, MessageBody=message["Body"])
            sqs.delete_message(QueueUrl=dead_letters, ReceiptHandle=message["ReceiptHandle"])
            moved.add(message["Body"])
    return len(moved)


def main() -> int:
    """Redrive one queue."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", default="dicom-service")
    parser.add_argument("queue", choices=QUEUES)
    arguments = parser.parse_args()
    names = outputs(arguments.stack)
    queue, dead_letters = QUEUES[arguments.queue]
    print(f"{redrive(names[dead_letters], names[queue])} messages sent again")
    return 0


if __name__ == "__main__":
    sys.exit(main())
