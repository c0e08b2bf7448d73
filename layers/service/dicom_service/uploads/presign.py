"""Presigned requests by which a client puts a file straight into the staging bucket (security.md, "Uploads")."""

import base64
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from dicom_service.errors import Conflict, Unavailable
from dicom_service.uploads.settings import PART_SIZE

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONTENT_TYPE = "application/octet-stream"
_BUSY = "The staging bucket does not answer at the moment; try again."
# What S3 says of parts that do not make the object.
_WRONG_PARTS = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML", "InvalidRequest"})


class Stage:
    """The staging bucket, as far as clients are let in.

    Parameters
    ----------
    client
        The S3 client; must sign with SigV4.
    bucket
        The bucket.
    """

    def __init__(self, client: "S3Client", bucket: str) -> None:
        self._client = client
        self._bucket = bucket

    def post(self, key: str, size: int, sha256: str | None, expires_in: int) -> dict[str, Any]:
        """Give a form that takes exactly one object: this key, this length, this content.

        Parameters
        ----------
        key
            Where it goes.
        size
            Bytes; neither more nor fewer are taken.
        sha256
            Hexadecimal digest that S3 checks, or None.
        expires_in
            Seconds.
        """
        fields = {"Content-Type": CONTENT_TYPE}
        if sha256:
            checksum = base64.b64encode(bytes.fromhex(sha256)).decode()
            fields |= {"x-amz-checksum-algorithm": "SHA256", "x-amz-checksum-sha256": checksum}
        conditions: list[Any] = [{name: value} for name, value in fields.items()]
        conditions.append(["content-length-range", size, size])
        form = self._client.generate_presigned_post(
            self._bucket, key, Fields=dict(fields), Conditions=conditions, ExpiresIn=expires_in
        )
        return {"method": "POST", "url": form["url"], "fields": form["fields"]}

    def begin_parts(self, key: str) -> str:
        """Open a multipart upload and give its id.

        Raises
        ------
        Unavailable
            S3 refuses.
        """
        try:
            answer = self._client.create_multipart_upload(Bucket=self._bucket, Key=key, ContentType=CONTENT_TYPE)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(_BUSY) from error
        return answer["UploadId"]

    def parts(self, key: str, s3_upload_id: str, size: int, expires_in: int) -> list[dict[str, Any]]:
        """Give one URL for each part; each takes exactly its part's length."""
        parts = []
        for number, start in enumerate(range(0, size, PART_SIZE), start=1):
            length = min(PART_SIZE, size - start)
            arguments = {
                "Bucket": self._bucket,
                "Key": key,
                "UploadId": s3_upload_id,
                "PartNumber": number,
                "ContentLength": length,
            }
            url = self._client.generate_presigned_url("upload_part", Params=arguments, ExpiresIn=expires_in)
            parts.append({"partNumber": number, "url": url, "size": length})
        return parts

    def join_parts(self, key: str, s3_upload_id: str, size: int, parts: Sequence[Mapping[str, Any]]) -> None:
        """Make the object out of its parts; one that is there already is left as it is.

        Raises
        ------
        Conflict
            Parts are missing or are not what was sent, or the upload was given up.
        Unavailable
            S3 refuses.
        """
        try:
            listed = self._client.list_parts(Bucket=self._bucket, Key=key, UploadId=s3_upload_id)
            sent = sum(part["Size"] for part in listed.get("Parts", []))
            if sent != size:
                raise Conflict(f"The parts hold {sent} bytes of {size}.", code="PARTS_INCOMPLETE")
            self._client.complete_multipart_upload(
                Bucket=self._bucket,
                Key=key,
                UploadId=s3_upload_id,
                MultipartUpload={"Parts": [{"PartNumber": part["partNumber"], "ETag": part["etag"]} for part in parts]},
                IfNoneMatch="*",
            )
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _WRONG_PARTS:
                raise Conflict("S3 does not know parts with these numbers and ETags.", code="WRONG_PARTS") from error
            if code in {"PreconditionFailed", "NoSuchUpload"}:
                # The answer to an earlier, successful call was lost, or the parts were given up.
                if self.has(key):
                    return
                raise Conflict("This multipart upload was given up; open a new upload.", code="GIVEN_UP") from error
            raise Unavailable(_BUSY) from error
        except BotoCoreError as error:
            raise Unavailable(_BUSY) from error

    def has(self, key: str) -> bool:
        """Tell whether an object is staged under this key.

        Raises
        ------
        Unavailable
            S3 refuses.
        """
        try:
            self._client.head_object(Bucket=self._bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] in {"404", "NoSuchKey", "NotFound"}:
                return False
            raise Unavailable(_BUSY) from error
        except BotoCoreError as error:
            raise Unavailable(_BUSY) from error
        return True

    def staged(self, prefix: str) -> set[str]:
        """Return the keys under a prefix, up to a thousand.

        Raises
        ------
        Unavailable
            S3 refuses.
        """
        try:
            listed = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix)
        except (BotoCoreError, ClientError) as error:
            raise Unavailable(_BUSY) from error
        return {entry["Key"] for entry in listed.get("Contents", [])}

    def report_url(self, key: str) -> str:
        """Give a URL from which the report can be read for ten minutes."""
        return self._client.generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=600
        )

    def give_up_parts(self, key: str, s3_upload_id: str) -> None:
        """Remove the parts of a multipart upload that nobody will finish.

        Raises
        ------
        Unavailable
            S3 refuses.
        """
        try:
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=s3_upload_id)
        except ClientError as error:
            if error.response["Error"]["Code"] != "NoSuchUpload":
                raise Unavailable(_BUSY) from error
        except BotoCoreError as error:
            raise Unavailable(_BUSY) from error
