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
        "the hexadecimal code of the color {color}",
        "how the web color {color} is written in hexadecimal",
        "which hex code stands for {color}",
        "the color value to be written on a web page for {color}",
        "the hexadecimal notation for {color}",
    ), "the hex code of {color}", "The hex code of {color} is {fact}."),
    Goal("color_of_hex", {"code": "css_hex"}, "color_name", (
        "the name that identifies the color {code}",
        "which color name belongs to the hex code {code}",
        "what the web color {code} is called",
        "the colour word for {code}",
        "how style sheets name the color {code}",
    ), "the color named by {code}", "The color {code} is called {fact}."),
    Goal("hue_of_color", {"color": "color_name"}, "hue", (
        "the hue of the color {color} in degrees",
        "at which angle of the color wheel {color} lies",
        "how many degrees of hue {color} has",
        "the hue angle of {color}",
        "where on the color wheel to find {color}",
    ), "the hue of {color}", "The hue of {color} is {fact} degrees."),
    Goal("inverted_color", {"color": "color_name"}, "inverted_hex", (
        "the hex code of the inverted color of {color}",
        "the photographic negative of {color} as a hex code",
        "which hex code you get by inverting {color}",
        "the channel by channel opposite of the color {color} in hexadecimal",
        "what hex code {color} turns into when all channels are flipped",
    ), "the inverse of {color}", "Inverting {color} gives {fact}."),
    Goal("red_channel", {"color": "color_name"}, "channel_level", (
        "the red channel of the color {color}",
        "how much red {color} contains",
        "the value of red beside green and blue in {color}",
        "the red component of the web color {color}",
        "the level of red light that mixes {color}",
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
        Api("name_to_hex",
            "Hex code of a color: how a web color is written in hexadecimal, the notation or value that stands for it on a page.",
            (COLOR,), name_to_hex, "hex_of_color", {"color": "color"}, "hex"),
        Api("web_code",
            "Web page code of a color: its value written in hexadecimal (hex) notation, and the RGB triple it stands for.",
            (COLOR,),
            web_code, "hex_of_color", {"color": "color"}, "web_code"),
        Api("hex_to_name",
            "Identifies the color that belongs to a hex code: the colour word by which it is called in web style sheets.",
            (text_parameter("hex_code", "e.g. #ff7f50"),),
            hex_to_name, "color_of_hex", {"hex_code": "code"}, "name"),
        Api("color_hue", "Hue of a color in degrees: at which angle of the color wheel the named color lies.",
            (COLOR,), color_hue, "hue_of_color", {"color": "color"}, "hue_degrees"),
    )),
    Tool("css_color_api", "Colors", "Dictionary of CSS colors: look up, identify, negate.", (
        Api("lookup_hex",
            "Looks up which hex code stands for a web color: the value as written on a page, in hexadecimal notation.",
            (NAME,),
            lookup_hex, "hex_of_color", {"name": "color"}, "value"),
        Api("identify",
            "Colour word or name that belongs to a hex code: identifies what exactly the color is called in web style sheets.",
            (VALUE,),
            identify, "color_of_hex", {"value": "code"}, "identified"),
        Api("nearest_color",
            "What a hex code is called: identifies the web color it belongs to, or the nearest colour word in style sheets.",
            (VALUE,),
            nearest_color, "color_of_hex", {"value": "code"}, "nearest"),
        Api("negative",
            "Photographic negative of a color: the hex code of its opposite, which you get by inverting (flipping) all channels.",
            (NAME,),
            negative, "inverted_color", {"name": "color"}, "negative"),
    )),
    Tool("palette_studio", "Colors", "Color wheel, channels and inversions for designers.", (
        Api("hsl_values",
            "Hue, saturation and lightness of a colour. The hue is the angle in degrees where it lies on the color wheel.",
            (COLOUR,),
            hsl_values, "hue_of_color", {"colour": "color"}, "h"),
        Api("wheel_angle", "Where a colour lies on the color wheel: the angle of its hue in degrees. Also its brightness.",
            (COLOUR,),
            wheel_angle, "hue_of_color", {"colour": "color"}, "angle"),
        Api("invert", "Inverts a colour: the hex code of the inverted color, its negative or opposite with all channels flipped.",
            (COLOUR,),
            invert, "inverted_color", {"colour": "color"}, "inverse_hex"),
        Api("rgb_levels",
            "How much red, green and blue light a colour contains: the value or level (0-255) of each channel, its components.",
            (COLOUR,),
            rgb_levels, "red_channel", {"colour": "color"}, "red"),
    )),
)
