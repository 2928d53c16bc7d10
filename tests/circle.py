"""A file with a function to be given other bodies, and one that does what no body may bring in."""

from __future__ import annotations

from bot.functions import FunctionText, functions_in

SOURCE = b'''import math
import os


def area(radius, scale=1):
    """Return the area of a circle."""
    return math.pi * radius * scale


def fetch(x):
    return eval(x).f_locals
'''


def function(source: bytes, name: str) -> FunctionText:
    return next(f for f in functions_in(source) if f.name == name)
