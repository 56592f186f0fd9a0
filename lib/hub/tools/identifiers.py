"""Identifiers: book numbers, bank account numbers and check digits.

Libraries: python-stdnum (LGPL-2.1-or-later), which carries the ISBN and IBAN registries, and isbnlib (LGPL-3.0), of which only
the offline core is used. The account numbers are invented; the registry's structure and the check digits make them well-formed.
"""

from __future__ import annotations

from typing import Any

import isbnlib
from stdnum import damm, iban, isbn, luhn, verhoeff
from stdnum.exceptions import ValidationError

from lib.hub.arguments import number_parameter, read_integer, text_parameter
from lib.hub.spec import Api, Goal, Tool, Value
from lib.hub.tools.patterns import matching_text

LARGEST = 10**9

# nine-digit stems of books, whose tenth character is the check digit
STEMS = """030640615 043902348 055357340 026203384 020161622 013110362 047095839 059600712 014044911 034580378
067978330 081297215 074327356 006112008 038547237 031276852 052185155 019853453 040274692 022631663 207036002
201012497 222604158 226611156 342313062 349923423 351837920 848130024 842061420 880452387 883382115 902143591
912344567 143028217 159327584 158234345 186197271 140003341"""

# country code and invented bank account, without the two check digits
ACCOUNTS = """NO:93861117947 NO:15030012345 NO:42020034567 BE:096123456769 BE:539007547034 BE:733012345601
DK:00400440116243 DK:30000012345678 DK:65090087654321 FI:12345600000785 FI:50001520000081 FI:31313001000058
NL:ABNA0417164300 NL:INGB0001234567 NL:RABO0123456789 AT:1904300234573201 AT:2011128701234500 AT:3200000012345864
EE:2200221020145685 EE:1010010123456789 LT:1000011101001000 LT:7300010002350272 SI:191000000123438 SI:263300012039086
DE:370400440532013000 DE:100500000054540402 DE:500105175407324931 CH:00762011623852957 CH:04835012345678009
HR:10010051863000160 HR:23600001101234565 LV:HABA0551000435195"""

GOALS = (
    Goal("isbn13_of_isbn10", {"isbn10": "isbn10"}, "isbn13", (
        "the thirteen-digit ISBN of the book with the ten-digit ISBN {isbn10}",
        "the thirteen-digit form of the old book number {isbn10}",
        "what the ISBN {isbn10} is in the new thirteen-digit notation",
        "which barcode number belongs to the book with the old ISBN {isbn10}",
        "how the ten-digit book code {isbn10} reads when converted to thirteen digits",
    ), "the thirteen-digit ISBN of {isbn10}", "The ISBN-13 of {isbn10} is {fact}."),
    Goal("publisher_code", {"isbn13": "isbn13"}, "publisher_code", (
        "the publisher code in ISBN {isbn13}",
        "the registrant element of the book number {isbn13}",
        "which digits of the ISBN {isbn13} stand for the publisher",
        "the publishing house's prefix inside {isbn13}",
        "the part of {isbn13} that identifies who issued the book",
    ), "the publisher code of ISBN {isbn13}", "The publisher code in {isbn13} is {fact}."),
    Goal("country_of_iban", {"iban": "iban"}, "country_code", (
        "the two-letter country code of the bank account {iban}",
        "in which country (two-letter code) the IBAN {iban} was issued",
        "the code of the country that the IBAN {iban} belongs to",
        "where the account {iban} is held, as a two-letter country code",
        "the country code behind the bank account number {iban}",
    ), "the country code of the IBAN {iban}", "The IBAN {iban} belongs to {fact}."),
    Goal("luhn_digit", {"number": "integer"}, "check_digit", (
        "the Luhn check digit of {number}",
        "the mod ten control digit for {number}",
        "which digit the Luhn algorithm appends to {number}",
        "the last digit a card number starting with just {number} would need by Luhn",
        "the Luhn checksum digit that completes {number}",
    ), "the Luhn check digit of {number}", "The Luhn check digit of {number} is {fact}."),
    Goal("damm_digit", {"number": "integer"}, "check_digit", (
        "the Damm check digit of {number}",
        "which control digit the Damm algorithm gives for {number}",
        "the digit that Damm's method adds to {number}",
        "the checksum digit of {number} by the Damm scheme",
        "what digit makes {number} valid under Damm",
    ), "the Damm check digit of {number}", "The Damm check digit of {number} is {fact}."),
)


def _book_numbers() -> tuple[tuple[Value, ...], tuple[Value, ...]]:
    """The books of STEMS as ISBN-10 and as ISBN-13."""
    short = tuple(stem + isbnlib.check_digit10(stem) for stem in STEMS.split())
    return short, tuple(isbn.to_isbn13(number) for number in short)


def _account_numbers() -> tuple[Value, ...]:
    """ACCOUNTS with their check digits, as IBANs."""
    parts = (account.split(":") for account in ACCOUNTS.split())
    return tuple(country + iban.calc_check_digits(f"{country}00{account}") + account for country, account in parts)


DOMAINS: dict[str, tuple[Value, ...]] = {"isbn10": _book_numbers()[0], "isbn13": _book_numbers()[1], "iban": _account_numbers()}


def read_isbn(text: object) -> str:
    """The ISBN in text without hyphens; its check digit is tested."""
    number = matching_text(text, r"[0-9][0-9 -]*[0-9Xx]", 17, "an ISBN of 10 or 13 digits")
    try:
        return isbn.validate(number)
    except ValidationError as error:
        raise ValueError(f"'{number}' is not a valid ISBN: {error}") from error


def read_isbn10(text: object) -> str:
    """The ISBN-10 in text."""
    number = read_isbn(text)
    if len(number) != 10:
        raise ValueError("expected an ISBN of 10 characters")
    return number


def read_iban(text: object) -> str:
    """The IBAN in text; structure and check digits are tested, national rules are not."""
    number = matching_text(text, r"[A-Za-z]{2}[0-9]{2}[A-Za-z0-9 ]+", 42, "an IBAN such as NO9386011117947")
    try:
        return iban.validate(number, check_country=False)
    except ValidationError as error:
        raise ValueError(f"'{number[:24]}' is not a valid IBAN: {error}") from error


def read_digits(value: object) -> str:
    """The whole number in value as digits."""
    return str(read_integer(value, "value", 0, LARGEST))


def to_isbn13(isbn10: object) -> dict[str, Any]:
    return {"isbn13": isbnlib.to_isbn13(read_isbn10(isbn10))}


def book_barcode(isbn10: object) -> dict[str, Any]:
    number = isbn.to_isbn13(read_isbn10(isbn10))
    return {"ean": number, "check_digit": number[-1]}


def hyphenate(isbn13: object) -> dict[str, Any]:
    masked = isbnlib.mask(isbnlib.to_isbn13(read_isbn(isbn13)))
    if not masked:
        raise ValueError("no publisher is registered for this ISBN")
    return {"hyphenated": masked, "publisher": masked.split("-")[2]}


def upgrade_isbn(code: object) -> dict[str, Any]:
    return {"old": read_isbn10(code), "upgraded": isbn.to_isbn13(read_isbn10(code))}


def isbn_parts(code: object) -> dict[str, Any]:
    _, group, registrant, title, _ = isbn.split(isbn.to_isbn13(read_isbn(code)))
    if not registrant:
        raise ValueError("no publisher is registered for this ISBN")
    return {"group": group, "registrant": registrant, "title": title}


def publisher_prefix(code: object) -> dict[str, Any]:
    parts = isbn_parts(code)
    return {"prefix": parts["registrant"], "digits": len(parts["registrant"])}


def iban_origin(code: object) -> dict[str, Any]:
    return {"origin": read_iban(code)[:2]}


def iban_country(iban_number: object) -> dict[str, Any]:
    return {"country_code": read_iban(iban_number)[:2]}


def iban_decode(iban_number: object) -> dict[str, Any]:
    number = read_iban(iban_number)
    return {"nation": number[:2], "check_digits": number[2:4], "length": len(number)}


def mod10_digit(account: object) -> dict[str, Any]:
    return {"control_digit": luhn.calc_check_digit(read_digits(account))}


def luhn_digit(number: object) -> dict[str, Any]:
    return {"luhn": luhn.calc_check_digit(read_digits(number))}


def complete_number(number: object) -> dict[str, Any]:
    digits = read_digits(number)
    return {"completed": digits + luhn.calc_check_digit(digits), "appended": luhn.calc_check_digit(digits)}


def error_digits(number: object) -> dict[str, Any]:
    digits = read_digits(number)
    return {"damm": damm.calc_check_digit(digits), "verhoeff": verhoeff.calc_check_digit(digits)}


ISBN10 = text_parameter("isbn10", "10-character ISBN, hyphens optional")
CODE = text_parameter("code", "the code to inspect")
IBAN = text_parameter("iban_number", "international bank account number")
NUMBER = number_parameter("number", "number without its check digit")

TOOLS = (
    Tool("isbn_hub", "Identifiers", "Converts and splits international standard book numbers.", (
        Api("to_isbn13",
            "Converts the old ten-digit ISBN of a book to its new form, the thirteen-digit number used in barcodes.",
            (ISBN10,), to_isbn13, "isbn13_of_isbn10", {"isbn10": "isbn10"}, "isbn13"),
        Api("book_barcode",
            "Thirteen-digit barcode number (EAN) of a book, converted from its old ten-digit ISBN, with check digit.",
            (ISBN10,), book_barcode, "isbn13_of_isbn10", {"isbn10": "isbn10"}, "ean"),
        Api("hyphenate",
            "Hyphenates a book's ISBN and names the publisher code: the registrant part that identifies its publishing house.",
            (text_parameter("isbn13", "13-digit ISBN"),), hyphenate, "publisher_code", {"isbn13": "isbn13"}, "publisher"),
    )),
    Tool("code_inspector", "Identifiers", "Reads meaning out of product, book and bank codes.", (
        Api("upgrade_isbn",
            "Upgrades an old ten-digit book code (ISBN) to the new thirteen-digit notation, its barcode number.",
            (CODE,), upgrade_isbn, "isbn13_of_isbn10", {"code": "isbn10"}, "upgraded"),
        Api("isbn_parts",
            "Parts of an ISBN: the registrant element, which identifies the publisher (publishing house), group and title.",
            (CODE,), isbn_parts, "publisher_code", {"code": "isbn13"}, "registrant"),
        Api("publisher_prefix",
            "Publisher prefix inside a book's ISBN: which digits, as registrant part, stand for the publishing house.",
            (CODE,), publisher_prefix, "publisher_code", {"code": "isbn13"}, "prefix"),
        Api("iban_origin",
            "Origin of a bank account: the two-letter code of the country that its IBAN or account number belongs to.",
            (CODE,), iban_origin, "country_of_iban", {"code": "iban"}, "origin"),
    )),
    Tool("bank_id_api", "Identifiers", "Checks and decodes bank account numbers.", (
        Api("iban_country",
            "Two-letter country code of an IBAN: tells in which country the bank account behind it is held.",
            (IBAN,), iban_country, "country_of_iban", {"iban_number": "iban"}, "country_code"),
        Api("iban_decode",
            "Decodes a bank account number (IBAN): its nation as a two-letter country code, check digits and length.",
            (IBAN,), iban_decode, "country_of_iban", {"iban_number": "iban"}, "nation"),
        Api("mod10_digit",
            "Control digit that the Luhn algorithm (mod ten) appends: the check digit completing an account or card number.",
            (number_parameter("account", "number without its control digit"),),
            mod10_digit, "luhn_digit", {"account": "number"}, "control_digit"),
    )),
    Tool("checksum_pro", "Identifiers", "Check digits by the Luhn, Damm and Verhoeff algorithms.", (
        Api("luhn_digit",
            "Luhn check digit of a number: the control digit that the Luhn algorithm (mod ten checksum) appends to it.",
            (NUMBER,), luhn_digit, "luhn_digit", {"number": "number"}, "luhn"),
        Api("complete_number",
            "Completes a card number with its last digit: the check digit by the Luhn algorithm (mod ten control).",
            (NUMBER,), complete_number, "luhn_digit", {"number": "number"}, "appended"),
        Api("error_digits",
            "Damm check digit: the control digit that makes a number valid by Damm's algorithm; Verhoeff checksum digit too.",
            (NUMBER,), error_digits, "damm_digit", {"number": "number"}, "damm"),
    )),
)
