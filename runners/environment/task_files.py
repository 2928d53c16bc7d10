"""Reads tox and nox configuration: what the environments that run the tests install.

Both are hints: tox.ini's substitutions and conditions are followed as far as they are plain, noxfile.py is parsed and
never run.
"""

from __future__ import annotations

import ast
import configparser
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import product

from runners.environment.declared import Declared, Rank, canonical, need, ranked
from runners.environment.files import Files, strings, table
from runners.environment.requirements_files import constraints, logical_lines, one_file

_TEST_SESSION = re.compile(r"(unit|run)?_?(py)?_?tests?(_.*)?|pytest|(.*_)?tests?")


def read_tox(files: Files, version: str = "") -> Declared:
    """Return deps, extras and dependency groups of the environment that runs the tests.

    version: the Python there will be, "3.11", by which one of several environments is chosen.
    """
    for name in ("tox.ini", "setup.cfg"):
        text = files.text(name)
        section = "testenv" if name == "tox.ini" else "tox:tox"
        if text is not None and f"[{section}" in text:
            return _ini(files, name, text, version)
    for name, data in (("tox.toml", files.toml("tox.toml")), ("pyproject.toml", files.toml("pyproject.toml"))):
        content = data if name == "tox.toml" else table(table(data.get("tool")).get("tox"))
        legacy = content.get("legacy_tox_ini")
        if isinstance(legacy, str):
            return _ini(files, name, legacy, version)
        if base := table(content.get("env_run_base")):
            return _toml(files, name, base)
    return Declared()


def _ini(files: Files, name: str, text: str, version: str) -> Declared:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return Declared(notes=(f"{name} cannot be read as a configuration file.",))
    tox = parser["tox"] if parser.has_section("tox") else {}
    listed = tox.get("env_list") or tox.get("envlist") or ""
    chosen = choose_environment(expand(listed), version)
    own = f"testenv:{chosen}"
    section = own if chosen and parser.has_section(own) else "testenv"

    def value(key: str) -> list[str]:
        for place in (section, "testenv"):
            if parser.has_option(place, key):
                return list(_conditional(_substituted(parser, parser.get(place, key)), set(chosen.split("-"))))
        return []

    return _environment(files, name, value("deps"), _words(value("extras")), _words(value("dependency_groups")))


def _toml(files: Files, name: str, base: dict[str, object]) -> Declared:
    return _environment(
        files, name, strings(base.get("deps")), strings(base.get("extras")), strings(base.get("dependency_groups"))
    )


def _environment(files: Files, name: str, deps: list[str], extras: list[str], groups: list[str]) -> Declared:
    origin = files.path(name) or name
    found = _installed(files, origin, [dep.replace("{toxinidir}/", "").replace("{tox_root}/", "") for dep in deps])
    found += Declared(extras=tuple(map(canonical, extras)), groups=tuple(map(canonical, groups)))
    said = [f"{len(found.needs)} in deps"] if deps else []
    said += [f"extra {extra}" for extra in extras] + [f"group {group}" for group in groups]
    return found + Declared(said={origin: ", ".join(said)} if said else {})


def _installed(files: Files, origin: str, arguments: list[str]) -> Declared:
    """Return what `pip install ARGUMENTS` would install; each argument is a line, -r with its file."""
    found = Declared()
    for line in arguments:
        included = re.match(r"(-r|--requirement|-c|--constraint)[\s=]*(.+)", line)
        if "{" in line or line.startswith("$"):
            continue
        if included is None:
            found += need(line, origin, Rank.TESTS)
        elif included.group(1) in ("-r", "--requirement"):
            found += one_file(files, included.group(2).strip(), Rank.TESTS)
        else:
            found += constraints(files, included.group(2).strip())
    return replace(ranked(found, Rank.TESTS), local=found.local)


def _words(lines: list[str]) -> list[str]:
    return [word for line in lines for word in re.split(r"[\s,]+", line) if word and "{" not in word]


def _substituted(parser: configparser.ConfigParser, text: str, depth: int = 0) -> str:
    """Return text with `{[section]key}` in place."""

    def put(match: re.Match[str]) -> str:
        section, key = match.group(1), match.group(2)
        inner = parser.get(section, key, fallback="") if depth < 5 else ""
        return _substituted(parser, inner, depth + 1)

    return re.sub(r"\{\[([^\]]+)\]([\w-]+)\}", put, text)


def _conditional(text: str, factors: set[str]) -> Iterator[str]:
    """Yield the lines that hold for these factors: "py311,py312: line", "!lint: line", "line"."""
    for line in logical_lines(text):
        condition = re.match(r"([\w.!,{}-]+):\s+(.*)", line)
        if condition is None or "://" in line.split(" ")[0]:
            yield line
        elif any(_holds(alternative, factors) for one in condition.group(1).split(",") for alternative in expand(one)):
            yield condition.group(2)


def _holds(alternative: str, factors: set[str]) -> bool:
    parts = alternative.split("-")
    return all((part[1:] not in factors) if part.startswith("!") else part in factors for part in parts)


def expand(text: str) -> list[str]:
    """Return the names of a generative list: "py{310,311}-{a,b}, lint" -> six names."""
    found: list[str] = []
    for item in re.split(r"[\s,]+(?![^{]*\})", text.strip()):
        parts = re.split(r"\{([^}]*)\}", item)
        choices = [[part] if n % 2 == 0 else _range(part) for n, part in enumerate(parts)]
        if item and len(found) < 500:
            found += ["".join(parts).strip("-") for parts in product(*choices)][:500]
    return found


def _range(text: str) -> list[str]:
    span = re.fullmatch(r"\s*(\d{1,3})-(\d{1,3})\s*", text)
    if span and 0 <= int(span.group(2)) - int(span.group(1)) < 50:
        return [str(n) for n in range(int(span.group(1)), int(span.group(2)) + 1)]
    return [part.strip() for part in text.split(",")]


def choose_environment(names: list[str], version: str) -> str:
    """Return the environment that runs the tests: one of this version of Python, with the newest of other factors."""
    short = version.replace(".", "")
    grades: list[Callable[[set[str]], bool]] = [
        lambda f: bool(short) and (f"py{short}" in f or version in f),
        lambda f: bool(f & {"py", "py3"}),
        lambda f: any(re.fullmatch(r"py3\d*|3\.\d+", one) for one in f),
        lambda f: bool(f & {"test", "tests", "unit", "pytest"}),
    ]
    for grade in grades:
        if found := [name for name in names if grade(set(name.split("-")))]:
            plain = [name for name in found if len(name.split("-")) == 1]
            return plain[0] if plain else found[-1]
    return ""


def read_nox(files: Files) -> Declared:
    """Return what the sessions of noxfile.py that look like tests install."""
    text, origin = files.text("noxfile.py"), files.path("noxfile.py") or "noxfile.py"
    try:
        tree = ast.parse(text or "")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return Declared(notes=(f"{origin} cannot be parsed.",))
    constants = {
        target.id: _constants(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found, sessions = Declared(), []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and _is_session(node) and _TEST_SESSION.fullmatch(_session_name(node)):
            sessions.append(node.name)
            for call in ast.walk(node):
                if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute):
                    found += _session_call(files, origin, call, constants)
    said = {origin: f"session {', '.join(sessions)}"} if sessions else {}
    return found + Declared(said=said)


def _is_session(node: ast.FunctionDef) -> bool:
    return any("session" in ast.unparse(decorator) for decorator in node.decorator_list)


def _session_name(node: ast.FunctionDef) -> str:
    for decorator in node.decorator_list:
        for keyword in decorator.keywords if isinstance(decorator, ast.Call) else ():
            if keyword.arg == "name" and isinstance(keyword.value, ast.Constant):
                return str(keyword.value.value).replace("-", "_")
    return node.name


def _session_call(files: Files, origin: str, call: ast.Call, constants: dict[str, list[str]]) -> Declared:
    method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    words = [word for argument in call.args for word in _words_of(argument, constants)]
    if method == "dependency_groups":  # nox.project.dependency_groups(PYPROJECT, "test")
        return Declared(groups=tuple(canonical(word) for word in words[-len(call.args) + 1 :]))
    if method not in ("install", "run", "run_install", "run_always"):
        return Declared()
    extras, groups = _options(words, "--extra"), [*_options(words, "--group"), *_options(words, "--only-group")]
    found = Declared(extras=tuple(map(canonical, extras)), groups=tuple(map(canonical, groups)))
    if method == "install":
        found += _installed(files, origin, list(_pip_arguments(words)))
    return found


def _pip_arguments(words: list[str]) -> Iterator[str]:
    """Yield the arguments of pip install, each option with its value."""
    words = list(words)
    while words:
        word = words.pop(0)
        if word in ("-r", "-c", "-e", "--requirement", "--constraint", "--editable") and words:
            yield f"{word} {words.pop(0)}"
        elif not word.startswith("-"):
            yield word


def _options(words: list[str], name: str) -> list[str]:
    after = [words[n + 1] for n, word in enumerate(words[:-1]) if word == name]
    return after + [word.partition("=")[2] for word in words if word.startswith(f"{name}=")]


def _words_of(node: ast.expr, constants: dict[str, list[str]]) -> list[str]:
    if isinstance(node, ast.Starred):
        return _words_of(node.value, constants)
    if isinstance(node, ast.Name):
        return constants.get(node.id, [])
    return _constants(node)


def _constants(node: ast.expr) -> list[str]:
    items = node.elts if isinstance(node, (ast.List, ast.Tuple, ast.Set)) else [node]
    return [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, str)]
