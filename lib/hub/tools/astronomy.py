"""Astronomy: phases of the Moon, places and distances of the planets, and the seasons.

Library: astronomy-engine (MIT), which computes positions from truncated VSOP87 and NOVAS, good to an arc minute. Days begin at
0h UTC.
"""

from __future__ import annotations

from typing import Any

import astronomy as engine

from lib.hub.arguments import FIRST_YEAR, LAST_YEAR, number_parameter, read_choice, read_date, read_integer, text_parameter
from lib.hub.spec import Api, Goal, Tool, Value
from lib.hub.tools.patterns import matching_text

FULL = 180.0            # degrees from the Sun, of the full moon
SYNODIC_MONTH = 29.53   # mean days from new moon to new moon
LIGHT_MINUTES = 8.3168  # minutes that light takes for 1 au
PHASES = ("new moon", "waxing crescent", "first quarter", "waxing gibbous",
          "full moon", "waning gibbous", "last quarter", "waning crescent")
PLANETS = ("Mercury", "Venus", "Mars", "Jupiter", "Saturn", "Uranus", "Neptune")
SEASONS = {"spring": "mar_equinox", "summer": "jun_solstice", "autumn": "sep_equinox", "winter": "dec_solstice"}

GOALS = (
    Goal("moon_phase", {"date": "date"}, "moon_phase_name", (
        "the phase of the moon on {date}",
        "which phase the moon is in on {date}",
        "what the moon looks like on {date}",
        "the name of the lunar phase on {date}",
        "at which stage of its waxing and waning the moon is on {date}",
    ), "the moon phase on {date}", "On {date} the moon phase is {fact}."),
    Goal("next_full_moon", {"date": "date"}, "date", (
        "the date of the first full moon on or after {date}",
        "when the next full moon comes from {date} on",
        "on which day the moon is next full, starting {date}",
        "the day of the coming full moon as seen from {date}",
        "the calendar date of the next full moon, counting from {date}",
    ), "the first full moon from {date} on", "The next full moon from {date} on is on {fact}."),
    Goal("constellation_of_planet", {"planet": "planet", "date": "date"}, "constellation", (
        "in which constellation {planet} stands on {date}",
        "the constellation that {planet} is in on {date}",
        "among which stars {planet} can be found on {date}",
        "the star picture behind the planet {planet} on {date}",
        "where in the sky, by constellation, to look for {planet} on {date}",
    ), "the constellation of {planet} on {date}", "On {date}, {planet} is in {fact}."),
    Goal("march_equinox", {"year": "year"}, "date", (
        "the date of the northern spring equinox of {year}",
        "when astronomical spring begins in the northern hemisphere in {year}",
        "on which day of {year} the spring equinox falls",
        "the vernal equinox date in {year}",
        "the first day of northern spring {year}",
    ), "the spring equinox of {year}", "The March equinox of {year} is on {fact}."),
    Goal("distance_from_sun", {"planet": "planet", "date": "date"}, "distance_au", (
        "the distance of {planet} from the sun on {date} in astronomical units",
        "how far {planet} is from the sun on {date} in astronomical units",
        "how many astronomical units lie between {planet} and the sun on {date}",
        "the heliocentric distance of {planet} on {date} in astronomical units",
        "the radius, in astronomical units, at which {planet} circles the sun on {date}",
    ), "the distance of {planet} from the sun on {date}", "On {date}, {planet} is {fact} au from the Sun."),
)
DOMAINS: dict[str, tuple[Value, ...]] = {"planet": PLANETS}


def midnight(text: object) -> engine.Time:
    """The beginning, 0h UTC, of the day that text names as YYYY-MM-DD."""
    day = read_date(text, "date")
    return engine.Time.Make(day.year, day.month, day.day, 0, 0, 0)


def read_planet(text: object) -> engine.Body:
    """The planet that text names, the Earth excluded."""
    name = matching_text(text, r"[A-Za-z]+", 12, "the name of a planet").capitalize()
    if name not in PLANETS:
        raise ValueError(f"unknown planet '{name}'; known are {', '.join(PLANETS)}")
    return engine.Body[name]


def calendar_day(time: engine.Time) -> str:
    """The UTC day of an instant as YYYY-MM-DD."""
    return time.Utc().date().isoformat()


def phase_name(degrees: float) -> str:
    """The phase for the Moon's elongation east of the Sun; each of the eight spans 45 degrees around its middle."""
    return PHASES[int((degrees + 22.5) // 45) % 8]


def _constellation(planet: object, day: object) -> str:
    """The constellation, of the official boundaries, in which the Earth sees the planet."""
    seen = engine.EquatorFromVector(engine.GeoVector(read_planet(planet), midnight(day), True))
    return engine.Constellation(seen.ra, seen.dec).name


def moon_phase(date: object) -> dict[str, Any]:
    return {"phase": phase_name(engine.MoonPhase(midnight(date)))}


def lunar_age(date: object) -> dict[str, Any]:
    degrees = engine.MoonPhase(midnight(date))
    return {"age_days": round(degrees / 360 * SYNODIC_MONTH, 1), "moon_name": phase_name(degrees)}


def full_moon_after(date: object) -> dict[str, Any]:
    return {"full_moon": calendar_day(engine.SearchMoonPhase(FULL, midnight(date), 40))}


def constellation_of(planet: object, date: object) -> dict[str, Any]:
    return {"constellation": _constellation(planet, date)}


def moon_tonight(day: object) -> dict[str, Any]:
    time = midnight(day)
    lit = engine.Illumination(engine.Body.Moon, time).phase_fraction
    return {"lit_percent": round(100 * lit), "appearance": phase_name(engine.MoonPhase(time))}


def next_full_moon(day: object) -> dict[str, Any]:
    found = engine.SearchMoonPhase(FULL, midnight(day), 40)
    return {"next_full": calendar_day(found), "hour_utc": found.Utc().hour}


def lunar_calendar(day: object) -> dict[str, Any]:
    quarter = engine.SearchMoonQuarter(midnight(day))
    dates = {quarter.quarter: calendar_day(quarter.time)}
    while len(dates) < 4:
        quarter = engine.NextMoonQuarter(quarter)
        dates[quarter.quarter] = calendar_day(quarter.time)
    return {"new": dates[0], "first_quarter": dates[1], "full": dates[2], "last_quarter": dates[3]}


def season_start(year: object, season: object) -> dict[str, Any]:
    wanted = read_choice(season, "season", tuple(SEASONS))
    seasons = engine.Seasons(read_integer(year, "year", FIRST_YEAR, LAST_YEAR))
    return {"begins": calendar_day(getattr(seasons, SEASONS[wanted]))}


def planet_position(body: object, when: object) -> dict[str, Any]:
    apart = engine.AngleFromSun(read_planet(body), midnight(when))
    return {"stars": _constellation(body, when), "degrees_from_sun": round(apart)}


def planet_report(body: object, when: object) -> dict[str, Any]:
    magnitude = engine.Illumination(read_planet(body), midnight(when)).mag
    return {"magnitude": round(magnitude, 1), "in_constellation": _constellation(body, when)}


def equinoxes(year: object) -> dict[str, Any]:
    seasons = engine.Seasons(read_integer(year, "year", FIRST_YEAR, LAST_YEAR))
    return {"march": calendar_day(seasons.mar_equinox), "september": calendar_day(seasons.sep_equinox)}


def sun_distance(body: object, when: object) -> dict[str, Any]:
    distance = engine.HelioDistance(read_planet(body), midnight(when))
    return {"au": round(distance, 2), "light_minutes": round(distance * LIGHT_MINUTES, 1)}


DATE = text_parameter("date", "day as YYYY-MM-DD")
DAY = text_parameter("day", "date, YYYY-MM-DD")
WHEN = text_parameter("when", "date of observation, YYYY-MM-DD")
BODY = text_parameter("body", "a planet, e.g. Mars")
YEAR = number_parameter("year", "year, 1900 to 2199")

TOOLS = (
    Tool("stargazer_api", "Astronomy", "What stands in the sky on a date: the Moon's phase and the planets.", (
        Api("moon_phase",
            "Phase of the moon on a date: the name of the lunar phase, how it looks, at which stage of waxing or waning it is.",
            (DATE,), moon_phase, "moon_phase", {"date": "date"}, "phase"),
        Api("lunar_age",
            "Age of the moon in days, and the name of its lunar phase: at which stage of waxing and waning it is, how it looks.",
            (DATE,),
            lunar_age, "moon_phase", {"date": "date"}, "moon_name"),
        Api("full_moon_after", "Date of the next full moon: the first day on or after a starting date when the moon is full.",
            (DATE,),
            full_moon_after, "next_full_moon", {"date": "date"}, "full_moon"),
        Api("constellation_of",
            "Constellation in which a planet stands on a date: the star picture behind it, where in the sky to look for it.",
            (text_parameter("planet", "name of a planet"), DATE), constellation_of,
            "constellation_of_planet", {"planet": "planet", "date": "date"}, "constellation"),
    )),
    Tool("sky_almanac", "Astronomy", "An almanac of lunar events and of the seasons.", (
        Api("moon_tonight",
            "What the moon looks like on a date: name of the phase, stage of waxing and waning, and how much of it is lit.",
            (DAY,),
            moon_tonight, "moon_phase", {"day": "date"}, "appearance"),
        Api("next_full_moon", "When the next full moon comes, counting from a starting day: its calendar date and the hour.",
            (DAY,),
            next_full_moon, "next_full_moon", {"day": "date"}, "next_full"),
        Api("lunar_calendar",
            "Coming dates of the moon's quarters: the next full moon after a starting date, new moon, first and last quarter.",
            (DAY,),
            lunar_calendar, "next_full_moon", {"day": "date"}, "full"),
        Api("season_start",
            "Day on which spring or another season begins in the northern hemisphere: date of the spring or vernal equinox.",
            (YEAR, text_parameter("season", "northern season", enum=tuple(SEASONS))), season_start,
            "march_equinox", {"year": "year"}, "begins", fixed={"season": "spring"}),
    )),
    Tool("planet_tracker", "Astronomy", "Follows the planets: place, brightness and distance.", (
        Api("planet_position",
            "Stars among which a planet can be found in the sky, the constellation behind it, and its angle from the sun.",
            (BODY, WHEN),
            planet_position, "constellation_of_planet", {"body": "planet", "when": "date"}, "stars"),
        Api("planet_report",
            "In which constellation or star picture to look for a planet in the sky, among which stars, and its brightness.",
            (BODY, WHEN),
            planet_report, "constellation_of_planet", {"body": "planet", "when": "date"}, "in_constellation"),
        Api("equinoxes",
            "Date of the vernal (spring) equinox, the first day of northern spring, and of the autumn equinox of a year.",
            (YEAR,),
            equinoxes, "march_equinox", {"year": "year"}, "march"),
        Api("sun_distance",
            "How far a planet is from the sun: the heliocentric distance, radius of its orbit, in astronomical units.",
            (BODY, WHEN),
            sun_distance, "distance_from_sun", {"body": "planet", "when": "date"}, "au"),
    )),
)
