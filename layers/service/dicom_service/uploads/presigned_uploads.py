"""Presigned requests by which a client puts a file straight into the staging bucket (security.md, "Uploads")."""

import base64
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from dicom_service import aws
from dicom_service.errors import Conflict
from dicom_service.uploads.settings import PART_SIZE

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

CONTENT_TYPE = "application/octet-stream"
_BUSY = "The staging bucket does not answer at the moment; try again."
# What S3 says of parts that do not make the object.
_WRONG_PARTS = frozenset({"InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML", "InvalidRequest"})


class PresignedUploads:
    """Presigned access to the staging bucket; methods raise Unavailable where S3 does not answer.

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
        """Return a form that takes exactly one object: this key, this length, this content.

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

    @aws.errors(_BUSY)
    def begin_parts(self, key: str) -> str:
        """Open a multipart upload and return its id."""
        answer = self._client.create_multipart_upload(Bucket=self._bucket, Key=key, ContentType=CONTENT_TYPE)
        return answer["UploadId"]

    def parts(self, key: str, s3_upload_id: str, size: int, expires_in: int) -> list[dict[str, Any]]:
        """Return one URL for each part; each takes exactly its part's length."""
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
        """
        joined: Any = {"Parts": [{"PartNumber": part["partNumber"], "ETag": part["etag"]} for part in parts]}
        where: Any = {"Bucket": self._bucket, "Key": key, "UploadId": s3_upload_id}
        try:
            with aws.errors(_BUSY):
                listed = self._client.list_parts(**where)
                sent = sum(part["Size"] for part in listed.get("Parts", []))
                if sent != size:
                    raise Conflict(f"The parts hold {sent} bytes of {size}.", code="PARTS_INCOMPLETE")
                self._client.complete_multipart_upload(**where, MultipartUpload=joined, IfNoneMatch="*")
        except (aws.ConditionFailed, aws.Missing) as error:
            # The answer to an earlier, successful call was lost, or the parts were given up.
            if not self.has(key):
                raise Conflict("This multipart upload was given up; open a new upload.", code="GIVEN_UP") from error
        except aws.AwsError as error:
            if error.aws_code in _WRONG_PARTS:
                raise Conflict("S3 does not know parts with these numbers and ETags.", code="WRONG_PARTS") from error
            raise

    def has(self, key: str) -> bool:
        """Return whether an object is staged under this key."""
        try:
            with aws.errors(_BUSY):
                self._client.head_object(Bucket=self._bucket, Key=key)
        except aws.Missing:
            return False
        return True

    @aws.errors(_BUSY)
    def staged(self, prefix: str) -> set[str]:
        """Return the keys under a prefix, up to a thousand."""
        listed = self._client.list_objects_v2(Bucket=self._bucket, Prefix=prefix)
        return {entry["Key"] for entry in listed.get("Contents", [])}

    def report_url(self, key: str) -> str:
        """Return a URL from which the report can be read for ten minutes."""
        return self._client.generate_presigned_url(
            "get_object", Params={"Bucket": self._bucket, "Key": key}, ExpiresIn=600
        )

    def give_up_parts(self, key: str, s3_upload_id: str) -> None:
        """Remove the parts of a multipart upload that nobody will finish."""
        with suppress(aws.Missing), aws.errors(_BUSY):
            self._client.abort_multipart_upload(Bucket=self._bucket, Key=key, UploadId=s3_upload_id)
