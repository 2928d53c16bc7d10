"""The bundled examples: believable projects, each with one fault that some of its tests notice.

Each suite runs with its own pytest process on a copy. Which tests fail, and why, is part of what an example is.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"


@dataclass(frozen=True)
class Example:
    name: str
    fault: str  # file::qualified name of the faulty function
    failing: dict[str, str]  # node id -> the line of the failure that tells the reason


ORDERS = Example(
    "orders",
    "orders/discounts.py::volume_rate",
    {
        "tests/test_discounts.py::test_a_tier_starts_at_its_quantity[10-5]": "assert 0 == 5",
        "tests/test_discounts.py::test_a_tier_starts_at_its_quantity[50-10]": "assert 5 == 10",
        "tests/test_discounts.py::test_a_tier_starts_at_its_quantity[100-15]": "assert 10 == 15",
        "tests/test_pricing.py::test_ten_mugs_are_five_per_cent_off": "assert 0 == 448",
        "tests/test_pricing.py::test_tax_is_that_of_the_discounted_price": "assert (125, 379) == (250, 359)",
    },
)
LEDGER = Example(
    "ledger",
    "src/ledger/account.py::Account.close",
    {
        "tests/test_account.py::test_a_second_closing_adds_to_the_first": "assert -1200 == 3800",
        "tests/test_account.py::test_closing_an_empty_period_changes_no_balance": "assert 0 == 4100",
        "tests/test_account.py::test_closing_keeps_what_the_account_was_opened_with[1]": "assert 5000 == (1 + 5000)",
        "tests/test_account.py::test_closing_keeps_what_the_account_was_opened_with[99]": "assert 5000 == (99 + 5000)",
        "tests/test_account.py::test_closing_keeps_what_the_account_was_opened_with[80000]": "(80000 + 5000)",
        "tests/test_book.py::test_closing_month_by_month_changes_no_balance": "('cash', 51500)",
        "tests/test_statement.py::test_a_statement_after_closing_opens_with_the_old_balance": "'-190.00'",
    },
)
SCHEDULER = Example(
    "scheduler",
    "scheduler/retry.py::retrying.<locals>.decorate.<locals>.attempt",
    {
        "tests/test_retry.py::test_the_second_pause_is_longer": "assert [1.0, 60.0] == [1.0, 3.0]",
        "tests/test_retry.py::test_pauses_keep_growing": "assert [1.0, 60.0, 120.0, 240.0] == [1.0, 2.0, 4.0, 8.0]",
        "tests/test_retry.py::test_pauses_grow_up_to_the_longest": "== [2.0, 6.0, 18.0, 30.0, 30.0]",
        "tests/test_retry.py::test_giving_up_takes_the_sum_of_all_pauses[4-7.0]": "assert 181.0 == 7.0",
        "tests/test_retry.py::test_giving_up_takes_the_sum_of_all_pauses[6-31.0]": "assert 901.0 == 31.0",
        "tests/test_scheduler.py::test_a_run_with_retries_lasts_as_long_as_its_pauses": "assert 181.0 == 7.0",
    },
)

each_example = pytest.mark.parametrize("example", [ORDERS, LEDGER, SCHEDULER], ids=lambda example: example.name)


@pytest.fixture
def project(example: Example, tmp_path: Path) -> Path:
    """A copy of the example."""
    target = tmp_path / example.name
    return Path(shutil.copytree(EXAMPLES / example.name, target, ignore=shutil.ignore_patterns("__pycache__", ".*")))


def run_suite(project: Path) -> tuple[dict[str, str], str]:
    """Return the outcome of every test by node id, and all that pytest printed."""
    command = [sys.executable, "-B", "-m", "pytest", "-vv", "-p", "no:cacheprovider", "--color=no"]
    shown = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=120, check=False).stdout
    return dict(re.findall(r"^(\S+::.+?) (PASSED|FAILED|ERROR)\b", shown, re.MULTILINE)), shown


@each_example
def test_exactly_the_stated_tests_fail_and_for_the_stated_reason(example: Example, project: Path) -> None:
    outcomes, shown = run_suite(project)
    assert {node for node, outcome in outcomes.items() if outcome != "PASSED"} == set(example.failing)
    reasons = "\n".join(line for line in shown.splitlines() if line.startswith("E "))
    for reason in example.failing.values():
        assert reason in reasons
    assert len(outcomes) >= 15
    assert len(outcomes) > 2 * len(example.failing)


@each_example
def test_with_the_known_fix_everything_passes(example: Example, project: Path) -> None:
    fix = ROOT / "tests" / "known_fixes" / f"{example.name}.diff"
    subprocess.run(["git", "apply", str(fix)], cwd=project, check=True)
    outcomes, _ = run_suite(project)
    assert set(outcomes.values()) == {"PASSED"}


@each_example
def test_the_known_fix_touches_only_the_faulty_function(example: Example) -> None:
    diff = (ROOT / "tests" / "known_fixes" / f"{example.name}.diff").read_text(encoding="utf-8")
    path, _, qualname = example.fault.partition("::")
    assert re.findall(r"^\+\+\+ b/(.+)$", diff, re.MULTILINE) == [path]
    [removed] = re.findall(r"^-([^-].*)$", diff, re.MULTILINE)
    lines = (EXAMPLES / example.name / path).read_text(encoding="utf-8").splitlines()
    above = lines[: lines.index(removed)]
    header = next(line for line in reversed(above) if line.lstrip().startswith(("def ", "async def ")))
    assert re.search(rf"def {qualname.rpartition('.')[2]}\(", header)


@each_example
def test_nothing_in_an_example_says_where_its_fault_is(example: Example) -> None:
    for path in (EXAMPLES / example.name).rglob("*.*"):
        if path.suffix in (".py", ".md", ".toml"):
            assert not re.search(r"(?i)\b(bug|fault|fixme|xxx|todo|egcfg)\b", path.read_text(encoding="utf-8")), path


def demo() -> ModuleType:
    spec = importlib.util.spec_from_file_location("demo", EXAMPLES / "demo.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_demo_works_on_a_copy_that_is_a_clean_repository_each_time(tmp_path: Path) -> None:
    module = demo()
    for _ in range(2):
        repository = module.copy_of("orders", tmp_path)
        assert module.git(repository, "log", "--format=%s").split("\n") == ["As shipped", ""]
        assert module.git(repository, "status", "--porcelain") == ""
        (repository / "orders" / "tax.py").write_text("left over from the last time\n", encoding="utf-8")


def test_the_demo_never_runs_unconfined_in_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert demo().runners(None) == ["docker"]
