"""UIDs: valid, unique, registered before they are returned, one write per call."""

from collections.abc import Iterator
from unittest import mock

import pytest

from dicom_service import aws
from dicom_service.errors import SettingsError, Unavailable
from dicom_service.settings import load
from dicom_service.uid_registry import LONGEST_ROOT, UidRegistry, UidSettings, uid_root
from dicomweb.uid import is_uid
from tests.support.aws_faults import AwsFaults
from tests.support.cloud import cloud

ENVIRONMENT = {"UIDS_TABLE": "uids"}


@pytest.fixture
def table(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    with cloud(monkeypatch, {"UidsTable": "uids"}):
        yield "uids"


@pytest.mark.parametrize("root", [None, "1.2.840.99999", "2.16.840.1.113883.3.1", "1." + "9" * (LONGEST_ROOT - 2)])
def test_ten_thousand_uids_are_valid_and_cost_one_write(table: str, root: str | None) -> None:
    registry = UidRegistry(UidSettings(table, root))
    with mock.patch.object(aws.dynamodb(), "put_item", wraps=aws.dynamodb().put_item) as put:
        uids = registry.take(10_000)
    assert put.call_count == 1
    assert len(set(uids)) == 10_000
    for uid in uids:
        assert is_uid(uid)
        assert all(part == "0" or not part.startswith("0") for part in uid.split("."))
        assert uid.startswith(root or "2.25.")


def test_a_registered_block_is_not_issued_again(table: str) -> None:
    # GIVEN randomness that draws the same number twice before another
    draws = iter([7, 7, 8])
    registry = UidRegistry(UidSettings(table, None), random_below=lambda _: next(draws))
    assert registry.take(1) != registry.take(1)


def test_randomness_that_never_changes_issues_no_uid(table: str) -> None:
    registry = UidRegistry(UidSettings(table, None), random_below=lambda _: 7)
    registry.take(1)
    with pytest.raises(Unavailable):
        registry.take(1)


def test_no_uid_is_issued_without_registration(table: str) -> None:
    with pytest.raises(Unavailable):
        UidRegistry(UidSettings("no-such-table", None)).take(1)


@pytest.mark.parametrize("root", ["3.1", "1", "1.40", "1.02.3", "1..2", "1.2.", "a.b", "1." + "9" * LONGEST_ROOT])
def test_an_invalid_root_is_rejected_when_settings_load(root: str) -> None:
    with pytest.raises(SettingsError, match="DICOM_UID_ROOT"):
        load(UidSettings, {**ENVIRONMENT, "DICOM_UID_ROOT": root})


def test_a_missing_table_is_named() -> None:
    with pytest.raises(SettingsError, match="UIDS_TABLE"):
        load(UidSettings, {})


def test_an_organisations_root_is_kept() -> None:
    assert uid_root("2.16.840.1.113883.3.9999") == "2.16.840.1.113883.3.9999"


def test_uids_are_registered_though_another_writer_is_met(table: str, monkeypatch: pytest.MonkeyPatch) -> None:
    registry = UidRegistry(UidSettings(table, None))
    with AwsFaults(monkeypatch, share=0.3, kinds=("conflict",)) as faults:
        uids = [registry.take(1)[0] for _ in range(20)]
    assert faults.met["conflict"]
    assert len(set(uids)) == 20
