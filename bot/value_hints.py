"""What names and expressions of a function probably hold, by its annotations, assignments and calls. Pure syntax."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping

_ANNOTATIONS = {
    "int": "num", "float": "num", "str": "str", "bool": "bool", "list": "list", "List": "list", "dict": "dict",
    "Dict": "dict", "set": "set", "Set": "set", "tuple": "list", "Tuple": "list",
}  # fmt: skip
_CONSTANT_KINDS = {"int": "num", "float": "num", "complex": "num", "str": "str", "bool": "bool"}
_NODE_KINDS: dict[type[ast.expr], str] = {
    ast.List: "list", ast.ListComp: "list", ast.Tuple: "list", ast.GeneratorExp: "list", ast.Dict: "dict",
    ast.DictComp: "dict", ast.Set: "set", ast.SetComp: "set", ast.JoinedStr: "str", ast.Compare: "bool",
    ast.Lambda: "other", ast.Yield: "other", ast.YieldFrom: "other", ast.NamedExpr: "",
}  # fmt: skip
RESULTS = {
    **dict.fromkeys(["len", "abs", "int", "float", "round", "ord", "floor", "ceil", "sqrt", "count", "find"], "num"),
    **dict.fromkeys(["index", "rfind", "rindex", "bit_count", "bit_length", "hash", "id", "pow"], "num"),
    **dict.fromkeys(["str", "join", "lower", "upper", "strip", "lstrip", "rstrip", "replace", "chr", "hex"], "str"),
    **dict.fromkeys(["bin", "oct", "repr", "format", "title", "capitalize", "swapcase", "casefold", "zfill"], "str"),
    **dict.fromkeys(["list", "sorted", "split", "range", "tuple", "reversed", "map", "filter", "zip"], "list"),
    **dict.fromkeys(["keys", "values", "items", "splitlines", "enumerate"], "list"),
    **dict.fromkeys(["any", "all", "isinstance", "bool", "startswith", "endswith", "isdigit", "isalpha"], "bool"),
    **dict.fromkeys(["issubclass", "hasattr", "callable", "islower", "isupper", "isspace", "isalnum"], "bool"),
    **dict.fromkeys(["dict", "Counter", "defaultdict", "OrderedDict"], "dict"),
    **dict.fromkeys(["set", "frozenset", "union", "intersection"], "set"),
}


def hints_of(definition: ast.FunctionDef | ast.AsyncFunctionDef, nodes: Iterable[ast.AST]) -> dict[str, str]:
    """Return what names probably hold: "num", "str", "list", "dict", "bool"; unknown ones are missing.

    definition: the function. nodes: of its body, in source order.
    """
    known: dict[str, str] = {}
    spec = definition.args
    for argument in [*spec.posonlyargs, *spec.args, *spec.kwonlyargs]:
        annotation = ast.unparse(argument.annotation) if argument.annotation else ""
        kind = _ANNOTATIONS.get(re.split(r"[\[.|]", annotation.removeprefix("typing."))[0].strip(), "")
        if kind and "None" not in annotation:
            known[argument.arg] = kind
    clashes: set[str] = set()
    for node in nodes:
        for name, kind in _assigned(node, known):
            if kind and known.setdefault(name, kind) != kind:
                clashes.add(name)
    return {name: kind for name, kind in known.items() if name not in clashes}


def _assigned(node: ast.AST, known: dict[str, str]) -> Iterator[tuple[str, str]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            if isinstance(target, ast.Name):
                yield target.id, guess(node.value, known)
    elif isinstance(node, (ast.For, ast.comprehension)) and isinstance(node.iter, ast.Call):
        function = node.iter.func.id if isinstance(node.iter.func, ast.Name) else ""
        target = node.target
        if function == "enumerate" and isinstance(target, ast.Tuple) and target.elts:
            target = target.elts[0]
        if function in ("range", "enumerate") and isinstance(target, ast.Name):
            yield target.id, "num"


def guess(node: ast.expr, known: Mapping[str, str]) -> str:
    """Return what `node` probably evaluates to, "" when there is no telling. known: what names hold."""
    if isinstance(node, ast.Name):
        return known.get(node.id, "")
    if isinstance(node, ast.Constant):
        return _CONSTANT_KINDS.get(type(node.value).__name__, "other")
    if isinstance(node, ast.Call):
        function = node.func
        name = function.id if isinstance(function, ast.Name) else getattr(function, "attr", "")
        return RESULTS.get(name, "")
    if isinstance(node, ast.BinOp):
        kinds = {guess(node.left, known), guess(node.right, known)} - {""}
        if isinstance(node.op, (ast.Sub, ast.Div, ast.FloorDiv, ast.Pow)):
            return "num"
        if isinstance(node.op, ast.Mod):
            return "str" if "str" in kinds else "num"
        return "str" if "str" in kinds else "list" if "list" in kinds else "num" if kinds == {"num"} else ""
    if isinstance(node, ast.UnaryOp):
        return "bool" if isinstance(node.op, ast.Not) else "num"
    if isinstance(node, ast.Subscript) and isinstance(node.slice, ast.Slice):
        return guess(node.value, known)
    return _NODE_KINDS.get(type(node), "")
