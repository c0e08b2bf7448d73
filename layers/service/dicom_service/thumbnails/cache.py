"""Keeps thumbnails in the cache bucket, and makes those that are not there."""

from collections.abc import Callable, Mapping
from typing import Any

from dicom_service import aws, log
from dicom_service.exams.instance_cache import CacheSettings, InstanceName
from dicom_service.exams.patient_scope import PatientScope, patient_label
from dicom_service.patient import Patient, PatientHasher
from dicom_service.thumbnails.thumbnailer import Thumbnail, Thumbnailer, ThumbnailRequest

logger = log.get_logger()

RequestOf = Callable[[Mapping[str, Any]], ThumbnailRequest]

# Increase it when thumbnails change, so that older ones are not found.
_VERSION = "2"


class ThumbnailCache:
    """Thumbnails in the cache bucket, for as long as its lifecycle rule keeps them.

    A cache that fails costs time, never a thumbnail: its errors are logged and otherwise ignored.

    Parameters
    ----------
    settings
        The bucket.
    hasher
        Returns the hasher of patients.
    """

    def __init__(self, settings: CacheSettings, hasher: Callable[[], PatientHasher]) -> None:
        self._bucket = settings.bucket
        self._hasher = hasher

    def find(self, name: InstanceName, request: ThumbnailRequest, patient: Patient) -> Thumbnail | None:
        """Return the cached thumbnail of this patient's instance, or None."""
        try:
            with aws.errors("The thumbnail cache cannot be read."):
                found = aws.s3().get_object(Bucket=self._bucket, Key=_key(name, request))
                data = found["Body"].read()
        except aws.Missing:
            return None
        except aws.AwsError as error:
            logger.warning("thumbnail cache not readable", extra=log.describe(error))
            return None
        # Another patient may have had an instance under these UIDs before.
        if not any(self._hasher().matches(one, patient) for one in found["Metadata"].get("patient", "").split()):
            return None
        return Thumbnail(data, found["ContentType"], found["Metadata"].get("source", "frame"))

    def store(self, name: InstanceName, request: ThumbnailRequest, thumbnail: Thumbnail, patient: Patient) -> None:
        """Store a thumbnail, but no placeholder: tomorrow there may be a decoder."""
        if thumbnail.is_placeholder:
            return
        with aws.tolerated("thumbnail cache not writable"):
            aws.s3().put_object(
                Bucket=self._bucket,
                Key=_key(name, request),
                Body=thumbnail.data,
                ContentType=thumbnail.media_type,
                Metadata={"source": thumbnail.source, "patient": patient_label(patient, self._hasher())},
            )


class CachedThumbnailer:
    """Returns thumbnails from the cache, or makes and caches them.

    Parameters
    ----------
    thumbnailer
        Makes them.
    cache
        Keeps them.
    """

    def __init__(self, thumbnailer: Thumbnailer, cache: ThumbnailCache) -> None:
        self._thumbnailer = thumbnailer
        self._cache = cache

    def get(self, name: InstanceName, wanted: ThumbnailRequest | RequestOf, scope: PatientScope) -> Thumbnail:
        """Return the thumbnail of an instance.

        Parameters
        ----------
        wanted
            What is requested, or what makes the request from the instance's header, such as a size by its own.
        """
        client = self._thumbnailer.client
        scope.ensure_compared(client)
        header = self._thumbnailer.header(name)
        scope.check_header(header)
        request = wanted if isinstance(wanted, ThumbnailRequest) else wanted(header)
        patient = Patient.from_dataset(header)
        thumbnail = self._cache.find(name, request, patient)
        if thumbnail is None:
            scope.revalidate(client)
            thumbnail = self._thumbnailer.make(name, header, request)
            self._cache.store(name, request, thumbnail, patient)
        return thumbnail


def _key(name: InstanceName, request: ThumbnailRequest) -> str:
    kind = request.media_type.rpartition("/")[2]
    parts = [str(request.size)]
    if request.frame is not None:
        parts.append(f"frame{request.frame}")
    if request.window is not None:
        function = "" if request.window.function == "LINEAR" else f"_{request.window.function}"
        parts.append(f"window{request.window.center:g}_{request.window.width:g}{function}")
    elif request.own_window:
        parts.append("window")
    return f"thumbnails/v{_VERSION}/{'/'.join(name.uids)}/{'-'.join(parts)}.{kind}"
