"""REQUEST authorizer of every route that is not open: who is calling, and may they?"""

from functools import cache
from typing import Any

from dicom_service import log
from dicom_service.auth.authorizer import Authorizer, AuthSettings
from dicom_service.errors import Unauthorized
from dicom_service.settings import load

logger = log.get_logger()


@cache
def authorizer() -> Authorizer:
    return Authorizer.from_settings(load(AuthSettings))


def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    try:
        return authorizer().decide(event)
    except Unauthorized:
        # API Gateway answers 401 to this very text and 500 to any other error.
        raise Exception("Unauthorized") from None
