"""Ways in which a test can hold on to a function: what a swapped body must reach, or the swap must be refused.

In each, the module's function returns 1 and should return 2; the test passes when it does. `level` says how far a
session may go: "swap", "import" (the guard or the calibration must refuse the swap), or "variant" (the session swaps,
but not this body).
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """One way. module: `{R}` is what the function returns; test: `M` is the module's name."""

    name: str
    module: str
    qualname: str
    test: str
    level: str = "swap"
    fixed: str = ""  # the module with the right body, where more than `{R}` changes

    def source(self, value: str) -> str:
        if value == "2" and self.fixed:
            return self.fixed.replace("{R}", "2")
        return self.module.replace("{R}", value)


F = "def f(x=0):\n    return {R}\n"
CALL = "def test_it():\n    assert {} == 2\n"


def calls(imports: str, call: str) -> str:
    return f"{imports}\n\n{CALL.format(call)}"


METHOD = "class A:\n    def f(self):\n        return {R}\n"
WRAPPERS = """
import functools


def keeps(g):
    @functools.wraps(g)
    def w(*a):
        return g(*a)
    return w


def hides(g):
    def w(*a):
        return g(*a)
    return w


class Callable:
    def __init__(self, g):
        self.g = g

    def __call__(self, *a):
        return self.g(*a)


def rebuilt(g):
    import types
    return types.FunctionType(g.__code__.replace(co_name="other"), g.__globals__)


def by_kind(g):
    import inspect
    if inspect.isgeneratorfunction(g):
        return lambda *a: next(g(*a))
    return g


def note(g, seen=[]):
    seen.append(g)
    return g
"""


def decorated(decorator: str) -> str:
    return f"{WRAPPERS}\n\n@{decorator}\n{F}"


CASES = [
    Case("the module's attribute", F, "f", calls("import M", "M.f()")),
    Case("a name imported from it", F, "f", calls("from M import f", "f()")),
    Case("an alias", F, "f", calls("from M import f as g", "g()")),
    Case("a star import", F, "f", calls("from M import *", "f()")),
    Case(
        "a call of an imported module's function",
        "import os.path\nimport math as m\n\ndef f():\n    return int(os.path.join('', '{R}')) + m.floor(0.5)\n",
        "f",
        calls("import M", "M.f()"),
    ),
    Case(
        "such a call of a method, of a module that is imported in a branch",
        "try:\n    import json\nexcept ImportError:\n    pass\n\n"
        "class A:\n    def f(self):\n        return json.loads('{R}')\n",
        "A.f",
        calls("import M", "M.A().f()"),
    ),
    Case("a default argument", F + "\n\ndef use(g=f):\n    return g()\n", "f", calls("from M import use", "use()")),
    Case("a partial", F, "f", calls("import functools\nfrom M import f\nP = functools.partial(f, 1)", "P()")),
    Case("a dispatch table", F + "\n\nTABLE = {'f': f}\n", "f", calls("from M import TABLE", "TABLE['f']()")),
    Case("a registry", decorated("note"), "f", calls("from M import note", "note.__defaults__[0][0]()"), "import"),
    Case("a saved bound method", METHOD + "B = A().f\n", "A.f", calls("from M import B", "B()")),
    Case("a saved unbound method", METHOD, "A.f", calls("from M import A\nU = A.f", "U(A())")),
    Case(
        "a method object made by hand",
        F,
        "f",
        calls("import types\nfrom M import f\nB = types.MethodType(f, 1)", "B()"),
    ),
    Case("an inherited method", METHOD + "class B(A): pass\n", "A.f", calls("from M import B", "B().f()")),
    Case(
        "a method behind super",
        METHOD + "class B(A):\n    def f(self):\n        return super().f()\n",
        "A.f",
        calls("from M import B", "B().f()"),
    ),
    Case(
        "singledispatch itself",
        "import functools\n@functools.singledispatch\n" + F,
        "f",
        calls("from M import f", "f(0)"),
        "import",
    ),
    Case(
        "singledispatch of one type",
        "import functools\n@functools.singledispatch\ndef g(x):\n    return 0\n@g.register(int)\n" + F,
        "f",
        calls("from M import g", "g(0)"),
        "import",
    ),
    Case(
        "a data class",
        "from dataclasses import dataclass\n@dataclass\nclass A:\n    x: int = 0\n"
        "    def f(self):\n        return {R}\n",
        "A.f",
        "from M import A\nONE = A()\ndef test_it():\n    assert isinstance(ONE, A) and ONE.f() == 2 and ONE == A()\n",
    ),
    Case(
        "a pickle",
        METHOD,
        "A.f",
        calls("import pickle\nfrom M import A\nSAVED = pickle.dumps(A())", "pickle.loads(SAVED).f()"),
    ),
    Case(
        "an enumeration",
        "import enum\nclass E(enum.Enum):\n    ONE = 1\n    def f(self):\n        return {R}\n",
        "E.f",
        "from M import E\nKEPT = E.ONE\ndef test_it():\n    assert KEPT is E(1) and KEPT.f() == 2\n",
    ),
    Case(
        "a static method",
        "class A:\n    @staticmethod\n    def f():\n        return {R}\n",
        "A.f",
        calls("from M import A\ng = A.f", "g()"),
    ),
    Case(
        "a class method",
        "class A:\n    @classmethod\n    def f(cls):\n        return {R}\n",
        "A.f",
        calls("from M import A\ng = A.f", "g()"),
    ),
    Case(
        "a property",
        "class A:\n    @property\n    def f(self):\n        return {R}\n",
        "A.f",
        calls("from M import A\nONE = A()", "ONE.f"),
    ),
    Case(
        "the setter of a property",
        "class A:\n    @property\n    def f(self):\n        return self.v\n    @f.setter\n    def f(self, x):\n"
        "        self.v = {R}\n",
        "A.f@setter",
        "from M import A\ndef test_it():\n    a = A()\n    a.f = 0\n    assert a.f == 2\n",
    ),
    Case(
        "a cached property",
        "import functools\nclass A:\n    @functools.cached_property\n    def f(self):\n        return {R}\n",
        "A.f",
        calls("from M import A", "A().f"),
    ),
    Case("a cache", "import functools\n@functools.lru_cache\n" + F, "f", calls("from M import f", "f(1)")),
    Case(
        "a cache that is already full",
        "import functools\n@functools.lru_cache\n" + F + "f(1)\n",
        "f",
        calls("from M import f", "f(1)"),
        "import",
    ),
    Case(
        "a context manager",
        "import contextlib\n@contextlib.contextmanager\ndef f():\n    yield {R}\n",
        "f",
        "from M import f\ndef test_it():\n    with f() as x:\n        assert x == 2\n",
    ),
    Case(
        "a partial method",
        "import functools\nclass A:\n    def f(self, x):\n        return {R}\n    g = functools.partialmethod(f, 1)\n",
        "A.f",
        calls("from M import A", "A().g()"),
    ),
    Case("a generator", "def f():\n    yield {R}\n", "f", calls("from M import f", "next(f())")),
    Case(
        "a coroutine",
        "async def f():\n    return {R}\n",
        "f",
        calls("import asyncio\nfrom M import f", "asyncio.run(f())"),
    ),
    Case(
        "an asynchronous generator",
        "async def f():\n    yield {R}\n",
        "f",
        "import asyncio\nfrom M import f\nasync def first():\n    return [x async for x in f()][0]\n"
        "def test_it():\n    assert asyncio.run(first()) == 2\n",
    ),
    Case("recursion", "def f(x=3):\n    return f(x - 1) if x else {R}\n", "f", calls("from M import f as g", "g()")),
    Case(
        "an operator",
        "class A:\n    def __add__(self, x):\n        return {R}\n",
        "A.__add__",
        calls("from M import A\nONE = A()", "ONE + 1"),
    ),
    Case(
        "a constructor",
        "class A:\n    def __init__(self):\n        self.v = {R}\n",
        "A.__init__",
        calls("from M import A", "A().v"),
    ),
    Case(
        "a metaclass",
        "class T(type):\n    def f(cls):\n        return {R}\nclass A(metaclass=T): pass\n",
        "T.f",
        calls("from M import A", "A.f()"),
    ),
    Case(
        "a hook that makes classes",
        "class A:\n    def __init_subclass__(cls):\n        cls.v = {R}\nclass B(A): pass\n",
        "A.__init_subclass__",
        calls("from M import B", "B.v"),
        "import",
    ),
    Case(
        "a private name",
        "class A:\n    __v = 0\n    def f(self):\n        return self.__v + {R}\n",
        "A.f",
        calls("from M import A", "A().f()"),
    ),
    Case(
        "super in the body",
        "class A:\n"
        "    def g(self):\n        return 0\nclass B(A):\n    def f(self):\n        return super().g() + {R}\n",
        "B.f",
        calls("from M import B", "B().f()"),
    ),
    Case(
        "super that is new in the body",
        "class A:\n    def g(self):\n        return 2\nclass B(A):\n    def f(self):\n        return {R}\n",
        "B.f",
        calls("from M import B", "B().f()"),
        "variant",
        "class A:\n    def g(self):\n        return 2\nclass B(A):\n    def f(self):\n        return super().g()\n",
    ),
    Case(
        "a closure made at import",
        "def outer(a):\n    def f(x):\n        return a + {R}\n    return f\nMADE = outer(0)\n",
        "outer.<locals>.f",
        calls("from M import MADE", "MADE(0)"),
    ),
    Case(
        "a closure made by the test",
        "def outer(a):\n    def f(x):\n        return a + {R}\n    return f\n",
        "outer.<locals>.f",
        calls("from M import outer", "outer(0)(0)"),
    ),
    Case(
        "a variable that is newly closed over",
        "def outer(a):\n    def f(x):\n        return {R}\n    return f\nMADE = outer(2)\n",
        "outer.<locals>.f",
        calls("from M import MADE", "MADE(0)"),
        "variant",
        "def outer(a):\n    def f(x):\n        return a\n    return f\nMADE = outer(2)\n",
    ),
    Case("a decorator that keeps it", decorated("keeps"), "f", calls("from M import f", "f(0)"), "import"),
    Case("a decorator that hides it", decorated("hides"), "f", calls("from M import f", "f(0)"), "import"),
    Case("a decorator that is a class", decorated("Callable"), "f", calls("from M import f", "f(0)"), "import"),
    Case("a decorator that copies the code", decorated("rebuilt"), "f", calls("from M import f", "f(0)"), "import"),
    Case(
        "a decorator that goes by the kind",
        decorated("by_kind").replace("return {R}\n", "yield {R}\n"),
        "f",
        calls("from M import f", "f()"),
        "import",
    ),
    Case(
        "code copied without a decorator",
        F + "\nimport types\ng = types.FunctionType(f.__code__.replace(co_name='g'), globals())\n",
        "f",
        calls("from M import g", "g(0)"),
        "import",
    ),
    Case(
        "the code object itself",
        "def f():\n    return {R}\nCODE = f.__code__\n",
        "f",
        calls("import M", "eval(M.CODE)"),
        "import",
    ),
    Case("a call at import", F + "\nVALUE = f()\n", "f", calls("from M import VALUE", "VALUE"), "import"),
    Case("a call from a class body", F + "\nclass A:\n    V = f()\n", "f", calls("from M import A", "A.V"), "import"),
    Case(
        "a call at collection",
        F,
        "f",
        "import pytest\nfrom M import f\n@pytest.mark.parametrize('x', [f()], ids=['a'])\n"
        "def test_it(x):\n    assert x == 2\n",
        "import",
    ),
    Case(
        "another default value",
        "def f(x=1):\n    return x\n",
        "f",
        calls("from M import f", "f()"),
        "variant",
        "def f(x=2):\n    return x\n",
    ),
    Case(
        "a process of its own",
        F,
        "f",
        calls(
            "import os, subprocess, sys\nimport M\nHERE = os.path.dirname(__file__)",
            "int(subprocess.check_output([sys.executable, '-c', 'import M; print(M.f())'], cwd=HERE))",
        ),
    ),
    Case(
        "a forked process",
        F,
        "f",
        "import os\nfrom M import f\ndef test_it():\n    pid = os.fork()\n    if not pid:\n        os._exit(f())\n"
        "    assert os.waitpid(pid, 0)[1] >> 8 == 2\n",
    ),
    Case(
        "its source text",
        F,
        "f",
        calls("import inspect\nfrom M import f", "int(inspect.getsource(f).split()[-1])"),
    ),
    Case(
        "a second copy of the module",
        F,
        "f",
        "import importlib.util, os\nimport M\n"
        "SPEC = importlib.util.spec_from_file_location('second', os.path.join(os.path.dirname(__file__), 'M.py'))\n"
        "COPY = importlib.util.module_from_spec(SPEC)\nSPEC.loader.exec_module(COPY)\n\n"
        + CALL.format("COPY.f() == M.f()"),
    ),
    Case(
        "one of two definitions",
        "import sys\nif sys.version_info < (3,):\n"
        "    def f():\n        return 0\nelse:\n    def f():\n        return {R}\n",
        "f@2",
        calls("from M import f", "f()"),
    ),
    Case(
        "a thread that runs",
        F + "\nimport threading\nthreading.Thread(target=threading.Event().wait, daemon=True).start()\n",
        "f",
        calls("from M import f", "f()"),
        "import",
    ),
    Case(
        "a file that stays open and is read on",
        "LINES = open(__file__)\n\n\ndef f():\n    next(LINES)\n    return {R}\n",
        "f",
        calls("import M", "M.f()"),
        "import",
    ),
    Case("a function that the test makes part of a class", F, "f", calls("import M\nclass A:\n    g = M.f", "A().g()")),
    Case(
        "an ordering made by a decorator",
        "import functools\n@functools.total_ordering\nclass A:\n    def __eq__(self, o):\n        return True\n"
        "    def __lt__(self, o):\n        return {R} == 2\n",
        "A.__lt__",
        "from M import A\ndef test_it():\n    assert A() < A()\n",
    ),
]
