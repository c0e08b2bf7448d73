"""Codes and access tokens, derived from a master secret and the otpId, so that no table has to hold them.

=================  ==========================  =========  ==================================================
what               for                         bits       how
=================  ==========================  =========  ==================================================
8 digits           codes that live ≤ 10 min    26         HOTP (RFC 4226) of a key derived for this otpId
13 characters      codes that live longer      65         HMAC-SHA-256, in Crockford's base 32
access token       whoever redeemed a code     256        HMAC-SHA-256 of the redemption's nonce
=================  ==========================  =========  ==================================================

Every key is ``HMAC-SHA-256(master secret, purpose | otpId)``: one code tells nothing of another, and a code tells
nothing of the tokens it gives.
"""

import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from typing import Literal

Form = Literal["digits", "characters"]
Matches = Callable[[bytes, bytes], bool]

DIGITS = 8
CHARACTERS = 13
ID_CHARACTERS = 16
# Eight digits are enough only for so long and with few attempts (ASVS 6.5.5; security.md).
LONGEST_LIFE_OF_DIGITS = 600
# The id of no code: looked up for ids that cannot exist, so that those cost what any other costs.
UNKNOWN_ID = "0" * ID_CHARACTERS

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans({"I": "1", "L": "1", "O": "0", "-": None, " ": None})


def form_for(lifetime: int) -> Form:
    """Give the form of a code that lives `lifetime` seconds."""
    return "digits" if lifetime <= LONGEST_LIFE_OF_DIGITS else "characters"


def new_id() -> str:
    """Draw an otpId: 80 random bits. Not a secret, yet not to be guessed: who knows it can burn the code."""
    return _crockford(secrets.randbits(5 * ID_CHARACTERS), ID_CHARACTERS)


def reference(otp_id: str) -> str:
    """Return what others read in place of an otpId, in events, the feed and audit lines.

    Whoever knows an otpId can lock its code, so it is for the issuer alone. Its 80 random bits cannot be tried out, so
    this hash needs no key, and an issuer can make it too.
    """
    return hashlib.sha256(f"dicom-service otp|{otp_id}".encode()).hexdigest()[:32]


def normalise(text: str) -> str:
    """Read what a person typed as Crockford meant it: case, hyphens and spaces do not count, I and L are 1, O is 0."""
    return text[:64].upper().translate(_READ_AS)


def read_id(text: str) -> str:
    """Give the otpId a text stands for, or `UNKNOWN_ID` when it stands for none."""
    value = normalise(text)
    well_formed = len(value) == ID_CHARACTERS and all(character in _ALPHABET for character in value)
    return value if well_formed else UNKNOWN_ID


def code(master: bytes, otp_id: str, form: Form) -> str:
    """Give the code of an otpId.

    Both forms are computed, whichever is asked for, so that the work tells nothing of the code.
    """
    import pyotp

    key = base64.b32encode(_derive(master, "digits", otp_id)).decode()
    digits: str = pyotp.HOTP(key, digits=DIGITS, digest=hashlib.sha256).at(0)
    number = int.from_bytes(_derive(master, "characters", otp_id), "big") >> (256 - 5 * CHARACTERS)
    characters = _crockford(number, CHARACTERS)
    return digits if form == "digits" else characters


def access_token(master: bytes, otp_id: str, nonce: str) -> str:
    """Give the access token of one redemption: the same otpId and nonce always give the same token."""
    digest = hmac.digest(_derive(master, "access token", otp_id), nonce.encode(), "sha256")
    return "exam_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def birth_date_tag(master: bytes, otp_id: str, birth_date: str) -> str:
    """Give what is kept of a PatientBirthDate (DA, ``YYYYMMDD``): enough to compare, nothing to read.

    Keyed, since there are so few dates that a bare hash would be undone by trying them all.
    """
    return hmac.digest(_derive(master, "birth date", otp_id), birth_date.encode(), "sha256").hex()


def nonce_tag(otp_id: str, nonce: str) -> str:
    """Give what is kept of a redemption's nonce: its SHA-256, bound to the otpId."""
    return hashlib.sha256(f"{otp_id}|{nonce}".encode()).hexdigest()


def token_hash(token: str) -> str:
    """Give the key under which an access token is kept: its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()


def _derive(master: bytes, purpose: str, otp_id: str) -> bytes:
    return hmac.digest(master, f"dicom-service otp {purpose}|{otp_id}".encode(), "sha256")


def _crockford(number: int, length: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))
