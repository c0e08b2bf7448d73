"""The OTP parts put together by hand, on whatever DynamoDB is named: moto in unit tests, else the stack."""

import hmac
import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

from dicom_service import aws
from dicom_service.auth.access_tokens import AccessTokens
from dicom_service.aws import Secret
from dicom_service.otp.audit_log import Actor
from dicom_service.otp.codes import Matches
from dicom_service.otp.external_viewer import ViewerSettings
from dicom_service.otp.guard import ExamGuard
from dicom_service.otp.issue import Issuer
from dicom_service.otp.keyring import Keyring
from dicom_service.otp.manage import Manager
from dicom_service.otp.redeem import Redeemer
from dicom_service.otp.requests import IssueRequest, RedeemRequest
from dicom_service.otp.store import OtpStore, OtpTables
from dicom_service.patient import PatientHasher
from tests.support.fake_client import FakeClient

STUDY = "1.2.826.0.1.3680043.8.498.1"
PATIENT = "CANARY-PAT-1"
BIRTH_DATE = "19610412"
MASTER = {"current": "k1", "k1": "unit-test-master-secret-of-64-characters-0123456789-abcdefghijkl"}
API = "https://api.example.org/v1"
PORTAL = Actor("portal", "192.0.2.7")


def study(uid: str = STUDY, patient: str = PATIENT, birth_date: str | None = BIRTH_DATE) -> dict[str, Any]:
    dataset: dict[str, Any] = {
        "0020000D": {"vr": "UI", "Value": [uid]},
        "00100020": {"vr": "LO", "Value": [patient]},
        "00100010": {"vr": "PN", "Value": [{"Alphabetic": "CANARY^NAME"}]},
    }
    return dataset | ({"00100030": {"vr": "DA", "Value": [birth_date]}} if birth_date else {"00100030": {"vr": "DA"}})


class FakePacs(FakeClient):  # type: ignore[misc]
    """A PACS that has these studies; with `ignores_filters` it answers every search with all of them."""

    def __init__(self, *studies: dict[str, Any], ignores_filters: bool = False) -> None:
        self.studies = list(studies)
        self.ignores_filters = ignores_filters
        self.asked = 0

    def shared_deadline(self, share: float = 1.0) -> AbstractContextManager[None]:
        return nullcontext()

    def search_for_studies(self, filters: Mapping[str, str], *, includefields: Sequence[str], limit: int | None) -> Any:
        self.asked += 1
        found = [
            entry
            for entry in self.studies
            if self.ignores_filters or entry["0020000D"]["Value"] == [filters["StudyInstanceUID"]]
        ]
        return SimpleNamespace(datasets=found, more=False)


@dataclass
class Clock:
    """A clock that stands still until somebody moves it."""

    now: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Harness:
    """Everything of the OTP domain, with a fake PACS and a clock."""

    tables: OtpTables
    keyring: Keyring
    patient_keys: Keyring
    clock: Clock = field(default_factory=Clock)
    pacs: FakePacs = field(default_factory=lambda: FakePacs(study()))
    viewer: ViewerSettings = field(default_factory=ViewerSettings)
    store_class: type[OtpStore] = OtpStore
    matches: Matches = hmac.compare_digest

    @property
    def store(self) -> OtpStore:
        return self.store_class(self.tables)

    @property
    def hasher(self) -> PatientHasher:
        return PatientHasher(self.patient_keys)

    @property
    def guard(self) -> ExamGuard:
        return ExamGuard(self.store, self.hasher, clock=self.clock)

    @property
    def issuer(self) -> Issuer:
        return Issuer(self.store, self.keyring, self.hasher, lambda: self.pacs, self.viewer, clock=self.clock)

    @property
    def redeemer(self) -> Redeemer:
        return Redeemer(self.store, self.keyring, self.guard, lambda: self.pacs, matches=self.matches, clock=self.clock)

    @property
    def manager(self) -> Manager:
        return Manager(self.store, lambda: self.hasher, lambda *_: [], clock=self.clock)

    @property
    def access_tokens(self) -> AccessTokens:
        return AccessTokens(self.tables.access_tokens, self.tables.otps, clock=self.clock)

    def issue(self, **wishes: Any) -> dict[str, Any]:
        return self.issuer.issue(IssueRequest(**{"study_uid": STUDY, "patient_id": PATIENT} | wishes), PORTAL, API)

    def redeem(self, issued: Mapping[str, Any], **more: Any) -> dict[str, Any]:
        values = {"otp_id": issued["otpId"], "code": issued["otp"]} | more
        return self.redeemer.redeem(RedeemRequest(**values), "198.51.100.9")


def master_secret(name: str, value: Mapping[str, str] = MASTER) -> str:
    """Put a master secret; give its name."""
    manager = aws.secretsmanager()
    if name in {entry["Name"] for entry in manager.list_secrets()["SecretList"]}:
        manager.put_secret_value(SecretId=name, SecretString=json.dumps(value))
    else:
        manager.create_secret(Name=name, SecretString=json.dumps(value))
    return name


def keyring(name: str) -> Keyring:
    return Keyring(lambda: Secret(name))


def events_of(tables: OtpTables) -> list[str]:
    """Give the detail-types in the outbox, in any order."""
    items = aws.dynamodb().scan(TableName=tables.events)["Items"]
    return sorted(str(aws.from_item(item)["detailType"]) for item in items)


def wrong(code: str) -> str:
    """Give a code of the same form that is not this one."""
    return code[:-1] + ("0" if code[-1] != "0" else "1")
