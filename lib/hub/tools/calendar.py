"""Calendar: weekdays, spans of days, week numbers, Easter, and the Persian calendar.

Easter is python-dateutil's (Apache-2.0 or BSD), the Persian calendar convertdate's (MIT; its PyMeeus is LGPL-3.0), the rest
Python's own.
"""

from __future__ import annotations

from datetime import date, timedelta
from functools import lru_cache
from typing import Any

from convertdate import persian
from dateutil.easter import easter

from lib.hub.arguments import number_parameter, read_choice, read_date, read_integer, text_parameter
from lib.hub.domains import MONTHS
from lib.hub.spec import Api, Goal, Tool, Value

CATEGORY = "Calendar"
MAX_DAYS = 40_000            # about a century
CALENDARS = ("persian", "julian_day")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")

GOALS: tuple[Goal, ...] = (
    Goal("weekday_of_date", {"date": "date"}, "weekday_name",
         ("the day of the week of {date}", "which weekday {date} is", "on what day of the week {date} falls",
          "the weekday name for {date}", "the name of the day that {date} falls on"),
         "the weekday of {date}", "{date} is a {fact}."),
    Goal("days_between_dates", {"first": "date", "second": "date"}, "day_count",
         ("the number of days between {first} and {second}", "how many days lie between {first} and {second}",
          "how many days {first} and {second} are apart", "the gap in days that separates {first} from {second}",
          "how long it is in days between the dates {first} and {second}"),
         "the days between {first} and {second}", "There are {fact} days between {first} and {second}."),
    Goal("date_after_days", {"date": "date", "days": "day_count"}, "date",
         ("the date {days} days after {date}", "which date comes {days} days later than {date}",
          "what day it is once {days} days have gone by since {date}", "the deadline if I have {days} days counted from {date}",
          "the calendar date that follows {date} by {days} days"),
         "the date {days} days after {date}", "{days} days after {date} it is {fact}."),
    Goal("week_of_date", {"date": "date"}, "week_number",
         ("the week number of {date}", "which calendar week of the year {date} is in", "the number of the week that holds {date}",
          "in what week of the year {date} falls", "the calendar week to which {date} belongs"),
         "the week number of {date}", "{date} is in week {fact}."),
    Goal("easter_of_year", {"year": "year"}, "date",
         ("the date of Easter in {year}", "when Easter Sunday is in {year}",
          "on which date western churches keep Easter in {year}",
          "the day that Easter falls on in {year}", "what date Easter Sunday of {year} has"),
         "the date of Easter Sunday in {year}", "In {year} Easter Sunday is on {fact}."),
    Goal("persian_date", {"date": "date"}, "persian_date",
         ("the Persian calendar date of {date}", "what {date} is when converted to the Persian calendar",
          "how {date} is written in the Persian calendar",
          "the Persian equivalent of {date}", "which day of the Persian calendar {date} is"),
         "the Persian date of {date}", "In the Persian calendar {date} is {fact}."),
)


def _weekday(date: str) -> dict[str, Any]:
    return {"weekday": DAYS[read_date(date, "date").weekday()]}


def _day_info(day: str) -> dict[str, Any]:
    found = read_date(day, "day")
    return {"day_name": DAYS[found.weekday()], "month": MONTHS[found.month - 1], "day_of_year": found.timetuple().tm_yday}


def _day_name(calendar_day: str) -> dict[str, Any]:
    day = read_date(calendar_day, "calendar_day")
    return {"calendar_day": day.isoformat(), "name": DAYS[day.weekday()]}


def _gap(first: date, second: date) -> int:
    return abs((second - first).days)


def _days_between(start: str, end: str) -> dict[str, Any]:
    return {"days": _gap(read_date(start, "start"), read_date(end, "end"))}


def _date_gap(date_one: str, date_two: str) -> dict[str, Any]:
    gap = _gap(read_date(date_one, "date_one"), read_date(date_two, "date_two"))
    return {"gap_days": gap, "full_weeks": gap // 7}


def _shifted(day: date, days: int) -> str:
    return (day + timedelta(days=days)).isoformat()


def _date_after(date: str, days: float) -> dict[str, Any]:
    return {"result": _shifted(read_date(date, "date"), read_integer(days, "days", 0, MAX_DAYS))}


def _shift_date(from_date: str, offset_days: float) -> dict[str, Any]:
    day, offset = read_date(from_date, "from_date"), read_integer(offset_days, "offset_days", -MAX_DAYS, MAX_DAYS)
    return {"from_date": day.isoformat(), "to_date": _shifted(day, offset)}


def _count_forward(begin: str, day_count: float) -> dict[str, Any]:
    day = read_date(begin, "begin") + timedelta(days=read_integer(day_count, "day_count", 0, MAX_DAYS))
    return {"arrives": day.isoformat(), "week_day": DAYS[day.weekday()]}


def _iso_week(day: str) -> dict[str, Any]:
    year, week, weekday = read_date(day, "day").isocalendar()
    return {"iso_year": year, "iso_week": week, "iso_weekday": weekday}


def _week_number(date: str) -> dict[str, Any]:
    return {"week": read_date(date, "date").isocalendar().week}


def _easter(year: Any) -> date:
    """Easter Sunday in the Gregorian calendar."""
    return easter(read_integer(year, "year", 1900, 2199))


def _easter_sunday(year: float) -> dict[str, Any]:
    return {"easter": _easter(year).isoformat()}


def _movable_feasts(year: float) -> dict[str, Any]:
    sunday = _easter(year)
    return {"good_friday": _shifted(sunday, -2), "easter_sunday": sunday.isoformat(), "pentecost": _shifted(sunday, 49)}


def _paschal_date(in_year: float) -> dict[str, Any]:
    sunday = _easter(in_year)
    return {"date": sunday.isoformat(), "ash_wednesday": _shifted(sunday, -46)}


@lru_cache(maxsize=4096)   # an equinox takes tens of milliseconds
def _persian(day: date) -> str:
    """The day in the Solar Hijri calendar, by the astronomical equinox."""
    return "{:04}-{:02}-{:02}".format(*persian.from_gregorian(day.year, day.month, day.day))


def _to_persian(date: str) -> dict[str, Any]:
    return {"persian": _persian(read_date(date, "date"))}


def _convert_calendar(gregorian_date: str, calendar: str) -> dict[str, Any]:
    """julian_day is the Julian day number at noon; that of the proleptic Gregorian day 1 is 1721426."""
    day = read_date(gregorian_date, "gregorian_date")
    wanted = read_choice(calendar, "calendar", CALENDARS)
    return {"calendar": wanted, "converted": _persian(day) if wanted == "persian" else day.toordinal() + 1_721_425}


DATE = text_parameter("date", "Date as YYYY-MM-DD")
DAY = text_parameter("day", "Day as YYYY-MM-DD")

TOOLS: tuple[Tool, ...] = (
    Tool("date_desk", CATEGORY, "Everyday questions about dates.", (
        Api("weekday", "Weekday of a date: the name of the day of the week on which it falls, from Monday to Sunday.",
            (DATE,), _weekday, "weekday_of_date", {"date": "date"}, "weekday"),
        Api("day_info",
            "Which day of the week a date falls on: the name of the weekday, with its month and the count of days so far.",
            (DAY,),
            _day_info, "weekday_of_date", {"day": "date"}, "day_name"),
        Api("days_between",
            "How many days lie between two dates: the number of days that separates them, how long they are apart.",
            (text_parameter("start", "First date, YYYY-MM-DD"), text_parameter("end", "Second date, YYYY-MM-DD")),
            _days_between, "days_between_dates", {"start": "first", "end": "second"}, "days"),
        Api("week_number", "Week number of a date: in which calendar week of the year it falls, the week to which it belongs.",
            (DATE,),
            _week_number, "week_of_date", {"date": "date"}, "week"),
    )),
    Tool("calendar_maths", CATEGORY, "Adds, subtracts and compares dates.", (
        Api("date_after",
            "Adds days to a date: the calendar date that follows, or comes so many days after or later, once they have gone by.",
            (DATE, number_parameter("days", "Days to add")),
            _date_after, "date_after_days", {"date": "date", "days": "days"}, "result"),
        Api("shift_date",
            "Moves a date forward, so many days after or later: which calendar date follows once the days have gone by; or back.",
            (text_parameter("from_date", "Date to move, YYYY-MM-DD"),
             number_parameter("offset_days", "How many days to move it")),
            _shift_date, "date_after_days", {"from_date": "date", "offset_days": "days"}, "to_date"),
        Api("date_gap",
            "The gap in days that separates two dates: how many days they are apart, how long lies between, also in full weeks.",
            (text_parameter("date_one", "One date, YYYY-MM-DD"), text_parameter("date_two", "Other date, YYYY-MM-DD")),
            _date_gap, "days_between_dates", {"date_one": "first", "date_two": "second"}, "gap_days"),
        Api("day_name", "The name of the day of the week, that is, the weekday on which a calendar day falls.",
            (text_parameter("calendar_day", "Day, YYYY-MM-DD"),),
            _day_name, "weekday_of_date", {"calendar_day": "date"}, "name"),
    )),
    Tool("almanac_box", CATEGORY, "Feasts and weeks of the year.", (
        Api("easter_sunday", "Date of Easter in a year: the day on which Easter Sunday falls in western churches.",
            (number_parameter("year", "Year, 1900 to 2199"),),
            _easter_sunday, "easter_of_year", {"year": "year"}, "easter"),
        Api("movable_feasts",
            "The date that Easter Sunday falls on in a year, as western churches keep it, with Good Friday and Pentecost.",
            (number_parameter("year", "Year of the feasts"),),
            _movable_feasts, "easter_of_year", {"year": "year"}, "easter_sunday"),
        Api("iso_week",
            "Number of the calendar week that holds a date: to which week of which year it belongs by the ISO standard.",
            (DAY,), _iso_week, "week_of_date", {"day": "date"},
            "iso_week"),
        Api("count_forward",
            "Counts days forward from a date: which date comes later or follows, the deadline after so many days have gone by.",
            (text_parameter("begin", "Date to begin with, YYYY-MM-DD"), number_parameter("day_count", "Number of days")),
            _count_forward, "date_after_days", {"begin": "date", "day_count": "days"}, "arrives"),
    )),
    Tool("calendar_bridge", CATEGORY, "Converts dates between the calendars of the world.", (
        Api("to_persian",
            "Persian calendar date of a Gregorian day: how it is written in the Solar Hijri calendar, its Iranian equivalent.",
            (DATE,),
            _to_persian, "persian_date", {"date": "date"}, "persian"),
        Api("convert_calendar",
            "Converts a Gregorian date to its equivalent, written in another calendar: Persian date or Julian day number.",
            (text_parameter("gregorian_date", "Date as YYYY-MM-DD"),
             text_parameter("calendar", "Calendar wanted", enum=CALENDARS)),
            _convert_calendar, "persian_date", {"gregorian_date": "date"}, "converted", fixed={"calendar": "persian"}),
        Api("paschal_date", "On which date western churches keep Easter Sunday in a year; also the day of Ash Wednesday.",
            (number_parameter("in_year", "Gregorian year"),),
            _paschal_date, "easter_of_year", {"in_year": "year"}, "date"),
    )),
)

DOMAINS: dict[str, tuple[Value, ...]] = {
    "day_count": tuple(range(5, 400, 3)),   # days
}
