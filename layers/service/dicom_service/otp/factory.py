"""The parts put together from the settings, once a process."""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from dicom_service.otp.guard import ExamGuard
from dicom_service.otp.keyring import Keyring
from dicom_service.otp.manage import Manager
from dicom_service.otp.redeem import Redeemer
from dicom_service.otp.store import OtpStore, OtpTables
from dicom_service.patient import PatientHasher
from dicom_service.settings import PacsSettings, load, setting

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient


def token_life(text: str) -> int:
    """Cast the life of an access token: 60 s to 1 day.

    Raises
    ------
    ValueError
        It is no such number.
    """
    if not 60 <= int(text) <= 86_400:
        raise ValueError("not from 60 to 86400")
    return int(text)


@dataclass(frozen=True)
class OtpSettings:
    """Where the master secret is, and how long access tokens live, in seconds."""

    master_secret: str = setting("OTP_MASTER_SECRET_ARN")
    token_life: int = setting("ACCESS_TOKEN_SECONDS", cast=token_life, default=3600)


@dataclass(frozen=True)
class PatientSettings:
    """Where the keys are that patients are hashed with."""

    keys_secret: str = setting("PATIENT_KEYS_SECRET_ARN")


@cache
def redeemer() -> Redeemer:
    """Give what redeems."""
    settings = load(OtpSettings)
    store, keyring = OtpStore(load(OtpTables)), Keyring.of(settings.master_secret)
    return Redeemer(store, keyring, guard(), pacs, token_life=settings.token_life)


@cache
def pacs() -> "DicomwebClient":
    """Return the client of the PACS; its modules are imported when the first code is right."""
    from dicom_service.pacs import connect

    return connect(load(PacsSettings))


@cache
def hasher() -> PatientHasher:
    """Return what hashes patients."""
    return PatientHasher(Keyring.of(load(PatientSettings).keys_secret))


@cache
def guard() -> ExamGuard:
    """Return what compares patients and suspends codes."""
    return ExamGuard(OtpStore(load(OtpTables)), hasher())


@cache
def manager() -> Manager:
    """Give what shows and revokes."""
    return Manager(OtpStore(load(OtpTables)), hasher)
