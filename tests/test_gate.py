"""The static gate: what a body may not bring in, before it meets a single test."""

from __future__ import annotations

import pytest

from bot.functions import functions_in
from bot.gate import forbidden
from runners.runner import FRONTIER
from tests.circle import SOURCE, function

ALLOWED = [
    "    return math.pi * radius**2 * scale\n",
    "    import itertools\n    from collections import deque\n    return deque(itertools.count())\n",
    "    from .shapes import circle\n    return circle(radius)\n",
    "    return os.path.join('a', 'b')\n",
    "    vars = [radius]\n    exit = 1\n    return vars, exit\n",
    "    modules = 'modules'\n    return modules\n",
    "    return eval('radius')\n",  # the file does so too
    "    return getattr(radius, 'real') + hash(radius)\n",
    "    return radius.__class__.__name__, type(radius).__eq__(radius, 1)\n",
    "    open = []\n    return open\n",
    "    class Pair:\n        def __init__(self):\n            self.a = 1\n    return Pair()\n",
]


@pytest.mark.parametrize("body", ALLOWED)
def test_a_body_may_use_the_pure_part_of_the_library_and_what_its_file_uses(body):
    assert forbidden(function(SOURCE, "area"), SOURCE, body) == ""


REFUSED = {
    "    import sys\n    return sys.modules\n": "sys",
    "    from os.path import join\n    import subprocess\n": "subprocess",
    "    import pytest\n    pytest.exit('', returncode=0)\n": "pytest",
    "    import inspect\n": "inspect",
    "    os._exit(0)\n": "_exit",
    "    exec('x = 1')\n": "exec",
    "    return globals()\n": "globals",
    "    return __import__('gc')\n": "__import__",
    "    return radius.__traceback__.tb_frame.f_back\n": "f_back",
    "    return area.__globals__\n": "__globals__",
    "    return getattr(area, '__code__')\n": "__code__",
    "    return ().__class__.__base__.__subclasses__()\n": "__subclasses__",
    "    raise SystemExit(0)\n": "SystemExit",
    "    raise KeyboardInterrupt\n": "KeyboardInterrupt",
    "    class Any(float):\n        def __eq__(self, other):\n            return True\n    return Any()\n": "__eq__",
    "    return 'tests/test_core.py::test_area'\n": "tests by name",
    "    return os.environ['PYTEST_CURRENT_TEST']\n": "tests by name",
    f"    raise {FRONTIER}()\n": FRONTIER,
    "    return (\n": "not valid Python",
    "    import dataclasses\n    return dataclasses.sys.stdout\n": "sys",
    "    import unittest.mock\n    return unittest.mock.ANY\n": "unittest",
    "    from .test_core import EXPECTED\n    return EXPECTED\n": "tests",
    "    from . import conftest\n    return conftest\n": "tests",
    "    return open('test_core.py').read()\n": "open",
    "    return __file__\n": "__file__",
    "    return '{0.__globals__}'.format(area)\n": "__globals__",
    "    return type('Any', (float,), {'__eq__': lambda a, b: True})(1)\n": "__eq__",
    "    class Any(float):\n        __eq__ = lambda a, b: True\n    return Any()\n": "__eq__",
    "    class Any(float):\n        pass\n    Any.__eq__ = lambda a, b: True\n    return Any()\n": "__eq__",
    "    return getattr(area, '__glo' + 'bals__')\n": "put together",
    "    return getattr(area, f'__{radius}__')\n": "put together",
    "    return __egcfg_t__(1)\n": "reserved",
    "    eval = exec\n    eval('1')\n": "exec",
}


@pytest.mark.parametrize("body", REFUSED)
def test_a_body_may_not_bring_in_what_fakes_live_by(body):
    assert REFUSED[body] in forbidden(function(SOURCE, "area"), SOURCE, body)


def test_bodies_of_the_file_itself_are_never_refused():
    for one in functions_in(SOURCE):
        assert forbidden(one, SOURCE, one.body) == ""


def test_a_half_written_body_may_end_at_its_frontier_but_hold_no_other_reserved_name():
    one = function(SOURCE, "area")
    assert forbidden(one, SOURCE, f"    x = 1\n    raise {FRONTIER}()\n", partial=True) == ""
    assert "reserved" in forbidden(one, SOURCE, f"    x = __egcfg_y__\n    raise {FRONTIER}()\n", partial=True)
