"""Credentials for a PACS do not travel in clear."""

from typing import Any

import pytest

from dicom_service.aws import Secret
from dicom_service.errors import SettingsError
from dicom_service.pacs import connect, connect_rest
from dicom_service.settings import PacsSettings

SECRET = {"username": "u", "password": "p", "client_id": "c", "client_secret": "s", "token": "t"}
HTTPS, HTTP = "https://pacs.example/dicom-web", "http://pacs.example/dicom-web"


@pytest.fixture(autouse=True)
def secret(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    values = dict(SECRET)
    monkeypatch.setattr(Secret, "value", lambda _: values)
    return values


def settings(url: str = HTTPS, auth: str = "basic", **changes: Any) -> PacsSettings:
    return PacsSettings(url=url, auth=auth, secret_arn="secret", **changes)


@pytest.mark.parametrize(
    "refused",
    [
        settings(HTTP),
        settings(HTTP, "bearer"),
        settings(qido_url=HTTP),
        settings(wado_url=HTTP),
        settings(stow_url=HTTP),
        settings(worklist_url=HTTP),
        settings("http://127.0.0.1.pacs.example/"),
    ],
)
def test_plain_http_is_refused_with_credentials(refused: PacsSettings) -> None:
    for make in (connect, connect_rest):
        with pytest.raises(SettingsError):
            make(refused)


def test_a_token_endpoint_over_plain_http_is_refused(secret: dict[str, str]) -> None:
    secret["token_url"] = "http://login.example/token"
    with pytest.raises(SettingsError):
        connect(settings(auth="oauth2"))
    secret["token_url"] = "https://login.example/token"
    connect(settings(auth="oauth2"))


@pytest.mark.parametrize(
    "allowed", [settings(), settings(HTTP, "none"), settings(HTTP, local=True), settings("http://127.0.0.1:8042/")]
)
def test_https_no_credentials_local_mode_and_the_loopback_are_not(allowed: PacsSettings) -> None:
    connect(allowed)
