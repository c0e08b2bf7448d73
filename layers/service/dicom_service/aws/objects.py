"""Objects of S3: written on a condition, and opened by a URL for a while."""

from typing import Any

from dicom_service.aws import clients
from dicom_service.aws.errors import AwsError, errors

# S3's names, and the bare statuses of stores that have none.
_ANOTHER_WAS_FASTER = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "NoSuchKey", "412", "409"})


def put_unchanged(bucket: str, key: str, body: bytes, etag: str | None, detail: str, **more: Any) -> bool:
    """Write an object if it still is what was seen; return False where another writer was faster.

    Parameters
    ----------
    etag
        ETag of the object that was seen; None where there was none.
    detail
        One sentence for the caller of the API, as of `errors`.
    more
        Further arguments of ``PutObject``.

    Raises
    ------
    AwsError
        It cannot be written.
    """
    condition: dict[str, Any] = {"IfMatch": etag} if etag else {"IfNoneMatch": "*"}
    try:
        with errors(detail):
            clients.s3().put_object(Bucket=bucket, Key=key, Body=body, **condition, **more)
    except AwsError as error:
        if error.aws_code in _ANOTHER_WAS_FASTER:
            return False
        raise
    return True


def presigned_url(bucket: str, key: str, seconds: int, *, disposition: str | None = None) -> str:
    """Return a URL that opens an object to anyone for some seconds, with a Content-Disposition where one is given."""
    parameters = {"Bucket": bucket, "Key": key}
    if disposition is not None:
        parameters["ResponseContentDisposition"] = disposition
    return clients.s3().generate_presigned_url("get_object", Params=parameters, ExpiresIn=seconds)
