"""Which dependencies are read from which files, and what an image is named after."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from runners import environment


def needs(root: Path, **files: str) -> list[str]:
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_DOT_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return environment.requirements(root).splitlines()


def test_a_projects_dependencies_and_its_test_extras_and_groups_are_read(tmp_path: Path) -> None:
    text = """
[project]
name = "my_thing"
dependencies = ["attrs>=20", "numpy; python_version < '3.13'"]
[project.optional-dependencies]
test = ["pytest-mock", "my-thing[extra]"]
extra = ["idna"]
docs = ["sphinx"]
[dependency-groups]
dev = [{include-group = "tests"}, "ruff"]
tests = ["hypothesis"]
site = ["mkdocs"]
"""
    assert needs(tmp_path, pyproject_DOT_toml=text) == [
        "attrs>=20",
        "numpy; python_version < '3.13'",
        "pytest-mock",
        "idna",
        "hypothesis",
        "ruff",
    ]


def test_requirements_files_are_read_with_what_they_include_and_without_local_paths(tmp_path: Path) -> None:
    found = needs(
        tmp_path,
        requirements_DOT_txt="# all\nattrs==23.1 --hash=sha256:aa  # pinned\n-e .\n./local\n"
        "-r more/base.txt\n-r ../out.txt\n",
        more__base_DOT_txt="idna\n-r ../requirements.txt\n",
        requirements__docs_DOT_txt="sphinx\n",
    )
    assert found == ["attrs==23.1", "idna"]


def test_development_requirements_are_found_under_their_usual_names(tmp_path: Path) -> None:
    names = ("requirements-dev.txt", "requirements_test.txt", "test-requirements.txt", "requirements/tests.txt")
    for number, name in enumerate(names):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"package{number}\n")
    assert sorted(environment.requirements(tmp_path).split()) == ["package0", "package1", "package2", "package3"]


@pytest.mark.parametrize(
    ("poetry", "pip"),
    [("^1.2", ">=1.2,<2"), ("^0.3.1", ">=0.3.1,<0.4"), ("~1.4.2", ">=1.4.2,==1.4.*"), ("*", ""), ("1.0", "==1.0")],
)
def test_poetrys_versions_become_pips(tmp_path: Path, poetry: str, pip: str) -> None:
    text = f'[tool.poetry.dependencies]\npython = "^3.9"\nattrs = "{poetry}"\n'
    assert needs(tmp_path, pyproject_DOT_toml=text) == [f"attrs{pip}"]


def test_setup_cfg_is_read(tmp_path: Path) -> None:
    text = "[options]\ninstall_requires =\n  attrs\n  idna>=2\n[options.extras_require]\ntest = pytest-mock\ndocs = x\n"
    assert needs(tmp_path, setup_DOT_cfg=text) == ["attrs", "idna>=2", "pytest-mock"]


def test_a_repository_without_or_with_broken_dependency_files_needs_nothing(tmp_path: Path) -> None:
    assert needs(tmp_path) == []
    assert needs(tmp_path, pyproject_DOT_toml="[project\n", setup_DOT_cfg="nonsense") == []
    assert needs(tmp_path, pyproject_DOT_toml='project = 3\n[tool]\npoetry = "x"\n') == []


def test_the_name_of_an_image_changes_with_everything_that_goes_into_it() -> None:
    tags = {environment.tag(*inputs) for inputs in (("a", "1", "x"), ("b", "1", "x"), ("a", "2", "x"), ("a", "1", "y"))}
    assert len(tags) == 4
    assert environment.tag("a", "1", "x") in tags


def test_the_base_image_can_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EGCFG_BASE_IMAGE", raising=False)
    assert environment.base_image() == environment.DEFAULT_BASE_IMAGE
    monkeypatch.setenv("EGCFG_BASE_IMAGE", "mine:1")
    assert environment.base_image() == "mine:1"
    assert environment.base_image("other:2") == "other:2"


def test_the_build_context_holds_nothing_of_the_repository() -> None:
    with tarfile.open(fileobj=io.BytesIO(environment.context("attrs\n"))) as archive:
        assert archive.getnames() == ["Dockerfile", "requirements.txt"]


def test_the_dockerfile_takes_its_base_as_an_argument_and_both_builders_take_it() -> None:
    text = environment.dockerfile().decode()
    assert f"ARG BASE_IMAGE={environment.DEFAULT_BASE_IMAGE}" in text
    assert "FROM ${BASE_IMAGE}" in text
    assert "--mount" not in text
    assert "# syntax" not in text
    assert "<<" not in text
