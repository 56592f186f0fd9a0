"""Chemistry: the periodic table and the masses of formulas.

Library: periodictable (public domain), which carries names, numbers and IUPAC atomic masses. A formula is read here as element
symbols with counts; periodictable's own, richer grammar is never handed a model's text.
"""

from __future__ import annotations

import re
from typing import Any

import periodictable

from lib.hub.arguments import number_parameter, read_integer, text_parameter
from lib.hub.spec import Api, Goal, Tool, Value
from lib.hub.tools.patterns import matching_text

LAST_ELEMENT = 118
MAX_FORMULA = 30   # characters
LAST_ASKED = 92    # elements up to uranium are asked about, but for hydrogen, whose number has no prime factor

FORMULAS = """H2O CO2 NH3 CH4 NaCl HCl H2SO4 HNO3 H3PO4 NaOH KOH CaCO3 C2H6O C6H12O6 C12H22O11 C3H8 C4H10 C6H6 C2H4
C2H2 SO2 SO3 NO2 N2O O3 H2O2 KMnO4 AgNO3 CuSO4 FeCl3 Fe2O3 Al2O3 SiO2 TiO2 MgO CaO ZnO NaHCO3 K2Cr2O7 LiOH CaCl2 MgCl2
KBr NaF C8H10N4O2 C9H8O4 C7H8 CHCl3 C2H4O2 C3H6O C6H8O7 C5H5N CS2 PCl5 BaSO4 PbO2 SnCl2 UF6 WO3 NiCl2 CoCl2 MnO2
Na2CO3 K2SO4 SF6 HCN C10H8 C8H18 C3H8O3 C2H5Cl"""

GOALS = (
    Goal("atomic_number", {"element": "element_name"}, "integer", (
        "the atomic number of {element}",
        "how many protons an atom of {element} has",
        "the place number of {element} in the periodic table",
        "the nuclear charge of the element {element}",
        "which number {element} has among the chemical elements",
    ), "the atomic number of {element}", "The atomic number of {element} is {fact}."),
    Goal("symbol_of_element", {"element": "element_name"}, "element_symbol", (
        "the chemical symbol of {element}",
        "which letters stand for {element} in the periodic table",
        "the symbol of the element {element}",
        "how chemists abbreviate {element}",
        "the one- or two-letter sign for {element}",
    ), "the symbol of {element}", "The symbol of {element} is {fact}."),
    Goal("element_at_number", {"number": "small_integer"}, "element_name", (
        "which element has atomic number {number}",
        "the name of the chemical element with {number} protons",
        "what stands in place {number} of the periodic table",
        "the element whose nucleus carries charge {number}",
        "the name of the element whose atomic number is {number}",
    ), "the element with atomic number {number}", "Element {number} is {fact}."),
    Goal("atomic_mass", {"symbol": "element_symbol"}, "atomic_mass", (
        "the atomic mass of {symbol}",
        "how heavy an atom of {symbol} is in unified mass units",
        "the standard atomic weight of the element {symbol}",
        "the mass of one {symbol} atom in atomic mass units",
        "what a mole of {symbol} atoms weighs in grams",
    ), "the atomic mass of {symbol}", "The atomic mass of {symbol} is {fact}."),
    Goal("molar_mass", {"formula": "formula"}, "molar_mass", (
        "the molar mass of {formula}",
        "how many grams a mole of {formula} weighs",
        "the molecular weight of {formula}",
        "the mass in grams per mole of the compound {formula}",
        "how heavy one mole of {formula} is in grams",
    ), "the molar mass of {formula}", "The molar mass of {formula} is {fact} g/mol."),
)
ELEMENTS = {element.number: element for element in periodictable.elements if 1 <= element.number <= LAST_ELEMENT}
BY_NAME = {element.name: element for element in ELEMENTS.values()} | {
    "aluminium": ELEMENTS[13], "sulphur": ELEMENTS[16], "caesium": ELEMENTS[55]}
BY_SYMBOL = {element.symbol: element for element in ELEMENTS.values()}

DOMAINS: dict[str, tuple[Value, ...]] = {
    "element_name": tuple(ELEMENTS[number].name for number in range(2, LAST_ASKED + 1)),
    "element_symbol": tuple(ELEMENTS[number].symbol for number in range(1, LAST_ASKED + 1)),
    "formula": tuple(FORMULAS.split()),
}


def element_by_name(text: object) -> Any:
    """The element of periodictable that text names."""
    name = matching_text(text, r"[A-Za-z]+", 16, "the name of an element").lower()
    if name not in BY_NAME:
        raise ValueError(f"unknown element '{name}'; give the English name, e.g. iron")
    return BY_NAME[name]


def element_by_symbol(text: object) -> Any:
    """The element of periodictable whose symbol text gives."""
    symbol = matching_text(text, r"[A-Za-z]{1,2}", 6, "a chemical symbol such as Fe").capitalize()
    if symbol not in BY_SYMBOL:
        raise ValueError(f"no element has the symbol '{symbol}'")
    return BY_SYMBOL[symbol]


def element_by_number(value: object) -> Any:
    """The element of periodictable with this many protons."""
    return ELEMENTS[read_integer(value, "value", 1, LAST_ELEMENT)]


def read_formula(text: object) -> list[tuple[Any, int]]:
    """The elements of the formula in text with their counts, in order."""
    formula = matching_text(text, r"([A-Z][a-z]?[0-9]{0,3})+", MAX_FORMULA, "a formula such as C2H6O")
    return [(element_by_symbol(symbol), int(count or 1)) for symbol, count in re.findall(r"([A-Z][a-z]?)([0-9]*)", formula)]


def atomic_number(element: object) -> dict[str, Any]:
    return {"atomic_number": element_by_name(element).number}


def element_card(element: object) -> dict[str, Any]:
    found = element_by_name(element)
    return {"protons": found.number, "mass": round(found.mass, 2)}


def element_symbol(element: object) -> dict[str, Any]:
    return {"symbol": element_by_name(element).symbol}


def element_by_place(place: object) -> dict[str, Any]:
    return {"element": element_by_number(place).name}


def nuclear_charge(name: object) -> dict[str, Any]:
    return {"charge": element_by_name(name).number}


def abbreviation(name: object) -> dict[str, Any]:
    return {"abbreviation": element_by_name(name).symbol}


def nomenclature(name: object) -> dict[str, Any]:
    found = element_by_name(name)
    return {"letters": len(found.name), "sign": found.symbol}


def atom_weight(symbol: object) -> dict[str, Any]:
    return {"weight": round(element_by_symbol(symbol).mass, 2)}


def name_of_element(z: object) -> dict[str, Any]:
    return {"name": element_by_number(z).name}


def identify_element(z: object) -> dict[str, Any]:
    found = element_by_number(z)
    return {"symbol": found.symbol, "called": found.name}


def isotope_overview(symbol: object) -> dict[str, Any]:
    found = element_by_symbol(symbol)
    return {"isotopes_listed": len(found.isotopes), "mean_mass": round(found.mass, 2)}


def molar_mass(formula: object) -> dict[str, Any]:
    parts = read_formula(formula)
    mass = sum(element.mass * count for element, count in parts)
    return {"grams_per_mole": round(mass, 2), "atoms": sum(count for _, count in parts)}


ELEMENT = text_parameter("element", "English name, e.g. iron")
NAME = text_parameter("name", "name of a chemical element")
SYMBOL = text_parameter("symbol", "chemical symbol, e.g. Fe")
Z = number_parameter("z", "number of protons, 1 to 118")

TOOLS = (
    Tool("periodic_table", "Chemistry", "The periodic table: numbers, symbols and names of the elements.", (
        Api("atomic_number",
            "Atomic number of a chemical element: place in the periodic table, nuclear charge, how many protons an atom holds.",
            (ELEMENT,),
            atomic_number, "atomic_number", {"element": "element"}, "atomic_number"),
        Api("element_card",
            "Protons and nuclear charge of an atom: atomic number, place among the chemical elements in the periodic table.",
            (ELEMENT,),
            element_card, "atomic_number", {"element": "element"}, "protons"),
        Api("element_symbol",
            "Chemical symbol of an element: letters or sign that stand for it in the periodic table, how chemists abbreviate it.",
            (ELEMENT,),
            element_symbol, "symbol_of_element", {"element": "element"}, "symbol"),
        Api("element_by_place",
            "Chemical element that stands in a place of the periodic table: the name of the one whose nucleus has such a charge.",
            (number_parameter("place", "place, 1 to 118"),),
            element_by_place, "element_at_number", {"place": "number"}, "element"),
    )),
    Tool("element_lookup", "Chemistry", "Looks up charge, abbreviation and weight of atoms.", (
        Api("nuclear_charge",
            "Nuclear charge of an element: how many protons an atom holds, its atomic or place number in the periodic table.",
            (NAME,),
            nuclear_charge, "atomic_number", {"name": "element"}, "charge"),
        Api("abbreviation",
            "How chemists abbreviate an element: letters or sign that stand for it in the periodic table, the chemical symbol.",
            (NAME,),
            abbreviation, "symbol_of_element", {"name": "element"}, "abbreviation"),
        Api("nomenclature",
            "One- or two-letter sign that stands for an element, the chemical symbol to abbreviate it by; and its name's length.",
            (NAME,),
            nomenclature, "symbol_of_element", {"name": "element"}, "sign"),
        Api("atom_weight",
            "Standard atomic weight for a symbol: how heavy an atom is in mass units, what a mole of atoms weighs in grams.",
            (SYMBOL,),
            atom_weight, "atomic_mass", {"symbol": "symbol"}, "weight"),
    )),
    Tool("chem_calc", "Chemistry", "Identifies elements by protons and weighs atoms and compounds.", (
        Api("name_of_element",
            "Name of the chemical element that has z protons: the one whose nucleus carries that charge, its atomic number.",
            (Z,),
            name_of_element, "element_at_number", {"z": "number"}, "name"),
        Api("identify_element",
            "Identifies which chemical element has an atomic number, whose nucleus carries that charge, those protons: its name.",
            (Z,),
            identify_element, "element_at_number", {"z": "number"}, "called"),
        Api("isotope_overview",
            "Mean atomic mass and known isotopes: standard weight, how heavy an atom is, what a mole of atoms weighs in grams.",
            (SYMBOL,),
            isotope_overview, "atomic_mass", {"symbol": "symbol"}, "mean_mass"),
        Api("molar_mass",
            "Molar mass of a compound by its formula: the molecular weight, how heavy one mole is, how many grams it weighs.",
            (text_parameter("formula", "formula, e.g. C2H6O"),),
            molar_mass, "molar_mass", {"formula": "formula"}, "grams_per_mole"),
    )),
)
