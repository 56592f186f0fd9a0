"""Colors: the named colours of the web, their codes, hues and opposites.

Library: webcolors (BSD-3-Clause), which carries the CSS names; hues by the standard library's colorsys.
"""

from __future__ import annotations

import colorsys
from typing import Any

import webcolors

from lib.hub.arguments import text_parameter
from lib.hub.spec import Api, Goal, Tool, Value
from lib.hub.tools.patterns import matching_text

MAX_NAME = 9  # letters of the colour names that are asked about

GOALS = (
    Goal("hex_of_color", {"color": "color_name"}, "css_hex", (
        "the hex code of the color {color}",
        "how the web color {color} is written in hexadecimal",
        "which # code stands for {color} in CSS",
        "the HTML color value of {color}",
        "the hexadecimal RGB notation for {color}",
    ), "the hex code of {color}", "The hex code of {color} is {fact}."),
    Goal("color_of_hex", {"code": "css_hex"}, "color_name", (
        "the name of the color {code}",
        "which CSS color name belongs to the hex code {code}",
        "what the web color {code} is called",
        "the colour word for {code}",
        "how style sheets name the color {code}",
    ), "the color named by {code}", "The color {code} is called {fact}."),
    Goal("hue_of_color", {"color": "color_name"}, "hue", (
        "the hue of the color {color} in degrees",
        "at which angle of the color wheel {color} lies",
        "how many degrees of hue {color} has",
        "the hue angle of {color}",
        "where on the 360-degree wheel to find {color}",
    ), "the hue of {color}", "The hue of {color} is {fact} degrees."),
    Goal("inverted_color", {"color": "color_name"}, "inverted_hex", (
        "the hex code of the inverted color of {color}",
        "the photographic negative of {color} as a hex code",
        "which hex code you get by inverting {color}",
        "the RGB opposite of the color {color} in hexadecimal",
        "what {color} turns into when all channels are flipped, as a # code",
    ), "the inverse of {color}", "Inverting {color} gives {fact}."),
    Goal("red_channel", {"color": "color_name"}, "channel_level", (
        "the red channel of the color {color} from 0 to 255",
        "how much red {color} contains on the 0 to 255 scale",
        "the R value of {color} in RGB",
        "the red component of the web color {color}",
        "the red level, 255 at most, that mixes {color}",
    ), "the red value of {color}", "The red value of {color} is {fact}."),
)


def _asked_names() -> tuple[Value, ...]:
    """Short CSS names of colours that are not grey and that have no second name."""
    def fits(name: str) -> bool:
        red, green, blue = webcolors.name_to_rgb(name)
        twins = [other for other in webcolors.names() if webcolors.name_to_hex(other) == webcolors.name_to_hex(name)]
        return len(name) <= MAX_NAME and len({red, green, blue}) > 1 and twins == [name]
    return tuple(name for name in webcolors.names() if fits(name))


DOMAINS: dict[str, tuple[Value, ...]] = {
    "color_name": _asked_names(),
    "css_hex": tuple(webcolors.name_to_hex(str(name)) for name in _asked_names()),
}


def read_name(text: object) -> str:
    """The CSS colour name in text, in lower case without blanks."""
    name = matching_text(text, r"[A-Za-z ]+", 24, "a color name such as coral").replace(" ", "").lower()
    if name not in webcolors.names():
        raise ValueError(f"'{name}' is not a CSS color name")
    return name


def read_rgb(text: object) -> tuple[int, int, int]:
    """Red, green and blue, 0 to 255, of the colour name in text."""
    red, green, blue = webcolors.name_to_rgb(read_name(text))
    return red, green, blue


def read_hex(text: object) -> str:
    """The hex code in text as # and six lower-case digits."""
    code = matching_text(text, r"#?([0-9A-Fa-f]{3}|[0-9A-Fa-f]{6})", 7, "a hex code such as #ff7f50").lstrip("#")
    return webcolors.normalize_hex("#" + code)


def name_to_hex(color: object) -> dict[str, Any]:
    return {"hex": webcolors.name_to_hex(read_name(color))}


def web_code(color: object) -> dict[str, Any]:
    red, green, blue = read_rgb(color)
    return {"rgb": f"{red},{green},{blue}", "web_code": webcolors.rgb_to_hex((red, green, blue))}


def hex_to_name(hex_code: object) -> dict[str, Any]:
    code = read_hex(hex_code)
    try:
        return {"name": webcolors.hex_to_name(code)}
    except ValueError as error:
        raise ValueError(f"no CSS color has the code {code}") from error


def color_hue(color: object) -> dict[str, Any]:
    hue, _, _ = colorsys.rgb_to_hsv(*(channel / 255 for channel in read_rgb(color)))
    return {"hue_degrees": round(hue * 360) % 360}


def lookup_hex(name: object) -> dict[str, Any]:
    return {"css_name": read_name(name), "value": webcolors.name_to_hex(read_name(name))}


def identify(value: object) -> dict[str, Any]:
    code = read_hex(value)
    names = [name for name in webcolors.names() if webcolors.name_to_hex(name) == code]
    if not names:
        raise ValueError(f"no named color is exactly {code}; nearest_color finds a close one")
    return {"identified": names[0], "num_names": len(names)}


def nearest_color(value: object) -> dict[str, Any]:
    wanted = webcolors.hex_to_rgb(read_hex(value))

    def gap(name: str) -> int:
        return sum((a - b) ** 2 for a, b in zip(webcolors.name_to_rgb(name), wanted, strict=True))
    best = min(webcolors.names(), key=gap)
    return {"nearest": best, "squared_gap": gap(best)}


def negative(name: object) -> dict[str, Any]:
    red, green, blue = read_rgb(name)
    return {"negative": webcolors.rgb_to_hex((255 - red, 255 - green, 255 - blue))}


def hsl_values(colour: object) -> dict[str, Any]:
    hue, light, saturation = colorsys.rgb_to_hls(*(channel / 255 for channel in read_rgb(colour)))
    return {"h": round(hue * 360) % 360, "s": round(saturation * 100), "l": round(light * 100)}


def wheel_angle(colour: object) -> dict[str, Any]:
    hue, _, brightness = colorsys.rgb_to_hsv(*(channel / 255 for channel in read_rgb(colour)))
    return {"angle": round(hue * 360) % 360, "brightness": round(brightness * 100)}


def invert(colour: object) -> dict[str, Any]:
    inverse = 0xFFFFFF - int(webcolors.name_to_hex(read_name(colour))[1:], 16)
    return {"inverse_hex": f"#{inverse:06x}"}


def rgb_levels(colour: object) -> dict[str, Any]:
    red, green, blue = read_rgb(colour)
    return {"red": red, "green": green, "blue": blue}


COLOR = text_parameter("color", "CSS color name")
NAME = text_parameter("name", "name of a web color")
COLOUR = text_parameter("colour", "colour name, e.g. coral")
VALUE = text_parameter("value", "hex value, e.g. #ff7f50")

TOOLS = (
    Tool("colorverse", "Colors", "Converts between CSS color names, hex codes and hues.", (
        Api("name_to_hex", "Hex code of a named color.", (COLOR,), name_to_hex, "hex_of_color", {"color": "color"}, "hex"),
        Api("web_code", "RGB triple and web code of a color name.", (COLOR,),
            web_code, "hex_of_color", {"color": "color"}, "web_code"),
        Api("hex_to_name", "CSS name of a hex code.", (text_parameter("hex_code", "e.g. #ff7f50"),),
            hex_to_name, "color_of_hex", {"hex_code": "code"}, "name"),
        Api("color_hue", "Hue of a color in degrees.", (COLOR,), color_hue, "hue_of_color", {"color": "color"}, "hue_degrees"),
    )),
    Tool("css_color_api", "Colors", "Dictionary of CSS colors: look up, identify, negate.", (
        Api("lookup_hex", "Looks up a name and gives its hexadecimal value.", (NAME,),
            lookup_hex, "hex_of_color", {"name": "color"}, "value"),
        Api("identify", "Identifies the named color that has exactly this hex value.", (VALUE,),
            identify, "color_of_hex", {"value": "code"}, "identified"),
        Api("nearest_color", "Named color closest to a hex value, and how far off it is.", (VALUE,),
            nearest_color, "color_of_hex", {"value": "code"}, "nearest"),
        Api("negative", "Photographic negative of a named color, as hex.", (NAME,),
            negative, "inverted_color", {"name": "color"}, "negative"),
    )),
    Tool("palette_studio", "Colors", "Color wheel, channels and inversions for designers.", (
        Api("hsl_values", "Hue, saturation and lightness of a colour.", (COLOUR,),
            hsl_values, "hue_of_color", {"colour": "color"}, "h"),
        Api("wheel_angle", "Angle of a colour on the color wheel, and its brightness.", (COLOUR,),
            wheel_angle, "hue_of_color", {"colour": "color"}, "angle"),
        Api("invert", "Inverts all channels of a colour; hex code.", (COLOUR,),
            invert, "inverted_color", {"colour": "color"}, "inverse_hex"),
        Api("rgb_levels", "Red, green and blue levels (0-255) of a colour.", (COLOUR,),
            rgb_levels, "red_channel", {"colour": "color"}, "red"),
    )),
)
