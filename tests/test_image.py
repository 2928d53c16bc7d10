"""Real images from real repositories. Needs an engine, a base image and a package index.

The private index is a server of this test, which refuses whoever does not know its password.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import http.server
import io
import json
import os
import textwrap
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import docker
import pytest

from runners.docker import DockerRunner
from runners.environment.wanted import Wanted
from runners.runner import EnvironmentFailed, Limits, SuiteRequest

pytestmark = pytest.mark.docker

PASSWORD = "pl4nted-p4ssw0rd"
LIMITS = Limits(suite_timeout_s=120, memory_mib=512)
SETUP = "test -f src/app/sums.py && test $(id -u) = 0 && echo mine > /etc/own"
FILES = {
    "pyproject.toml": "[tool.uv.workspace]\nmembers = ['packages/*']\n",
    "packages/core/pyproject.toml": """
        [project]
        name = "core"
        version = "3.1"
        dynamic = ["description"]
        [build-system]
        requires = ["flit_core"]
        build-backend = "flit_core.buildapi"
        """,
    "packages/core/core.py": '"""A sibling."""\nanswer = 42\n',
    "packages/app/pyproject.toml": """
        [project]
        name = "app"
        version = "1.2"
        dependencies = ["core", "private-thing>=1"]
        [project.scripts]
        app-command = "app:main"
        [dependency-groups]
        test = ["pytest"]
        dev = ["there-is-no-such-distribution-of-this-name"]
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"
        [tool.hatch.build.hooks.custom]
        [tool.uv.sources]
        core = {workspace = true}
        """,
    "packages/app/hatch_build.py": """
        from pathlib import Path
        from hatchling.builders.hooks.plugin.interface import BuildHookInterface
        class Hook(BuildHookInterface):
            def initialize(self, version, build_data):
                Path(self.root, "src/app/_generated.py").write_text("made = True")
        """,
    "packages/app/src/app/__init__.py": "",
    "packages/app/src/app/sums.py": "def double(x):\n    return 2 * x\n",
    "packages/app/tests/test_app.py": """
        import importlib.metadata as metadata, os, pathlib
        import app._generated, app.sums, core, private_thing, pytest
        def test_everything_is_there():
            assert metadata.version("app") == "1.2" and metadata.version("core") == "3.1"
            assert [e.name for e in metadata.entry_points(group="console_scripts") if e.name == "app-command"]
            assert (app._generated.made, core.answer, private_thing.value, app.sums.double(2)) == (True, 42, 7, 4)
            assert app.sums.__file__.startswith("/repo/src/")
        def test_nothing_is_compiled_again():
            for module in (pytest, private_thing, json_of_the_library()):
                assert pathlib.Path(module.__cached__).exists(), module
        def json_of_the_library():
            import json
            return json
        def test_the_users_own_command_was_run():
            assert open("/etc/own").read() == "mine\\n"
        def test_no_setting_of_the_host_came_in():
            assert not [name for name, value in os.environ.items() if "pl4nted" in value]
            for folder in ("/run/egcfg-fix", "/var/cache/egcfg-fix", "/siblings"):
                assert not os.path.exists(folder) or not os.listdir(folder)
        """,
}


@dataclass
class Index:
    """A private index and the proxy before it: their addresses with credentials, and how often they were asked."""

    url: str
    proxy: str
    allowed: int = 0
    refused: int = 0
    proxied: int = 0


@pytest.fixture(scope="module")
def index() -> Iterator[Index]:
    wheel, name = _wheel(), "private_thing-1.0-py3-none-any.whl"
    digest = hashlib.sha256(wheel).hexdigest()
    pages = {
        "/simple/private-thing/": f'<a href="/{name}#sha256={digest}">{name}</a>'.encode(),
        f"/{name}": wheel,
    }
    expected = "Basic " + base64.b64encode(f"reader:{PASSWORD}".encode()).decode()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            known = self.headers.get("Authorization") == expected
            path = self.path
            if path.startswith("http://"):  # as a proxy is asked
                found.proxied += self.headers.get("Proxy-Authorization") == expected
                path = "/" + path.split("/", 3)[3]
            found.allowed, found.refused = found.allowed + known, found.refused + (not known)
            body = pages.get(path) if known else b"no"
            self.send_response(401 if not known else 200 if body is not None else 404)
            if not known:
                self.send_header("WWW-Authenticate", 'Basic realm="index"')
            self.send_header("Content-Type", "application/zip" if path.endswith(".whl") else "text/html")
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write((body or b"") if self.command == "GET" else b"")

        def log_message(self, *_: object) -> None:
            return

    client = docker.from_env()
    gateway = client.networks.get("bridge").attrs["IPAM"]["Config"][0].get("Gateway", "172.17.0.1")
    client.close()
    server = http.server.ThreadingHTTPServer(("", 0), Handler)
    address = f"http://reader:{PASSWORD}@{gateway}:{server.server_port}"
    found = Index(f"{address}/simple", address)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def _wheel() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("private_thing.py", "value = 7\n")
        archive.writestr(
            "private_thing-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: private-thing\nVersion: 1.0\n"
        )
        archive.writestr(
            "private_thing-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("private_thing-1.0.dist-info/RECORD", "")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def top(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("monorepo")
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return root


@pytest.fixture(scope="module")
def built(index: Index, top: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[DockerRunner]:
    """The runner for the monorepo's app, in a world with an index, a proxy and a log folder of its own."""
    settings = tmp_path_factory.mktemp("settings")
    proxies = {"proxies": {"default": {"httpProxy": index.proxy}}}
    (settings / "config.json").write_text(json.dumps(proxies))
    with pytest.MonkeyPatch.context() as patch:
        for name in (
            "PIP_INDEX_URL",
            "UV_DEFAULT_INDEX",
            "UV_INDEX_URL",
            "UV_INDEX",
            "HTTP_PROXY",
            "http_proxy",
            "NO_PROXY",
            "no_proxy",
        ):
            patch.delenv(name, raising=False)
        patch.setenv("PIP_EXTRA_INDEX_URL", index.url)
        patch.setenv("XDG_STATE_HOME", str(settings))
        patch.setenv("DOCKER_CONFIG", str(settings))
        with DockerRunner(top / "packages" / "app", LIMITS, wanted=Wanted(top=top, setup_command=SETUP)) as runner:
            yield runner


def test_a_project_of_a_monorepo_gets_its_siblings_private_packages_and_generated_files(
    built: DockerRunner, index: Index
) -> None:
    run = built.run_suite(SuiteRequest())
    assert [(test.node_id.partition("::")[2], test.message) for test in run.tests if not test.passed] == []
    assert len(run.tests) == 4
    assert index.allowed
    assert index.proxied
    assert built.environment.installed["private-thing"] == "1.0"
    assert built.environment.made == ("src/app/_generated.py",)
    assert "there-is-no-such-distribution-of-this-name could not be installed and was left out." in built.notes


def test_the_credentials_are_in_no_layer_history_configuration_or_log(built: DockerRunner, index: Index) -> None:
    client = docker.from_env()
    told = json.dumps([client.api.history(built.image), client.api.inspect_image(built.image)])
    secrets = [PASSWORD.encode(), base64.b64encode(f"reader:{PASSWORD}".encode())]
    tail, size = b"", 0
    for piece in client.api.get_image(built.image):
        size += len(piece)
        assert not [secret for secret in secrets if secret in tail + piece]
        tail = piece[-100:]
    client.close()
    assert size > 50 << 20
    assert PASSWORD not in told
    log = Path(built.environment.log).read_text()
    assert PASSWORD not in log
    assert "private-thing==1.0" in log


def test_what_is_found_by_its_name_is_not_built_again_and_a_changed_body_changes_nothing(
    built: DockerRunner, top: Path, index: Index
) -> None:
    asked = index.allowed + index.refused
    body = top / "packages/app/src/app/sums.py"
    body.write_text("def double(x):\n    return x + x\n")
    with DockerRunner(top / "packages" / "app", LIMITS, wanted=Wanted(top=top, setup_command=SETUP)) as again:
        assert (again.image, again.environment.built) == (built.image, False)
        assert again.environment.made == built.environment.made
    assert index.allowed + index.refused == asked


def test_a_dockerfile_of_the_users_is_built_and_used_as_it_is(built: DockerRunner, tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text("def test_a():\n    assert open('/etc/mine').read() == 'mine\\n'\n")
    (tmp_path / "Dockerfile").write_text(
        f"FROM {built.image}\nUSER root\nCOPY test_a.py /\nRUN echo mine > /etc/mine\n"
    )
    with DockerRunner(tmp_path, LIMITS, wanted=Wanted(dockerfile=str(tmp_path / "Dockerfile"))) as runner:
        assert [test.outcome for test in runner.run_suite(SuiteRequest()).tests] == ["passed"]


@pytest.mark.parametrize(
    ("wanted", "files", "cause", "says"),
    [
        (Wanted(), {"requirements.txt": "no-such-distribution-anywhere-1\n"}, "missing", "no-such-distribution"),
        (
            Wanted(setup_command="echo fatal error: Python.h: No such file or directory; exit 1"),
            {},
            "header",
            "python3-dev",
        ),
        (Wanted(setup_command="sleep 600", timeout_s=4), {}, "timeout", "--build-timeout"),
        (Wanted(dockerfile="no/such/file"), {}, "unknown", "--dockerfile"),
        (
            Wanted(),
            {"setup.cfg": "[metadata]\nname=x\n[options]\npython_requires=>=3.99\n"},
            "python",
            "EGCFG_BASE_IMAGE",
        ),
    ],
)
def test_a_failed_build_tells_the_cause_and_what_to_set_and_leaves_nothing_behind(
    built: DockerRunner, tmp_path: Path, wanted: Wanted, files: dict[str, str], cause: str, says: str
) -> None:
    for name, text in {"README": tmp_path.name, **files}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(EnvironmentFailed) as caught:
        DockerRunner(tmp_path, LIMITS, wanted=wanted)
    assert caught.value.cause == cause
    assert says in f"{caught.value.message} {caught.value.hint}"
    client = docker.from_env()
    found = client.api.containers(all=True, filters={"label": "egcfg-fix.sandbox=build"})
    client.close()
    assert not [one for one in found if f"/{os.getpid()}-" in one.get("Labels", {}).get("egcfg-fix.owner", "")]
