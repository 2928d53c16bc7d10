from __future__ import annotations

import subprocess
import sys
import time

import pytest

from bot.errors import ConfigError
from bot.junit import JunitCase, address, mapped, parse


def failing(*names):
    return [JunitCase(classname, name, "failed") for classname, name in names]


SUITE = """import unittest

import pytest


class TestIn:
    class TestDeep:
        @pytest.mark.parametrize("x", ["a/b.c::d[e]", "\\x1b[31m", "é\\ud800"])
        def test_case(self, x):
            assert not x


class TestUnit(unittest.TestCase):
    def test_unit(self):
        self.fail("no")


@pytest.fixture
def broken():
    raise RuntimeError


def test_error(broken):
    pass


def test_good():
    pass
"""


def test_what_pytest_itself_writes_means_the_tests_it_ran(tmp_path):
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for folder in ("one", "two/deep"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "test_same.py").write_text(SUITE)
    (tmp_path / "one" / "test_broken.py").write_text("import no_such_module\n")
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--import-mode=importlib"]
    command.append("--continue-on-collection-errors")
    listed = subprocess.run([*command, "--collect-only", "one", "two"], cwd=tmp_path, capture_output=True, text=True)
    collected = [line for line in listed.stdout.splitlines() if "::" in line] + ["one/test_broken.py"]
    assert len(collected) == 13
    subprocess.run([*command, "--junit-xml=out.xml", "one", "two"], cwd=tmp_path, capture_output=True)
    found = mapped(parse((tmp_path / "out.xml").read_bytes(), "out.xml"), collected)
    assert found.unmapped == ()
    assert sorted(found.failing) == sorted(node_id for node_id in collected if "test_good" not in node_id)
    assert sorted(found.passing) == ["one/test_same.py::test_good", "two/deep/test_same.py::test_good"]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><testsuite>&b;</testsuite>', "document type"),
        ('<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>', "document type"),
        ("<testsuite>" + "<a>" * 100 + "</a>" * 100 + "</testsuite>", "nested too deeply"),
        ("<testsuite><testcase", "unclosed token"),
        ('<?xml version="1.0" encoding="klingon"?><testsuite/>', "encoding"),
        ("<coverage/>", "root is <coverage>"),
        ("", "no element found"),
    ],
)
def test_hostile_and_broken_xml_is_refused(text, why):
    with pytest.raises(ConfigError, match=why):
        parse(text.encode(), "report.xml")


def test_a_case_with_an_error_after_a_pass_failed_and_nested_suites_are_read():
    xml = b"""<testsuites><testsuite><testsuite>
    <testcase classname="a" name="b"><system-out>x</system-out><error/></testcase>
    <testcase classname="a" name="c"><skipped/></testcase></testsuite></testsuite></testsuites>"""
    assert parse(xml, "x") == [JunitCase("a", "b", "failed"), JunitCase("a", "c", "skipped")]


def test_a_run_that_started_in_another_folder_is_mapped_by_the_ends_of_names():
    collected = ["tests/test_a.py::TestB::test_c", "tests/test_a.py::test_d"]
    names = [("services.api.tests.test_a.TestB", "test_c"), ("test_a", "test_d")]
    assert mapped(failing(*names), collected).failing == tuple(collected)


def test_a_name_that_fits_in_several_folders_is_told_and_not_guessed():
    collected = ["one/test_a.py::test_x", "two/test_a.py::test_x"]
    found = mapped(failing(("test_a", "test_x")), collected)
    assert found.failing == ()
    assert "several tests fit: one/test_a.py::test_x, two/test_a.py::test_x" in found.unmapped[0]
    assert mapped(failing(("two.test_a", "test_x")), collected).failing == ("two/test_a.py::test_x",)


def test_parameters_that_changed_stand_for_all_cases_of_the_function():
    collected = ["test_a.py::test_x[1]", "test_a.py::test_x[2]", "test_a.py::test_xy[1]"]
    found = mapped(failing(("test_a", "test_x[<object at 0x7f>]")), collected)
    assert found.failing == ("test_a.py::test_x[1]", "test_a.py::test_x[2]")
    assert "all 2 cases" in found.unmapped[0]


def test_many_tests_take_no_more_than_their_share():
    collected = [f"tests/test_{n % 500}.py::TestA::test_same[{n}]" for n in range(20_000)]
    cases = [JunitCase(f"api.{address(node_id)[0]}", address(node_id)[1], "failed") for node_id in collected]
    began = time.process_time()
    assert len(mapped(cases, collected).failing) == 20_000
    assert time.process_time() - began < 20
