"""Codes, tokens and tags: derived, told apart, read as people type them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dicom_service.otp import codes

MASTER = b"m" * 32
OTHER = b"n" * 32


@pytest.mark.parametrize(("lifetime", "form"), [(60, "digits"), (600, "digits"), (601, "characters")])
def test_eight_digits_only_for_ten_minutes(lifetime: int, form: str) -> None:
    assert codes.form_for(lifetime) == form


def test_the_forms_have_the_alphabet_and_length_they_promise() -> None:
    for number in range(200):
        otp_id = codes.new_id()
        assert re.fullmatch(r"[0-9]{8}", codes.code(MASTER, otp_id, "digits")), number
        assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{13}", codes.code(MASTER, otp_id, "characters")), number


def test_a_code_depends_on_the_master_secret_and_on_the_id_and_on_nothing_else() -> None:
    one, two = codes.new_id(), codes.new_id()

    assert codes.code(MASTER, one, "characters") == codes.code(MASTER, one, "characters")
    assert codes.code(MASTER, one, "characters") != codes.code(MASTER, two, "characters")
    assert codes.code(MASTER, one, "characters") != codes.code(OTHER, one, "characters")


def test_every_character_of_a_code_varies() -> None:
    """A shift that is off by a few bits would leave the first characters fixed."""
    made = [codes.code(MASTER, codes.new_id(), "characters") for _ in range(600)]

    assert all(len({code[place] for code in made}) == 32 for place in range(13))


@given(st.text(alphabet="0123456789ABCDEFGHJKMNPQRSTVWXYZ", min_size=13, max_size=13))
def test_what_people_type_is_read_as_crockford_meant_it(code: str) -> None:
    typed = f"{code[:4]}-{code[4:8]} {code[8:]}".lower().replace("0", "o").replace("1", "l")

    assert codes.normalise(typed) == code


@given(st.text())
def test_no_text_makes_reading_an_id_fail(text: str) -> None:
    assert re.fullmatch(r"[0-9A-HJKMNP-TV-Z]{16}", codes.read_id(text))


def test_an_id_is_read_back() -> None:
    otp_id = codes.new_id()

    assert codes.read_id(otp_id.lower()) == otp_id
    assert codes.read_id(otp_id[:-1]) == codes.UNKNOWN_ID
    assert codes.read_id(otp_id + "A") == codes.UNKNOWN_ID


def test_a_token_is_the_same_for_one_nonce_and_another_for_another() -> None:
    otp_id = codes.new_id()

    token = codes.access_token(MASTER, otp_id, "n1")
    assert token == codes.access_token(MASTER, otp_id, "n1")
    assert token != codes.access_token(MASTER, otp_id, "n2")
    assert token != codes.access_token(OTHER, otp_id, "n1")
    assert re.fullmatch(r"exam_[A-Za-z0-9_-]{43}", token)


def test_two_codes_for_one_birth_date_keep_different_tags() -> None:
    """A bare hash would be the same, and undone by trying all dates."""
    assert codes.birth_date_tag(MASTER, "A", "19610412") != codes.birth_date_tag(MASTER, "B", "19610412")
