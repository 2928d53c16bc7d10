"""Settings: one declaration, four sources, one precedence."""

from __future__ import annotations

import os

import pytest

from bot.budget_text import budget_text, parse_budget
from bot.config import Config, declarations
from bot.errors import ConfigError
from bot.precedence import load
from bot.records import Budget


def written(folder, text):
    (folder / "pyproject.toml").write_text(text)
    return folder


def refusal(folder, flags=None, environment=None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load(folder, flags or {}, environment or {})
    return caught.value


def test_without_any_source_every_setting_has_its_default(tmp_path):
    assert load(tmp_path, {}, {}) == Config()


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(tmp_path):
    written(tmp_path, "[tool.egcfg-fix]\nseed = 1\nhorizon = 1\ncandidates = 1\n")
    environment = {"EGCFG_SEED": "2", "EGCFG_HORIZON": "2"}
    config = load(tmp_path, {"seed": "3"}, environment)
    assert (config.seed, config.horizon, config.candidates) == (3, 2, 1)


def test_an_empty_variable_and_a_flag_not_given_count_as_absent(tmp_path):
    assert load(tmp_path, {"tests": (), "seed": None}, {"EGCFG_SEED": "", "EGCFG_GAMMA": "  "}) == Config()


def test_the_file_the_environment_and_the_flags_read_the_same_lists(tmp_path):
    node = "tests/test_a.py::test_b[one two, three]"
    written(tmp_path, f'[tool.egcfg-fix]\ntests = ["{node}"]\ngamma = [0, 1.5]\npytest-args = ["-k", "a b"]\n')
    from_file = load(tmp_path, {}, {})
    empty = tmp_path / "empty"
    empty.mkdir()
    variables = {"EGCFG_TESTS": f"{node}\n", "EGCFG_GAMMA": "0,1.5", "EGCFG_PYTEST_ARGS": "-k 'a b'"}
    from_environment = load(empty, {}, variables)
    from_flags = load(empty, {"tests": (node,), "gamma": ("0", "1.5"), "pytest_args": "-k 'a b'"}, {})
    assert from_file == from_environment == from_flags
    assert from_flags.tests == (node,)
    assert from_flags.pytest_args == ("-k", "a b")


@pytest.mark.parametrize("one", [one for one in declarations() if one.trusted_only], ids=lambda one: one.key)
def test_a_setting_about_this_machine_is_refused_from_the_repository(tmp_path, one):
    error = refusal(written(tmp_path, f'[tool.egcfg-fix]\n{one.key} = "anything"\n'))
    assert "not taken from the repository" in error.message
    assert one.flag in error.hint
    assert one.variable in error.hint


def test_whatever_weakens_the_sandbox_or_chooses_the_model_is_such_a_setting():
    trusted = {one.key for one in declarations() if one.trusted_only}
    assert trusted >= {"unsafe-local", "runner", "image", "python", "memory", "model", "revision"}


def test_an_unknown_key_is_answered_with_the_nearest_known_one(tmp_path):
    error = refusal(written(tmp_path, "[tool.egcfg-fix]\nhorizont = 2\n"))
    assert "[tool.egcfg-fix], horizont" in error.message
    assert 'did you mean "horizon"?' in error.message


def test_an_unknown_variable_is_answered_with_the_nearest_known_one(tmp_path):
    assert 'did you mean "EGCFG_SUITE_TIMEOUT"?' in refusal(tmp_path, {}, {"EGCFG_SUITETIMEOUT": "3"}).message


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("seed = '1'", "a whole number from 0"),
        ("seed = true", "a whole number"),
        ("seed = -1", "a whole number from 0"),
        ("temperature = 0", "a number above 0"),
        ("temperature = nan", "a number above 0"),
        ("gamma = 'much'", "a list, each item a number"),
        ("tests = ['-rf']", "a pytest node id"),
        ("tests = 3", "a list, each item a pytest node id"),
        ("budget = {secs = 3}", 'did you mean "seconds"?'),
        ("budget = 0", "seconds must be above 0"),
        ('pytest-args = "\'open"', "No closing quotation"),
    ],
)
def test_a_wrong_value_in_the_file_says_where_it_stands_and_what_is_right(tmp_path, line, expected):
    error = refusal(written(tmp_path, f"[tool.egcfg-fix]\n{line}\n"))
    assert error.message.startswith(f"pyproject.toml, [tool.egcfg-fix], {line.split()[0]}")
    assert expected in error.hint


def test_a_wrong_value_says_whether_a_flag_or_a_variable_held_it(tmp_path):
    assert refusal(tmp_path, {"seed": "x"}).message.startswith("--seed: 'x'")
    assert "EGCFG_SEED: 'x'" in refusal(tmp_path, {}, {"EGCFG_SEED": "x"}).message
    assert "one of auto, docker, local" in refusal(tmp_path, {"runner": "podman"}).hint


def test_unsafe_local_is_refused_in_ci_from_any_source(tmp_path):
    for name in ("CI", "GITHUB_ACTIONS"):
        assert "never allowed in CI" in refusal(tmp_path, {"unsafe_local": True}, {name: "true"}).message
        assert "never allowed in CI" in refusal(tmp_path, {}, {name: "1", "EGCFG_UNSAFE_LOCAL": "yes"}).message
    assert load(tmp_path, {"unsafe_local": True}, {"CI": "false"}).unsafe_local


@pytest.mark.parametrize(
    "flags",
    [
        {"unsafe_local": True, "runner": "docker"},
        {"image": "python:3.12", "runner": "local"},
        {"revision": "main"},
        {"revision": "main", "model": "http://localhost:8000/v1"},
    ],
)
def test_settings_that_contradict_each_other_are_refused(tmp_path, flags):
    assert refusal(tmp_path, flags).hint


def test_a_pyproject_that_cannot_be_read_says_why(tmp_path):
    assert "pyproject.toml cannot be read" in refusal(written(tmp_path, "[tool\n")).message
    assert "is not a table" in refusal(written(tmp_path, "[tool]\negcfg-fix = 3\n")).message
    (tmp_path / "pyproject.toml").write_bytes(b"\xff")
    assert "pyproject.toml cannot be read" in refusal(tmp_path).message


def test_a_pipe_or_a_link_in_place_of_pyproject_is_not_read(tmp_path):
    os.mkfifo(tmp_path / "pyproject.toml")
    assert load(tmp_path, {}, {}) == Config()  # and it returned at all
    linked = tmp_path / "linked"
    linked.mkdir()
    (tmp_path / "secret").write_text("[tool.egcfg-fix]\nseed = 1\n")
    (linked / "pyproject.toml").symlink_to(tmp_path / "secret")
    assert load(linked, {}, {}) == Config()


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("120s", Budget(seconds=120)),
        ("90", Budget(seconds=90)),
        ("5m", Budget(seconds=300)),
        ("seconds=300,executions=10,tokens=20000", Budget(300, 20000, None, 10)),
        ("seconds=none, positions=5", Budget(None, None, 5)),
        (45, Budget(seconds=45)),
        ({"seconds": 1.5, "executions": "none"}, Budget(1.5, None, None, None)),
    ],
)
def test_budgets_are_read(text, budget):
    assert parse_budget(text) == budget
    assert parse_budget(budget_text(budget)) == budget


@pytest.mark.parametrize(
    "text", ["", "soon", "-3", "5 parsecs", "tokens=1.5", "seconds=", "seconds=0", [], True, "tokens=1s"]
)
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(ValueError, match="120s"):
        parse_budget(text)


def test_the_settings_that_differ_from_their_defaults_can_be_told():
    assert Config().described() == {}
    config = Config(gamma=(0.0, 1.5), seed=7, unsafe_local=True, tests=("a b", "c"))
    assert config.described() == {"tests": "'a b' c", "unsafe-local": "true", "gamma": "0 1.5", "seed": "7"}
