"""The harness in bubblewrap; bare on this machine only where the caller says so ("unsafe-local").

bubblewrap gives own user, process, network, mount and IPC name spaces and no capabilities. It gives no memory limit of
its own: where this process may make control groups, one limits memory and processes; elsewhere only rlimits do.
"""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from runners.cold import run_suite
from runners.control_group import ControlGroup
from runners.interpreter import find_interpreter
from runners.runner import (
    Limits,
    RunnerError,
    SandboxUnavailable,
    Session,
    SuiteRequest,
    SuiteRun,
    Target,
    TestRun,
)
from runners.streams import ProcessStream
from runners.variables import variables
from runners.warm import WarmSession
from runners.wire import INTERPRETER_FLAGS, Channel, Hello
from runners.worker import Job
from runners.workspace import Workspace

_INSIDE = "/repo"
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/opt/hostedtoolcache")
_ETC = ("ld.so.cache", "ld.so.conf", "ld.so.conf.d", "alternatives", "localtime", "passwd", "group", "nsswitch.conf")
_ETC_MORE = ("mime.types", "ssl/openssl.cnf", "hosts", "protocols", "services", "timezone")
# Limits itself, then becomes the command after "--"; the files before that take it into a control group. Python code of
# ours may not do this between fork and exec: this process has threads. What sh adds to the environment is taken away.
_LAUNCH = """
while [ "$1" != -- ]; do echo 0 > "$1" || exit; shift; done; shift
ulimit -c 0
ulimit -n 1024 2>/dev/null || :  # where less than that is allowed, less it is
unset PWD OLDPWD SHLVL
exec "$@"
"""


def bubblewrap_works() -> bool:
    """Say whether bwrap is there and may make its name spaces, by running `true` in it."""
    bwrap = shutil.which("bwrap")
    if bwrap is None:
        return False
    try:
        command = [bwrap, *_isolation(), "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev", "true"]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _isolation() -> list[str]:
    return [
        *("--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts", "--unshare-cgroup-try"),
        *("--disable-userns", "--die-with-parent", "--new-session", "--as-pid-1"),
        *("--uid", "10001", "--gid", "10001", "--hostname", "sandbox"),
    ]


def _kernel_settings(proc: Path = Path("/proc")) -> list[str]:
    """Return options that make what /proc holds beside processes read-only.

    The kernel lets the machine's root write most of it without any capability, whatever name space root is in: run by
    root, a sandbox could set core_pattern and so have a program started outside of it.
    """
    options = []
    for path in sorted(proc.iterdir()):
        if path.name.isdigit() or path.is_symlink():  # processes, and links into one's own
            continue
        with suppress(OSError):
            mode = path.lstat().st_mode
            if stat.S_ISDIR(mode) or mode & 0o222:
                options += ["--ro-bind-try", str(path), str(path)]
            elif not mode & 0o044:  # for root alone: timer_list and the like
                options += ["--ro-bind-try", "/dev/null", str(path)]
    return options


class LocalRunner:
    """Runs tests on this machine, in bubblewrap where that works."""

    def __init__(
        self,
        root: Path,
        limits: Limits,
        python: str | None = None,
        unsafe: bool = False,
        pytest_args: Sequence[str] = (),
    ) -> None:
        """Make the copy and find the interpreter. unsafe: go without a sandbox if there is none.

        pytest_args: more arguments for every run of pytest, cold and warm.

        Raises SandboxUnavailable, InterpreterMissing, or RunnerError when the copy is impossible.
        """
        self.isolated = bubblewrap_works()
        if not self.isolated and not unsafe:
            raise SandboxUnavailable(
                "bubblewrap does not work here, so code of the repository cannot be contained.",
                hint="Install bubblewrap (apt-get install bubblewrap), use --runner docker, or accept the risk "
                "with --unsafe-local.",
            )
        self.kind = "bubblewrap" if self.isolated else "unsafe-local"
        self.notes = _unlimited(limits) if self.isolated else []
        self._root, self._limits, self._arguments = Path(root).resolve(), limits, tuple(pytest_args)
        self._interpreter = find_interpreter(self._root, python)
        self._workspace = Workspace(self._root)

    def run_suite(self, request: SuiteRequest) -> SuiteRun:
        """Run tests in a fresh process on a fresh copy of the repository."""
        return run_suite(self._start, self._workspace, self._limits, request.with_args(self._arguments))

    def open_session(
        self, target: Target, node_ids: Sequence[str], guarding: Sequence[str] = (), known: Sequence[TestRun] = ()
    ) -> Session:
        """Start a warm sandbox in which variants of `target` meet `node_ids`, and `guarding` if these pass."""
        job = Job(self._start, self._workspace, self._limits, target, node_ids, self._arguments, guarding, known)
        return WarmSession(job)

    def close(self) -> None:
        """Remove the copies."""
        self._workspace.close()

    def __enter__(self) -> LocalRunner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, overlay: Path | None, *, warm: bool = False) -> LocalSandbox:
        if self.isolated:
            return LocalSandbox(*self._in_bubblewrap(overlay, warm), self._limits, str(self._root), True)
        return LocalSandbox(*self._bare(overlay, warm), self._limits, str(self._root), False)

    def _in_bubblewrap(self, overlay: Path | None, warm: bool) -> tuple[list[str], dict[str, str], str, str]:
        bwrap = shutil.which("bwrap") or "bwrap"
        inside = _INSIDE if not str(self._root).startswith(_INSIDE + "/") else "/egcfg-repo"
        size = str(self._limits.memory_mib << 20)
        command = [bwrap, *_isolation(), "--clearenv", "--proc", "/proc", *_kernel_settings(), "--dev", "/dev"]
        command += ["--size", size, "--tmpfs", "/tmp", *self._visible()]
        if overlay is None:
            command += ["--size", size, "--perms", "0755", "--tmpfs", inside]
        else:
            command += ["--ro-bind", str(overlay), inside]
        environment = _environment("/tmp", self._interpreter.path, warm=warm)
        for name, value in environment.items():
            command += ["--setenv", name, value]
        command += ["--chdir", "/", "--remount-ro", "/", self._interpreter.path, *INTERPRETER_FLAGS]
        return command, {}, inside, "/tmp"

    def _visible(self) -> list[str]:
        options: list[str] = []
        mounted: list[str] = []
        for folder in _SYSTEM:
            if os.path.islink(folder):
                options += ["--symlink", os.readlink(folder), folder]
            elif os.path.isdir(folder):
                options += ["--ro-bind", folder, folder]
                mounted.append(folder)
        for name in (*_ETC, *_ETC_MORE):
            options += ["--ro-bind-try", f"/etc/{name}", f"/etc/{name}"]
        root = str(self._root)
        for folder in sorted({*self._interpreter.folders, *map(os.path.realpath, self._interpreter.folders)}, key=len):
            own_code = folder == root or (folder.startswith(root + "/") and "site-packages" not in folder)
            if folder == str(Path(__file__).parents[1]) and "-packages" not in folder:
                continue  # ours: the tests have no use for it
            if own_code and not folder.startswith(root + "/.venv"):
                continue  # an editable installation: the copy takes its place
            if os.path.exists(folder) and not any(folder == m or folder.startswith(m + "/") for m in mounted):
                options += ["--ro-bind", folder, folder]
                mounted.append(folder)
        return options

    def _bare(self, overlay: Path | None, warm: bool) -> tuple[list[str], dict[str, str], str, str]:
        temporary = self._workspace.temporary()
        inside = overlay if overlay is not None else self._workspace.temporary() / "repo"
        environment = _environment(str(temporary), self._interpreter.path, warm=warm)
        return [self._interpreter.path, *INTERPRETER_FLAGS], environment, str(inside), str(temporary)


def _unlimited(limits: Limits) -> list[str]:
    """Say what cannot be limited for want of control groups."""
    group = ControlGroup.create(limits)
    if group is None:
        return ["No control group may be made here, so the sandbox's memory as a whole is not limited."]
    group.remove()
    return []


def _environment(temporary: str, python: str, *, warm: bool) -> dict[str, str]:
    """Return the whole environment of the sandbox: nothing of the host's comes in."""
    path = f"{os.path.dirname(python)}:/usr/local/bin:/usr/bin:/bin"
    return {"PATH": path, "TMPDIR": temporary, **variables(temporary, warm=warm)}


class LocalSandbox:
    """One process with the harness in it."""

    def __init__(
        self,
        command: list[str],
        environment: dict[str, str],
        root: str,
        tmp: str,
        limits: Limits,
        was: str,
        isolated: bool,
    ) -> None:
        self.root = root
        group = ControlGroup.create(limits)
        try:
            process = subprocess.Popen(
                ["/bin/sh", "-c", _LAUNCH, "sh", *(group.entrances if group else ()), "--", *command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise SandboxUnavailable(f"The sandbox cannot be started: {error}.") from error
        self.channel = Channel(ProcessStream(process, group.remove if group else None))
        try:
            processes = limits.processes if isolated and not group and _counts_processes_per_name_space() else 0
            self.hello: Hello = self.channel.boot(root=root, tmp=tmp, was=was, processes=processes)
        except RunnerError:
            self.channel.close()
            raise

    def close(self) -> None:
        """Kill everything in it."""
        self.channel.close()


def _counts_processes_per_name_space() -> bool:
    """Say whether RLIMIT_NPROC counts only the sandbox's own processes (Linux 5.14), not all of this user's."""
    release = os.uname().release.split(".")
    return (int(release[0]), int("".join(c for c in release[1] if c.isdigit()) or 0)) >= (5, 14)
