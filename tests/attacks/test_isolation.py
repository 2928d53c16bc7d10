"""Every option of the container, read off from inside it: what the engine was asked for is what holds."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import docker
import pytest

from runners.docker import DockerRunner, sweep
from runners.runner import DockerUnavailable
from tests.attacks.arena import LIMITS, Arena, source

pytestmark = pytest.mark.docker

PROBE = """
    import ctypes, errno, json, os, resource, socket, sys
    def tried(act, *arguments):
        try:
            act(*arguments)
            return "done"
        except OSError as error:
            return errno.errorcode.get(error.errno, str(error))
    def read(path):
        try:
            with open(path) as file:
                return file.read().strip()
        except OSError:
            return ""
    def write(path):
        with open(path, "w") as file:
            file.write("x")
    def room(path):
        stat = os.statvfs(path)
        return [stat.f_blocks * stat.f_frsize >> 20, stat.f_files]
    library = ctypes.CDLL(None, use_errno=True)
    def call(number):
        library.syscall(number, 0, 0, 0, 0, 0)
        return errno.errorcode.get(ctypes.get_errno())
    status = dict(line.split(":", 1) for line in read("/proc/self/status").splitlines())
    mounts = {line.split()[1]: line.split()[2:4] for line in read("/proc/mounts").splitlines()}
    group = "/sys/fs/cgroup"
    found = {
        "uid": [os.getuid(), os.geteuid(), os.getgid(), os.getgroups()],
        "caps": sorted({status["Cap" + name].strip().strip("0") for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}),
        "no_new_privs": status["NoNewPrivs"].strip(),
        "seccomp": [status["Seccomp"].strip(), status.get("Seccomp_filters", "2").strip()],
        "interfaces": [name for _, name in socket.if_nameindex()],
        "connect": tried(socket.create_connection, ("192.0.2.1", 80), 2),
        "resolve": tried(socket.getaddrinfo, "example.org", 80) not in ("done",),
        "write": {path: tried(write, path) for path in (
            "/repo/x", "/x", "/usr/x", "/etc/passwd", "/dev/x", "/sys/x", "/proc/sys/kernel/hostname", "/root/x")},
        "socket": [path for path in ("/var/run/docker.sock", "/run/docker.sock", "/.egcfg") if os.path.exists(path)],
        "environment": sorted(os.environ),
        "secret": [p for p in os.listdir("/proc") if p.isdigit() and "PLANTED" in read(f"/proc/{p}/environ")],
        "pids": read(group + "/pids/pids.max") or read(group + "/pids.max"),
        "memory": read(group + "/memory/memory.limit_in_bytes") or read(group + "/memory.max"),
        "swap": read(group + "/memory/memory.memsw.limit_in_bytes") or read(group + "/memory.swap.max"),
        "cpu": read(group + "/cpu/cpu.cfs_quota_us").split() + read(group + "/cpu/cpu.cfs_period_us").split()
            or read(group + "/cpu.max").split(),
        "file": resource.getrlimit(resource.RLIMIT_FSIZE),
        "files": resource.getrlimit(resource.RLIMIT_NOFILE),
        "core": resource.getrlimit(resource.RLIMIT_CORE),
        "tmp": [*room("/tmp"), mounts["/tmp"][0], *sorted({"nosuid", "nodev"} & set(mounts["/tmp"][1].split(",")))],
        "shm": room("/dev/shm")[0] if os.path.isdir("/dev/shm") else 0,
        "repo": ["ro" in mounts["/repo"][1].split(",")],
        "git": os.path.exists("/repo/.git"),
        "hostname": socket.gethostname(),
        "devices": sorted(set(os.listdir("/dev")) & {"sda", "vda", "kmsg", "mem", "kvm", "fuse", "nvidia0"}),
        "pid1": [tried(os.listdir, "/proc/1/fd"), tried(write, "/proc/1/mem"), tried(os.readlink, "/proc/1/exe")],
        "calls": {name: call(number) for name, number in (CALLS)},
        "processes": len([p for p in os.listdir("/proc") if p.isdigit()]) < 10,
    }
    raise ValueError(json.dumps(found, separators=(",", ":")))
"""
NUMBERS = {
    "x86_64": (425, 321, 298, 323, 250, 272, 165, 101, 438),
    "aarch64": (425, 280, 241, 282, 219, 97, 40, 117, 438),
}
NAMES = (
    "io_uring_setup",
    "bpf",
    "perf_event_open",
    "userfaultfd",
    "keyctl",
    "unshare",
    "mount",
    "ptrace",
    "pidfd_getfd",
)


@pytest.fixture(scope="module")
def inside(docker_arena: Arena) -> dict[str, Any]:
    """What a body sees of the container it runs in; in two halves, since a message is cut at 2,000 characters."""
    os.environ["PLANTED_TOKEN"] = "secret"
    try:
        calls = list(zip(NAMES, NUMBERS[os.uname().machine], strict=True))
        body = PROBE.replace("(CALLS)", repr(calls))
        halves = [
            docker_arena.session.execute(
                [source(body.replace("json.dumps(found", f"json.dumps(dict(sorted(found.items())[{part}])"))]
            )[0]
            .runs[0]
            .message
            for part in (":15", "15:")
        ]
    finally:
        del os.environ["PLANTED_TOKEN"]
    return {key: value for half in halves for key, value in json.loads(half.partition("ValueError: ")[2]).items()}


def test_there_is_no_root_and_no_way_to_become_it(inside: dict[str, Any]) -> None:
    assert inside["uid"] == [10001, 10001, 10001, [10001]] or inside["uid"] == [10001, 10001, 10001, []]
    assert inside["caps"] == [""]
    assert inside["no_new_privs"] == "1"
    assert inside["seccomp"][0] == "2"
    assert int(inside["seccomp"][1]) >= 2  # the engine's and ours


def test_system_calls_that_kernels_had_holes_in_are_denied(inside: dict[str, Any]) -> None:
    assert inside["calls"] == {name: "ENOSYS" if name.startswith("io_uring") else "EPERM" for name in NAMES}


def test_there_is_no_network(inside: dict[str, Any]) -> None:
    assert inside["interfaces"] == ["lo"]
    assert inside["connect"] in ("ENETUNREACH", "EHOSTUNREACH")
    assert inside["resolve"] is True


def test_nothing_but_the_temporary_folder_can_be_written(inside: dict[str, Any]) -> None:
    assert set(inside["write"].values()) <= {"EROFS", "EACCES", "EPERM", "ENOENT"}, inside["write"]
    assert inside["write"]["/repo/x"] == "EROFS"
    assert inside["repo"] == [True]
    size, inodes, kind, *flags = inside["tmp"]
    assert (size, inodes, kind, flags) == (LIMITS.memory_mib // 2, 200_000, "tmpfs", ["nodev", "nosuid"])
    assert inside["shm"] == 16
    assert inside["devices"] == []


def test_memory_processes_processor_time_and_files_are_limited(inside: dict[str, Any]) -> None:
    assert inside["pids"] == str(LIMITS.processes)
    assert inside["memory"] == str(LIMITS.memory_mib << 20)
    assert inside["swap"] in (str(LIMITS.memory_mib << 20), "0")
    quota, period = map(int, inside["cpu"])
    assert quota / period == LIMITS.cpus
    assert inside["file"] == [LIMITS.file_mib << 20] * 2
    assert inside["files"] == [1024, 1024]
    assert inside["core"] == [0, 0]


def test_nothing_of_the_host_is_to_be_seen(inside: dict[str, Any], docker_arena: Arena) -> None:
    assert inside["socket"] == []
    assert inside["secret"] == []
    assert inside["git"] is False
    assert inside["hostname"] == "sandbox"
    assert inside["processes"] is True
    ours = {"HOME", "HOSTNAME", "LANG", "USER", "LOGNAME", "PYTHONDONTWRITEBYTECODE", "PYTHONHASHSEED"}
    ours |= {"OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"}
    runner = cast(DockerRunner, docker_arena.runner)
    config = runner._client.api.inspect_image(runner.image)["Config"]
    images = {pair.partition("=")[0] for pair in config["Env"]}
    pytests = {"PYTEST_CURRENT_TEST", "PYTEST_VERSION", "LC_CTYPE", "PWD"}
    assert set(inside["environment"]) - ours - images - pytests == set()


def test_the_server_is_closed_to_its_children(inside: dict[str, Any]) -> None:
    assert set(inside["pid1"]) <= {"EACCES", "EPERM"}


def test_a_runtime_that_the_engine_lists_is_used_and_told_and_another_is_an_error(attacked_root: Path) -> None:
    client = docker.from_env()
    try:
        listed = client.info()["Runtimes"]
        chosen = "runsc" if "runsc" in listed else next(name for name in listed if name.startswith(("runc", "io.")))
        with DockerRunner(attacked_root, LIMITS, runtime=chosen) as runner:
            assert any(chosen in note for note in runner.notes)
            sandbox = runner._start(None)
            try:
                name = next(iter(runner._containers))
                assert client.api.inspect_container(name)["HostConfig"]["Runtime"] == chosen
            finally:
                sandbox.close()
    finally:
        client.close()
    with pytest.raises(DockerUnavailable, match="no runtime 'egcfg-none'"):
        DockerRunner(attacked_root, LIMITS, runtime="egcfg-none")


@pytest.fixture
def abandoned() -> Iterator[tuple[Any, str, str]]:
    """A container whose owner is a process that has ended, and one whose owner is this process."""
    client = docker.from_env()
    made = []
    image = os.environ.get("EGCFG_BASE_IMAGE", "python:3.11-slim")
    import socket

    from runners.leftovers import owner

    for name in (f"{socket.gethostname()}/2147483000-1", owner()):
        labels = {"egcfg-fix.sandbox": "1", "egcfg-fix.owner": name}
        made.append(client.api.create_container(image, command=["true"], labels=labels)["Id"])
    yield client, made[0], made[1]
    for name in made:
        try:
            client.api.remove_container(name, force=True)
        except docker.errors.NotFound:
            continue
    client.close()


def test_a_sweep_removes_what_a_dead_process_left_and_nothing_else(abandoned: tuple[Any, str, str]) -> None:
    client, dead, alive = abandoned
    sweep(client)
    names = {one["Id"] for one in client.api.containers(all=True, filters={"label": "egcfg-fix.sandbox"})}
    assert dead not in names
    assert alive in names
