"""The program grammar: expands skeletons into small functions with varied names, idioms and literal inputs.

A skeleton is source text with holes: `<<a||b>>` is one of several, nested at will; `$L $S $W $N $I $E $C $R $D`
(and a digit) are names drawn once for each function; `@P(x)` and the like are random small expressions; `@n` a
small number. Its first line says what it takes: `#@ ints int`, or `#@ class Name(types): method types; method`.
"""

# ruff: noqa: E501 - tables
from __future__ import annotations

import argparse
import ast
import random
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path

from training import words
from training.contamination import Filter, humanevalfix_filter
from training.corpus import save
from training.functions import SourceFunction, identity, make_function
from training.inputs import value
from training.skeletons import CLASSES, FUNCTIONS

CALLS = 14
NAMES = {"L": words.LISTS, "S": words.STRINGS, "W": words.WORD_LISTS, "N": words.COUNTS, "I": words.INDICES,
         "E": words.ELEMENTS, "C": words.CHARS, "R": words.RESULTS, "D": words.MAPPINGS}  # fmt: skip
MACROS = {
    "P": ["{0} > {n}", "{0} < {n}", "{0} >= {n}", "{0} <= {n}", "{0} % 2 == 0", "{0} % 2 == 1", "{0} != 0", "{0} % {k} == 0",
          "{0} > 0", "{0} < 0", "{0} == {n}", "0 < {0} < {m}", "{0} > {n} and {0} % 2 == 0", "{0} < 0 or {0} > {m}",
          "not {0} % {k}", "abs({0}) > {n}", "{n} <= {0} <= {m}", "{0} % {k} != 0"],
    "T": ["{0} * {0}", "{0} + {n}", "{0} - {n}", "{0} * {k}", "abs({0})", "{0} % {k}", "{0} // {k}", "-{0}", "{0} ** 2", "{0}",
          "max({0}, 0)", "min({0}, {m})", "{0} * {k} + {n}", "({0} + {n}) % {m}", "{m} - {0}"],
    "Q": ["{0}.isalpha()", "{0}.isdigit()", "{0}.isupper()", "{0} in 'aeiou'", "{0} == ' '", "{0} != ' '", "{0}.islower()",
          "{0}.isalnum()", "not {0}.isspace()", "{0} not in 'aeiou'", "{0} in '.,!?'", "{0} > 'm'", "{0}.lower() in 'aeiou'"],
    "G": ["{0}.upper()", "{0}.lower()", "{0}.strip()", "{0}[::-1]", "{0}.title()", "{0}[:{k}]", "{0}[1:]", "{0}[-{k}:]",
          "{0}.capitalize()", "{0}.replace(' ', '_')", "{0}[:1].upper() + {0}[1:]", "{0} + '!'", "{0}.swapcase()"],
    "H": ["len({0}) > {k}", "len({0}) <= {k}", "{0}.startswith('a')", "{0}.endswith('s')", "{0}.isalpha()", "{0}[0].isupper()",
          "len({0}) % 2 == 0", "{0} == {0}[::-1]", "'e' in {0}", "{0}.isdigit()", "{0} != ''", "len({0}) == {k}"],
    "K": ["len({0})", "{0}.count('a')", "len({0}.strip())", "len(set({0}))", "{0}.count('e') + 1"],
}  # fmt: skip
_CHOICE = re.compile(r"<<((?:(?!<<|>>).)*)>>", re.DOTALL)
_NAME = re.compile(r"\$([LSWNIECRD])(\d?)")
_MACRO = re.compile(r"@([PTQGHK])\(([^()]*)\)")


def expand(skeleton: str, rng: random.Random) -> str:
    """Return one program of a skeleton, its first line included."""
    text = skeleton
    while True:
        changed = _CHOICE.sub(lambda m: rng.choice(m.group(1).split("||")), text)
        if changed == text:
            break
        text = changed
    names: dict[str, str] = {}

    def name(match: re.Match[str]) -> str:
        if match.group(0) not in names:
            free = [w for w in NAMES[match.group(1)] if w not in names.values()]
            names[match.group(0)] = rng.choice(free)
        return names[match.group(0)]

    def macro(match: re.Match[str]) -> str:
        small, k, large = rng.randrange(0, 10), rng.randrange(2, 6), rng.choice((10, 12, 15, 20, 50, 100))
        return rng.choice(MACROS[match.group(1)]).format(match.group(2), n=small, k=k, m=large)

    text = _MACRO.sub(macro, _NAME.sub(name, text))
    text = re.sub(r"@n", lambda _: str(rng.choice((0, 1, 1, 2, 2, 3, 4, 5, 7, 10))), text)
    return re.sub(r"@k", lambda _: str(rng.randrange(2, 7)), text)


def arguments(types: str, rng: random.Random) -> str:
    return ", ".join(repr(value(kind, rng)) for kind in types.split())


def function_from(skeleton: str, rng: random.Random) -> SourceFunction | None:
    """Return one function with calls; None when the expansion is no plain function."""
    first, _, text = expand(skeleton.strip(), rng).partition("\n")
    types = first.removeprefix("#@").strip()
    function = make_function(text.rstrip() + "\n", "grammar")
    if function is None:
        return None
    calls = tuple(f"{function.name}({arguments(types, rng)})" for _ in range(CALLS))
    return SourceFunction(function.name, function.text, function.header_lines, "grammar", calls)


def script(name: str, types: str, methods: list[tuple[str, str]], target: str, rng: random.Random) -> str:
    """Return lines that make an object, call some methods, and end in an expression."""
    made = rng.choice(("obj", name.lower()[:1], name.lower(), "it"))
    lines = [f"{made} = {name}({arguments(types, rng)})"]
    for method, kinds in rng.choices(methods, k=rng.randrange(1, 5)):
        lines.append(f"{made}.{method}({arguments(kinds, rng)})")
    kinds = dict(methods)[target]
    lines.append(f"{made}.{target}({arguments(kinds, rng)})")
    if rng.random() < 0.4:
        other, kinds = rng.choice(methods)
        lines.append(f"{made}.{other}({arguments(kinds, rng)})")
    return "\n".join(lines)


def methods_from(skeleton: str, rng: random.Random) -> Iterator[SourceFunction]:
    """Yield each method of one class; the rest of the class is its prelude."""
    first, _, text = expand(skeleton.strip(), rng).partition("\n")
    match = re.match(r"#@ class (\w+)\((.*?)\): (.*)", first)
    if match is None:
        return
    name, types, rest = match.groups()
    parts = [m.strip().partition(" ") for m in rest.split(";")]
    methods = [(method, kinds) for method, _, kinds in parts]
    lines = text.splitlines(keepends=True)
    tree = ast.parse(text).body[0]
    assert isinstance(tree, ast.ClassDef)
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef) or node.name not in dict(methods):
            continue
        own = textwrap.dedent("".join(lines[node.lineno - 1 : node.end_lineno]))
        prelude = "".join(lines[: node.lineno - 1] + lines[node.end_lineno :])
        function = make_function(own.rstrip() + "\n", "grammar")
        if function is not None:
            calls = tuple(script(name, types, methods, node.name, rng) for _ in range(CALLS))
            yield SourceFunction(
                node.name, function.text, function.header_lines, "grammar", calls, prelude.rstrip() + "\n"
            )


def generate(rng: random.Random, contamination: Filter) -> Iterator[SourceFunction]:
    """Yield distinct functions for ever, each from a random skeleton."""
    seen: set[str] = set()
    while True:
        if rng.random() < 0.2:
            found = list(methods_from(rng.choice(CLASSES), rng))
        else:
            one = function_from(rng.choice(FUNCTIONS), rng)
            found = [one] if one else []
        for function in found:
            if function.text not in seen and not contamination.refuses(function.text, function.name, "grammar"):
                seen.add(function.text)
                yield function


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="functions file to write")
    parser.add_argument("--count", type=int, required=True)
    parser.add_argument("--evaluation", type=Path, help="HumanEvalFix JSON lines to keep out")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    stream = generate(random.Random(options.seed), humanevalfix_filter(options.evaluation))
    functions = [next(stream) for _ in range(options.count)]
    save(functions, options.out)
    shapes = len({identity(f.text) for f in functions})
    print(f"{len(functions)} functions, {shapes} distinct up to renaming")


if __name__ == "__main__":
    main()
