"""The one edge to AWS: clients, errors, and the retries that the SDK leaves to its callers.

===============================  ====================================================================================
module                           holds
===============================  ====================================================================================
`dicom_service.aws.clients`      one client a service and process, made when first used
`dicom_service.aws.errors`       `errors`, which turns botocore's errors into this service's, and their tree
`dicom_service.aws.items`        DynamoDB items from and to plain values
`dicom_service.aws.tables`       DynamoDB: transactions, batches, pages
`dicom_service.aws.objects`      S3: writes on a condition, URLs that open an object for a while
`dicom_service.aws.retry`        retries: of the SDK, of contended writes, of unfinished batches
`dicom_service.aws.messages`     SQS and EventBridge in batches
`dicom_service.aws.secret`       a JSON secret, cached for a short time
`dicom_service.aws.sqs_worker`   a batch of queue messages: each done, retried later, or moved to the dead letters
`dicom_service.aws.lease`        keeps messages hidden while they are worked on, hardly longer if the worker is killed
===============================  ====================================================================================

Nothing outside this package names botocore's exceptions, waits before another attempt, or changes the visibility of a
queue message.
"""

from dicom_service.aws.clients import dynamodb, events, forget_clients, s3, secretsmanager, sqs
from dicom_service.aws.errors import AwsError, Busy, ConditionFailed, Missing, Rejected, errors, tolerated
from dicom_service.aws.items import from_item, to_item
from dicom_service.aws.messages import put_events, send_all
from dicom_service.aws.objects import presigned_url, put_unchanged
from dicom_service.aws.retry import patiently, tries
from dicom_service.aws.secret import Secret
from dicom_service.aws.tables import batch_get, batch_write, get, query, transact

__all__ = [
    "AwsError",
    "Busy",
    "ConditionFailed",
    "Missing",
    "Rejected",
    "Secret",
    "batch_get",
    "batch_write",
    "dynamodb",
    "errors",
    "events",
    "forget_clients",
    "from_item",
    "get",
    "patiently",
    "presigned_url",
    "put_events",
    "put_unchanged",
    "query",
    "s3",
    "secretsmanager",
    "send_all",
    "sqs",
    "to_item",
    "tolerated",
    "transact",
    "tries",
]
