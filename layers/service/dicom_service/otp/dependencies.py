"""The objects of this package, wired from the settings once per process.

Each function imports only what it uses: classes that one function needs are imported by their factory.
"""

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from dicom_service import log
from dicom_service.dependencies import pacs
from dicom_service.errors import Unavailable
from dicom_service.otp.guard import ExamGuard
from dicom_service.otp.keyring import Keyring
from dicom_service.otp.store import OtpStore, OtpTables
from dicom_service.patient import PatientHasher
from dicom_service.settings import load, setting

if TYPE_CHECKING:
    from dicom_service.auth.access_tokens import AccessTokens
    from dicom_service.otp.issue import Issuer
    from dicom_service.otp.manage import Manager
    from dicom_service.otp.redeem import Redeemer

logger = log.get_logger()


def token_lifetime(text: str) -> int:
    """Cast the lifetime of an access token: 60 s to 1 day.

    Raises
    ------
    ValueError
        The number is outside this range.
    """
    if not 60 <= int(text) <= 86_400:
        raise ValueError("not from 60 to 86400")
    return int(text)


@dataclass(frozen=True)
class OtpSettings:
    """The master secret, and the lifetime of access tokens in seconds."""

    master_secret: str = setting("OTP_MASTER_SECRET_ARN")
    token_lifetime: int = setting("ACCESS_TOKEN_SECONDS", cast=token_lifetime, default=3600)


@dataclass(frozen=True)
class PatientSettings:
    """The secret with the keys that patients are hashed with."""

    keys_secret: str = setting("PATIENT_KEYS_SECRET_ARN")


@cache
def settings() -> OtpSettings:
    """Return the settings of issuing and redeeming."""
    return load(OtpSettings)


@cache
def store() -> OtpStore:
    """Return the store of codes and access tokens."""
    return OtpStore(load(OtpTables))


@cache
def keyring() -> Keyring:
    """Return the master secrets that codes are derived from."""
    return Keyring.of(settings().master_secret)


@cache
def hasher() -> PatientHasher:
    """Return the hasher of patients."""
    return PatientHasher(Keyring.of(load(PatientSettings).keys_secret))


@cache
def guard() -> ExamGuard:
    """Return the guard that compares patients and suspends codes."""
    return ExamGuard(store(), hasher())


@cache
def access_tokens() -> "AccessTokens":
    """Return the exam access tokens, to end one."""
    from dicom_service.auth.access_tokens import AccessTokens

    tables = load(OtpTables)
    return AccessTokens(tables.access_tokens, tables.otps)


@cache
def issuer() -> "Issuer":
    """Return the issuer behind ``POST /otps`` and ``GET /token``."""
    from dicom_service.otp.external_viewer import ViewerSettings
    from dicom_service.otp.issue import Issuer

    return Issuer(store(), keyring(), hasher(), pacs, load(ViewerSettings))


@cache
def redeemer() -> "Redeemer":
    """Return the redeemer behind ``POST /otps/redeem``."""
    from dicom_service.otp.guesses import Guesses, GuessSettings
    from dicom_service.otp.redeem import Redeemer

    guesses = Guesses(load(GuessSettings))
    return Redeemer(store(), keyring(), guard(), pacs, token_lifetime=settings().token_lifetime, guesses=guesses)


@cache
def manager() -> "Manager":
    """Return the manager that shows and revokes codes."""
    from dicom_service.otp.manage import Manager

    return Manager(store(), hasher, _accesses)


def _accesses(who: str, most: int) -> list[dict[str, Any]] | None:
    # Only who looks at one code reads the audit.
    from dicom_service.audit.dependencies import reader
    from dicom_service.audit.store import BY_VIEWER
    from dicom_service.audit.view import view

    try:
        return [view(row) for row in reader().find(BY_VIEWER, who, most=most)]
    except Unavailable as error:
        # With AuditMode=best-effort, codes can be looked at all the same.
        logger.error("accesses of a code not read", extra=log.describe(error))
        return None
