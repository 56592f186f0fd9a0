"""Phone: calling codes, where a number comes from, and how it is written.

All facts are phonenumbers' (Apache-2.0), the Python port of Google's libphonenumber. The numbers asked about are its example
numbers.
"""

from __future__ import annotations

from typing import Any

from phonenumbers import (
    NumberParseException,
    PhoneNumber,
    PhoneNumberFormat,
    PhoneNumberType,
    country_code_for_region,
    example_number_for_type,
    format_number,
    is_valid_number,
    number_type,
    parse,
    region_code_for_country_code,
    region_code_for_number,
)
from phonenumbers.timezone import time_zones_for_number

from lib.hub.arguments import number_parameter, read_integer, read_text, text_parameter
from lib.hub.domains import SHARED
from lib.hub.places import countries, find_country
from lib.hub.spec import Api, Goal, Tool, Value

CATEGORY = "Phone"
LINE_TYPES = {PhoneNumberType.MOBILE: "mobile", PhoneNumberType.FIXED_LINE: "fixed line"}

GOALS: tuple[Goal, ...] = (
    Goal("calling_code_of_country", {"country": "country_name"}, "calling_code",
         ("the international calling code of {country}", "which prefix I dial to phone {country} from abroad",
          "the international dialling code for {country}",
          "the telephone country code of {country}", "what number goes after the plus sign to call {country}"),
         "the international calling code of {country}", "The calling code of {country} is {fact}."),
    Goal("country_of_calling_code", {"calling_code": "calling_code"}, "country_name",
         ("which country owns the calling code {calling_code}", "the country that the phone prefix {calling_code} belongs to",
          "the main country behind the dialling prefix {calling_code}",
          "which nation I reach when I dial the prefix {calling_code}",
          "the nation whose dialling code is {calling_code}"),
         "the country that the calling code {calling_code} belongs to", "The calling code {calling_code} belongs to {fact}."),
    Goal("country_of_phone_number", {"phone": "phone_number"}, "country_name",
         ("the country that the phone number {phone} comes from",
          "the country of origin of the phone number {phone}", "where a call from {phone} comes from",
          "the home country of the telephone number {phone}", "in what country the number {phone} is registered"),
         "the country of origin of the phone number {phone}", "The number {phone} is from {fact}."),
    Goal("international_format", {"phone": "phone_number"}, "spaced_phone_number",
         ("the phone number {phone} in international format", "how {phone} is written with spaces for callers from abroad",
          "the international version of {phone}", "the number {phone} grouped for an international business card",
          "what {phone} looks like in the standard international notation"),
         "the international format of {phone}", "In international format {phone} is {fact}."),
    Goal("national_format", {"phone": "phone_number"}, "national_phone_number",
         ("the phone number {phone} in national format", "how people dial {phone} inside its own country",
          "the domestic notation of {phone}",
          "the local way to write the number {phone}", "what {phone} looks like without its country code"),
         "the national format of {phone}", "In national format {phone} is {fact}."),
    Goal("timezone_of_phone_number", {"phone": "phone_number"}, "timezone_name",
         ("the time zone of the phone number {phone}", "in which time zone the owner of {phone} lives",
          "the name of the time zone behind {phone}",
          "what zone the clock follows where {phone} rings", "the time zone to mind before I call {phone}"),
         "the time zone of the phone number {phone}", "The number {phone} is in the time zone {fact}."),
)


def _number(value: Any, name: str) -> PhoneNumber:
    """The phone number written +COUNTRY NUMBER; ValueError for any other text."""
    text = read_text(value, name)
    try:
        number = parse(text)
    except NumberParseException as error:
        raise ValueError(f"bad {name} '{text[:30]}'; write it as +81312345678") from error
    if not is_valid_number(number):
        raise ValueError(f"no valid number '{text[:30]}'; check the digits")
    return number


def _region(number: PhoneNumber) -> str:
    """Two-letter code of a number's country; ValueError for satellite phones and other numbers of no country."""
    region = region_code_for_number(number)
    if region not in countries():
        raise ValueError("this number belongs to no country")
    return region


def _owner(value: Any, name: str) -> str:
    return countries()[_region(_number(value, name))].name


def _zone(value: Any, name: str) -> str:
    """The one time zone of a number; ValueError where it may be in several."""
    zones = time_zones_for_number(_number(value, name))
    if len(zones) != 1 or "/" not in zones[0] or zones[0].startswith("Etc/"):
        raise ValueError("the time zone of this number is not certain")
    return zones[0]


def _dial_code(value: Any, name: str) -> int:
    country = find_country(value, name)
    if code := country_code_for_region(country.code):
        return code
    raise ValueError(f"no calling code known for '{country.name}'")


def _prefix_country(value: Any, name: str) -> str:
    """The country that a calling code is named after, where several share it."""
    code = read_integer(value, name, 1, 999)
    region = region_code_for_country_code(code)
    if region not in countries():
        raise ValueError(f"no country has the calling code {code}")
    return countries()[region].name


def _calling_code(country: str) -> dict[str, Any]:
    return {"calling_code": _dial_code(country, "country")}


def _dial_in_info(country_name: str) -> dict[str, Any]:
    country = find_country(country_name, "country_name")
    return {"country": country.name, "dial": _dial_code(country_name, "country_name"), "iso2": country.code}


def _country_for_prefix(prefix: float) -> dict[str, Any]:
    return {"country": _prefix_country(prefix, "prefix")}


def _prefix_owner(dial_code: float) -> dict[str, Any]:
    return {"dial_code": dial_code, "owner": _prefix_country(dial_code, "dial_code")}


def _number_country(phone: str) -> dict[str, Any]:
    return {"country": _owner(phone, "phone")}


def _origin_country(phone_number: str) -> dict[str, Any]:
    return {"origin": _owner(phone_number, "phone_number")}


def _number_report(number: str) -> dict[str, Any]:
    line = LINE_TYPES.get(number_type(_number(number, "number")), "other")
    return {"nation": _owner(number, "number"), "line": line}


def _international(phone: str) -> dict[str, Any]:
    return {"international": format_number(_number(phone, "phone"), PhoneNumberFormat.INTERNATIONAL)}


def _display_number(raw_number: str) -> dict[str, Any]:
    number = _number(raw_number, "raw_number")
    return {"display": format_number(number, PhoneNumberFormat.INTERNATIONAL), "country_code": number.country_code}


def _national(phone: str) -> dict[str, Any]:
    return {"national": format_number(_number(phone, "phone"), PhoneNumberFormat.NATIONAL)}


def _local_format(number: str) -> dict[str, Any]:
    parsed = _number(number, "number")
    return {"local": format_number(parsed, PhoneNumberFormat.NATIONAL), "country_code": parsed.country_code}


def _number_timezone(phone_number: str) -> dict[str, Any]:
    return {"timezone": _zone(phone_number, "phone_number")}


def _phone_zone(phone: str) -> dict[str, Any]:
    return {"zone": _zone(phone, "phone")}


def _caller_zone(caller: str) -> dict[str, Any]:
    return {"caller_tz": _zone(caller, "caller"), "caller_country": _owner(caller, "caller")}


PHONE = text_parameter("phone", "Number with + and country code")
PHONE_NUMBER = text_parameter("phone_number", "Telephone number, e.g. +81312345678")
NUMBER = text_parameter("number", "Number starting with +")

TOOLS: tuple[Tool, ...] = (
    Tool("dial_codes", CATEGORY, "International calling codes.", (
        Api("calling_code",
            "International calling code of a country: the telephone prefix for dialling it from abroad, after the plus sign.",
            (text_parameter("country", "English name of the country"),),
            _calling_code, "calling_code_of_country", {"country": "country"}, "calling_code"),
        Api("dial_in_info",
            "Dialling into a country from abroad: the international telephone code, a prefix for calls after the plus sign.",
            (text_parameter("country_name", "Country, e.g. Japan"),),
            _dial_in_info, "calling_code_of_country", {"country_name": "country"}, "dial"),
        Api("country_for_prefix",
            "Country that a calling code belongs to: the main nation that owns this dialling prefix and is reached by it.",
            (number_parameter("prefix", "Calling code without +"),),
            _country_for_prefix, "country_of_calling_code", {"prefix": "calling_code"}, "country"),
        Api("number_country",
            "Country of origin of a phone number: its home country, where it is registered and a call from it comes from.",
            (PHONE,), _number_country, "country_of_phone_number", {"phone": "phone"}, "country"),
    )),
    Tool("phone_lens", CATEGORY, "Looks behind a phone number.", (
        Api("origin_country",
            "Tells where a call comes from: the home country, or country of origin, in which a telephone number is registered.",
            (PHONE_NUMBER,), _origin_country, "country_of_phone_number", {"phone_number": "phone"}, "origin"),
        Api("number_report",
            "Report on a phone number: the home country that a call comes from (origin, where registered), mobile or fixed line.",
            (NUMBER,), _number_report, "country_of_phone_number", {"number": "phone"}, "nation"),
        Api("number_timezone",
            "Time zone of a telephone number: which zone the clock follows where it rings, to know before a call.",
            (PHONE_NUMBER,), _number_timezone, "timezone_of_phone_number", {"phone_number": "phone"}, "timezone"),
        Api("prefix_owner",
            "Tells which country owns a dialling prefix: the main nation whose calling code it is, to which it belongs.",
            (number_parameter("dial_code", "Digits after the +"),),
            _prefix_owner, "country_of_calling_code", {"dial_code": "calling_code"}, "owner"),
    )),
    Tool("call_format", CATEGORY, "Formats phone numbers for print and display.", (
        Api("international_format",
            "International format of a phone number: its standard version, written in groups with spaces for use abroad.",
            (PHONE,), _international, "international_format", {"phone": "phone"}, "international"),
        Api("display_number",
            "Displays a raw phone number, written in international format: standard notation or version, grouped with spaces.",
            (text_parameter("raw_number", "Digits starting with +"),),
            _display_number, "international_format", {"raw_number": "phone"}, "display"),
        Api("national_format",
            "National format of a phone number: the local, domestic notation people dial inside its country, without its code.",
            (PHONE,), _national, "national_format", {"phone": "phone"}, "national"),
    )),
    Tool("number_notes", CATEGORY, "What to know before calling a number.", (
        Api("phone_zone",
            "Name of the time zone in which the owner of a phone number lives, by whose clock the phone rings.",
            (PHONE,), _phone_zone, "timezone_of_phone_number", {"phone": "phone"}, "zone"),
        Api("caller_zone",
            "Time zone of a caller: where the owner of a phone number lives, and the name of the zone the clock follows there.",
            (text_parameter("caller", "Caller's number, starting with +"),),
            _caller_zone, "timezone_of_phone_number", {"caller": "phone"}, "caller_tz"),
        Api("local_format",
            "The local way to dial or write a phone number inside its country: domestic (national) format without country code.",
            (NUMBER,), _local_format, "national_format", {"number": "phone"}, "local"),
    )),
)


def _examples() -> tuple[Value, ...]:
    """An example number of each kind of line in each country of the hub, as +digits, where its zone is certain."""
    numbers = [example_number_for_type(str(code), line) for code in SHARED["country_code"] for line in LINE_TYPES]
    at_home = [n for n in numbers if n and region_code_for_number(n) in SHARED["country_code"]]
    known = [n for n in at_home if len(time_zones_for_number(n)) == 1]
    return tuple(dict.fromkeys(format_number(n, PhoneNumberFormat.E164) for n in known))


DOMAINS: dict[str, tuple[Value, ...]] = {
    "phone_number": _examples(),                                                                          # E.164
    "calling_code": tuple(dict.fromkeys(country_code_for_region(str(c)) for c in SHARED["country_code"])),
      # digits after the +
}
