"""Which names a statement calls, those of the special methods behind its operators and built-in functions included.

Pure, and by names alone: of what class a value is, no text tells. Source: the data model of the language reference.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator

from bot.syntax import last_name

_OPERATORS = {
    ast.Add: "add",
    ast.Sub: "sub",
    ast.Mult: "mul",
    ast.MatMult: "matmul",
    ast.Div: "truediv",
    ast.FloorDiv: "floordiv",
    ast.Mod: "mod",
    ast.Pow: "pow",
    ast.LShift: "lshift",
    ast.RShift: "rshift",
    ast.BitOr: "or",
    ast.BitXor: "xor",
    ast.BitAnd: "and",
    ast.USub: "neg",
    ast.UAdd: "pos",
    ast.Invert: "invert",
}
_TRUTH = ("bool", "len")
_COMPARISONS = {
    ast.Eq: ("eq",),
    ast.NotEq: ("ne", "eq"),
    ast.Lt: ("lt", "gt"),
    ast.LtE: ("le", "ge"),
    ast.Gt: ("gt", "lt"),
    ast.GtE: ("ge", "le"),
    ast.In: ("contains", "iter", "getitem"),
    ast.NotIn: ("contains", "iter", "getitem"),
}
_SUBSCRIPTS = {ast.Load: ("getitem", "missing", "class_getitem"), ast.Store: ("setitem",), ast.Del: ("delitem",)}
_ITERATION = ("iter", "next", "getitem")
_HASHING = ("set", "frozenset", "dict")
_ITERATING = ("list", "tuple", "sorted", "sum", "min", "max", "any", "all", "enumerate", "zip", "map", "filter", "iter")
_BUILTINS = {
    **dict.fromkeys(_ITERATING, _ITERATION),
    **dict.fromkeys(_HASHING, (*_ITERATION, "hash", "eq")),
    "next": ("next",),
    "len": ("len",),
    "repr": ("repr",),
    "ascii": ("repr",),
    "str": ("str", "repr"),
    "print": ("str", "repr"),
    "format": ("format", "str", "repr"),
    "reversed": ("reversed", "len", "getitem"),
    "bool": _TRUTH,
    "int": ("int", "index", "trunc"),
    "float": ("float", "index"),
    "bytes": ("bytes", "iter"),
    "hash": ("hash",),
    "abs": ("abs",),
    "round": ("round",),
    "divmod": ("divmod",),
    "isinstance": ("instancecheck",),
    "issubclass": ("subclasscheck",),
    "getattr": ("getattr", "getattribute"),
    "hasattr": ("getattr", "getattribute"),
    "setattr": ("setattr",),
    "delattr": ("delattr",),
    "dir": ("dir",),
    "copy": ("copy",),
    "deepcopy": ("deepcopy", "reduce", "reduce_ex"),
    "dumps": ("getstate", "reduce", "reduce_ex"),
    "loads": ("setstate",),
    "assertEqual": _COMPARISONS[ast.Eq],
    "assertNotEqual": _COMPARISONS[ast.NotEq],
    "assertLess": _COMPARISONS[ast.Lt],
    "assertLessEqual": _COMPARISONS[ast.LtE],
    "assertGreater": _COMPARISONS[ast.Gt],
    "assertGreaterEqual": _COMPARISONS[ast.GtE],
    "assertIn": _COMPARISONS[ast.In],
    "assertNotIn": _COMPARISONS[ast.NotIn],
    "assertTrue": _TRUTH,
    "assertFalse": _TRUTH,
}


def called(statement: ast.AST) -> frozenset[str]:
    """Return the names and attributes in a statement, and the special methods that its operators may call."""
    return mentioned(statement) | {f"__{name}__" for node in ast.walk(statement) for name in _behind(node)}


def mentioned(tree: ast.AST) -> frozenset[str]:
    """Return the names and attributes in a piece of code."""
    nodes = list(ast.walk(tree))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return frozenset(names | {node.attr for node in nodes if isinstance(node, ast.Attribute)})


def _behind(node: ast.AST) -> Iterator[str]:
    """Yield the special methods that a node may call, without their underscores."""
    if isinstance(node, ast.BinOp | ast.AugAssign):
        name = _OPERATORS[type(node.op)]
        yield from (name, f"r{name}", f"i{name}")
    elif isinstance(node, ast.UnaryOp):
        yield from _TRUTH if isinstance(node.op, ast.Not) else (_OPERATORS[type(node.op)],)
    elif isinstance(node, ast.Compare):
        for operator in node.ops:
            yield from _COMPARISONS.get(type(operator), ())
    elif isinstance(node, ast.Subscript):
        yield from _SUBSCRIPTS[type(node.ctx)]
    elif isinstance(node, ast.For | ast.comprehension | ast.Starred | ast.YieldFrom):
        yield from _ITERATION
    elif isinstance(node, ast.AsyncFor):
        yield from ("aiter", "anext")
    elif isinstance(node, ast.With):
        yield from ("enter", "exit")
    elif isinstance(node, ast.AsyncWith):
        yield from ("aenter", "aexit")
    elif isinstance(node, ast.Await):
        yield "await"
    elif isinstance(node, ast.FormattedValue):
        yield from ("repr",) if node.conversion == ord("r") else ("format", "str", "repr")
    elif isinstance(node, ast.Assert | ast.If | ast.While | ast.IfExp):
        yield from _TRUTH
    elif isinstance(node, ast.Call):
        function = node.func
        yield from _BUILTINS.get(last_name(function), ())
        yield from ("call",) if isinstance(function, ast.Name) else ()
