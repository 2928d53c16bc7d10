"""Bodies that use up whatever there is: processes, threads, memory, disk, inodes, descriptors, output, time."""

from __future__ import annotations

import pytest

from tests.attacks.arena import Arena, Attack

pytestmark = pytest.mark.docker

ATTACKS = (
    Attack("fork bomb", "import os\nwhile True:\n    os.fork()", "failed crashed timeout"),
    Attack(
        "fork bomb that swallows errors",
        "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass",
        "timeout crashed",
    ),
    Attack(
        "thread bomb",
        "import threading, time\nwhile True:\n    threading.Thread(target=time.sleep, args=(9,), daemon=True).start()",
        "failed crashed timeout",
    ),
    Attack("descriptors", "import os\nwhile True:\n    os.dup(0)", "failed", "OSError"),
    Attack("ten gigabytes at once", "return len(bytearray(10 ** 10))", "failed crashed timeout"),
    Attack("a list that grows", "x = []\nwhile True:\n    x.append(' ' * 10 ** 7)", "failed crashed timeout"),
    Attack(
        "a list that grows and swallows MemoryError",
        "x = []\nwhile True:\n    try:\n        x.append(bytearray(10 ** 7))\n    except MemoryError:\n        pass",
        "crashed timeout",
    ),
    Attack(  # killing twenty takes so much processor time that the kernel halts the container for up to half a minute
        "many processes with memory",
        """
        import os, time
        for _ in range(4):
            if os.fork() == 0:
                x = bytearray(300 << 20)
                for place in range(0, len(x), 4096):
                    x[place] = 1
                time.sleep(60)
        time.sleep(60)
        """,
        "crashed timeout failed",
    ),
    Attack(
        "one large file",
        "with open('/tmp/large', 'wb') as f:\n    while True:\n        f.write(bytes(1 << 20))",
        "failed crashed",
    ),
    Attack(
        "many files of the largest size",
        """
        n = 0
        while True:
            with open(f'/tmp/many-{n}', 'wb') as f:
                f.write(bytes(15 << 20))
            n += 1
        """,
        "failed crashed",
    ),
    Attack(
        "inodes",
        "import os\nn = 0\nwhile True:\n    os.close(os.open(f'/tmp/inode-{n}', os.O_CREAT))\n    n += 1",
        "failed timeout crashed",
    ),
    Attack("shared memory", "open('/dev/shm/x', 'wb').write(bytes(64 << 20))", "failed crashed"),
    Attack("the root folder", "open('/x', 'wb')", "failed", "OSError"),
    Attack("output through print", "while True:\n    print('x' * 10 ** 6)", "timeout failed crashed"),
    Attack(
        "output through descriptor 1", "import os\nwhile True:\n    os.write(1, b'x' * 65536)", "timeout crashed failed"
    ),
    Attack("a loop", "while True:\n    pass", "timeout"),
    Attack("a loop in C", "import itertools\nreturn sum(itertools.repeat(1))", "timeout"),
    Attack("one long computation", "return 10 ** 10 ** 9", "timeout crashed failed"),
    Attack("backtracking", "import re\nre.match('(a*)*b', 'a' * 64)", "timeout"),
    Attack("sleep", "import time\ntime.sleep(10 ** 6)", "timeout"),
    Attack("a pipe that nobody writes to", "import os\nreturn os.read(os.pipe()[0], 1)", "timeout"),
    Attack("a message of 200 megabytes", "raise ValueError('x' * (200 << 20))", "failed crashed"),
    Attack("a result of great depth", "x = []\nfor _ in range(10 ** 5):\n    x = [x]\nreturn x", "failed crashed"),
    Attack("recursion", "return target(x)", "failed", "RecursionError"),
    Attack(
        "a text that never ends",
        """
        class Endless(Exception):
            def __str__(self):
                while True:
                    pass
            __repr__ = __str__
        raise Endless
        """,
        "timeout failed",
    ),
    Attack("a limit raised", "import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, (-1, -1))", "failed"),
)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.name)
def test_what_uses_up_a_resource_ends_with_its_limit_and_the_next_body_finds_all_of_it(
    docker_arena: Arena, attack: Attack
) -> None:
    docker_arena.meet(attack)
