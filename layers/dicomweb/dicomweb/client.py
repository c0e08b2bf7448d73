"""The client of a PACS: searching, fetching and storing over DICOMweb (PS3.18)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from requests.auth import AuthBase

from dicomweb.dataset import Dataset, SearchResult
from dicomweb.errors import NotFound, NotSupported, PacsFault, RequestRejected
from dicomweb.qido import Qido, Query
from dicomweb.quirks import Quirks
from dicomweb.stow import InstanceResult, StorePart, StoreResult, Stow
from dicomweb.transport import Timeouts, Transport
from dicomweb.wado import ANY_FRAME, Frame, InstanceStream, Rendered, Wado, parse_datasets, resource_path

__all__ = [
    "DicomwebClient",
    "Endpoints",
    "Frame",
    "InstanceResult",
    "InstanceStream",
    "Quirks",
    "Rendered",
    "SearchResult",
    "StorePart",
    "StoreResult",
    "Timeouts",
]

_NO_FILTERS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True)
class Endpoints:
    """Base URLs of services that are not below the URL of the PACS.

    Parameters
    ----------
    qido, wado, stow
        Up to but without ``/studies``.
    """

    qido: str | None = None
    wado: str | None = None
    stow: str | None = None


class DicomwebClient:
    """Speaks DICOMweb to one PACS, over connections that are kept open. Construction does no I/O.

    Every method raises the errors of :mod:`dicomweb.errors`: PacsUnreachable, PacsTimeout, PacsRejectedCredentials,
    PacsBusy and PacsFault where the PACS fails, within ``timeouts.total`` seconds; InvalidUid for a malformed UID;
    and those named with the method. May be used by several threads.

    Parameters
    ----------
    url
        Base URL, up to but without ``/studies``.
    auth
        Credentials, see :func:`dicomweb.auth.make_auth`.
    timeouts
        Limits of each call.
    endpoints
        Services that are elsewhere.
    quirks
        Vendor-specific deviations of this PACS.
    verify
        False to trust any certificate, or the path of a CA bundle.
    cert
        Paths of the client certificate and its key.
    max_retries
        How often a request is repeated after its first try.
    """

    def __init__(
        self,
        url: str,
        *,
        auth: AuthBase | None = None,
        timeouts: Timeouts | None = None,
        endpoints: Endpoints | None = None,
        quirks: Quirks | None = None,
        verify: bool | str = True,
        cert: tuple[str, str] | None = None,
        max_retries: int = 2,
    ) -> None:
        self._transport = Transport(auth=auth, timeouts=timeouts, verify=verify, cert=cert, max_retries=max_retries)
        elsewhere = endpoints or Endpoints()
        self._qido = Qido(self._transport, elsewhere.qido or url, quirks or Quirks())
        self._wado = Wado(self._transport, elsewhere.wado or url)
        self._stow = Stow(self._transport, elsewhere.stow or url, self._qido)

    def shared_deadline(self, share: float = 1.0) -> contextlib.AbstractContextManager[None]:
        """Make all requests inside share ``timeouts.total``, as if they were one call; may be nested.

        Parameters
        ----------
        share
            The part of the time, or of what is left of it around, that may be used, 0 to 1.
        """
        return self._transport.shared_deadline(share)

    def search_for_studies(
        self,
        filters: Mapping[str, str] = _NO_FILTERS,
        *,
        limit: int | None = None,
        offset: int = 0,
        fuzzy: bool = False,
        includefields: Sequence[str] = (),
    ) -> SearchResult:
        """Search for studies (PS3.18 section 10.6).

        Parameters
        ----------
        filters
            Search values by DICOM keyword (PS3.4 section C.2.2.2).
        limit
            Most rows to return; None for as many as the PACS returns.
        offset
            Rows to skip.
        fuzzy
            Match person names loosely where the PACS can.
        includefields
            Further attributes to return.

        Raises
        ------
        NotSupported
            There is no search service at this address.
        RequestRejected
            The PACS cannot search by one of these attributes.
        """
        return self._qido.studies(Query(filters, limit, offset, fuzzy, includefields))

    def search_for_series(
        self,
        study_uid: str,
        filters: Mapping[str, str] = _NO_FILTERS,
        *,
        limit: int | None = None,
        offset: int = 0,
        includefields: Sequence[str] = (),
    ) -> SearchResult:
        """Search for the series of a study, as :meth:`search_for_studies` does; an unknown study has none.

        Raises
        ------
        RequestRejected
            The PACS cannot search by one of these attributes.
        """
        return self._qido.series(study_uid, Query(filters, limit, offset, includefields=includefields))

    def search_for_instances(
        self,
        study_uid: str | None,
        series_uid: str | None = None,
        filters: Mapping[str, str] = _NO_FILTERS,
        *,
        limit: int | None = None,
        offset: int = 0,
        includefields: Sequence[str] = (),
    ) -> SearchResult:
        """Search for instances of a study or one series, as :meth:`search_for_studies` does; None for all studies.

        Raises
        ------
        NotSupported
            The PACS does not search all studies for instances.
        RequestRejected
            The PACS cannot search by one of these attributes.
        """
        query = Query(filters, limit, offset, includefields=includefields)
        return self._qido.instances(study_uid, series_uid, query)

    def retrieve_instance_metadata(self, study_uid: str, series_uid: str, instance_uid: str) -> Dataset:
        """Fetch the dataset of one instance; see :meth:`retrieve_metadata`."""
        return parse_datasets(self.retrieve_metadata(study_uid, series_uid, instance_uid))[0]

    def retrieve_metadata(
        self, study_uid: str, series_uid: str | None = None, instance_uid: str | None = None
    ) -> bytes:
        """Fetch datasets without bulk data (PS3.18 section 10.4.1.1.2), as JSON for :func:`wado.parse_datasets`.

        Raises
        ------
        NotSupported
            The PACS offers no metadata; with status 404, a search still finds the object.
        NotFound
            There is no such object.
        """
        try:
            return self._wado.metadata(study_uid, series_uid, instance_uid)
        except NotFound as error:
            raise self._missing_or_unsupported(error, study_uid, series_uid, instance_uid) from error

    def retrieve_instance(
        self, study_uid: str, series_uid: str, instance_uid: str, *, transfer_syntax: str = "*"
    ) -> InstanceStream:
        """Open an instance, by default as the file that is stored, to be streamed (PS3.18 section 10.4.1.1.1).

        A PACS that holds one SOPInstanceUID in two studies may return neither. Where a search still finds the instance,
        it is read from the answer for its whole series.

        Raises
        ------
        NotFound
            There is no such instance.
        """
        try:
            return self._wado.instance(study_uid, series_uid, instance_uid, transfer_syntax)
        except NotFound as error:
            try:
                found = self.search_for_instances(study_uid, series_uid, {"SOPInstanceUID": instance_uid}, limit=1)
                if found.datasets:
                    return self._wado.instance_of_series(study_uid, series_uid, instance_uid)
            except (NotFound, NotSupported, PacsFault, RequestRejected):
                pass  # the first error is the one to report
            raise error

    def retrieve_frame(
        self, study_uid: str, series_uid: str, instance_uid: str, frame: int = 1, *, accept: str = ANY_FRAME
    ) -> Frame:
        """Fetch one frame, by default as it is stored (PS3.18 section 10.4.1.1.6), frames counting from 1.

        Parameters
        ----------
        study_uid, series_uid, instance_uid, frame
            The frame.
        accept
            Media types to ask for.

        Raises
        ------
        NotSupported
            The PACS offers no frames, not even the first of an instance that a search finds.
        NotFound
            There is no such frame.
        """
        try:
            return self._wado.frame(study_uid, series_uid, instance_uid, frame, accept)
        except NotFound as error:
            if error.status is None or (frame > 1 and self._has_frames(study_uid, series_uid, instance_uid)):
                raise
            raise self._missing_or_unsupported(error, study_uid, series_uid, instance_uid) from error

    def retrieve_bulk_data(self, study_uid: str, uri: str) -> list[Frame]:
        """Fetch the value behind a BulkDataURI of the study's metadata (PS3.18 section 10.4.1.1.4).

        Raises
        ------
        NotSupported
            The URI is not below the study.
        NotFound
            There is nothing behind it.
        """
        return self._wado.bulk_data(uri, study_uid)

    def retrieve_thumbnail(
        self,
        study_uid: str,
        series_uid: str | None = None,
        instance_uid: str | None = None,
        *,
        viewport: tuple[int, int] | None,
        media_type: str = "image/jpeg",
    ) -> Rendered:
        """Fetch a thumbnail rendered by the PACS (PS3.18 section 10.4.1.1.5).

        Parameters
        ----------
        study_uid, series_uid, instance_uid
            What to show.
        viewport
            Width and height, pixels.
        media_type
            Image format.

        Raises
        ------
        NotSupported
            The PACS renders no thumbnails.
        NotFound
            There is no such study, series or instance.
        """
        resource = resource_path(study_uid, series_uid, instance_uid)
        parameters = _viewport(viewport)
        try:
            return self._wado.image(f"{resource}/thumbnail", parameters, media_type)
        except NotFound as error:
            raise self._missing_or_unsupported(error, study_uid, series_uid, instance_uid) from error

    def retrieve_rendered(
        self,
        study_uid: str,
        series_uid: str,
        instance_uid: str,
        *,
        frame: int | None = None,
        viewport: tuple[int, int] | None = None,
        window: tuple[float, float, str] | None = None,
        media_type: str = "image/jpeg",
    ) -> Rendered:
        """Fetch an image rendered by the PACS (PS3.18 section 10.4.1.1.3), else as :meth:`retrieve_thumbnail`.

        Parameters
        ----------
        study_uid, series_uid, instance_uid, frame
            The instance, and one frame of it, from 1.
        window
            Centre, width and function (``linear``, ``linear-exact``, ``sigmoid``).

        Raises
        ------
        NotSupported
            The PACS does not render, or not this instance.
        NotFound
            There is no such instance.
        """
        resource = resource_path(study_uid, series_uid, instance_uid)
        if frame is not None:
            resource += f"/frames/{frame:d}"
        parameters = _viewport(viewport)
        if window is not None:
            center, width, function = window
            parameters["window"] = f"{center:g},{width:g},{function}"
        try:
            return self._wado.image(f"{resource}/rendered", parameters, media_type)
        except NotFound as error:
            raise self._missing_or_unsupported(error, study_uid, series_uid, instance_uid) from error

    def store_instances(self, parts: Sequence[StorePart], study_uid: str | None = None) -> StoreResult:
        """Store DICOM files (PS3.18 section 10.5) and return a result for each.

        Parameters
        ----------
        parts
            The files. Storing an instance again is harmless.
        study_uid
            Reject instances of any other study.

        Raises
        ------
        NotSupported
            There is no store service at this address.
        BodyUnreadable
            A file could not be read, or is not as long as it says.
        """
        return self._stow.store(parts, study_uid)

    def ping(self) -> None:
        """Search for one study, to check that the PACS answers and accepts our credentials.

        Raises
        ------
        NotSupported
            The answer is not that of a search service.
        """
        self._qido.ping()

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def _has_frames(self, study_uid: str, series_uid: str, instance_uid: str) -> bool:
        try:
            self._wado.frame(study_uid, series_uid, instance_uid, 1)
        except NotFound:
            return False
        return True

    def _missing_or_unsupported(
        self, error: NotFound, study_uid: str, series_uid: str | None, instance_uid: str | None
    ) -> NotFound | NotSupported:
        """Tell apart the two meanings of 404: no such object, or no such service for an existing object."""
        if instance_uid is not None:
            found = self.search_for_instances(study_uid, series_uid, {"SOPInstanceUID": instance_uid}, limit=1)
        elif series_uid is not None:
            found = self.search_for_series(study_uid, {"SeriesInstanceUID": series_uid}, limit=1)
        else:
            found = self.search_for_studies({"StudyInstanceUID": study_uid}, limit=1)
        if not found.datasets:
            return error
        return NotSupported("the PACS does not offer this for an object it holds", status=error.status)


def _viewport(viewport: tuple[int, int] | None) -> dict[str, str]:
    return {} if viewport is None else {"viewport": f"{viewport[0]:d},{viewport[1]:d}"}
