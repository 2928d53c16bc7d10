"""The half of a build that runs in its container: one file, standard library only, Python 3.9 syntax.

Sent over stdin, like everything it works on, so that neither it nor a credential is ever a file of the image. Requests
come as JSON lines, each with the tar that follows it; replies and the output of what is run leave as JSON lines.
Source trees, credentials and caches lie on mounts that are no part of the image which is made of this container.
"""

# mypy: ignore-errors
import base64
import io
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
import tarfile
import threading
import time

OURS = "/usr/local/share/egcfg-fix"  # a part of the image
SECRET = "/run/egcfg-fix"  # a mount in memory
CACHE = "/var/cache/egcfg-fix"  # a volume that goes with the container
REPOSITORY, SIBLINGS = "/repo", "/siblings"  # mounts in memory
BACKEND, MADE = OURS + "/backend", OURS + "/made"
HOPELESS = re.compile(  # failures that leaving something out does not mend
    r"dns error|lookup address|tcp connect error|certificate|\b40[13]\b.{0,30}(Unauthorized|Forbidden)|No space left"
)
SINGLES = 60  # wished-for requirements that are tried one by one
MADE_LIMIT = 64 << 20  # bytes of files that a build leaves beside the sources

OUT = os.fdopen(os.dup(1), "wb", 0)
LOCK = threading.Lock()


def reply(kind, **fields):
    with LOCK:
        OUT.write(json.dumps(dict(fields, k=kind)).encode() + b"\n")


class Failed(Exception):
    """A command failed; its argument is the end of what it said."""


def run(command, extra=None, cwd="/", quiet=False, limit_s=None):
    """Run a command, pass its output on, and return it; raise Failed when it fails."""
    environment = dict(os.environ, **(extra or {}))
    reply("log", t="$ " + " ".join(command) + "\n")
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd=cwd, env=environment
    )
    timer = threading.Timer(limit_s, process.kill) if limit_s else None
    if timer:
        timer.start()
    kept = []
    for line in process.stdout:
        text = line.decode("utf-8", "replace")
        kept.append(text)
        if not quiet:
            reply("log", t=text[:4000])
    code = process.wait()
    if timer:
        timer.cancel()
    if code != 0:
        reply("log", t="(exit status %d)\n" % code)
        raise Failed("".join(kept[-100:]))
    return "".join(kept)


class Installer:
    """Installs with uv, which lies in the image beside us; with pip where uv does not run."""

    def __init__(self, supply):
        self.environment = {
            "HOME": SECRET + "/home",
            "UV_CACHE_DIR": CACHE + "/uv",
            "PIP_CACHE_DIR": CACHE + "/pip",
            "UV_LINK_MODE": "copy",
            "UV_NO_CONFIG": "1",
            "UV_NO_PROGRESS": "1",
            "UV_PYTHON_DOWNLOADS": "never",
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_INPUT": "1",
            "TMPDIR": CACHE + "/tmp",
        }
        os.makedirs(SECRET + "/home", exist_ok=True)
        os.makedirs(CACHE + "/tmp", exist_ok=True)
        self.environment.update(supply.get("variables", {}))
        for name, content in supply.get("files", {}).items():
            path = "%s/%s" % (SECRET, name)
            with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
                file.write(content)
            variables = ("NETRC",) if name == "netrc" else ("SSL_CERT_FILE", "PIP_CERT", "REQUESTS_CA_BUNDLE")
            self.environment.update(dict.fromkeys(variables, path))
        if "UV_DEFAULT_INDEX" in self.environment:
            self.environment["PIP_INDEX_URL"] = self.environment["UV_DEFAULT_INDEX"]
        if "UV_INDEX" in self.environment:
            addresses = [one.partition("=")[2] or one for one in self.environment["UV_INDEX"].split()]
            self.environment["PIP_EXTRA_INDEX_URL"] = " ".join(addresses)
        self.command = self._uv() or [sys.executable, "-m", "pip", "install", "--no-input"]

    def _uv(self):
        for path in (OURS + "/uv", shutil.which("uv")):
            try:
                if path and subprocess.run([path, "--version"], capture_output=True, timeout=60).returncode == 0:
                    options = ["--python", sys.executable, "--break-system-packages", "--compile-bytecode"]
                    return [path, "pip", "install", *options]
            except (OSError, subprocess.SubprocessError):
                continue
        return None

    def install(self, lines, pins, *options):
        """Install requirements under constraints."""
        command = [*self.command, *options, "-r", self._file("requirements.txt", lines)]
        if pins:
            command += ["-c", self._file("constraints.txt", pins)]
        run(command, self.environment)

    def project(self, path, editable):
        """Install a source tree, without the network and without its dependencies."""
        command = [*self.command, "--no-deps", "--no-index", "--no-build-isolation"]
        command += ["--no-sources"] if "pip" == self.command[1] else []  # of a workspace that is not here
        command += ["-e", path] if editable else [path]
        extra = dict(self.environment, PYTHONPATH=BACKEND, UV_OFFLINE="1")
        run(command, extra)

    @staticmethod
    def _file(name, lines):
        path = "%s/%s" % (SECRET, name)
        with open(path, "w") as file:
            file.write("".join(line + "\n" for line in lines))
        return path


def do_install(request):
    """Install what tests need: everything with the locked versions if that works, else less, in the order given."""
    installer = Installer(request["supply"])
    used, dropped = None, []
    for attempt in request["attempts"]:
        reply("step", t=attempt["name"])
        try:
            installer.install(attempt["lines"], attempt["pins"])
            used = attempt
            break
        except Failed as error:
            if HOPELESS.search(str(error)):
                break
    if used is None:
        return reply("failed", t="install")
    before = installed()
    pins = ["%s==%s" % pair for pair in before.items()]
    for line in used["singles"][:SINGLES]:
        try:
            installer.install([line], pins)
        except Failed:
            dropped.append(line)
    backend = True
    if request["build"]:
        reply("step", t="the build back end")
        try:
            installer.install(request["build"], [], "--target", BACKEND)
        except Failed:
            backend = False
    reply("step", t="caches")
    compile_plugins()
    clean()
    reply("done", attempt=used["name"], dropped=dropped, installed=installed(), backend=backend, **about())


def do_setup(request):
    """Run the user's own command in a copy of the repository."""
    unpack(request, REPOSITORY)
    shell = shutil.which("bash") or "/bin/sh"
    try:
        run([shell, "-e", "-c", request["command"]], {"HOME": SECRET}, cwd=REPOSITORY)
    except Failed:
        return reply("failed", t="setup")
    clean()
    reply("done", installed={}, **about())


def do_project(request):
    """Install the project in place, and folders that it depends on; keep what that makes beside the sources."""
    unpack(request, REPOSITORY)
    for folder in request["siblings"]:
        os.makedirs(os.path.dirname(SIBLINGS + "/" + folder) or SIBLINGS, exist_ok=True)
        shutil.move("%s/.egcfg-siblings/%s" % (REPOSITORY, folder), SIBLINGS + "/" + folder)
    shutil.rmtree(REPOSITORY + "/.egcfg-siblings", ignore_errors=True)
    installer = Installer({"variables": request["variables"]})
    lost = []
    for folder in request["siblings"]:
        try:
            installer.project(SIBLINGS + "/" + folder, False)
        except Failed:
            lost.append(folder)
    made, project = [], True
    if request["editable"]:
        before = set(files_in(REPOSITORY))
        try:
            installer.project(REPOSITORY, True)
        except Failed:
            if not request["last"]:
                return reply("failed", t="project")
            project = False  # told in a note; the sources are on the path all the same
        made = keep([name for name in files_in(REPOSITORY) if name not in before])
    clean()
    reply("done", installed=installed(), made=made, lost=lost, project=project, **about())


def unpack(request, target):
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(request["files"]))) as archive:
        extra = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(target, **extra)


def files_in(root):
    skipped = ("__pycache__", "build", ".git")
    for folder, folders, names in os.walk(root):
        folders[:] = [
            name for name in folders if name not in skipped and not name.endswith((".egg-info", ".dist-info"))
        ]
        for name in names:
            yield os.path.relpath(os.path.join(folder, name), root)


def keep(names):
    """Copy generated files (compiled modules, a _version.py) into the image, from where the host takes them."""
    kept, size = [], 0
    for name in sorted(names):
        path = os.path.join(REPOSITORY, name)
        status = os.lstat(path)
        size += status.st_size
        if (
            not stat.S_ISREG(status.st_mode)
            or name.endswith((".o", ".c", ".cpp", ".pyc", ".lock"))
            or size > MADE_LIMIT
        ):
            continue
        target = os.path.join(MADE, name)
        os.makedirs(os.path.dirname(target), exist_ok=True)
        shutil.copyfile(path, target)
        kept.append(name)
    return kept


def compile_plugins():
    """Let pytest write the rewritten bytecode of its plugins: a later run has a read-only file system."""
    folder = CACHE + "/plugins"
    os.makedirs(folder, exist_ok=True)
    with open(folder + "/test_nothing.py", "w") as file:
        file.write("def test_nothing(): pass\n")
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-s", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder]
    try:
        subprocess.run(command, env=environment, cwd=folder, capture_output=True, timeout=120, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.SubprocessError):
        reply("log", t="pytest could not be tried\n")


def installed():
    """Return name -> version of what a fresh interpreter sees."""
    script = (
        "import json,importlib.metadata as m\n"
        "print(json.dumps({d.metadata['Name']: d.version for d in m.distributions() if d.metadata['Name']}))"
    )
    found = subprocess.run([sys.executable, "-s", "-c", script], capture_output=True, timeout=120, cwd="/")
    try:
        return json.loads(found.stdout)
    except ValueError:
        return {}


def about():
    return {"python": sys.version.split()[0], "tools": [name for name in ("git", "cc", "gcc") if shutil.which(name)]}


def clean():
    """Remove what is no part of the environment but lies in the image."""
    for path in ("/root/.cache", "/tmp/pip-tmp"):
        shutil.rmtree(path, ignore_errors=True)


def serve():
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, 1)
    source = os.fdopen(os.dup(0), "rb")
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.umask(0o022)
    reply("hello", version=sys.version.split()[0], started=time.time())
    request = json.loads(source.readline())
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    try:
        {"install": do_install, "setup": do_setup, "project": do_project}[request["op"]](request)
    except Exception as error:
        reply("log", t="%s: %s\n" % (type(error).__name__, error))
        reply("failed", t="internal")
