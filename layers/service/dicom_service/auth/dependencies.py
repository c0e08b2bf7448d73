"""The authorizer of this deployment, wired from the settings once per process."""

from functools import cache

from dicom_service.auth.authorizer import Authorizer, AuthSettings
from dicom_service.settings import load


@cache
def authorizer() -> Authorizer:
    """Return the authorizer with every kind of credential that is configured."""
    return Authorizer.from_settings(load(AuthSettings))
