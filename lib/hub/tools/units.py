"""Units: lengths, temperatures, masses and volumes between the metric and the American systems.

Factors are pint's (BSD), from its own registry of units. Results are rounded to two decimals.
"""

from __future__ import annotations

from typing import Any

from pint import UnitRegistry

from lib.hub.arguments import number_parameter, read_choice, read_number, text_parameter
from lib.hub.spec import Api, Goal, Tool, Value

CATEGORY = "Units"
REGISTRY = UnitRegistry(cache_folder=None)
LARGEST = 1_000_000.0
LENGTHS = ("kilometre", "mile", "metre", "foot", "yard")
TEMPERATURES = ("celsius", "fahrenheit", "kelvin")
VOLUMES = ("litre", "gallon", "pint", "cup")      # gallon, pint and cup are the American ones, as pint has them
PINT_NAMES = {"celsius": "degC", "fahrenheit": "degF"}

GOALS: tuple[Goal, ...] = (
    Goal("kilometres_in_miles", {"kilometres": "kilometres"}, "miles",
         ("a distance of {kilometres} kilometres in miles", "how many miles a metric length of {kilometres} kilometres is",
          "the number of miles in a distance of {kilometres} kilometres",
          "what a metric distance of {kilometres} kilometres comes to in miles",
          "the length in miles of a distance of {kilometres} kilometres"),
         "the miles in a distance of {kilometres} kilometres", "{kilometres} kilometres are {fact} miles."),
    Goal("miles_in_kilometres", {"miles": "miles"}, "kilometres",
         ("a trip of {miles} miles in kilometres", "how many kilometres a journey of {miles} miles is",
          "the number of kilometres on a road of {miles} miles",
          "what a trip of {miles} miles comes to in kilometres",
          "the kilometre figure for a journey of {miles} miles"),
         "the kilometres in a trip of {miles} miles", "{miles} miles are {fact} kilometres."),
    Goal("celsius_in_fahrenheit", {"celsius": "celsius"}, "fahrenheit",
         ("a temperature of {celsius} degrees Celsius in Fahrenheit",
          "how many degrees Fahrenheit a temperature of {celsius} degrees Celsius is",
          "what the Fahrenheit scale shows at {celsius} degrees centigrade",
          "the temperature {celsius} degrees centigrade converted to Fahrenheit",
          "the Fahrenheit value of a temperature of {celsius} degrees Celsius"),
         "the Fahrenheit value of a temperature of {celsius} degrees Celsius",
         "{celsius} degrees Celsius are {fact} degrees Fahrenheit."),
    Goal("fahrenheit_in_celsius", {"fahrenheit": "fahrenheit"}, "celsius",
         ("a thermometer reading of {fahrenheit} degrees Fahrenheit in Celsius",
          "how many degrees Celsius a thermometer shows at {fahrenheit} degrees Fahrenheit",
          "what {fahrenheit} degrees Fahrenheit are on a Celsius thermometer",
          "the reading of a Celsius thermometer when it is {fahrenheit} degrees Fahrenheit",
          "the metric degrees for a thermometer reading of {fahrenheit} Fahrenheit"),
         "the Celsius value of a thermometer reading of {fahrenheit} degrees Fahrenheit",
         "{fahrenheit} degrees Fahrenheit are {fact} degrees Celsius."),
    Goal("kilograms_in_pounds", {"kilograms": "kilograms"}, "pounds",
         ("{kilograms} kilograms in pounds", "how many pounds {kilograms} kilograms weigh",
          "the weight of {kilograms} kilos in pounds",
          "what {kilograms} kilograms come to in pounds", "the pounds on the scale for a mass of {kilograms} kilograms"),
         "the pounds in {kilograms} kilograms", "{kilograms} kilograms are {fact} pounds."),
    Goal("gallons_in_litres", {"gallons": "gallons"}, "litres",
         ("{gallons} US gallons in litres", "how many litres {gallons} US gallons hold",
          "the metric volume of {gallons} gallons in litres",
          "what {gallons} US gallons of water measure in litres", "the litres needed to fill a tank of {gallons} US gallons"),
         "the litres in {gallons} US gallons", "{gallons} US gallons are {fact} litres."),
)


def _convert(value: Any, name: str, source: str, target: str) -> float:
    """value, converted from one unit to another, two decimals; value is at most a million either way."""
    number = read_number(value, name, -LARGEST, LARGEST)
    source, target = PINT_NAMES.get(source, source), PINT_NAMES.get(target, target)
    return round(REGISTRY.Quantity(number, source).to(target).magnitude, 2) + 0.0   # no -0.0


def _between(value: Any, from_unit: Any, to_unit: Any, units: tuple[str, ...]) -> float:
    """value between two units of one kind, which the caller names."""
    return _convert(value, "value", read_choice(from_unit, "from_unit", units), read_choice(to_unit, "to_unit", units))


def _convert_length(value: float, from_unit: str, to_unit: str) -> dict[str, Any]:
    return {"result": _between(value, from_unit, to_unit, LENGTHS), "unit": to_unit}


def _convert_temperature(value: float, from_unit: str, to_unit: str) -> dict[str, Any]:
    return {"result": _between(value, from_unit, to_unit, TEMPERATURES), "unit": to_unit}


def _convert_volume(value: float, from_unit: str, to_unit: str) -> dict[str, Any]:
    return {"volume": _between(value, from_unit, to_unit, VOLUMES), "unit": to_unit}


def _km_to_miles(km: float) -> dict[str, Any]:
    return {"miles": _convert(km, "km", "kilometre", "mile")}


def _distance_in_miles(distance_km: float) -> dict[str, Any]:
    return {"statute_miles": _convert(distance_km, "distance_km", "kilometre", "mile"),
            "nautical_miles": _convert(distance_km, "distance_km", "kilometre", "nautical_mile")}


def _miles_to_km(miles: float) -> dict[str, Any]:
    return {"km": _convert(miles, "miles", "mile", "kilometre")}


def _trip_length_km(trip_miles: float) -> dict[str, Any]:
    return {"trip_km": _convert(trip_miles, "trip_miles", "mile", "kilometre"),
            "trip_feet": _convert(trip_miles, "trip_miles", "mile", "foot")}


def _c_to_f(celsius: float) -> dict[str, Any]:
    return {"fahrenheit": _convert(celsius, "celsius", "celsius", "fahrenheit")}


def _fahrenheit_reading(centigrade: float) -> dict[str, Any]:
    return {"reading_f": _convert(centigrade, "centigrade", "celsius", "fahrenheit"),
            "reading_k": _convert(centigrade, "centigrade", "celsius", "kelvin")}


def _f_to_c(fahrenheit: float) -> dict[str, Any]:
    return {"celsius": _convert(fahrenheit, "fahrenheit", "fahrenheit", "celsius")}


def _celsius_reading(degrees_f: float) -> dict[str, Any]:
    return {"reading_c": _convert(degrees_f, "degrees_f", "fahrenheit", "celsius")}


def _kilos_to_pounds(kilograms: float) -> dict[str, Any]:
    return {"pounds": _convert(kilograms, "kilograms", "kilogram", "pound")}


def _weight_in_pounds(mass_kg: float) -> dict[str, Any]:
    return {"lb": _convert(mass_kg, "mass_kg", "kilogram", "pound"), "oz": _convert(mass_kg, "mass_kg", "kilogram", "ounce")}


def _gallons_to_litres(gallons: float) -> dict[str, Any]:
    return {"litres": _convert(gallons, "gallons", "gallon", "litre")}


VALUE = number_parameter("value", "Number to convert")


TOOLS: tuple[Tool, ...] = (
    Tool("unit_wizard", CATEGORY, "Converts between units of many kinds.", (
        Api("convert_length",
            "Converts a metric or other length (a distance) from one unit to another, such as kilometres to miles.",
            (VALUE, text_parameter("from_unit", "Unit it is in", enum=LENGTHS),
             text_parameter("to_unit", "Unit wanted", enum=LENGTHS)),
            _convert_length, "kilometres_in_miles", {"value": "kilometres"}, "result",
            fixed={"from_unit": "kilometre", "to_unit": "mile"}),
        Api("km_to_miles",
            "Converts kilometres to miles: how many miles a metric distance or length comes to.",
            (number_parameter("km", "Kilometres"),), _km_to_miles, "kilometres_in_miles", {"km": "kilometres"}, "miles"),
        Api("convert_temperature",
            "Converts a temperature from one scale to another, such as degrees Celsius (centigrade) to Fahrenheit or kelvin.",
            (VALUE, text_parameter("from_unit", "Scale it is on", enum=TEMPERATURES),
             text_parameter("to_unit", "Scale wanted", enum=TEMPERATURES)),
            _convert_temperature, "celsius_in_fahrenheit", {"value": "celsius"}, "result",
            fixed={"from_unit": "celsius", "to_unit": "fahrenheit"}),
        Api("f_to_c",
            "Converts a thermometer reading from degrees Fahrenheit to metric degrees on the Celsius scale.",
            (number_parameter("fahrenheit", "Degrees Fahrenheit"),),
            _f_to_c, "fahrenheit_in_celsius", {"fahrenheit": "fahrenheit"}, "celsius"),
    )),
    Tool("metric_bridge", CATEGORY, "From American measures to metric ones and back.", (
        Api("miles_to_km",
            "Converts miles to kilometres: the kilometre figure for a trip, road or journey given in miles.",
            (number_parameter("miles", "Statute miles"),), _miles_to_km, "miles_in_kilometres", {"miles": "miles"}, "km"),
        Api("trip_length_km",
            "How many kilometres a trip, a journey or a road of so many miles comes to; the same number in feet.",
            (number_parameter("trip_miles", "Length of the trip in miles"),),
            _trip_length_km, "miles_in_kilometres", {"trip_miles": "miles"}, "trip_km"),
        Api("kilos_to_pounds",
            "Converts kilograms to pounds: how many pounds a mass of so many kilos weighs, or comes to.",
            (number_parameter("kilograms", "Kilograms"),),
            _kilos_to_pounds, "kilograms_in_pounds", {"kilograms": "kilograms"}, "pounds"),
        Api("distance_in_miles",
            "Number of miles in a metric distance, a length counted in kilometres; gives statute and nautical miles.",
            (number_parameter("distance_km", "Distance in kilometres"),),
            _distance_in_miles, "kilometres_in_miles", {"distance_km": "kilometres"}, "statute_miles"),
    )),
    Tool("thermo_scale", CATEGORY, "Thermometer scales of the world.", (
        Api("c_to_f",
            "Converts degrees Celsius (centigrade) to degrees Fahrenheit: the value of a temperature on that scale.",
            (number_parameter("celsius", "Degrees Celsius"),),
            _c_to_f, "celsius_in_fahrenheit", {"celsius": "celsius"}, "fahrenheit"),
        Api("fahrenheit_reading",
            "Value that a Fahrenheit scale shows at a temperature in degrees Celsius, alias centigrade; kelvin as well.",
            (number_parameter("centigrade", "Degrees centigrade"),),
            _fahrenheit_reading, "celsius_in_fahrenheit", {"centigrade": "celsius"}, "reading_f"),
        Api("celsius_reading",
            "What a Celsius thermometer, in metric degrees, shows when another one is at so many degrees Fahrenheit.",
            (number_parameter("degrees_f", "Degrees Fahrenheit"),),
            _celsius_reading, "fahrenheit_in_celsius", {"degrees_f": "fahrenheit"}, "reading_c"),
    )),
    Tool("kitchen_measures", CATEGORY, "Weights and volumes for cooks who read foreign recipes.", (
        Api("gallons_to_litres",
            "Converts US gallons to litres: how many litres so many gallons hold, as a metric volume.",
            (number_parameter("gallons", "US gallons"),),
            _gallons_to_litres, "gallons_in_litres", {"gallons": "gallons"}, "litres"),
        Api("convert_volume",
            "Converts a volume of water or another liquid between units, such as US gallons to litres; pints and cups too.",
            (VALUE, text_parameter("from_unit", "Unit it is in", enum=VOLUMES),
             text_parameter("to_unit", "Unit wanted", enum=VOLUMES)),
            _convert_volume, "gallons_in_litres", {"value": "gallons"}, "volume",
            fixed={"from_unit": "gallon", "to_unit": "litre"}),
        Api("weight_in_pounds",
            "Weight in pounds, as a scale shows it, of a mass in kilograms or kilos; ounces are given too.",
            (number_parameter("mass_kg", "Mass in kilograms"),),
            _weight_in_pounds, "kilograms_in_pounds", {"mass_kg": "kilograms"}, "lb"),
    )),
)

DOMAINS: dict[str, tuple[Value, ...]] = {
    "kilometres": tuple(round(2.5 + 7.3 * i, 1) for i in range(120)),      # 2.5 to 871.2
    "miles": tuple(round(1.2 + 4.7 * i, 1) for i in range(120)),           # 1.2 to 560.5
    "celsius": tuple(round(-38.5 + 1.3 * i, 1) for i in range(90)),        # -38.5 to 77.2 degrees
    "fahrenheit": tuple(round(-35.5 + 2.3 * i, 1) for i in range(90)),     # -35.5 to 169.2 degrees
    "kilograms": tuple(round(0.7 + 2.9 * i, 1) for i in range(120)),       # 0.7 to 345.8
    "gallons": tuple(round(0.6 + 1.1 * i, 1) for i in range(90)),          # 0.6 to 98.5, American
}
