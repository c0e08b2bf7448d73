"""Answers requests for a picture: from the cache bucket where it was made before, with an ETag either way."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayRestResolver, Response

from dicom_service import aws, log
from dicom_service.edge import answer, empty
from dicom_service.errors import BadRequest
from dicom_service.exams.retrieve import CacheSettings, InstanceName
from dicom_service.exams.scope import Scope, label_of
from dicom_service.exams.thumbnails import Thumbnail, Thumbnailer, Wanted
from dicom_service.otp import dependencies
from dicom_service.patient import Patient, PatientHasher
from dicom_service.query import Query
from dicom_service.settings import flag, setting

logger = log.get_logger()

DICOM = "application/dicom"
PICTURES = ("image/jpeg", "image/png")
DEFAULT_SIZE, MIN_SIZE, MAX_SIZE = 256, 16, 1024
# Raise it when pictures come out differently than before, so that older ones are not found.
_VERSION = "2"


@dataclass(frozen=True)
class PictureSettings:
    """What may be shown."""

    allow_burned_in: bool = setting("ALLOW_BURNED_IN", cast=flag, default=False)


def read_wanted(query: Query, *, default_type: str | None = "image/jpeg") -> Wanted:
    """Read ``size`` and ``fileType`` of a picture."""
    return Wanted(
        size=query.integer("size", default=DEFAULT_SIZE, minimum=MIN_SIZE, maximum=MAX_SIZE),
        media_type=query.choice("fileType", PICTURES, default=default_type),
    )


def read_file_type(query: Query) -> str:
    """Read ``fileType`` of an instance, which must be given.

    Raises
    ------
    BadRequest
        It is absent or unknown.
    """
    file_type = query.choice("fileType", (DICOM, *PICTURES))
    query.check()
    if file_type is None:
        known = ", ".join((DICOM, *PICTURES))
        raise BadRequest(f"fileType is required: one of {known}.", code="INVALID_PARAMETER")
    return str(file_type)


class PictureCache:
    """Keeps pictures in the cache bucket for as long as its lifecycle rule says.

    A cache that is out of order costs time, never a picture: its errors are logged and passed over.
    """

    def __init__(self, settings: CacheSettings, hasher: Callable[[], PatientHasher] = dependencies.hasher) -> None:
        self._bucket = settings.bucket
        self._hasher = hasher

    def find(self, name: InstanceName, wanted: Wanted, patient: Patient) -> Thumbnail | None:
        """Return the picture made before of this patient's instance, or None."""
        try:
            with aws.errors("The picture cache cannot be read."):
                found = aws.s3().get_object(Bucket=self._bucket, Key=_key(name, wanted))
                data = found["Body"].read()
        except aws.Missing:
            return None
        except aws.AwsError as error:
            logger.warning("picture cache not readable", extra=log.describe(error))
            return None
        # Another patient may have had an instance under these UIDs before.
        if not any(self._hasher().matches(one, patient) for one in found["Metadata"].get("patient", "").split()):
            return None
        return Thumbnail(data, found["ContentType"], found["Metadata"].get("source", "frame"))

    def keep(self, name: InstanceName, wanted: Wanted, made: Thumbnail, patient: Patient) -> None:
        """Keep a picture; placeholders are made anew each time, since tomorrow there may be a decoder."""
        if made.is_placeholder:
            return
        with aws.tolerated("picture cache not writable"):
            aws.s3().put_object(
                Bucket=self._bucket,
                Key=_key(name, wanted),
                Body=made.data,
                ContentType=made.media_type,
                Metadata={"source": made.source, "patient": label_of(patient, self._hasher())},
            )


def _key(name: InstanceName, wanted: Wanted) -> str:
    kind = wanted.media_type.rpartition("/")[2]
    place = f"{name.study_uid}/{name.series_uid}/{name.instance_uid}"
    return f"thumbnails/v{_VERSION}/{place}/{wanted.size}.{kind}"


def show(
    app: APIGatewayRestResolver,
    thumbnailer: Thumbnailer,
    cache: PictureCache,
    name: InstanceName,
    wanted: Wanted,
    scope: Scope,
) -> Response[Any]:
    """Answer with the picture of an instance, or 304 where the caller has it already.

    Raises
    ------
    NotFound
        The PACS does not have the instance; a picture made before is not shown then.
    ExamSuspended
        It is not the patient's whom an access token was given for.
    PacsError
        The PACS cannot be asked.
    """
    scope.begin(thumbnailer.client)
    header = thumbnailer.header(name)
    scope.see_header(header)
    patient = Patient.from_dataset(header)
    made = cache.find(name, wanted, patient)
    if made is None:
        scope.ask(thumbnailer.client)
        made = thumbnailer.make(name, header, wanted)
        cache.keep(name, wanted, made, patient)
    tag = f'"{hashlib.sha256(made.data).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, max-age=300", "X-Thumbnail": made.source}
    # A browser must not show one person what it keeps of another's.
    headers["Vary"] = "Authorization"
    if _has(app, tag):
        return empty(304, headers=headers)
    return answer(made.data, headers=headers, content_type=made.media_type)


def _has(app: APIGatewayRestResolver, tag: str) -> bool:
    known = app.current_event.headers.get("if-none-match") or ""
    return any(entry.strip().removeprefix("W/") in (tag, "*") for entry in known.split(","))
