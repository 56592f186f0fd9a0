"""Holidays: public holidays and working days of countries.

Holidays and weekends are those of the library holidays (MIT), nation-wide, substitute days included. It knows every country of
the hub from 2016 to 2031 at least.
"""

from __future__ import annotations

from calendar import isleap, monthrange
from datetime import date, timedelta
from functools import lru_cache
from typing import Any

import holidays.countries  # noqa: F401  all of them now (a second), so that the first call is as quick as the next ones
from holidays import HolidayBase, country_holidays

from lib.hub.arguments import number_parameter, read_date, read_integer, text_parameter
from lib.hub.places import find_country
from lib.hub.spec import Api, Goal, Tool, Value

CATEGORY = "Holidays"
MAX_SEARCH_DAYS = 400     # how far a search for a holiday or a working day goes
MAX_NAME = 30             # characters of a holiday's name

GOALS: tuple[Goal, ...] = (
    Goal("holiday_count", {"country": "country_name", "year": "recent_year"}, "small_count",
         ("how many public holidays {country} has in the year {year}", "the number of public holidays in {country} in {year}",
          "on how many official days off {country} rests in {year}", "the count of national days off in {country} for {year}",
          "how many official holidays people in {country} get during {year}"),
         "the number of public holidays of {country} in {year}", "In {year} {country} has {fact} public holidays."),
    Goal("next_holiday", {"country": "country_name", "date": "recent_date"}, "date",
         ("the first public holiday in {country} after {date}", "when the next public holiday of {country} is after {date}",
          "on what date {country} has its next national day off following {date}",
          "the date of the holiday that comes next in {country} after {date}",
          "which day after {date} is the next official holiday in {country}"),
         "the next public holiday in {country} after {date}",
         "The next public holiday in {country} after {date} is on {fact}."),
    Goal("previous_holiday", {"country": "country_name", "date": "recent_date"}, "date",
         ("the last public holiday in {country} before {date}", "when {country} last had a public holiday before {date}",
          "on which date the previous national day off of {country} before {date} was",
          "the most recent official holiday of {country} prior to {date}",
          "which day before {date} was the latest public holiday in {country}"),
         "the last public holiday in {country} before {date}",
         "The last public holiday in {country} before {date} was on {fact}."),
    Goal("next_working_day", {"country": "country_name", "date": "recent_date"}, "date",
         ("the next working day in {country} after {date}", "the first business day in {country} that follows {date}",
          "when offices in {country} are next open after {date}", "on which date people in {country} work again after {date}",
          "the earliest workday after {date} in {country}"),
         "the next working day in {country} after {date}", "The next working day in {country} after {date} is {fact}."),
    Goal("working_days_in_month", {"country": "country_name", "month": "month_number", "year": "recent_year"}, "small_count",
         ("how many working days month {month} of {year} has in {country}",
          "the number of business days in {country} in month {month} of {year}",
          "on how many days people in {country} work in month {month} of the year {year}",
          "the workdays that {country} counts in month {month} of {year}",
          "the total of working days for {country} in month {month} of the year {year}"),
         "the working days in {country} in month {month} of {year}",
         "Month {month} of {year} has {fact} working days in {country}."),
)


@lru_cache(maxsize=1024)
def _calendar(code: str, year: int) -> HolidayBase:
    """Public holidays of one country in one year."""
    first, last = _years_known(code)
    if not first <= year <= last:
        raise ValueError(f"holidays of '{code}' are known from {first} to {last} only")
    return country_holidays(code, years=[year], expand=False, language=_language(code))


@lru_cache(maxsize=512)
def _years_known(code: str) -> tuple[int, int]:
    """First and last year that the library covers."""
    try:
        known = type(country_holidays(code))
    except NotImplementedError as error:
        raise ValueError(f"no holidays known for '{code}'; use a larger country") from error
    return known.start_year, known.end_year


@lru_cache(maxsize=512)
def _language(code: str) -> str | None:
    """English where the library has it, else None for the country's own language."""
    return "en_US" if "en_US" in type(country_holidays(code)).supported_languages else None


def _is_holiday(code: str, day: date) -> bool:
    return day in _calendar(code, day.year)


def _is_working_day(code: str, day: date) -> bool:
    return _calendar(code, day.year).is_working_day(day)


def _search(country: Any, day: date, *, step: int, working: bool) -> tuple[str, date]:
    """Country code, and the nearest day after (step 1) or before (step -1) that works or is a holiday."""
    code = find_country(country).code
    wanted = _is_working_day if working else _is_holiday
    for distance in range(1, MAX_SEARCH_DAYS + 1):
        if wanted(code, found := day + timedelta(days=step * distance)):
            return code, found
    raise ValueError(f"none within {MAX_SEARCH_DAYS} days of {day.isoformat()}; try another date")


def _holiday_name(code: str, day: date) -> str:
    name = str(_calendar(code, day.year)[day])
    return name if len(name) <= MAX_NAME else f"{name[:MAX_NAME - 1]}…"


def _count(country: Any, year: Any) -> int:
    code = find_country(country).code
    return len(_calendar(code, read_integer(year, "year", 1950, 2099)))


def _holidays_in_year(country: str, year: float) -> dict[str, Any]:
    return {"holidays": _count(country, year)}


def _year_summary(country_name: str, calendar_year: float) -> dict[str, Any]:
    year = read_integer(calendar_year, "calendar_year", 1950, 2099)
    count = _count(country_name, year)
    return {"public_holidays": count, "other_days": 365 + isleap(year) - count}


def _days_off(nation: str, in_year: float) -> dict[str, Any]:
    return {"nation": find_country(nation).name, "days_off": _count(nation, in_year)}


def _next_holiday(country: str, after: str) -> dict[str, Any]:
    return {"date": _search(country, read_date(after, "after"), step=1, working=False)[1].isoformat()}


def _upcoming_holiday(nation: str, day: str) -> dict[str, Any]:
    code, found = _search(nation, read_date(day, "day"), step=1, working=False)
    return {"holiday": _holiday_name(code, found), "falls_on": found.isoformat()}


def _coming_day_off(country_name: str, since: str) -> dict[str, Any]:
    start = read_date(since, "since")
    found = _search(country_name, start, step=1, working=False)[1]
    return {"day_off": found.isoformat(), "days_to_wait": (found - start).days}


def _last_holiday(country: str, before: str) -> dict[str, Any]:
    return {"date": _search(country, read_date(before, "before"), step=-1, working=False)[1].isoformat()}


def _previous_holiday(nation: str, day: str) -> dict[str, Any]:
    code, found = _search(nation, read_date(day, "day"), step=-1, working=False)
    return {"holiday": _holiday_name(code, found), "fell_on": found.isoformat()}


def _next_workday(nation: str, day: str) -> dict[str, Any]:
    return {"workday": _search(nation, read_date(day, "day"), step=1, working=True)[1].isoformat()}


def _next_business_day(country: str, date: str) -> dict[str, Any]:
    start = read_date(date, "date")
    found = _search(country, start, step=1, working=True)[1]
    return {"business_day": found.isoformat(), "days_later": (found - start).days}


def _working_days(country: Any, year: Any, month: Any) -> tuple[int, int]:
    """Working days and days of a month."""
    code, year, month = find_country(country).code, read_integer(year, "year", 1950, 2099), read_integer(month, "month", 1, 12)
    days = monthrange(year, month)[1]
    return sum(_is_working_day(code, date(year, month, day)) for day in range(1, days + 1)), days


def _month_workdays(country: str, year: float, month: float) -> dict[str, Any]:
    return {"workdays": _working_days(country, year, month)[0]}


def _business_days(country_name: str, month_number: float, of_year: float) -> dict[str, Any]:
    working, days = _working_days(country_name, of_year, month_number)
    return {"business_days": working, "other_days": days - working}


COUNTRY = text_parameter("country", "English name of the country")
COUNTRY_NAME = text_parameter("country_name", "Country, e.g. Japan")
NATION = text_parameter("nation", "Nation, e.g. Japan")
NATION_DAY = {"nation": "country", "day": "date"}

TOOLS: tuple[Tool, ...] = (
    Tool("holiday_hub", CATEGORY, "Public holidays of the world's countries.", (
        Api("holidays_in_year",
            "Number of public holidays of a country in a year: the count of the official national days off that people get.",
            (COUNTRY, number_parameter("year", "Year, 2016 to 2031")),
            _holidays_in_year, "holiday_count", {"country": "country", "year": "year"}, "holidays"),
        Api("year_summary",
            "Sums up a country's year: the number of official public holidays, or how many days off it has, and the other days.",
            (COUNTRY_NAME, number_parameter("calendar_year", "Year, e.g. 2024")),
            _year_summary, "holiday_count", {"country_name": "country", "calendar_year": "year"}, "public_holidays"),
        Api("next_holiday",
            "Date of the next public holiday in a country: the first official, national day off that follows after a day.",
            (COUNTRY, text_parameter("after", "Date as YYYY-MM-DD")),
            _next_holiday, "next_holiday", {"country": "country", "after": "date"}, "date"),
        Api("last_holiday",
            "Date of the last public holiday in a country before a day: its latest, most recent official or national day off.",
            (COUNTRY, text_parameter("before", "Date as YYYY-MM-DD")),
            _last_holiday, "previous_holiday", {"country": "country", "before": "date"}, "date"),
    )),
    Tool("day_off_planner", CATEGORY, "Plans trips and leave around national days off.", (
        Api("upcoming_holiday",
            "Names the holiday that comes next in a nation: the first public holiday or official day off after a day; its date.",
            (NATION, text_parameter("day", "Day to look from, YYYY-MM-DD")),
            _upcoming_holiday, "next_holiday", NATION_DAY, "falls_on"),
        Api("coming_day_off",
            "Next official, national day off after a date: when the first public holiday comes, and how long to wait for it.",
            (COUNTRY_NAME, text_parameter("since", "Day to wait from, YYYY-MM-DD")),
            _coming_day_off, "next_holiday", {"country_name": "country", "since": "date"}, "day_off"),
        Api("previous_holiday",
            "Names the previous public holiday of a nation: the last or most recent official day off before a day; its date.",
            (NATION, text_parameter("day", "Day to look back from, YYYY-MM-DD")),
            _previous_holiday, "previous_holiday", NATION_DAY, "fell_on"),
        Api("next_workday",
            "First workday of a nation after a day: when people work again, the next business day with open offices.",
            (NATION, text_parameter("day", "Day to look from, YYYY-MM-DD")),
            _next_workday, "next_working_day", NATION_DAY, "workday"),
    )),
    Tool("workweek_pro", CATEGORY, "Business days by country, weekends and holidays left out.", (
        Api("next_business_day",
            "Next working day in a country: the first or earliest business day after a date, when offices open and people work.",
            (COUNTRY, text_parameter("date", "Date as YYYY-MM-DD")),
            _next_business_day, "next_working_day", {"country": "country", "date": "date"}, "business_day"),
        Api("month_workdays", "Number of working days in a month: how many workdays or business days a country counts in total.",
            (COUNTRY, number_parameter("year", "Year, 2016 to 2031"), number_parameter("month", "Month, 1 to 12")),
            _month_workdays, "working_days_in_month", {"country": "country", "year": "year", "month": "month"}, "workdays"),
        Api("business_days",
            "Splits a month: the total of business days (workdays) on which people in a country work, and the other days.",
            (COUNTRY_NAME, number_parameter("month_number", "Month, 1 to 12"),
             number_parameter("of_year", "Year of the month")),
            _business_days, "working_days_in_month",
            {"country_name": "country", "month_number": "month", "of_year": "year"}, "business_days"),
        Api("days_off",
            "How many official days off people in a nation get during a year: the number of its national and public holidays.",
            (NATION, number_parameter("in_year", "Year, e.g. 2024")),
            _days_off, "holiday_count", {"nation": "country", "in_year": "year"}, "days_off"),
    )),
)

DOMAINS: dict[str, tuple[Value, ...]] = {
    "recent_year": tuple(range(2017, 2031)),
    "recent_date": tuple((date(2017, 2, 1) + timedelta(days=41 * i + 13 * i % 37)).isoformat() for i in range(120)),
      # to mid-2030
}
