"""The objects of this package, wired from the settings once per process.

Each function imports only what it uses: classes that one function needs are imported by their factory. A worklist of
the service's own needs no HTTP client, which costs 300 ms of a cold start.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from dicom_service.errors import SettingsError
from dicom_service.outbox import Outbox, OutboxSettings
from dicom_service.settings import PacsSettings, load, setting
from dicom_service.uid_registry import uid_registry
from dicom_service.worklist.service import ErrorMapping, ServiceWorklist, WorklistService
from dicom_service.worklist.store import WorkitemStore
from dicomweb.worklist.base import Worklist

if TYPE_CHECKING:
    from dicom_service.worklist.files import WorklistFiles
    from dicom_service.worklist.pacs_worklist import PacsWorklist
    from dicom_service.worklist.reconcile import Reconciler

OWN, UPS_RS, MWL_RS, ORTHANC = "dynamodb", "ups-rs", "mwl-rs", "orthanc"
KINDS = (OWN, UPS_RS, MWL_RS, ORTHANC)


def _kind(text: str) -> str:
    if text not in KINDS:
        raise ValueError("not a kind of worklist")
    return text


@dataclass(frozen=True)
class WorklistSettings:
    """Which worklist is used, and where it is.

    Parameters
    ----------
    table
        The Workitems table; a worklist at the PACS needs it too, for what the PACS cannot hold.
    kind
        One of `KINDS`.
    url
        Base URL of the worklist service at the PACS; its DICOMweb root where none is set.
    ups_dialect
        ``standard``, ``azure`` or ``dcm4chee``.
    ups_requester
        AE title under which dcm4chee knows this service.
    """

    table: str = setting("WORKITEMS_TABLE")
    kind: str = setting("WORKLIST", cast=_kind, default=OWN)
    url: str | None = setting("WORKLIST_URL", default=None)
    ups_dialect: str = setting("UPS_DIALECT", default="standard")
    ups_requester: str = setting("UPS_REQUESTER", default="DICOMSERVICE")


@cache
def settings() -> WorklistSettings:
    """Return the settings of the worklist."""
    return load(WorklistSettings)


@cache
def store() -> WorkitemStore:
    """Return the store of the Workitems table."""
    return WorkitemStore(settings().table, Outbox(load(OutboxSettings)))


@cache
def worklist_service() -> WorklistService:
    """Return the service of the API's functions."""
    return WorklistService(worklist(), uid_registry().take, error_mapping=error_mapping())


@cache
def reconciler() -> Reconciler:
    """Return the reconciler, which completes workitems when their exams arrive."""
    from dicom_service.worklist.reconcile import Reconciler

    return Reconciler(worklist(), error_mapping=error_mapping())


@cache
def worklist() -> ServiceWorklist:
    """Return the worklist that the settings name."""
    if settings().kind != OWN:
        return pacs_worklist()
    from dicom_service.worklist.dynamodb import DynamoWorklist

    return DynamoWorklist(store())


@cache
def pacs_worklist() -> PacsWorklist:
    """Return the worklist at the PACS.

    Raises
    ------
    SettingsError
        The service keeps the worklist itself.
    """
    from dicom_service.worklist.pacs_worklist import PacsWorklist

    if settings().kind == OWN:
        raise SettingsError("The setting WORKLIST names no worklist at the PACS.")
    return PacsWorklist(_at_pacs(settings()), store(), new_uid=lambda: uid_registry().take()[0])


@cache
def worklist_files() -> WorklistFiles:
    """Return the writer of the worklist files."""
    from dicom_service.worklist.files import FileSettings, WorklistFiles, open_target

    return WorklistFiles(store(), open_target(load(FileSettings).target))


def error_mapping() -> ErrorMapping:
    """Return what maps the errors of the PACS; nothing where none is asked."""
    if settings().kind == OWN:
        return nullcontext
    from dicom_service.pacs_errors import pacs_errors

    return pacs_errors


def _at_pacs(chosen: WorklistSettings) -> Worklist:
    from dicom_service.pacs import connect_rest
    from dicomweb.worklist import mwl_rs, orthanc, ups_rs
    from dicomweb.worklist.rest import Rest

    pacs = load(PacsSettings)
    rest = Rest(chosen.url or pacs.url, connect_rest(pacs))
    if chosen.kind == ORTHANC:
        return orthanc.Orthanc(rest)
    if chosen.kind == MWL_RS:
        return mwl_rs.MwlRs(rest)
    try:
        return ups_rs.UpsRs(rest, dialect=chosen.ups_dialect, requester=chosen.ups_requester)
    except ValueError as error:
        raise SettingsError("The setting UPS_DIALECT has a value that makes no sense.") from error
