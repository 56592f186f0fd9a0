"""Algebra: linear equations, quadratics and polynomials in x.

Library: sympy (BSD-3-Clause). Text never reaches sympy's own parser, which evaluates Python: an expression is read here as a
sum of terms such as 3x^2, and only its coefficients are handed on.
"""

from __future__ import annotations

import re
from typing import Any

from sympy import Poly, Rational, discriminant, real_roots, solve, symbols

from lib.hub.arguments import number_parameter, read_choice, read_integer, text_parameter
from lib.hub.spec import Api, Goal, Parameter, Tool, Value
from lib.hub.tools.patterns import matching_text

X = symbols("x")
MAX_LENGTH = 60   # characters of an expression
MAX_POINT = 1000  # bound of the points where polynomials are evaluated
MAX_RESULT = 10**15
WRITTEN = r"[0-9xX+*^ -]+"  # all characters of an expression
EXPECTED = "terms of numbers and powers of x, such as 3x^2-5x+6"
TERM = re.compile(r"([+-]?)(?:([0-9]{1,6})\*?)?(?:(x)(?:\^([0-9]))?)?")

GOALS = (
    Goal("root_of_equation", {"equation": "linear_equation"}, "small_integer", (
        "which x satisfies {equation}",
        "the solution of the equation {equation}",
        "the value of x that solves {equation}",
        "what x must be so that {equation} holds",
        "the number for x that makes {equation} true",
    ), "the solution of {equation}", "The solution of {equation} is x = {fact}."),
    Goal("larger_root", {"quadratic": "quadratic"}, "small_integer", (
        "the larger root of {quadratic}",
        "the greater of the two zeros of {quadratic}",
        "the biggest x at which {quadratic} becomes zero",
        "which is the higher solution when {quadratic} equals zero",
        "where on the right the parabola {quadratic} crosses the x axis",
    ), "the larger root of {quadratic}", "The larger root of {quadratic} is {fact}."),
    Goal("polynomial_value", {"quadratic": "quadratic", "point": "small_integer"}, "polynomial_value", (
        "the value of {quadratic} at x = {point}",
        "what {quadratic} is when x equals {point}",
        "the result of putting {point} for x into {quadratic}",
        "how much {quadratic} comes to for x = {point}",
        "the number you get by evaluating {quadratic} in {point}",
    ), "the value of {quadratic} at {point}", "At x = {point}, {quadratic} is {fact}."),
    Goal("discriminant", {"quadratic": "quadratic"}, "integer", (
        "the discriminant of {quadratic}",
        "how large the discriminant is for the quadratic {quadratic}",
        "which number stands under the root when solving {quadratic}",
        "the discriminant of the polynomial {quadratic}",
        "the quantity whose sign says how many real zeros {quadratic} has",
    ), "the discriminant of {quadratic}", "The discriminant of {quadratic} is {fact}."),
    Goal("slope_at_point", {"quadratic": "quadratic", "point": "small_integer"}, "slope", (
        "the slope of {quadratic} at x = {point}",
        "the derivative of {quadratic} at {point}",
        "how steep the curve {quadratic} is at x = {point}",
        "the rate of change of {quadratic} in the point {point}",
        "the gradient of {quadratic} where x is {point}",
    ), "the slope of {quadratic} at {point}", "The slope of {quadratic} at {point} is {fact}."),
)


def _linear_equations() -> tuple[Value, ...]:
    """Equations such as 3x+4=19, with whole solutions from 2 to 30."""
    shapes = ((2, 3), (3, 4), (4, -7), (5, 2), (6, -5), (7, 8), (8, -9), (9, 6))
    return tuple(f"{a}x{b:+d}={a * x + b}" for i, (a, b) in enumerate(shapes) for x in range(2 + i % 3, 31, 3))


def _quadratics() -> tuple[Value, ...]:
    """Quadratics such as x^2-5x-14 with whole roots at least 4 apart, the larger from 2 to 15."""
    pairs = [(high, low) for high in range(2, 16) for low in range(-9, high - 3, 2) if low * (high + low) != 0]
    return tuple(f"x^2{-(high + low):+d}x{high * low:+d}".replace("+1x", "+x").replace("-1x", "-x") for high, low in pairs)


DOMAINS: dict[str, tuple[Value, ...]] = {"linear_equation": _linear_equations(), "quadratic": _quadratics()}


def read_polynomial(text: object) -> Poly:
    """The polynomial in x that text states as a sum of terms, degree at most 9, coefficients below a million."""
    compact = matching_text(text, WRITTEN, MAX_LENGTH, EXPECTED).replace(" ", "").replace("**", "^").lower()
    coefficients: dict[tuple[int], int] = {}
    position = 0
    while position < len(compact):
        term = TERM.match(compact, position)
        if not term or not (term[2] or term[3]) or (position and not term[1]) or (term[0].endswith("*")):
            raise ValueError(f"cannot read the expression at '{compact[position:position + 12]}'; write terms like 3x^2-5x+6")
        power = int(term[4] or 1) if term[3] else 0
        amount = int(term[2] or 1) * (-1 if term[1] == "-" else 1)
        coefficients[(power,)] = coefficients.get((power,), 0) + amount
        position = term.end()
    return Poly(coefficients, X)


def read_linear(text: object) -> Poly:
    """The linear polynomial whose zero solves the equation in text."""
    sides = matching_text(text, f"{WRITTEN}={WRITTEN}", MAX_LENGTH, "an equation such as 2x+3=11").split("=")
    difference = read_polynomial(sides[0]) - read_polynomial(sides[1])
    if difference.degree() != 1:
        raise ValueError("not a linear equation in x with one solution")
    return difference


def read_quadratic(text: object) -> Poly:
    """The polynomial in text; it must be of degree 2."""
    quadratic = read_polynomial(text)
    if quadratic.degree() != 2:
        raise ValueError("expected a quadratic such as x^2-5x+6")
    return quadratic


def roots_of(text: object) -> tuple[Any, Any]:
    """The smaller and the larger real root of the quadratic in text."""
    found = real_roots(read_quadratic(text))
    if not found:
        raise ValueError("this quadratic has no real roots")
    return found[0], found[-1]


def plain(number: Any) -> int | float:
    """A number of sympy or Python as int where whole, else rounded to 4 decimals."""
    if abs(number) > MAX_RESULT:
        raise ValueError("the result is too large; use smaller numbers")
    if isinstance(number, int):
        return number
    return int(number) if number.is_integer else round(float(number), 4)


def _point(value: object) -> int:
    return read_integer(value, "value", -MAX_POINT, MAX_POINT)


def solve_linear(equation: object) -> dict[str, Any]:
    return {"x": plain(solve(read_linear(equation).as_expr(), X)[0])}


def isolate_variable(statement: object) -> dict[str, Any]:
    slope, offset = read_linear(statement).all_coeffs()
    return {"coefficient": int(slope), "constant": int(offset), "solution": plain(Rational(-offset, slope))}


def quadratic_root(expression: object, which: object) -> dict[str, Any]:
    wanted = read_choice(which, "which", ("larger", "smaller"))
    smaller, larger = roots_of(expression)
    return {"root": plain(larger if wanted == "larger" else smaller)}


def evaluate(expression: object, x: object) -> dict[str, Any]:
    return {"value": plain(read_polynomial(expression).eval(_point(x)))}


def linear_zero(equality: object) -> dict[str, Any]:
    return {"zero": plain(real_roots(read_linear(equality))[0])}


def find_zeros(polynomial: object) -> dict[str, Any]:
    lower, upper = roots_of(polynomial)
    return {"lower_zero": plain(lower), "upper_zero": plain(upper)}


def parabola(polynomial: object) -> dict[str, Any]:
    quadratic = read_quadratic(polynomial)
    a, b, _ = quadratic.all_coeffs()
    axis = Rational(-b, 2 * a)
    return {"axis": plain(axis), "lowest": plain(quadratic.eval(axis)), "right_crossing": plain(roots_of(polynomial)[1])}


def discriminant_of(polynomial: object) -> dict[str, Any]:
    return {"discriminant": plain(discriminant(read_quadratic(polynomial)))}


def substitute(function: object, at: object) -> dict[str, Any]:
    polynomial = read_polynomial(function)
    return {"degree": max(0, int(polynomial.degree())) if not polynomial.is_zero else 0,
            "result": plain(polynomial.as_expr().subs(X, _point(at)))}


def horner(function: object, at: object) -> dict[str, Any]:
    total, point = 0, _point(at)
    for coefficient in read_polynomial(function).all_coeffs():
        total = total * point + int(coefficient)
    return {"y": plain(total)}


def quadratic_invariants(function: object) -> dict[str, Any]:
    a, b, c = (int(v) for v in read_quadratic(function).all_coeffs())
    root_sum, root_product = Rational(-b, a), Rational(c, a)
    return {"sum_of_roots": plain(root_sum), "product_of_roots": plain(root_product), "b2_minus_4ac": b * b - 4 * a * c}


def derivative_at(function: object, at: object) -> dict[str, Any]:
    return {"slope": plain(read_polynomial(function).diff(X).eval(_point(at)))}


EXPRESSION = text_parameter("expression", "e.g. x^2-5x+6")
POLYNOMIAL = text_parameter("polynomial", "e.g. x^2+3x-10")
FUNCTION = text_parameter("function", "function of x, e.g. x^2-9")


def _at(name: str) -> Parameter:
    return number_parameter(name, "whole number to put for x")


TOOLS = (
    Tool("equation_solver", "Algebra", "Solves school equations in x and evaluates expressions.", (
        Api("solve_linear",
            "Solves a linear equation: its solution, the number x that makes it true, so that it holds and x satisfies it.",
            (text_parameter("equation", "e.g. 2x+3=11"),),
            solve_linear, "root_of_equation", {"equation": "equation"}, "x"),
        Api("isolate_variable",
            "Isolates x in a linear equation: the solution that satisfies it, the number that solves it so that it holds true.",
            (text_parameter("statement", "equality with one x, e.g. 5x-4=21"),),
            isolate_variable, "root_of_equation", {"statement": "equation"}, "solution"),
        Api("quadratic_root",
            "The larger root of a quadratic, or the smaller: the greater or higher solution x where it equals or becomes zero.",
            (EXPRESSION,
             text_parameter("which", "which of the two roots", enum=("larger", "smaller"))),
            quadratic_root, "larger_root", {"expression": "quadratic"}, "root", fixed={"which": "larger"}),
        Api("evaluate", "Evaluates an expression at a given x: the value or result it comes to when x equals that number.",
            (EXPRESSION, _at("x")),
            evaluate, "polynomial_value", {"expression": "quadratic", "x": "point"}, "value"),
    )),
    Tool("polynomial_desk", "Algebra", "Zeros, vertex and discriminant of polynomials with whole coefficients.", (
        Api("linear_zero",
            "The x that solves a linear equation, so that its sides agree: the solution that satisfies it, makes it hold true.",
            (text_parameter("equality", "e.g. 2x+3=11"),),
            linear_zero, "root_of_equation", {"equality": "equation"}, "zero"),
        Api("find_zeros",
            "Both zeros of a quadratic: the lower and the greater (larger root, biggest x or higher solution where it is zero).",
            (POLYNOMIAL,),
            find_zeros, "larger_root", {"polynomial": "quadratic"}, "upper_zero"),
        Api("parabola",
            "Where a parabola crosses the x axis on the right: its larger root, greater zero or higher solution; also its axis.",
            (POLYNOMIAL,),
            parabola, "larger_root", {"polynomial": "quadratic"}, "right_crossing"),
        Api("discriminant",
            "Discriminant of a quadratic polynomial: the number under the root; its sign says how many real zeros there are.",
            (POLYNOMIAL,),
            discriminant_of, "discriminant", {"polynomial": "quadratic"}, "discriminant"),
    )),
    Tool("calculus_api", "Algebra", "Works with functions of x: substitution, invariants and derivatives.", (
        Api("substitute",
            "Result of putting a number for x into a function: how much its value is when evaluating it; and the degree.",
            (FUNCTION, _at("at")),
            substitute, "polynomial_value", {"function": "quadratic", "at": "point"}, "result"),
        Api("horner",
            "How much a polynomial comes to when x equals a number: its value on putting it in, evaluating by Horner's scheme.",
            (FUNCTION, _at("at")),
            horner, "polynomial_value", {"function": "quadratic", "at": "point"}, "y"),
        Api("quadratic_invariants",
            "Discriminant of a quadratic (under the root in solving; its sign says how many are real), sum and product of roots.",
            (text_parameter("function", "quadratic in x, e.g. x^2-9"),),
            quadratic_invariants, "discriminant", {"function": "quadratic"}, "b2_minus_4ac"),
        Api("derivative_at",
            "Slope of a function at a point x: the derivative, gradient or rate of change, how steep the curve is there.",
            (FUNCTION, _at("at")),
            derivative_at, "slope_at_point", {"function": "quadratic", "at": "point"}, "slope"),
    )),
)
