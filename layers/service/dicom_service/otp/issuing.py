"""What issues, put together from the settings: apart from `factory`, since only issuing reaches the PACS."""

from functools import cache

from dicom_service.otp.factory import OtpSettings, hasher
from dicom_service.otp.issue import Issuer
from dicom_service.otp.keyring import Keyring
from dicom_service.otp.store import OtpStore, OtpTables
from dicom_service.otp.viewer import ViewerSettings
from dicom_service.pacs import connect
from dicom_service.settings import PacsSettings, load


@cache
def issuer() -> Issuer:
    """Give what issues."""
    pacs = cache(lambda: connect(load(PacsSettings)))
    keyring = Keyring.of(load(OtpSettings).master_secret)
    return Issuer(OtpStore(load(OtpTables)), keyring, hasher(), pacs, load(ViewerSettings))
