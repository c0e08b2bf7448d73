"""The worklist that the settings name (architecture.md, "PACS side")."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass

from dicom_service.errors import SettingsError
from dicom_service.outbox import Outbox, OutboxSettings
from dicom_service.settings import PacsSettings, load, setting
from dicom_service.uid_registry import UidRegistry, UidSettings
from dicom_service.worklist.dynamodb import DynamoWorklist
from dicom_service.worklist.pacs_worklist import PacsWorklist
from dicom_service.worklist.reconcile import Reconciler
from dicom_service.worklist.service import Trouble, WorklistService
from dicom_service.worklist.store import WorkitemStore
from dicomweb.worklist.base import Worklist

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
    kind
        One of `KINDS`.
    table
        The Workitems table; a worklist at the PACS needs it too, for what the PACS cannot hold.
    url
        Base URL of the worklist service at the PACS; its DICOMweb root where none is given.
    ups_dialect
        ``standard``, ``azure`` or ``dcm4chee``.
    ups_requester
        AE title by which a PACS that asks for one knows this service.
    """

    table: str = setting("WORKITEMS_TABLE")
    kind: str = setting("WORKLIST", cast=_kind, default=OWN)
    url: str | None = setting("WORKLIST_URL", default=None)
    ups_dialect: str = setting("UPS_DIALECT", default="standard")
    ups_requester: str = setting("UPS_REQUESTER", default="DICOMSERVICE")


def open_service() -> WorklistService:
    """Make the service of the API's functions, from the environment.

    Raises
    ------
    SettingsError
        A setting is missing or makes no sense.
    """
    settings = load(WorklistSettings)
    return WorklistService(_worklist(settings), _registry().take, trouble=_trouble(settings))


def open_reconciler() -> Reconciler:
    """Make what completes workitems when their exams arrive, from the environment.

    Raises
    ------
    SettingsError
        A setting is missing or makes no sense.
    """
    settings = load(WorklistSettings)
    return Reconciler(_worklist(settings), trouble=_trouble(settings))


def open_pacs_worklist() -> PacsWorklist:
    """Make the worklist at the PACS, from the environment.

    Raises
    ------
    SettingsError
        A setting is missing or makes no sense, or the service keeps the worklist itself.
    """
    worklist = _worklist(load(WorklistSettings))
    if isinstance(worklist, DynamoWorklist):
        raise SettingsError("The setting WORKLIST names no worklist at the PACS.")
    return worklist


def _worklist(settings: WorklistSettings) -> DynamoWorklist | PacsWorklist:
    store = WorkitemStore(settings.table, Outbox(load(OutboxSettings)))
    if settings.kind == OWN:
        return DynamoWorklist(store)
    registry = _registry()
    return PacsWorklist(_at_pacs(settings), store, new_uid=lambda: registry.take()[0])


def _at_pacs(settings: WorklistSettings) -> Worklist:
    # Only here: a worklist of our own needs no HTTP client, and importing one costs 300 ms of a cold start.
    from dicom_service.pacs import connect_rest
    from dicomweb.worklist import mwl_rs, orthanc, ups_rs
    from dicomweb.worklist.rest import Rest

    pacs = load(PacsSettings)
    rest = Rest(settings.url or pacs.url, connect_rest(pacs))
    if settings.kind == ORTHANC:
        return orthanc.Orthanc(rest)
    if settings.kind == MWL_RS:
        return mwl_rs.MwlRs(rest)
    try:
        return ups_rs.UpsRs(rest, dialect=settings.ups_dialect, requester=settings.ups_requester)
    except ValueError as error:
        raise SettingsError("The setting UPS_DIALECT has a value that makes no sense.") from error


def _registry() -> UidRegistry:
    return UidRegistry(load(UidSettings))


def _trouble(settings: WorklistSettings) -> Trouble:
    if settings.kind == OWN:
        return nullcontext
    from dicom_service.pacs import pacs_errors

    return pacs_errors
