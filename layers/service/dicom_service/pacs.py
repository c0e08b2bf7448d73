"""The connection to the PACS: a client built from the settings, and searches that answer all rows.

The client is imported when it is built: `requests` below it takes a tenth of a cold start, and not every invocation
reaches the PACS.
"""

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dicom_service import errors
from dicom_service.aws import Secret
from dicom_service.settings import PacsSettings
from dicomweb.dataset import text

if TYPE_CHECKING:
    from dicomweb.client import DicomwebClient
    from dicomweb.dataset import SearchResult
    from dicomweb.transport import Transport

NO_EXAM = "The PACS has no exam with this StudyInstanceUID."
_STUDY_UID = "0020000D"
_LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


def connect(settings: PacsSettings) -> "DicomwebClient":
    """Return a client for the configured PACS; sends no request."""
    from dicomweb.client import DicomwebClient, Endpoints, Quirks

    with _checked_settings():
        return DicomwebClient(
            settings.url,
            endpoints=Endpoints(qido=settings.qido_url, wado=settings.wado_url, stow=settings.stow_url),
            quirks=Quirks.parse(settings.quirks),
            **_transport_options(settings),
        )


def connect_rest(settings: PacsSettings) -> "Transport":
    """Return a transport for other REST services of the PACS, such as its worklist; sends no request."""
    from dicomweb.transport import Transport

    with _checked_settings():
        return Transport(**_transport_options(settings))


@contextmanager
def _checked_settings() -> Iterator[None]:
    try:
        yield
    except (KeyError, ValueError) as error:
        raise errors.SettingsError("The PACS settings are incomplete or invalid.") from error


def _transport_options(settings: PacsSettings) -> dict[str, Any]:
    from dicomweb.auth import make_auth
    from dicomweb.transport import Timeouts

    secret = Secret(settings.secret_arn).value() if settings.secret_arn else {}
    _check_encrypted(settings, secret)
    return {
        "auth": make_auth(settings.auth, secret, signer=_signer(settings)),
        "timeouts": Timeouts(settings.connect_timeout, settings.read_timeout, settings.total_timeout),
        "verify": pem_file(secret, "ca_bundle") or True,
        "cert": _client_certificate(secret),
    }


def _check_encrypted(settings: PacsSettings, secret: Mapping[str, Any]) -> None:
    """Allow credentials over plain HTTP to this machine only; local mode has no TLS.

    Raises
    ------
    ValueError
        A URL that receives credentials is plain HTTP.
    """
    if settings.auth == "none" or settings.local:
        return
    token_url = secret.get("token_url") if settings.auth == "oauth2" else None
    urls = (settings.url, settings.qido_url, settings.wado_url, settings.stow_url, settings.worklist_url, token_url)
    for url in filter(None, urls):
        parts = urlsplit(str(url))
        if parts.scheme != "https" and parts.hostname not in _LOOPBACK:
            raise ValueError("credentials over plain HTTP")


def pem_file(secret: Mapping[str, Any], key: str) -> str | None:
    """Write a PEM text of the secret to a private file, since `requests` accepts paths only."""
    if not secret.get(key):
        return None
    with tempfile.NamedTemporaryFile("w", suffix=".pem", delete=False) as file:
        file.write(secret[key])
    Path(file.name).chmod(0o600)
    return file.name


def _client_certificate(secret: Mapping[str, Any]) -> tuple[str, str] | None:
    certificate, key = pem_file(secret, "client_cert"), pem_file(secret, "client_key")
    return (certificate, key) if certificate and key else None


def _signer(settings: PacsSettings) -> Callable[..., Mapping[str, str]] | None:
    if settings.auth != "sigv4":
        return None
    import boto3
    from botocore.auth import S3SigV4Auth, SigV4Auth
    from botocore.awsrequest import AWSRequest

    session = boto3.Session()

    def sign(method: str, url: str, headers: Mapping[str, str], body_sha256: str) -> Mapping[str, str]:
        request = AWSRequest(method=method, url=url, headers={**headers, "X-Amz-Content-SHA256": body_sha256})
        credentials = session.get_credentials()
        if credentials is None:
            raise errors.SettingsError("There are no AWS credentials to sign requests to the PACS with.")
        kind = S3SigV4Auth if settings.sigv4_service == "s3" else SigV4Auth
        kind(credentials, settings.sigv4_service, session.region_name).add_auth(request)
        return dict(request.headers)

    return sign


def rows_of_study(
    client: "DicomwebClient", study_uid: str, *, includefields: Sequence[str] = (), limit: int | None = None
) -> list[dict[str, Any]]:
    """Search for one study; return its rows, several where the PACS has several patients under its UID.

    Some PACS ignore a filter that they do not understand and return everything.
    """
    found = client.search_for_studies({"StudyInstanceUID": study_uid}, limit=limit, includefields=includefields)
    return [row for row in found.datasets if text(row, _STUDY_UID).strip() == study_uid]


def all_rows(search: "Callable[[int], SearchResult]") -> Iterator[dict[str, Any]]:
    """Yield the rows of a search page by page; `search` takes the offset of a page."""
    offset = 0
    while True:
        page = search(offset)
        yield from page.datasets
        offset += len(page.datasets)
        if not page.more or not page.datasets:
            return
