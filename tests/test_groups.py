from __future__ import annotations

import random

from bot.groups import groups
from bot.records import TestFailure
from bot.spectrum import Spectrum
from runners.runner import Frame, FunctionKey, TestRun

NAMES = [f"f{number}" for number in range(60)]
SOURCE = (
    "\n\n".join(f"def {name}(x):\n    return x + {len(name)}" for name in NAMES)
    + """


class Store:
    def __init__(self):
        self.items = []
"""
)
INIT = FunctionKey("core.py", "Store.__init__", SOURCE.count("\n") - 1)


def key(number):
    return FunctionKey("core.py", f"f{number}", 1 + 3 * number)


def failure(name, *numbers, functions=(), frame=None):
    frames = (Frame("core.py", key(frame).first_line + 1, f"f{frame}"),) if frame is not None else ()
    executed = frozenset([*map(key, numbers), *functions])
    return TestFailure(f"test_core.py::{name}", "call", "failure", "AssertionError", "", frames, executed)


def passed(*numbers, functions=()):
    return TestRun("test_core.py::test_p", "passed", functions=frozenset([*map(key, numbers), *functions]))


def found(failures, passing=()):
    spectrum = Spectrum(failures, passing, {"core.py": SOURCE.encode()}.__getitem__)
    return groups(failures, spectrum)


def names(members):
    return [[f.node_id.partition("::")[2] for f in group.failures] for group in members]


def test_one_fault_that_fails_many_tests_is_one_group_though_each_test_has_functions_of_its_own():
    failures = [failure(f"test_{n}", 0, 10 + n) for n in range(8)]
    assert names(found(failures, [passed(0)] * 5)) == [[f"test_{n}" for n in range(8)]]


def test_two_faults_are_two_groups_though_all_tests_go_through_one_function():
    failures = [failure(f"test_{n}", 0, 1 if n % 2 else 2) for n in range(6)]
    assert names(found(failures, [passed(0)] * 40)) == [["test_0", "test_2", "test_4"], ["test_1", "test_3", "test_5"]]


def test_the_traceback_tells_which_of_two_functions_explains_a_test():
    failures = [failure("test_a", 1, 2, frame=1), failure("test_b", 1, 2, frame=1), failure("test_c", 2, frame=2)]
    together = names(found([*failures, failure("test_d", 2, frame=2)], [passed(2)] * 20))
    assert together == [["test_c", "test_d"], ["test_a", "test_b"]]


def test_cases_of_one_parametrized_test_stay_together():
    failures = [failure("test_a[1]", 1), failure("test_a[2]", 2), failure("test_b", 3)]
    assert names(found(failures)) == [["test_a[1]", "test_a[2]"], ["test_b"]]


def test_a_constructor_that_only_stores_does_not_tie_failures_together():
    failures = [failure("test_a", 1, functions=[INIT]), failure("test_b", 2, functions=[INIT])]
    assert names(found(failures, [passed(functions=[INIT])])) == [["test_a"], ["test_b"]]


def test_failures_that_execute_nothing_stand_alone():
    assert names(found([failure("test_a"), failure("test_b")])) == [["test_a"], ["test_b"]]
    assert found([]) == []


def test_groups_of_tests_that_execute_fewer_functions_come_first():
    assert names(found([failure("test_a", 1, 2, 3), failure("test_b", 4)])) == [["test_b"], ["test_a"]]


def test_groups_that_share_a_suspect_are_united_and_keep_their_parts():
    failures = [failure(f"test_{n}", 0, 10 + n) for n in range(4)] + [failure("test_x", 30)]
    own = [passed(0)] * 200  # so many that a fault of each test's own is likelier than one in common
    united, other = sorted(found(failures, own), key=lambda group: -len(group.failures))
    assert [len(united.failures), names(united.parts)] == [4, [["test_0"], ["test_1"], ["test_2"], ["test_3"]]]
    assert (names([other]), other.parts) == ([["test_x"]], ())


def test_groups_that_the_suspect_of_one_explains_are_searched_as_one_first_and_apart_after():
    unit = [failure(f"test_unit[{case}]", 0) for case in range(3)]
    whole = [failure(f"test_whole_{n}", 0, 1, 2) for n in range(2)]
    passing = [passed(0)] * 9 + [
        passed(0, 1, 2)
    ] * 7  # alone, the two whole ones are likelier to be explained by 1 or 2
    (united,) = found([*unit, *whole], passing)
    assert names([united]) == [[*(f"test_unit[{case}]" for case in range(3)), "test_whole_0", "test_whole_1"]]
    assert names(united.parts) == [[f"test_unit[{case}]" for case in range(3)], ["test_whole_0", "test_whole_1"]]
    assert names(found(whole, passing)) == [["test_whole_0", "test_whole_1"]]


def test_a_suspect_that_many_passing_tests_execute_unites_no_unrelated_failures():
    failures = [failure("test_a", 0), failure("test_b", 0, 1), failure("test_c", 0, 1)]
    passing = [passed(0)] * 60
    assert sorted(names(found(failures, passing))) == [["test_a"], ["test_b", "test_c"]]


def test_a_shared_suspect_that_the_traceback_speaks_against_unites_nothing():
    failures = [failure("test_a", 0, frame=0), *(failure(f"test_b{n}", 0, 1, frame=1) for n in range(8))]
    assert sorted(names(found(failures, [passed(0)] * 2))) == [["test_a"], [f"test_b{n}" for n in range(8)]]


def test_every_failure_is_in_exactly_one_group_and_the_order_of_the_input_changes_no_group():
    rng = random.Random(7)
    failures = [failure(f"test_{n}", *rng.sample(range(60), rng.randint(0, 12))) for n in range(80)]
    passing = [passed(*rng.sample(range(60), 10)) for _ in range(100)]
    first = {frozenset(f.node_id for f in group.failures) for group in found(failures, passing)}
    assert sorted(node_id for group in first for node_id in group) == sorted(f.node_id for f in failures)
    shuffled = rng.sample(failures, len(failures))
    assert {frozenset(f.node_id for f in group.failures) for group in found(shuffled, passing)} == first
