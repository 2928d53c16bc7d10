"""Bodies that end, kill, outlive or imitate processes, and bodies that reach for what is outside of the container."""

from __future__ import annotations

import pytest

from tests.attacks.arena import Arena, Attack

pytestmark = pytest.mark.docker

ENDINGS = (
    Attack("os._exit", "import os\nos._exit(0)", "crashed"),
    Attack("os.abort", "import os\nos.abort()", "crashed"),
    Attack("segmentation fault", "import ctypes\nctypes.string_at(0)", "crashed"),
    Attack("exec of true", "import os\nos.execv('/bin/true', ['true'])", "crashed"),
    Attack("SystemExit", "raise SystemExit(0)", "failed crashed"),
    Attack("KeyboardInterrupt", "raise KeyboardInterrupt", "failed crashed missing timeout"),
    Attack("a BaseException", "class Odd(BaseException):\n    pass\nraise Odd", "failed crashed"),
    Attack("GeneratorExit", "raise GeneratorExit", "failed crashed"),
    Attack("pytest.exit", "import pytest\npytest.exit('', returncode=0)", "failed crashed missing timeout"),
    Attack("pytest.skip", "import pytest\npytest.skip('')", "skipped failed"),
    Attack("pytest.xfail", "import pytest\npytest.xfail('')", "xfailed failed"),
    Attack("unittest.SkipTest", "import unittest\nraise unittest.SkipTest('')", "skipped failed"),
    Attack(
        "atexit that waits",
        "import atexit, time\natexit.register(time.sleep, 60)\nraise ValueError('now')",
        "failed",
        "now",
    ),
)

SIGNALS = (
    Attack("kills process 1", "import os\nos.kill(1, 9)\nreturn 0", "failed"),
    Attack(
        "every signal to process 1",
        "import os\nfor s in range(1, 65):\n    try: os.kill(1, s)\n    except OSError: pass\nreturn 0",
        "failed",
    ),
    Attack("kills its parent", "import os\nos.kill(os.getppid(), 9)", "failed", "PermissionError"),
    Attack("stops its parent", "import os\nos.kill(os.getppid(), 19)", "failed", "PermissionError"),
    Attack("kills everybody", "import os\nos.kill(-1, 9)", "failed", "PermissionError"),
    Attack(
        "joins its parent's group and kills it",
        "import os\nos.setpgid(0, os.getpgid(os.getppid()))\nos.killpg(0, 9)",
        "failed",
        "PermissionError",
    ),
    Attack(
        "limits its parent",
        "import os, resource\nresource.prlimit(os.getppid(), resource.RLIMIT_CPU, (0, 0))",
        "failed",
        "PermissionError",
    ),
    Attack(
        "signals its parent through its folder",
        "import os, signal\nfd = os.open(f'/proc/{os.getppid()}', os.O_RDONLY)\nsignal.pidfd_send_signal(fd, 19)",
        "failed",
        "PermissionError",
    ),
    Attack(
        "kills and stops every other process",
        """
        import os
        for number in (19, 9):
            for name in os.listdir('/proc'):
                if name.isdigit() and int(name) != os.getpid():
                    try:
                        os.kill(int(name), number)
                    except OSError:
                        pass
        return 0
        """,
        "failed crashed missing timeout",
    ),
    Attack("kills its group", "import os\nos.killpg(0, 9)", "crashed"),
    Attack("stops itself", "import os\nos.kill(os.getpid(), 19)", "timeout"),
    Attack(
        "ignores every signal",
        """
        import signal, time
        for s in range(1, 65):
            try:
                signal.signal(s, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        time.sleep(100)
        """,
        "timeout",
    ),
    Attack("an alarm that has no handler", "import signal, time\nsignal.alarm(1)\ntime.sleep(100)", "crashed timeout"),
)

SURVIVORS = (
    Attack(
        "a daemon",
        """
        import os, time
        if os.fork() == 0:
            os.setsid()
            if os.fork():
                os._exit(0)
            time.sleep(1000)
            os._exit(0)
        return 0
        """,
        "failed",
    ),
    Attack(
        "a thread that outlives its test",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,), daemon=True).start()\nreturn 0",
        "failed",
    ),
    Attack(
        "a thread that keeps the process",
        "import threading, time\nthreading.Thread(target=time.sleep, args=(1000,)).start()\nreturn 0",
        "failed timeout",
    ),
    Attack(
        "a child that holds the pipe",
        """
        import os, time
        if os.fork() == 0:
            time.sleep(1000)
        return 0
        """,
        "failed timeout crashed",
    ),
    Attack("a file left behind", "open('/tmp/left', 'w').close()\nreturn 0", "failed"),
    Attack(
        "a folder that cannot be read",
        "import os\nos.makedirs('/tmp/a/b/c')\nos.chmod('/tmp/a/b', 0)\nos.chmod('/tmp/a', 0)\nreturn 0",
        "failed",
    ),
    Attack(
        "a link to everything",
        "import os\nos.symlink('/', '/tmp/link')\nos.symlink('/tmp', '/tmp/self')\nreturn 0",
        "failed",
    ),
    Attack(
        "a socket and a pipe",
        "import os, socket\nos.mkfifo('/tmp/fifo')\nsocket.socket(socket.AF_UNIX).bind('/tmp/socket')\nreturn 0",
        "failed",
    ),
)

OUTSIDE = (
    Attack("TCP", "import socket\nsocket.create_connection(('192.0.2.1', 80), 1)", "failed", "OSError"),
    Attack("the gateway", "import socket\nsocket.create_connection(('172.17.0.1', 22), 1)", "failed", "OSError"),
    Attack("UDP", "import socket\nsocket.socket(2, 2).sendto(b'x', ('192.0.2.1', 53))", "failed", "OSError"),
    Attack("names", "import socket\nsocket.getaddrinfo('example.org', 80)", "failed", "gaierror"),
    Attack("Docker's socket", "import socket\nsocket.socket(1).connect('/var/run/docker.sock')", "failed"),
    Attack("the server's environment", "open('/proc/1/environ').read()", "failed", "PermissionError"),
    Attack("the server's memory", "open('/proc/1/mem', 'r+b')", "failed", "PermissionError"),
    Attack("the server's descriptors", "import os\nos.listdir('/proc/1/fd')", "failed", "PermissionError"),
    Attack("the zygote's memory", "import os\nopen(f'/proc/{os.getppid()}/mem', 'r+b')", "failed", "PermissionError"),
    Attack(
        "ptrace",
        "import ctypes, os\nassert ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0) == 0, 'refused'",
        "failed",
        "refused",
    ),
    Attack(
        "a descriptor of the server",
        "import ctypes, os\nfd = os.pidfd_open(1)\nassert ctypes.CDLL(None).syscall(438, fd, 0, 0) >= 0, 'refused'",
        "failed",
        "refused",
    ),
    Attack(
        "a name space of its own",
        "import ctypes\nassert ctypes.CDLL(None).unshare(0x10000000) == 0, 'refused'",
        "failed",
        "refused",
    ),
    Attack(
        "mount",
        "import ctypes\nassert not ctypes.CDLL(None).mount(b'/', b'/tmp', b'', 4096, None), 'refused'",
        "failed",
        "refused",
    ),
    Attack("setuid", "import os\nos.setuid(0)", "failed", "Error: [Errno"),
    Attack("mknod", "import os\nos.mknod('/tmp/disk', 0o060666, os.makedev(8, 0))", "failed", "PermissionError"),
    Attack("chroot", "import os\nos.chroot('/tmp')", "failed", "PermissionError"),
    Attack(
        "a set-user-id copy of a shell",
        "import os, shutil\nshutil.copy('/bin/sh', '/tmp/sh')\nos.chown('/tmp/sh', 0, 0)",
        "failed",
        "Error: [Errno",
    ),
    Attack("sysrq", "open('/proc/sysrq-trigger', 'w')", "failed", "Error"),
    Attack("kcore", "open('/proc/kcore', 'rb').read(1)", "failed"),
    Attack("the kernel's settings", "open('/proc/sys/kernel/core_pattern', 'w')", "failed", "OSError"),
    Attack(
        "control groups",
        "import glob\nfor path in glob.glob('/sys/fs/cgroup/**/cgroup.procs', recursive=True):\n    open(path, 'w')",
        "failed",
    ),
    Attack("release agent", "import os\nopen('/sys/fs/cgroup/release_agent', 'w')", "failed"),
    Attack(
        "its own priority in memory",
        "import os\nos.write(os.open('/proc/self/oom_score_adj', 1), b'-1000')",
        "failed",
        "PermissionError",
    ),
    Attack("the password file", "open('/etc/shadow').read()", "failed"),
)


@pytest.mark.parametrize("attack", ENDINGS + SIGNALS + SURVIVORS, ids=lambda attack: attack.name)
def test_however_a_body_ends_or_stays_the_next_one_starts_afresh(docker_arena: Arena, attack: Attack) -> None:
    docker_arena.meet(attack)


@pytest.mark.parametrize("attack", OUTSIDE, ids=lambda attack: attack.name)
def test_what_reaches_out_of_the_container_is_refused(docker_arena: Arena, attack: Attack) -> None:
    docker_arena.meet(attack)


def test_what_one_body_left_behind_is_not_there_for_the_next(docker_arena: Arena) -> None:
    for attack in (one for one in SURVIVORS if one.name in ("a daemon", "a file left behind", "a link to everything")):
        docker_arena.meet(attack)
    look = "import os\nraise ValueError(os.listdir('/tmp'), sum(name.isdigit() for name in os.listdir('/proc')) < 10)"
    run = docker_arena.meet(Attack("looks", look, "failed"))
    assert "left" not in run.message
    assert "link" not in run.message
    assert "True" in run.message
