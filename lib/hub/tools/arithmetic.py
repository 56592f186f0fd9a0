"""Arithmetic: multiples, prime factors, divisors, digits and remainders of whole numbers.

Library: sympy (BSD-3-Clause), its number theory. Numbers stay below a thousand million, where factoring takes microseconds.
"""

from __future__ import annotations

from math import lcm
from typing import Any

from sympy import divisor_count, divisor_sigma, divisors, factorint, igcd, ilcm, primefactors
from sympy.ntheory import digits

from lib.hub.arguments import number_parameter, read_integer
from lib.hub.spec import Api, Goal, Tool, Value

LARGEST = 10**9  # bound of every argument
MANY = 10**6     # bound where all divisors are listed

GOALS = (
    Goal("least_common_multiple", {"first": "small_integer", "second": "small_integer"}, "integer", (
        "the least common multiple of {first} and {second}",
        "the lowest multiple that {first} and {second} have in common",
        "the smallest positive number that both {first} and {second} divide",
        "which is the lowest number divisible by {first} and by {second}",
        "the smallest multiple of {first} that is also divisible by {second}",
        "the smallest shared multiple of the numbers {first} and {second}",
    ), "the least common multiple of {first} and {second}", "The least common multiple of {first} and {second} is {fact}."),
    Goal("largest_prime_factor", {"number": "integer"}, "integer", (
        "the largest prime factor of {number}",
        "the biggest prime that divides {number}",
        "which prime factor of {number} is the greatest",
        "the highest prime dividing {number} without remainder",
        "the greatest prime in the factorization of {number}",
    ), "the largest prime factor of {number}", "The largest prime factor of {number} is {fact}."),
    Goal("number_of_divisors", {"number": "integer"}, "small_integer", (
        "how many divisors {number} has",
        "the number of positive divisors of {number}",
        "how many whole numbers divide {number} evenly",
        "the count of all factors of {number}, itself included",
        "how long the full list of divisors of {number} is",
    ), "the number of divisors of {number}", "{number} has {fact} divisors."),
    Goal("digit_sum", {"number": "integer"}, "small_integer", (
        "the digit sum of {number}",
        "the sum of the decimal digits of {number}",
        "what the digits of {number} add up to",
        "the total you get by adding every digit in {number}",
        "the cross sum of {number}",
    ), "the digit sum of {number}", "The digits of {number} add up to {fact}."),
    Goal("remainder_of_division", {"number": "integer", "divisor": "small_integer"}, "remainder", (
        "the remainder of {number} divided by {divisor}",
        "what is left over when {number} is divided by {divisor}",
        "the value of {number} modulo {divisor}",
        "how much stays over after the division of {number} by {divisor}",
        "the rest when dividing {number} by {divisor}",
    ), "the remainder of {number} divided by {divisor}", "Dividing {number} by {divisor} leaves {fact}."),
)
DOMAINS: dict[str, tuple[Value, ...]] = {}


def least_common_multiple(a: object, b: object) -> dict[str, Any]:
    x, y = read_integer(a, "a", 1, LARGEST), read_integer(b, "b", 1, LARGEST)
    return {"lcm": int(ilcm(x, y))}


def gcd_and_lcm(first: object, second: object) -> dict[str, Any]:
    x, y = read_integer(first, "first", 1, LARGEST), read_integer(second, "second", 1, LARGEST)
    return {"greatest_divisor": int(igcd(x, y)), "smallest_multiple": int(ilcm(x, y))}


def prime_factors(n: object) -> dict[str, Any]:
    primes = primefactors(read_integer(n, "n", 2, LARGEST))
    return {"smallest": int(primes[0]), "largest": int(primes[-1]), "distinct": len(primes)}


def count_divisors(n: object) -> dict[str, Any]:
    return {"divisor_count": int(divisor_count(read_integer(n, "n", 1, LARGEST)))}


def common_multiple(m: object, k: object) -> dict[str, Any]:
    x, y = read_integer(m, "m", 1, LARGEST), read_integer(k, "k", 1, LARGEST)
    return {"product": x * y, "multiple": lcm(x, y)}


def biggest_prime(value: object) -> dict[str, Any]:
    return {"prime": int(max(factorint(read_integer(value, "value", 2, LARGEST))))}


def factorize(value: object) -> dict[str, Any]:
    powers = factorint(read_integer(value, "value", 2, LARGEST))
    text = "*".join(f"{p}^{e}" if e > 1 else str(p) for p, e in powers.items())
    return {"factors": text, "top_factor": int(max(powers))}


def digit_total(value: object) -> dict[str, Any]:
    return {"total": sum(digits(read_integer(value, "value", 0, LARGEST))[1:])}


def divisor_stats(integer: object) -> dict[str, Any]:
    number = read_integer(integer, "integer", 1, LARGEST)
    return {"sum_of_divisors": int(divisor_sigma(number)), "how_many": int(divisor_count(number))}


def list_divisors(integer: object) -> dict[str, Any]:
    found = divisors(read_integer(integer, "integer", 1, MANY))
    return {"first_ones": " ".join(map(str, found[:6])), "list_length": len(found)}


def digit_profile(integer: object) -> dict[str, Any]:
    ciphers = [int(c) for c in str(read_integer(integer, "integer", 0, LARGEST))]
    return {"digits": len(ciphers), "largest_digit": max(ciphers), "digit_sum": sum(ciphers)}


def divide_with_rest(dividend: object, divisor: object) -> dict[str, Any]:
    quotient, rest = divmod(read_integer(dividend, "dividend", 0, LARGEST), read_integer(divisor, "divisor", 1, LARGEST))
    return {"quotient": quotient, "remainder": rest}


N = number_parameter("n", "whole number from 2")
VALUE = number_parameter("value", "integer to take apart")
INTEGER = number_parameter("integer", "the integer to study")

TOOLS = (
    Tool("number_toolkit", "Arithmetic", "Everyday number theory: multiples, prime factors and divisors of whole numbers.", (
        Api("least_common_multiple",
            "Least common multiple (LCM) of two numbers: the smallest, lowest positive number divisible by both.",
            (number_parameter("a", "first whole number"), number_parameter("b", "second whole number")),
            least_common_multiple, "least_common_multiple", {"a": "first", "b": "second"}, "lcm"),
        Api("gcd_and_lcm",
            "Smallest common or shared multiple of two integers, the lowest number that both divide; also their GCD.",
            (number_parameter("first", "one integer"), number_parameter("second", "the other integer")),
            gcd_and_lcm, "least_common_multiple", {"first": "first", "second": "second"}, "smallest_multiple"),
        Api("prime_factors",
            "Largest prime factor of a number, the greatest or highest prime dividing it; also the smallest one.",
            (N,), prime_factors, "largest_prime_factor", {"n": "number"}, "largest"),
        Api("count_divisors",
            "Counts all positive divisors of a number: how many factors it has, how many whole numbers divide it evenly.",
            (N,), count_divisors, "number_of_divisors", {"n": "number"}, "divisor_count"),
    )),
    Tool("factor_finder", "Arithmetic", "Takes integers apart into primes and digits, and finds where multiples meet.", (
        Api("common_multiple",
            "Lowest positive number that two others divide: their least, smallest common or shared multiple; and the product.",
            (number_parameter("m", "a positive integer"), number_parameter("k", "another positive integer")),
            common_multiple, "least_common_multiple", {"m": "first", "k": "second"}, "multiple"),
        Api("biggest_prime",
            "The biggest prime that divides a number: the largest, greatest, highest prime factor in its factorization.",
            (VALUE,), biggest_prime, "largest_prime_factor", {"value": "number"}, "prime"),
        Api("factorize",
            "Prime factorization of a number as text, with the top factor: the greatest, highest or biggest prime dividing it.",
            (VALUE,), factorize, "largest_prime_factor", {"value": "number"}, "top_factor"),
        Api("digit_total",
            "Digit sum of a number: the total you get by adding up all its decimal digits, also known as the cross sum.",
            (VALUE,), digit_total, "digit_sum", {"value": "number"}, "total"),
    )),
    Tool("integer_facts", "Arithmetic", "Facts about a single integer: its divisors, its digits, its remainders.", (
        Api("divisor_stats",
            "How many divisors or factors a whole number has: the count of positive integers dividing it evenly; also the sum.",
            (INTEGER,),
            divisor_stats, "number_of_divisors", {"integer": "number"}, "how_many"),
        Api("list_divisors",
            "First divisors of a whole number and the length of the full list: how many positive factors divide it evenly.",
            (INTEGER,),
            list_divisors, "number_of_divisors", {"integer": "number"}, "list_length"),
        Api("digit_profile",
            "What the decimal digits of a number add up to (digit sum or cross sum); also how many there are and the largest.",
            (INTEGER,), digit_profile, "digit_sum", {"integer": "number"}, "digit_sum"),
        Api("divide_with_rest",
            "Divides a number by another: the remainder (modulo), the rest left over or staying over; also the quotient.",
            (number_parameter("dividend", "number to be divided"), number_parameter("divisor", "number to divide by")),
            divide_with_rest, "remainder_of_division", {"dividend": "number", "divisor": "divisor"}, "remainder"),
    )),
)
