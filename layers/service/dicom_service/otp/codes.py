"""Codes and access tokens: derived from a master secret and the otpId, so no table stores them, and compared.

=================  ==========================  =========  ==================================================
secret             used for                    bits       derivation
=================  ==========================  =========  ==================================================
8 digits           codes valid ≤ 10 min        26         HOTP (RFC 4226) of a key derived for this otpId
13 characters      codes valid longer          65         HMAC-SHA-256, in Crockford's base 32
access token       the bearer of a code        256        HMAC-SHA-256 of the redemption's nonce
=================  ==========================  =========  ==================================================

Every key is ``HMAC-SHA-256(master secret, purpose | otpId)``: a code reveals nothing about other codes, nor about the
access tokens it is redeemed for.
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
# Eight digits suffice only for a short time and few attempts (ASVS 6.5.5; security.md).
LONGEST_LIFE_OF_DIGITS = 600
# The id of no code, looked up in place of malformed ids, so that they take as long as any other.
UNKNOWN_ID = "0" * ID_CHARACTERS

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_READ_AS = str.maketrans({"I": "1", "L": "1", "O": "0", "-": None, " ": None})


def form_for(lifetime: int) -> Form:
    """Return the form of a code that is valid for `lifetime` seconds."""
    return "digits" if lifetime <= LONGEST_LIFE_OF_DIGITS else "characters"


def new_id() -> str:
    """Return a new otpId of 80 random bits: no secret, but unguessable, since it is enough to lock the code."""
    return _crockford(secrets.randbits(5 * ID_CHARACTERS), ID_CHARACTERS)


def reference(otp_id: str) -> str:
    """Return the hash that stands for an otpId in events, the feed and audit lines.

    Anyone who knows an otpId can lock its code, so only the issuer sees it. Its 80 random bits cannot be guessed, so
    the hash needs no key, and an issuer can compute it too.
    """
    return hashlib.sha256(f"dicom-service otp|{otp_id}".encode()).hexdigest()[:32]


def viewer(otp_id: str) -> str:
    """Return who the holders of a code and of its access tokens are to the audit."""
    return f"otp:{reference(otp_id)}"


def normalise(text: str) -> str:
    """Normalise typed text as Crockford specifies: ignore case, hyphens and spaces; read I and L as 1, O as 0."""
    return text[:64].upper().translate(_READ_AS)


def read_id(text: str) -> str:
    """Return the otpId in a text, or `UNKNOWN_ID` if the text is not one."""
    value = normalise(text)
    well_formed = len(value) == ID_CHARACTERS and all(character in _ALPHABET for character in value)
    return value if well_formed else UNKNOWN_ID


def code(master: bytes, otp_id: str, form: Form) -> str:
    """Return the code of an otpId.

    Both forms are always computed, so that the time taken reveals nothing about the code.
    """
    import pyotp

    key = base64.b32encode(_derive(master, "digits", otp_id)).decode()
    digits: str = pyotp.HOTP(key, digits=DIGITS, digest=hashlib.sha256).at(0)
    number = int.from_bytes(_derive(master, "characters", otp_id), "big") >> (256 - 5 * CHARACTERS)
    characters = _crockford(number, CHARACTERS)
    return digits if form == "digits" else characters


def is_code(typed: str, master: bytes, otp_id: str, form: Form, compare: Matches = hmac.compare_digest) -> bool:
    """Return whether a typed text is the code of an otpId, compared in constant time."""
    return compare(code(master, otp_id, form).encode(), normalise(typed).encode())


def access_token(master: bytes, otp_id: str, nonce: str) -> str:
    """Return the access token of a redemption: always the same for the same otpId and nonce."""
    digest = hmac.digest(_derive(master, "access token", otp_id), nonce.encode(), "sha256")
    return "exam_" + base64.urlsafe_b64encode(digest).decode().rstrip("=")


def birth_date_tag(master: bytes, otp_id: str, birth_date: str) -> str:
    """Return the keyed hash of a PatientBirthDate (DA, ``YYYYMMDD``), which is stored to compare birth dates.

    There are so few dates that a hash without a key could be reversed by trying them all.
    """
    return hmac.digest(_derive(master, "birth date", otp_id), birth_date.encode(), "sha256").hex()


def is_birth_date(
    typed: str, tag: str | None, master: bytes, otp_id: str, compare: Matches = hmac.compare_digest
) -> bool:
    """Return whether a typed birth date has the stored hash; True where none is stored, after the same work."""
    theirs = birth_date_tag(master, otp_id, typed)
    return compare((tag or theirs).encode(), theirs.encode())


def nonce_tag(otp_id: str, nonce: str) -> str:
    """Return the hash of a redemption's nonce that is stored: SHA-256, bound to the otpId."""
    return hashlib.sha256(f"{otp_id}|{nonce}".encode()).hexdigest()


def token_hash(token: str) -> str:
    """Return the key under which an access token is stored: its SHA-256."""
    return hashlib.sha256(token.encode()).hexdigest()


def _derive(master: bytes, purpose: str, otp_id: str) -> bytes:
    return hmac.digest(master, f"dicom-service otp {purpose}|{otp_id}".encode(), "sha256")


def _crockford(number: int, length: int) -> str:
    return "".join(_ALPHABET[number >> 5 * place & 31] for place in reversed(range(length)))
