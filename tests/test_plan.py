"""What is read from which dependency file, and what becomes of it."""

from __future__ import annotations

import os
import textwrap
from pathlib import Path

import pytest

from runners.environment import python_version, task_files
from runners.environment.declared import Rank, local_path, rank_of
from runners.environment.plan import Plan, make_plan, workspace_top
from runners.environment.poetry import specifier


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root


def plan(root: Path, files: dict[str, str], project: str = ".") -> Plan:
    write(root, files)
    return make_plan(root / project, root)


def needs(found: Plan, most: Rank = Rank.WISHED) -> list[str]:
    return [line for line in found.lines(most) if line != "pytest>=7"]


# pyproject.toml


def test_dependencies_and_the_extras_and_groups_for_tests_are_read(tmp_path: Path) -> None:
    text = """
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"
    [project]
    name = "my_thing"
    requires-python = ">=3.10"
    dependencies = ["attrs>=20", "numpy; python_version < '3.13'"]
    [project.optional-dependencies]
    test = ["pytest-mock", "my-thing[extra]"]
    extra = ["idna"]
    docs = ["sphinx"]
    [dependency-groups]
    dev = [{include-group = "Tests"}, "ruff"]
    tests = ["hypothesis"]
    site = ["mkdocs"]
    loop = [{include-group = "loop"}]
    """
    found = plan(tmp_path, {"pyproject.toml": text, "src/my_thing/__init__.py": ""})
    assert needs(found, Rank.PROJECT) == [
        "attrs>=20",
        "numpy; python_version < '3.13'",
        "pytest-mock",
        "idna",
        "hypothesis",
    ]
    assert needs(found)[-1] == "ruff"
    assert found.build == ("hatchling", "editables")
    assert (found.editable, found.layout, found.python) == (True, "src", (">=3.10",))
    assert found.said == {"pyproject.toml": "2 dependencies, extra test, group dev, group tests"}


def test_the_tables_of_hatch_pdm_uv_flit_and_setuptools_are_read(tmp_path: Path) -> None:
    cases = {
        "[tool.hatch.envs.default]\ndependencies = ['a']\n[tool.hatch.envs.test]\nextra-dependencies = ['b']": [
            "a",
            "b",
        ],
        "[tool.pdm.dev-dependencies]\ntest = ['a', '-e file:///${PROJECT_ROOT}/lib']\ndocs = ['b']": ["a"],
        "[tool.uv]\ndev-dependencies = ['a>1']": ["a>1"],
        "[tool.flit.metadata]\nmodule = 'm'\nrequires = ['a']\n[tool.flit.metadata.requires-extra]\ntest = ['b']": [
            "a",
            "b",
        ],
        "[project]\nname = 'm'\ndynamic = ['dependencies']\n[tool.setuptools.dynamic]\n"
        "dependencies = {file = ['more/deps.txt']}\noptional-dependencies.test = {file = 'more/deps.txt'}": [
            "fromfile"
        ],
        "[project]\nname = 'm'\n[tool.tox.env_run_base]\ndeps = ['a', '-r more/deps.txt', '.']": ["a", "fromfile"],
        "[tool.tox]\nlegacy_tox_ini = '''\n[testenv]\ndeps = a'''": ["a"],
    }
    for number, (text, expected) in enumerate(cases.items()):
        root = tmp_path / str(number)
        assert needs(plan(root, {"pyproject.toml": text, "more/deps.txt": "fromfile\n"})) == expected, text


def test_poetrys_tables_become_requirements(tmp_path: Path) -> None:
    text = """
    [tool.poetry]
    name = "thing"
    [tool.poetry.dependencies]
    python = "^3.9"
    attrs = "^20.1"
    idna = {version = "~2.5", extras = ["x"], python = "<3.12", optional = false}
    skipped = {version = "*", optional = true}
    extra = {version = "1.0", optional = true}
    lib = {path = "../lib", develop = true}
    several = [{version = "1", platform = "win32"}, {version = "2", platform = "linux"}]
    gitted = {git = "https://example.org/x.git", tag = "v1"}
    [tool.poetry.extras]
    test = ["extra"]
    [tool.poetry.group.test.dependencies]
    pytest-mock = "*"
    [tool.poetry.dev-dependencies]
    black = ">=20, <30"
    [tool.poetry.group.docs.dependencies]
    sphinx = "*"
    """
    found = plan(tmp_path, {"pyproject.toml": text})
    assert needs(found) == [
        "attrs>=20.1,<21",
        "idna[x]>=2.5,==2.5.* ; python_version < '3.12'",
        "several==1 ; sys_platform == 'win32'",
        "several==2 ; sys_platform == 'linux'",
        "gitted @ git+https://example.org/x.git@v1",
        "extra==1.0",
        "black>=20,<30",
        "pytest-mock",
    ]
    assert found.python == (">=3.9,<4",)
    assert '"../lib" is named as a dependency but is no folder of the repository.' in found.notes


@pytest.mark.parametrize(
    ("poetry", "pip"),
    [
        ("^1.2", ">=1.2,<2"),
        ("^0.3.1", ">=0.3.1,<0.4"),
        ("^0.0.3", ">=0.0.3,<0.0.4"),
        ("~1.4.2", ">=1.4.2,==1.4.*"),
        ("~=1.4", "~=1.4"),
        ("*", ""),
        ("1.0", "==1.0"),
        ("1.*", "==1.*"),
        (">=1.0 <2", ">=1.0,<2"),
        ("^1.0 || ^2.0", ">=1.0"),
        ("^2.0b1", ">=2.0b1,<3"),
    ],
)
def test_poetrys_constraints_become_pips(poetry: str, pip: str) -> None:
    assert specifier(poetry) == pip


# setup.cfg and setup.py


def test_setup_cfg_is_read(tmp_path: Path) -> None:
    text = """
    [metadata]
    name = thing
    [options]
    python_requires = >=3.8
    install_requires =
        attrs  # a comment
        idna>=2
    [options.extras_require]
    test = pytest-mock; python_version > "3"
    docs = x
    """
    found = plan(tmp_path, {"setup.cfg": text})
    assert needs(found) == ["attrs", "idna>=2", 'pytest-mock; python_version > "3"']
    assert found.editable
    assert found.build[0].startswith("setuptools")
    assert found.python == (">=3.8",)


def test_setup_py_is_followed_and_never_run(tmp_path: Path) -> None:
    text = """
    import os, sys
    from setuptools import setup, find_packages
    open("executed", "w").close()
    base = ["attrs>=20"]
    base += ["idna"]
    base.append("six")
    extras = dict(docs=["sphinx"])
    extras["test"] = base + ["pytest-mock"]
    extras["dev"] = extras["test"] + ["black"]
    def lines(name):
        with open(os.path.join(os.path.dirname(__file__), name)) as f:
            return [line.strip() for line in f]
    if __name__ == "__main__":
        setup(name="x", install_requires=[*base, "click"], extras_require=extras, python_requires=">=3.7",
              tests_require=lines("requirements-extra.txt"), cmdclass={"a": object()})
    """
    found = plan(tmp_path, {"setup.py": text, "requirements-extra.txt": "fromfile\n"})
    assert needs(found) == ["attrs>=20", "idna", "six", "click", "fromfile", "pytest-mock", "black"]
    assert not (tmp_path / "executed").exists()
    assert found.python == (">=3.7",)


def test_what_setup_py_computes_is_said_and_not_guessed(tmp_path: Path) -> None:
    text = "from setuptools import setup\nsetup(install_requires=[x for x in compute()], extras_require=more())\n"
    found = plan(tmp_path, {"setup.py": text})
    assert needs(found) == []
    assert [note.partition(":")[2].split(",")[0].strip() for note in found.notes] == [
        "install_requires is computed",
        "extras_require is computed",
    ]


# Requirements files


def test_requirements_files_are_read_with_what_they_include_and_constrain(tmp_path: Path) -> None:
    found = plan(
        tmp_path,
        {
            "requirements.txt": """
            # all
            attrs==23.1 \\
                --hash=sha256:aa
            -e .[fast]
            -r more/base.txt
            -r ../out.txt
            -c limits.txt
            --extra-index-url https://example.org/simple
            not a requirement
            lib @ file:./lib
            """,
            "more/base.txt": "idna\n-r ../requirements.txt\n-e ../lib\n",
            "limits.txt": "idna<3\n",
            "requirements/docs.txt": "sphinx\n",
            "lib/pyproject.toml": "[project]\nname = 'lib'\ndependencies = ['libneeds']\n",
            "pyproject.toml": "[project]\nname = 'me'\ndependencies = ['lib']\n"
            "[project.optional-dependencies]\nfast = ['quick']",
        },
    )
    assert needs(found) == ["attrs==23.1 --hash=sha256:aa", "idna", "quick", "libneeds"]
    assert found.pins == ("idna<3",)
    assert found.siblings == ("lib",)
    assert found.indexes == ("https://example.org/simple",)
    assert any("lies outside" in note for note in found.notes)
    assert any('"not a requirement" is no requirement' in note for note in found.notes)


def test_requirements_files_for_tests_are_found_under_their_usual_names_and_others_are_not(tmp_path: Path) -> None:
    taken = (
        *("requirements-dev.txt", "requirements_test.txt", "test-requirements.txt", "requirements/tests.txt"),
        *("dev-requirements.in", "tests/requirements.txt", "requirements/dev.in", "requirements-ci.txt", "reqs.txt"),
    )
    left = ("requirements-docs.txt", "notes.txt", "requirements/build.txt", "requirements/lint.in", "LICENSE.txt")
    found = plan(tmp_path, {name: f"package{n}\n" for n, name in enumerate((*taken, *left))})
    assert sorted(needs(found)) == sorted(f"package{n}" for n in range(len(taken)))


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (".[test,dev]", (".", ("test", "dev"))),
        ("./lib", ("./lib", ())),
        ("packages/core[x]", ("packages/core", ("x",))),
        ("lib[x] @ file:../lib", ("../lib", ("x",))),
        ("attrs>=20", None),
        ("pytest-mock", None),
    ],
)
def test_local_paths_are_told_from_requirements(line: str, path: object) -> None:
    assert local_path(line) == path


# Lock files


LOCKS = {
    "uv.lock": """
    version = 1
    [[package]]
    name = "Attrs"
    version = "23.1"
    source = {registry = "https://example.org/simple"}
    [[package]]
    name = "me"
    version = "0"
    source = {editable = "."}
    [[package]]
    name = "numpy"
    version = "1.26"
    resolution-markers = ["python_version < '3.12'"]
    [[package]]
    name = "numpy"
    version = "2.1"
    resolution-markers = ["python_version >= '3.12'"]
    [[package]]
    name = "twice"
    version = "1"
    [[package]]
    name = "twice"
    version = "2"
    """,
    "poetry.lock": "[[package]]\nname='attrs'\nversion='23.1'\n"
    "[[package]]\nname='l'\nversion='1'\nsource={type='directory'}",
    "pdm.lock": "[[package]]\nname='attrs'\nversion='23.1'\n[[package]]\nname='attrs'\nversion='23.1'\nextras=['x']",
    "pylock.toml": "lock-version='1.0'\n[[packages]]\nname='attrs'\nversion='23.1'\nmarker=\"'test' in extras\"",
    "Pipfile.lock": '{"default": {"attrs": {"version": "==23.1"}}, "develop": {"x": {"path": "."}}}',
}


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_pins_what_the_dependency_files_ask_for(tmp_path: Path, name: str) -> None:
    found = plan(tmp_path, {name: LOCKS[name], "pyproject.toml": "[project]\nname='me'\ndependencies=['attrs']\n"})
    assert needs(found) == ["attrs"]
    numpy = ["numpy==1.26 ; (python_version < '3.12')", "numpy==2.1 ; (python_version >= '3.12')"]
    assert list(found.pins) == ["attrs==23.1", *(numpy if name == "uv.lock" else [])]
    assert found.pinned_by == name


def test_a_lock_file_alone_says_what_is_needed(tmp_path: Path) -> None:
    content = '{"default": {"attrs": {"version": "==23.1", "extras": ["x"]}}, "develop": {"mock": {"version": "==5"}}}'
    assert needs(plan(tmp_path, {"Pipfile.lock": content})) == ["attrs[x]==23.1", "mock==5"]


def test_a_pipfile_is_read(tmp_path: Path) -> None:
    text = "[packages]\nattrs='*'\nidna={version='>=3',extras=['a']}\n[dev-packages]\nmock='==5'\n"
    text += "[requires]\npython_version='3.12'"
    found = plan(tmp_path, {"Pipfile": text})
    assert needs(found) == ["attrs", "idna[a]>=3", "mock==5"]
    assert found.version == "3.12"


# tox and nox


def test_the_environment_of_tox_that_runs_the_tests_is_read(tmp_path: Path) -> None:
    text = """
    [tox]
    envlist = py{310,311}-{old,new}, lint
    [base]
    deps = hypothesis
    [testenv]
    deps =
        {[base]deps}
        pytest-mock>=3
        new: attrs>22
        old: attrs<20
        py310: backport
        !lint: -r{toxinidir}/requirements-extra.txt
        .[fast]
    extras = slow
    dependency_groups = check
    [testenv:lint]
    deps = ruff
    """
    found = plan(
        tmp_path,
        {
            "tox.ini": text,
            "requirements-extra.txt": "extra\n",
            "pyproject.toml": "[project]\nname='me'\n[project.optional-dependencies]\nfast=['quick']\nslow=['slug']\n"
            "[dependency-groups]\ncheck=['checker']",
        },
    )
    assert needs(found) == ["hypothesis", "pytest-mock>=3", "attrs>22", "extra", "quick", "slug", "checker"]


def test_generative_names_are_expanded_and_the_right_one_is_chosen() -> None:
    names = task_files.expand("py{39,310}-{a,b}, lint,docs\n py3{11-13}")
    assert names == ["py39-a", "py39-b", "py310-a", "py310-b", "lint", "docs", "py311", "py312", "py313"]
    assert task_files.choose_environment(names, "3.11") == "py311"
    assert task_files.choose_environment(names, "3.10") == "py310-b"
    assert task_files.choose_environment(["lint", "tests"], "3.11") == "tests"
    assert task_files.choose_environment(["lint"], "3.11") == ""


def test_the_test_sessions_of_nox_are_read_and_never_run(tmp_path: Path) -> None:
    text = """
    import nox
    open("executed", "w").close()
    DEPS = ["attrs", "idna"]
    @nox.session(python=["3.11", "3.12"])
    def tests(session):
        session.install("-e", ".[fast]", "pytest-mock", *DEPS)
        session.install("-r", "requirements-extra.txt")
        session.install(*nox.project.dependency_groups(PYPROJECT, "check"))
        session.run("pytest")
    @nox.session(name="unit-tests")
    def other(session):
        session.run_install("uv", "sync", "--extra=slow", "--group", "more")
    @nox.session
    def lint(session):
        session.install("ruff")
    """
    found = plan(
        tmp_path,
        {
            "noxfile.py": text,
            "requirements-extra.txt": "extra\n",
            "pyproject.toml": "[project]\nname='me'\n[project.optional-dependencies]\nfast=['quick']\nslow=['slug']\n"
            "[dependency-groups]\ncheck=['checker']\nmore=['moretests']",
        },
    )
    assert needs(found) == ["pytest-mock", "attrs", "idna", "extra", "quick", "slug", "checker", "moretests"]
    assert not (tmp_path / "executed").exists()


def test_pytests_own_configuration_names_the_plugins_it_cannot_do_without(tmp_path: Path) -> None:
    text = "[tool.pytest.ini_options]\naddopts='-ra --cov=me -n auto --timeout 5'\nasyncio_mode='auto'\n"
    text += "required_plugins=['pytest-mock>=3', 'pytest-env']\n[project]\nname='me'\ndependencies=['pytest-env>1']"
    found = plan(tmp_path / "a", {"pyproject.toml": text})
    plugins = ["pytest-mock>=3", "pytest-cov", "pytest-xdist", "pytest-timeout", "pytest-asyncio"]
    assert needs(found) == ["pytest-env>1", *plugins]
    assert needs(plan(tmp_path / "b", {"tox.ini": "[pytest]\naddopts = --benchmark-skip\n"})) == ["pytest-benchmark"]
    assert needs(plan(tmp_path / "c", {"pytest.ini": "[pytest]\naddopts = -q -x\n"})) == []


# The whole


def test_a_sub_project_sees_its_siblings_the_workspaces_groups_and_its_lock(tmp_path: Path) -> None:
    files = {
        "pyproject.toml": "[tool.uv.workspace]\nmembers=['packages/*']\n[dependency-groups]\ndev=['pytest-mock']",
        "uv.lock": "[[package]]\nname='attrs'\nversion='23.1'",
        ".python-version": "3.12.4\n",
        "packages/core/pyproject.toml": "[project]\nname='Core'\ndependencies=['attrs']\n"
        "[build-system]\nrequires=['flit_core']",
        "packages/app/pyproject.toml": "[project]\nname='app'\ndependencies=['core', 'idna']\n"
        "[tool.uv.sources]\ncore={workspace=true}",
        "packages/app/app/__init__.py": "",
    }
    found = plan(tmp_path, files, "packages/app")
    assert found.project == "packages/app"
    assert needs(found) == ["idna", "pytest-mock", "attrs"]
    assert found.siblings == ("packages/core",)
    assert "flit_core" in found.build
    assert (found.pins, found.pinned_by, found.version) == (("attrs==23.1",), "uv.lock", "3.12")
    assert workspace_top(tmp_path / "packages" / "app") == tmp_path
    assert workspace_top(tmp_path / "elsewhere") == tmp_path / "elsewhere"


def test_requirements_files_alone_are_the_projects_own_word(tmp_path: Path) -> None:
    found = plan(tmp_path, {"requirements.txt": "attrs\n", "dev-requirements.txt": "black\n"})
    assert needs(found, Rank.PROJECT) == ["attrs"]
    assert not found.editable


def test_a_repository_without_or_with_broken_dependency_files_needs_only_pytest(tmp_path: Path) -> None:
    assert plan(tmp_path / "a", {"README": ""}).lines() == ("pytest>=7",)
    broken = {
        "pyproject.toml": "[project\n",
        "setup.cfg": "nonsense",
        "setup.py": "(",
        "tox.ini": "[testenv",
        "uv.lock": "x",
    }
    assert plan(tmp_path / "b", {**broken, "noxfile.py": "("}).lines() == ("pytest>=7",)
    assert plan(tmp_path / "c", {"pyproject.toml": 'project = 3\n[tool]\npoetry = "x"\nuv = []\n'}).lines() == (
        "pytest>=7",
    )


def test_files_that_lead_out_of_the_repository_or_never_end_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "outside.txt").write_text("leaked\n")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "requirements.txt").symlink_to("../outside.txt")
    os.mkfifo(inside / "requirements-dev.txt")
    (inside / "requirements-test.txt").write_text("-r ../outside.txt\nseen\n")
    assert needs(make_plan(inside)) == ["seen"]


def test_the_digest_changes_with_the_files_that_were_read_and_with_no_other(tmp_path: Path) -> None:
    first = plan(tmp_path, {"requirements.txt": "attrs\n", "other.py": "1"}).digest
    assert plan(tmp_path, {"other.py": "2"}).digest == first
    assert plan(tmp_path, {"requirements.txt": "attrs>1\n"}).digest != first


@pytest.mark.parametrize(
    ("requires", "preferred", "version"),
    [
        ((), "", "3.11"),
        ((">=3.8",), "", "3.11"),
        ((">=3.12",), "", "3.14"),
        (("<3.11",), "", "3.10"),
        ((">=3.9",), "3.13.2", "3.13"),
        ((">=3.12",), "3.10", "3.14"),
        (("nonsense",), "", "3.11"),
        (("==3.12.*", "!=3.13.*"), "", "3.12"),
        ((">=4",), "", "3.11"),
    ],
)
def test_the_version_of_python_is_the_one_preferred_of_those_allowed(
    requires: tuple[str, ...], preferred: str, version: str
) -> None:
    assert python_version.choose(requires, preferred) == version


def test_groups_are_ranked_by_their_names() -> None:
    ranks = {name: rank_of(name) for name in ("test", "Tests", "testing", "unit_test", "dev", "all", "docs", "latest")}
    assert [ranks[name] for name in ("test", "Tests", "testing", "unit_test")] == [Rank.PROJECT] * 4
    assert [ranks["dev"], ranks["all"], ranks["docs"], ranks["latest"]] == [Rank.WISHED, Rank.WISHED, None, None]
