"""The half of a runner that lives in the sandbox: one file, standard library only, Python 3.9 syntax.

Requests: JSON lines on stdin. Replies: a private copy of stdout; descriptors 1 and 2 then point at a file, so
nothing a test prints can forge a reply. Keeps its own `open` and clock, since tests patch them. Imports the
target's pytest late and nothing of ours ever. Not a security boundary: the container around it is.

Four kinds of process, each forked from the one before, so that no candidate ever runs in one that lives on:
server (this module only) > suite child (one cold pytest run);
server > import zygote (pytest, no code of the repository) > one child per execution;
import zygote > swap zygote (conftest, tests and repository imported) > one child per execution.
Importing this module has no effect; `instrument` and `Recorder` are used outside of the sandbox too.
"""

# mypy: ignore-errors

import ast
import base64
import builtins
import collections
import contextlib
import datetime
import decimal
import enum
import errno
import fractions
import gc
import importlib
import importlib.machinery
import importlib.metadata
import importlib.util
import io
import itertools
import json
import mmap
import os
import resource
import select
import shutil
import signal
import socket
import stat
import struct
import sys
import tarfile
import threading
import time
import types
import warnings

PROTOCOL = 1
MESSAGE_CHARS = 2000
SCALAR_CHARS = 40
VALUE_CHARS = 200
EVENT_CHARS = 2000
TAPE_BYTES = 4 << 20
FRAME_BYTES = 1 << 20  # one line of a child
STREAM_BYTES = 256 << 20  # all lines of a child
MAX_STEPS = 2_000_000
RUNAWAY_STATUS = 77
FRONTIER = "__egcfg_frontier__"
SENTINEL = "__egcfg_sentinel__"
ASK = "__egcfg_ask__"

_open, _monotonic, _sleep, _getframe = open, time.monotonic, time.sleep, sys._getframe
_fork, _exit, _kill, _write, _read = os.fork, os._exit, os.kill, os.write, os.read

# --- tracing: what a function did, as text that no code of the repository helps to write ---------------------------

_class_name = type.__dict__["__name__"].__get__
_class_mro = type.__dict__["__mro__"].__get__
_class_dict = type.__dict__["__dict__"].__get__
_PLAIN = (bool, type(None), float, complex, range, decimal.Decimal, fractions.Fraction, datetime.date)
_PLAIN_TYPES = frozenset((*_PLAIN, datetime.datetime, datetime.time, datetime.timedelta, type(Ellipsis), slice))
_SEQUENCES = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}"), frozenset: ("frozenset({", "})")}
_MAPPINGS = {dict: "", collections.OrderedDict: "OrderedDict", collections.defaultdict: "defaultdict"}
_MAPPINGS[collections.Counter] = "Counter"
_ITEMS = 6
_UNINTERESTING = (types.FunctionType, types.ModuleType, types.BuiltinFunctionType, type)


def safe_repr(value, depth=2):
    """Return a short text for `value` by its exact type; no method of a user's class ever runs."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bytearray:
        text = repr(value if len(value) <= SCALAR_CHARS else value[:SCALAR_CHARS])
        return text if len(text) <= SCALAR_CHARS and len(value) <= SCALAR_CHARS else text[: SCALAR_CHARS - 2] + ".."
    if kind is int:
        bits = value.bit_length()
        return "<int %d bits>" % bits if bits > 200 else _cut(repr(value), SCALAR_CHARS)
    if kind in _PLAIN_TYPES:
        if kind is slice:
            return "slice(%s)" % ", ".join(safe_repr(part, 0) for part in (value.start, value.stop, value.step))
        if kind is decimal.Decimal or kind is fractions.Fraction:
            return _cut(kind.__repr__(value), SCALAR_CHARS) if sys.getsizeof(value) < 400 else "<%s>" % kind.__name__
        if getattr(value, "tzinfo", None) is not None:  # the repr of a zone is the zone's own code
            return _cut(kind.__repr__(value.replace(tzinfo=None)), SCALAR_CHARS)
        return _cut(kind.__repr__(value), SCALAR_CHARS)
    if kind in _SEQUENCES or kind is collections.deque:
        return _sequence(value, kind, depth)
    if kind in _MAPPINGS:
        return _mapping(value, kind, depth)
    if issubclass(kind, BaseException):
        return _exception(value, kind, depth)
    if isinstance(value, type):
        return "<class %s>" % _class_name(value)
    return _other(value, kind, depth)


def _cut(text, limit):
    return text if len(text) <= limit else text[: limit - 2] + ".."


def _sequence(value, kind, depth):
    left, right = _SEQUENCES.get(kind, ("deque([", "])"))
    if not value:
        return left + right if kind in (list, tuple, collections.deque) else kind.__name__ + "()"
    if depth <= 0:
        return left + ".." + right
    shown = [safe_repr(item, depth - 1) for item in _first(value)]
    if kind is set or kind is frozenset:
        shown.sort()  # the order of a set depends on the hash seed
    more = ", .. %d in all" % len(value) if len(value) > _ITEMS else "," if kind is tuple and len(value) == 1 else ""
    return _cut(left + ", ".join(shown) + more + right, VALUE_CHARS)


def _mapping(value, kind, depth):
    name = _MAPPINGS[kind]
    left, right = ("%s({" % name, "})") if name else ("{", "}")
    if depth <= 0 and value:
        return left + ".." + right
    items = ((safe_repr(key, depth - 1), safe_repr(item, depth - 1)) for key, item in _first(dict.items(value)))
    more = ", .. %d in all" % len(value) if len(value) > _ITEMS else ""
    return _cut(left + ", ".join("%s: %s" % item for item in items) + more + right, VALUE_CHARS)


def _first(values):
    found = []
    for item in values:
        if len(found) == _ITEMS:
            break
        found.append(item)
    return found


def _exception(value, kind, depth):
    if kind.__module__ != "builtins":
        return _class_name(kind)
    args = ", ".join(safe_repr(arg, depth - 1) for arg in value.args[:3])
    return _cut("%s(%s)" % (kind.__name__, args), VALUE_CHARS)


def _other(value, kind, depth):
    name = _class_name(kind)
    if type(kind) is enum.EnumMeta:
        member = next((text for attribute, text in _attributes(value) if attribute == "_name_"), None)
        return "%s.%s" % (name, member) if type(member) is str else "<%s>" % name
    numpy = sys.modules.get("numpy")
    if numpy is not None and kind is getattr(numpy, "ndarray", None):
        first = ", ".join(safe_repr(item, 0) for item in value.ravel()[:_ITEMS].tolist())
        return _cut("array(%s %s [%s])" % (value.shape, value.dtype, first), VALUE_CHARS)
    if numpy is not None and getattr(kind, "__module__", "") == "numpy" and hasattr(kind, "item"):
        return safe_repr(value.item(), 0)
    if depth < 2:
        return "<%s>" % name
    shown = ["%s=%s" % (key, safe_repr(item, 0)) for key, item in _attributes(value)[:_ITEMS]]
    return _cut("%s(%s)" % (name, ", ".join(shown)), VALUE_CHARS) if shown else "<%s>" % name


_readers = {}


def _attributes(value):
    """Return (name, value) of the attributes stored in an object itself, without running any code of its class."""
    kind = type(value)
    readers = _readers.get(kind)
    if readers is None:
        found = {}
        for base in _class_mro(kind):
            for name, member in _class_dict(base).items():
                if name == "__dict__" or type(member) is types.MemberDescriptorType:
                    found.setdefault(name, member)
        readers = _readers[kind] = [
            (name, member)
            for name, member in found.items()
            if type(member) in (types.GetSetDescriptorType, types.MemberDescriptorType)
        ]
    pairs = []
    for name, member in readers:
        try:
            stored = member.__get__(value)
        except AttributeError:
            continue
        if name == "__dict__":
            pairs.extend((key, item) for key, item in list(stored.items()) if type(key) is str)
        else:
            pairs.append((name, stored))
    return pairs


def visible_values(frame):
    """Return {name: text} of a frame's variables, and of the attributes of its first argument `self`."""
    code, local = frame.f_code, frame.f_locals
    values = {}
    for name, value in local.items():
        if name[:1] in ".@_" and (name[:1] != "_" or name.startswith("__")):
            continue
        if name == "self" and code.co_argcount and code.co_varnames[0] == "self":
            attributes = _attributes(value)
            for attribute, item in attributes[:20]:
                if not isinstance(item, _UNINTERESTING):
                    values["self." + attribute] = safe_repr(item)
            if attributes:
                continue
        if not isinstance(value, _UNINTERESTING):
            values[name] = safe_repr(value)
    return values


class Recorder:
    """Turns calls of the probes that `instrument` inserts into events (kind, line, depth, [[name, text], ...]).

    emit: receives each event. budget: events recorded; afterwards only endings, then nothing. steps: probe calls
    until `runaway` is called, which is expected not to return.
    """

    def __init__(self, emit, budget=300, steps=MAX_STEPS, runaway=None):
        self.emit, self.budget, self.steps, self.runaway = emit, budget, steps, runaway
        self.reset()

    def reset(self):
        """Start afresh, as for the next test."""
        self.left, self.closing, self.count, self.cut, self.frames = self.budget, 40, 0, False, {}

    def probes(self):
        """Return the names that instrumented code calls; they go into its globals or into builtins."""
        return {
            "__egcfg_c__": self._enter,
            "__egcfg_t__": self._line,
            "__egcfg_r__": self._return,
            "__egcfg_e__": self._end,
            "__egcfg_y__": self._yield,
            "__egcfg_x__": self._raise,
        }

    def _enter(self):
        if self.left <= 0:
            return
        frame, depth = _getframe(1), 0
        above = frame.f_back
        while above is not None:
            depth += id(above) in self.frames
            above = above.f_back
        self.frames[id(frame)] = (min(depth, 50), {})

    def _line(self, line):
        self.count += 1
        if self.left > 0:
            self._record("line", line, _getframe(1), None)
        elif self.count > self.steps and self.runaway is not None:
            self.cut = True
            self.runaway()
        else:
            self.cut = True

    def _return(self, line, value):
        if self.left > 0 or self.closing > 0:
            self._record("return", line, _getframe(1), [["return", safe_repr(value)]])
            self.frames.pop(id(_getframe(1)), None)
        return value

    def _end(self, line):
        if self.left > 0 or self.closing > 0:
            self._record("return", line, _getframe(1), [["return", "None"]])
            self.frames.pop(id(_getframe(1)), None)

    def _yield(self, line, value):
        if self.left > 0:
            self._record("yield", line, _getframe(1), [["yield", safe_repr(value)]])
        return value

    def _raise(self):
        kind, error, trace = sys.exc_info()
        frame = _getframe(1)
        if kind is GeneratorExit or getattr(kind, "__egcfg__", False) is True:
            return
        if self.left > 0 or self.closing > 0:
            line = trace.tb_lineno if trace is not None else None  # None also for code without lines of its own
            line = line or frame.f_lineno or frame.f_code.co_firstlineno
            self._record("raise", line, frame, [["raise", safe_repr(error)]])
        self.frames.pop(id(frame), None)

    def frontier(self, frame):
        """Record where an unfinished body ends, with all its variables."""
        depth = self.frames.get(id(frame), (0, {}))[0]
        line = frame.f_lineno or frame.f_code.co_firstlineno
        self._emit("frontier", line, depth, sorted_values(visible_values(frame)))

    def _record(self, kind, line, frame, ending):
        if self.left > 0:
            self.left -= 1
        else:
            self.cut = True
            self.closing -= 1
        depth, known = self.frames.get(id(frame)) or self.frames.setdefault(id(frame), (0, {}))
        now = visible_values(frame)
        changed = [[name, text] for name, text in now.items() if known.get(name) != text]
        known.update(now)
        self._emit(kind, line, depth, (ending or []) + changed)

    def _emit(self, kind, line, depth, values):
        room, kept = EVENT_CHARS, []
        for name, text in values:
            room -= len(name) + len(text)
            if room < 0:
                self.cut = True
                break
            kept.append([name, text])
        if kind == "yield":
            kept = [["return", text] if name == "yield" else [name, text] for name, text in kept]
        self.emit((kind, line, depth, kept))


def sorted_values(values):
    return [[name, text] for name, text in values.items()]


def instrument(source, qualname, first_line):
    """Return the module of `source` with probes in the function `qualname` whose code starts at `first_line`.

    Raises SyntaxError, or LookupError when there is no such function.
    """
    tree = ast.parse(source)
    instrument_tree(tree, qualname, first_line)
    return tree


def instrument_tree(tree, qualname, first_line):
    """Insert the probes into a parsed module, in place."""
    _instrument_function(find_function(tree, qualname, first_line)[-1])
    ast.fix_missing_locations(tree)


def find_function(tree, qualname, first_line):
    """Return the chain of classes and functions that leads to a function, itself last; raise LookupError."""

    def search(node, prefix, chain):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                name = prefix + child.name
                here = [*chain, child]
                if isinstance(child, ast.ClassDef):
                    found = search(child, name + ".", here)
                elif name == qualname and _first_line(child) == first_line:
                    return here
                else:
                    found = search(child, name + ".<locals>.", here)
            else:
                found = None if isinstance(child, ast.expr) else search(child, prefix, chain)
            if found:
                return found
        return None

    found = search(tree, "", [])
    if not found:
        raise LookupError("no function %s at line %d" % (qualname, first_line))
    return found


def _first_line(node):
    return min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])


def _probe(name, line, *arguments):
    call = ast.Call(ast.Name("__egcfg_%s__" % name, ast.Load()), [*arguments], [])
    call.lineno = call.end_lineno = line
    call.col_offset = call.end_col_offset = 0
    return call


def _statement(call):
    return ast.copy_location(ast.Expr(call), call)


def _is_docstring(node):
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _instrument_function(node):
    head = node.body[:1] if _is_docstring(node.body[0]) else []
    rest = node.body[len(head) :]
    if not rest:
        return
    end = rest[-1].lineno
    body = [_statement(_probe("c", rest[0].lineno)), *_instrument_block(rest)]
    if not isinstance(rest[-1], (ast.Return, ast.Raise)):
        body.append(_statement(_probe("e", end, ast.Constant(end))))
    again = ast.copy_location(ast.Raise(None, None), rest[-1])
    handler = ast.ExceptHandler(ast.Name("BaseException", ast.Load()), None, [_statement(_probe("x", end)), again])
    node.body = [*head, ast.copy_location(ast.Try(body, [ast.copy_location(handler, rest[-1])], [], []), rest[0])]


def _instrument_block(statements):
    result = []
    for node in statements:
        line = node.lineno
        if not isinstance(node, (ast.Global, ast.Nonlocal)):
            result.append(_statement(_probe("t", line, ast.Constant(line))))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            _instrument_function(node)
        elif isinstance(node, ast.ClassDef):
            for child in node.body:
                if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
                    _instrument_function(child)
        else:
            _Yields().visit(node)
            if isinstance(node, ast.Return) and node.value is None:
                result.append(_statement(_probe("e", line, ast.Constant(line))))
            elif isinstance(node, ast.Return):
                node.value = _probe("r", line, ast.Constant(line), node.value)
            for field in ("body", "orelse", "finalbody"):
                if getattr(node, field, None):
                    setattr(node, field, _instrument_block(getattr(node, field)))
            for part in [*getattr(node, "handlers", ()), *getattr(node, "cases", ())]:
                part.body = _instrument_block(part.body)
        result.append(node)
    return result


class _Yields(ast.NodeTransformer):
    """Wraps what one statement yields; its inner statements are visited on their own."""

    def generic_visit(self, node):
        for field, value in ast.iter_fields(node):
            if isinstance(value, list):
                if not any(isinstance(item, (ast.stmt, ast.ExceptHandler)) for item in value):
                    value[:] = [self.visit(item) if isinstance(item, ast.AST) else item for item in value]
            elif isinstance(value, ast.AST):
                setattr(node, field, self.visit(value))
        return node

    def visit_Lambda(self, node):
        return node

    def visit_match_case(self, node):
        return node

    def visit_Yield(self, node):
        value = ast.Constant(None) if node.value is None else self.visit(node.value)
        node.value = _probe("y", node.lineno, ast.Constant(node.lineno), value)
        return node


# --- what a child leaves behind: a shared mapping that survives its death ------------------------------------------


class Tape:
    """Records of one child in memory that the parent shares, so that a SIGKILL loses nothing."""

    def __init__(self):
        self.memory = mmap.mmap(-1, TAPE_BYTES)
        self.clear()

    def clear(self):
        struct.pack_into("=I", self.memory, 0, 4)

    def write(self, record):
        data = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        (used,) = struct.unpack_from("=I", self.memory, 0)
        if used + len(data) + 64 > TAPE_BYTES and record[0] == "e":
            return
        if used + len(data) <= TAPE_BYTES:
            self.memory[used : used + len(data)] = data
            struct.pack_into("=I", self.memory, 0, used + len(data))

    def read(self):
        """Return {test index: record of that test}; what the child garbled is left out and said."""
        (used,) = struct.unpack_from("=I", self.memory, 0)
        tests, current = {}, None
        for line in bytes(self.memory[4 : min(used, TAPE_BYTES)]).splitlines():
            try:
                record = json.loads(line)
                mark = record[0]
                if mark == "t":
                    current = tests.setdefault(int(record[1]), {"ev": [], "cut": False, "fr": False, "se": False})
                elif current is None:
                    continue
                elif mark == "e":
                    current["ev"].append(record[1:])
                elif mark == "f":
                    current["fr"] = True
                elif mark == "s":
                    current["se"] = True
                elif mark == "c":
                    current["cut"] = True
                elif mark == "z":
                    current["cut"] = current["run"] = True
            except (ValueError, TypeError, IndexError, KeyError):
                if current is not None:
                    current["cut"] = True
        return tests


class Frontier(BaseException):
    """Raised where a half-written body ends."""

    __egcfg__ = True


class Sentinel(BaseException):
    """Raised by the body that must make every test fail."""

    __egcfg__ = True


def _install_builtins(tape, recorder):
    """Give the code of the repository the names that variants and probes call."""

    def frontier():
        tape.write(["f"])
        if recorder is not None:
            recorder.frontier(_getframe(1))
        return Frontier("the body ends here")

    def sentinel():
        tape.write(["s"])
        return Sentinel("sentinel")

    setattr(builtins, FRONTIER, frontier)
    setattr(builtins, SENTINEL, sentinel)
    if recorder is not None:
        for name, probe in recorder.probes().items():
            setattr(builtins, name, probe)


# --- the pytest plugin: what happened in each test, streamed --------------------------------------------------------


def _exception_text(excinfo):
    try:
        text = excinfo.exconly(tryshort=True)
    except Exception:  # a hostile __str__
        text = "<unprintable>"
    return str(text)[:MESSAGE_CHARS]


def _text_of(error):
    try:
        return str(error)[:MESSAGE_CHARS]
    except Exception:  # a hostile __str__
        return "<unprintable>"


class Places:
    """Which files belong to the repository, and the qualified names of their functions."""

    def __init__(self, root):
        self.root = os.path.realpath(root)
        self._paths = {}
        self._names = {}

    def relative(self, filename):
        """Return the POSIX path inside the repository, or "" for a file outside of it."""
        known = self._paths.get(filename)
        if known is None:
            path = "" if filename[:1] == "<" else os.path.realpath(filename)
            inside = path.startswith(self.root + os.sep) and "site-packages" not in path
            known = self._paths[filename] = path[len(self.root) + 1 :] if inside else ""
        return known

    def qualname(self, code):
        name = getattr(code, "co_qualname", None)
        if name is not None:
            return name
        if code.co_filename not in self._names:  # before Python 3.11 only the source tells
            self._names[code.co_filename] = names = {}
            try:
                with _open(code.co_filename, "rb") as file:
                    _collect_names(ast.parse(file.read()), "", names)
            except (OSError, SyntaxError, ValueError):
                pass
        return self._names[code.co_filename].get((code.co_name, code.co_firstlineno), code.co_name)

    def frames(self, trace):
        found = []
        while trace is not None:
            code = trace.tb_frame.f_code
            path = self.relative(code.co_filename)
            if path:
                found.append([path, trace.tb_lineno, self.qualname(code)])
            trace = trace.tb_next
        return found if len(found) <= 30 else found[:10] + found[-20:]


def _collect_names(node, prefix, names):
    for child in ast.iter_child_nodes(node):
        below = prefix
        if isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)):
            names[child.name, _first_line(child)] = prefix + child.name
            below = prefix + child.name + ".<locals>."
        elif isinstance(child, ast.ClassDef):
            below = prefix + child.name + "."
        _collect_names(child, below, names)


class Coverage:
    """Which functions of the repository run during each test; one cheap look per code object and test.

    Before Python 3.12 the profiler of cProfile looks. A function of ours as profiler would need a frame at each call,
    and where a test recurses to the limit it would fail in that frame instead of in the test's own.
    """

    def __init__(self, places, emit):
        self.places, self.emit = places, emit
        self.numbers, self.seen, self.current = {}, set(), set()
        self.tool, self.profiler = None, None
        monitoring = getattr(sys, "monitoring", None)
        if monitoring is not None:
            self.tool = next((tool for tool in (4, 3, 1, 5, 2, 0) if monitoring.get_tool(tool) is None), None)
        if self.tool is not None:
            monitoring.use_tool_id(self.tool, "egcfg-fix")
            monitoring.register_callback(self.tool, monitoring.events.PY_START, self._started)

    def start(self):
        self.current = set()
        if self.tool is None:
            self.seen = set()
            threading.setprofile(self._profile)
            try:
                import _lsprof
            except ImportError:
                sys.setprofile(self._profile)
            else:
                self.profiler = _lsprof.Profiler(subcalls=False, builtins=False)
                self.profiler.enable()
        else:
            sys.monitoring.restart_events()
            sys.monitoring.set_events(self.tool, sys.monitoring.events.PY_START)

    def stop(self):
        """Return the numbers of the functions that ran since `start`."""
        if self.tool is None:
            sys.setprofile(None)
            threading.setprofile(None)
            self._take_profile()
        else:
            sys.monitoring.set_events(self.tool, 0)
        return sorted(self.current)

    def _take_profile(self):
        profiler, self.profiler = self.profiler, None
        if profiler is not None:
            profiler.disable()
            for entry in profiler.getstats():
                if isinstance(entry.code, types.CodeType):
                    self._note(entry.code)

    def _started(self, code, _offset):
        self._note(code)
        return sys.monitoring.DISABLE

    def _profile(self, frame, event, _argument):
        if event == "call":
            code = frame.f_code
            if code not in self.seen:
                self.seen.add(code)
                self._note(code)

    def _note(self, code):
        number = self.numbers.get(code)
        if number is None:
            number = self.numbers[code] = self._number(code)
        if number >= 0:
            self.current.add(number)

    def _number(self, code):
        if code.co_name[:1] == "<" or not code.co_flags & 1:  # lambdas and comprehensions; class and module bodies
            return -1
        path = self.places.relative(code.co_filename)
        if not path:
            return -1
        number = len(self.numbers)
        self.emit({"k": "fn", "i": number, "p": path, "q": self.places.qualname(code), "l": code.co_firstlineno})
        return number


def make_reporter(
    pytest,
    emit,
    places,
    wanted=None,
    canaries=(),
    coverage=None,
    on_test=None,
    output=0,
    comparison=None,
    collect_only=False,
):
    """Return the plugin object; `wanted` are the node ids to run (None: all)."""

    class Reporter:
        def __init__(self):
            self.wanted = wanted
            self.captured = ""
            self.calling, self.part = False, None

        @pytest.hookimpl(hookwrapper=True)
        def pytest_load_initial_conftests(self, early_config):
            _tame(early_config.known_args_namespace)
            if early_config.pluginmanager.is_blocked("cacheprovider"):  # then nobody knows the option that we set
                getattr(early_config, "_inicfg", {}).pop("cache_dir", None)
            yield

        @pytest.hookimpl(hookwrapper=True)
        def pytest_cmdline_main(self, config):
            _tame(config.option)
            yield

        @pytest.hookimpl(tryfirst=True)
        def pytest_sessionstart(self, session):
            plugins = session.config.pluginmanager
            for plugin in plugins.get_plugins():
                name = getattr(plugin, "__name__", None) or type(plugin).__module__
                if str(name).partition(".")[0] in _REPEATING:  # their options and marks stay known
                    plugins.unregister(plugin)

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtestloop(self):
            return True if collect_only else None

        @pytest.hookimpl(tryfirst=True)
        def pytest_collectstart(self, collector):
            if isinstance(collector, pytest.File):
                emit({"k": "collecting", "n": collector.nodeid})

        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_make_collect_report(self, collector):
            outcome = yield
            error = outcome.excinfo
            if error is not None and issubclass(error[0], SystemExit):  # else one module ends the whole run
                text = "SystemExit: %s at import" % (error[1].code,)
                emit(self._collect_error(collector.nodeid, "SystemExit", text, places.frames(error[2])))
                outcome.force_result(pytest.CollectReport(collector.nodeid, "failed", text, []))
                return
            if error is None and outcome.get_result().outcome == "failed":
                call = getattr(outcome.get_result(), "call", None)
                excinfo = getattr(call, "excinfo", None)
                if excinfo is None:
                    emit(self._collect_error(collector.nodeid, "", str(outcome.get_result().longrepr), []))
                    return
                cause = excinfo.value
                if excinfo.type.__name__ == "CollectError":  # what pytest wraps says more
                    cause = cause.__cause__ or cause.__context__ or cause
                text = "%s: %s" % (type(cause).__name__, _text_of(cause))
                frames = places.frames(cause.__traceback__)
                emit(self._collect_error(collector.nodeid, type(cause).__name__, text, frames))

        def _collect_error(self, node, kind, message, frames):
            return {"k": "collect_error", "n": node, "e": kind, "m": message[-MESSAGE_CHARS:], "f": frames}

        @pytest.hookimpl(trylast=True)
        def pytest_collection_modifyitems(self, session, items):
            if self.wanted is not None:
                order = {node: place for place, node in enumerate(self.wanted)}
                kept = [item for item in items if item.nodeid in order]
                items[:] = sorted(kept, key=lambda item: order[item.nodeid])
            for path in canaries:
                items[:] = [item for item in items if str(item.fspath) != path]
                module = pytest.Module.from_parent(session, path=_path(path))
                changes = [n for n in range(1, len(items)) if items[n].fspath != items[n - 1].fspath]
                breaks = sorted((0, len(items), *changes), key=lambda n: hash((path, n)))
                known = zip(itertools.cycle(breaks), session.genitems(module))
                for place, item in sorted(known, key=lambda pair: -pair[0]):  # from the end: places stay right
                    items.insert(place, item)

        def pytest_collection_finish(self, session):
            nodes = [item.nodeid for item in session.items]
            for start in range(0, max(len(nodes), 1), 500):
                emit({"k": "collected", "n": nodes[start : start + 500]})
            for item in session.items:
                item.repr_failure = _short_failure

        @pytest.hookimpl(tryfirst=True)
        def pytest_runtest_logstart(self, nodeid):
            emit({"k": "start", "n": nodeid})
            self.captured = ""
            self.calling, self.part = False, None
            if on_test is not None:
                on_test(nodeid)
            if comparison is not None:
                comparison.start(nodeid)
            if coverage is not None:
                coverage.start()

        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_runtest_makereport(self, item, call):
            result = yield
            report = result.get_result()
            frame = self._phase(item, call, report)
            if self.calling:  # a subtest: the first that fails tells what the test says
                if frame["o"] == "failed" and self.part is None:
                    self.part = frame
                return
            if call.when == "call" and self.part is not None and frame["o"] in ("passed", "failed"):
                frame = dict(self.part, d=frame["d"])
            emit(frame)
            outcome = frame["o"]
            if output and outcome == "failed":
                self.captured = "\n".join(text for _, text in report.sections)[-output:]

        @pytest.hookimpl(hookwrapper=True, tryfirst=True)
        def pytest_runtest_call(self):
            self.calling = True
            yield
            self.calling = False

        def _phase(self, item, call, report):
            outcome = report.outcome
            if hasattr(report, "wasxfail"):
                outcome = {"skipped": "xfailed", "passed": "xpassed"}.get(outcome, outcome)
            frame = {"k": "phase", "n": item.nodeid, "w": call.when, "o": outcome, "d": round(call.duration, 6)}
            if call.excinfo is not None and outcome != "passed":
                excinfo = _cause_of(call.excinfo)
                frame["e"] = excinfo[0].__name__
                frame["m"] = _doctest_text(excinfo[1]) or _exception_text(call.excinfo)
                if outcome == "failed":
                    frame["f"] = places.frames(excinfo[2])
            elif outcome == "failed":
                frame["m"] = str(report.longrepr)[:MESSAGE_CHARS]
            return frame

        @pytest.hookimpl(trylast=True)
        def pytest_runtest_logfinish(self, nodeid):
            frame = {"k": "end", "n": nodeid}
            if coverage is not None:
                frame["fn"] = coverage.stop()
            if self.captured:
                frame["out"] = self.captured
            emit(frame)

        @pytest.hookimpl(trylast=True)
        def pytest_sessionfinish(self, exitstatus):
            if on_test is None:  # what pytest still prints afterwards can cost a second, and nobody reads it
                sys.stdout.flush()
                emit({"k": "done", "status": int(exitstatus)})

        def pytest_internalerror(self, excinfo):
            emit({"k": "internal", "m": _exception_text(excinfo)})

    return Reporter()


def _short_failure(excinfo, **_style):
    """Stand in for pytest's long text of a failure, which costs more than most tests."""
    return _exception_text(excinfo)


def _cause_of(excinfo):
    """Return (class, exception, traceback) of a failure; for a doctest that raised, of what it raised."""
    inner = getattr(excinfo.value, "exc_info", None)
    doctest = sys.modules.get("doctest")
    if doctest is not None and isinstance(excinfo.value, doctest.UnexpectedException) and isinstance(inner, tuple):
        return inner
    return excinfo.type, excinfo.value, excinfo.tb


def _doctest_text(error):
    """Return what a doctest expected and got, "" for any other failure."""
    doctest = sys.modules.get("doctest")
    if doctest is None or not isinstance(error, (doctest.DocTestFailure, *_multiple_doctest_failures())):
        return ""
    first = getattr(error, "failures", [error])[0]
    if not isinstance(first, doctest.DocTestFailure):
        return ""
    source, want = first.example.source.strip(), first.example.want.strip()
    return ("%s: expected %s, got %s" % (source, want or "nothing", first.got.strip() or "nothing"))[:MESSAGE_CHARS]


def _multiple_doctest_failures():
    found = getattr(sys.modules.get("_pytest.doctest"), "MultipleDoctestFailures", None)
    return (found,) if isinstance(found, type) else ()


def _path(path):
    import pathlib

    return pathlib.Path(path)


# Plugins that run a test again until it passes, or shuffle the tests.
_REPEATING = frozenset({"flaky", "pytest_rerunfailures", "random_order"})

# Options that a repository may have in addopts and that would leave tests out, run them twice, elsewhere or in another
# order, or wait for a person. They are set back one by one, since a plugin that is switched off knows its options no
# more and pytest then refuses all of addopts.
_TAMED = {
    "lf": False, "failedfirst": False, "newfirst": False, "stepwise": False, "stepwise_skip": False,
    "collectonly": False, "setuponly": False, "setupplan": False, "usepdb": False, "trace": False, "maxfail": 0,
    "numprocesses": None, "dist": "no", "distload": False, "tx": [], "looponfail": False, "forked": False,
    "no_cov": True, "randomly_reorganize": False, "testmon": False, "picked": None, "reverse": False,
}  # fmt: skip


def _tame(options):
    for name, value in _TAMED.items():
        if hasattr(options, name):
            setattr(options, name, value)


def pytest_arguments(root, files, extra, tmp=""):
    """Return the arguments of a run. The cache is an empty one: what failed here before must not choose the tests."""
    cache = os.path.join(tmp or "/tmp", ".egcfg-cache-%d" % os.getpid())
    return ["--rootdir=" + root, "-o", "cache_dir=" + cache, "--continue-on-collection-errors", *extra, *files]


# --- variants of the target ----------------------------------------------------------------------------------------


class Variants:
    """The target function, and how a whole patched file becomes the code of that one function."""

    def __init__(self, root, path, qualname, first_line, source):
        self.file = os.path.join(root, path)
        self.path, self.qualname, self.first_line, self.source = path, qualname, first_line, source
        tree = ast.parse(source)
        self.chain = find_function(tree, qualname, first_line)
        self.generator = _yields(self.chain[-1])
        self.original, self.refusal = [], ""
        try:
            self._split(source, tree)
        except (LookupError, SyntaxError) as error:
            self.refusal = str(error)

    def _split(self, source, tree):
        """Find what lies around the outermost function; raise LookupError when it cannot be compiled alone."""
        self.flags = compile(tree, self.file, "exec", dont_inherit=True).co_flags & _FUTURE
        self.outer = next(n for n, node in enumerate(self.chain) if not isinstance(node, ast.ClassDef))
        lines = source.splitlines(keepends=True)
        unit = self.chain[self.outer]
        self.unit_line = _first_line(unit)
        self.prefix = b"".join(lines[: self.unit_line - 1])
        self.suffix = b"".join(lines[unit.end_lineno :])
        classes = self.chain[: self.outer]
        headers = [_indent(lines[node.lineno - 1]) + b"class %s:\n" % node.name.encode() for node in classes]
        inside = _indent([*headers, lines[self.unit_line - 1]][0])  # of an `if` or `try`
        self.headers = [b"if 1:\n", *headers] if inside else headers
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = self.unit(source)
            self.original, self.skeleton = self.codes(tree), self._skeleton(tree)
        self.code = self.original[-1]

    def refuses(self):
        """Say why the code of this function cannot be swapped, judging by its text; "" if it can."""
        if self.refusal:
            return self.refusal
        for node in self.chain[self.outer :]:
            for decorator in getattr(node, "decorator_list", ()):
                name = decorator.func if isinstance(decorator, ast.Call) else decorator
                word = name.attr if isinstance(name, ast.Attribute) else getattr(name, "id", "?")
                if word not in _SWAPPABLE_DECORATORS:
                    return "decorated with %s" % word
        return ""

    def transform(self, tree, first_line=None, trace=False, sentinel=False):
        """Change a parsed variant in place: sentinel first, a generator stays one, probes if asked."""
        try:
            node = find_function(tree, self.qualname, self.first_line if first_line is None else first_line)[-1]
        except LookupError:
            return
        place = 1 if _is_docstring(node.body[0]) else 0
        if sentinel:
            line = node.body[place].lineno if place < len(node.body) else node.body[0].lineno
            call = ast.Call(ast.Name(SENTINEL, ast.Load()), [], [])
            raising = ast.Raise(call, None)
            raising.lineno, raising.col_offset = line, 0
            node.body.insert(place, raising)
        elif self.generator and not _yields(node) and _calls_frontier(node):
            node.body.append(_dead(ast.Expr(ast.Yield(None)), node.body[-1]))
        ast.fix_missing_locations(tree)
        if trace:
            _instrument_function(node)
            ast.fix_missing_locations(tree)

    def unit(self, source):
        """Return the tree of the outermost function around the target, alone but under its own names."""
        if not (source.startswith(self.prefix) and source.endswith(self.suffix)):
            raise LookupError("the file differs outside of the function")
        text = source[len(self.prefix) : len(source) - len(self.suffix)]
        tree = ast.parse(b"".join(self.headers) + text)
        ast.increment_lineno(tree, self.unit_line - len(self.headers) - 1)
        node = tree.body[0] if len(self.headers) > self.outer else tree
        for kind in self.chain[: self.outer + 1]:
            if len(node.body) != 1 or type(node.body[0]) is not type(kind) or node.body[0].name != kind.name:
                raise LookupError("the text does not stay inside the function")
            node = node.body[0]
        return tree

    def codes(self, tree):
        """Compile a tree; return the code objects from the outermost function to the target."""
        codes, code = [], compile(tree, self.file, "exec", flags=self.flags, dont_inherit=True)
        for node in self.chain:
            line = _first_line(node)
            found = [c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == node.name]
            exact = [c for c in found if c.co_firstlineno == line or isinstance(node, ast.ClassDef)]
            if len(exact) != 1:
                raise LookupError("%s is not there exactly once" % node.name)
            code = exact[0]
            codes.append(code)
        return codes[self.outer :]

    def swap(self, functions, source, trace=False, sentinel=False):
        """Give every function object the code of a variant; raise LookupError if that is not the same as importing."""
        with warnings.catch_warnings():  # importing would show them to the tests, and may be what they fail on
            warnings.simplefilter("error")
            tree = self.unit(source)
            if self._skeleton(tree) != self.skeleton:
                raise LookupError("the signature differs")
            self.transform(tree, trace=trace, sentinel=sentinel)
            codes = self._same_scope(tree, self.codes(tree))
        for old, new in zip(self.original, codes):  # noqa: B905 (not in Python 3.9)
            if old.co_freevars != new.co_freevars or (old.co_flags ^ new.co_flags) & 0x2A0:
                raise LookupError("the variant closes over other variables or is of another kind")
        for function, place in functions:
            function.__code__ = codes[place]

    def _same_scope(self, tree, codes):
        """Return the codes with the free variables that the variant no longer names, named where nothing runs."""
        missing = set(self.code.co_freevars) - set(codes[-1].co_freevars)
        if not missing:
            return codes
        node = find_function(tree, self.qualname, self.first_line)[-1]
        names = ast.Tuple([ast.Name(name, ast.Load()) for name in sorted(missing)], ast.Load())
        node.body.append(_dead(ast.Expr(names), node.body[-1]))
        ast.fix_missing_locations(tree)
        return self.codes(tree)

    def _skeleton(self, tree):
        node = find_function(tree, self.qualname, self.first_line)[-1]
        body, node.body = node.body, []
        text = ast.dump(tree)
        node.body = body
        return text

    def functions(self):
        """Return (function object, place in the chain) for all that live in this process."""
        places = {code.co_firstlineno: place for place, code in enumerate(self.original)}
        real = os.path.realpath(self.file)
        found = []
        for candidate in gc.get_objects():
            if type(candidate) is types.FunctionType:
                code = candidate.__code__
                place = places.get(code.co_firstlineno)
                if place is not None and code.co_name == self.original[place].co_name:
                    if os.path.realpath(code.co_filename) == real:
                        found.append((candidate, place))
        return found

    def copied(self, functions):
        """Say how their code lives on elsewhere, where a swap would not reach it; "" if it does not."""
        if any(function.__code__.co_code != self.original[place].co_code for function, place in functions):
            return "its code was changed when it was imported"
        if _holders({id(function.__code__): function.__code__ for function, _ in functions}):
            return "something holds its code"
        known = {code.co_code: code.co_name for code in self.original}
        for candidate in gc.get_objects():
            if type(candidate) is types.FunctionType:
                code = candidate.__code__
                if code.co_name != known.get(code.co_code, code.co_name) and code.co_filename.endswith(self.path):
                    if code.co_firstlineno in (original.co_firstlineno for original in self.original):
                        return "its code was copied"
        return ""

    def hook_import(self, source, trace, sentinel):
        """Make the next import of the target's file compile `source`, with probes or sentinel as asked."""
        real = os.path.realpath(self.file)
        plain = importlib.machinery.SourceFileLoader.source_to_code

        def source_to_code(loader, data, path, *args, **options):
            if os.path.realpath(os.fspath(path)) != real:
                return plain(loader, data, path, *args, **options)
            tree = ast.parse(source, os.fspath(path))
            self.transform(tree, trace=trace, sentinel=sentinel)
            return compile(tree, path, "exec", dont_inherit=True)

        importlib.machinery.SourceFileLoader.source_to_code = source_to_code
        from _pytest.assertion import rewrite

        rewriting = rewrite.rewrite_asserts

        def rewrite_asserts(module, data, module_path=None, *args, **options):
            if module_path is not None and os.path.realpath(module_path) == real:
                self.transform(module, trace=trace, sentinel=sentinel)
            return rewriting(module, data, module_path, *args, **options)

        rewrite.rewrite_asserts = rewrite_asserts


def _holders(codes):
    """Return what holds one of the code objects (by id), other than functions and the constants of a code object."""
    ours = {id(codes)}
    inner = list(codes.values())
    while inner:
        constants = inner.pop().co_consts
        ours.add(id(constants))
        inner += [constant for constant in constants if isinstance(constant, types.CodeType)]
    found = [holder for code in codes.values() for holder in gc.get_referrers(code)]
    known = (types.FunctionType, types.FrameType)
    return [holder for holder in found if id(holder) not in ours and not isinstance(holder, known)]


_FUTURE = 0
for _name in __import__("__future__").all_feature_names:
    _FUTURE |= getattr(__import__("__future__"), _name).compiler_flag
_FUTURE &= ~0x10  # CO_NESTED, which every inner function has
_SWAPPABLE_DECORATORS = frozenset(
    "staticmethod classmethod property setter deleter getter lru_cache cache cached_property contextmanager "
    "asynccontextmanager abstractmethod override final wraps".split()
)


def _indent(line):
    return line[: len(line) - len(line.lstrip())]


def _dead(statement, where):
    """Return a statement that never runs but keeps the compiler's view of a function's scope."""
    return ast.copy_location(ast.If(ast.Constant(0), [ast.copy_location(statement, where)], []), where)


def _yields(function):
    """Say whether a function's own body yields."""
    nodes = list(function.body)
    while nodes:
        node = nodes.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Lambda)):
            nodes.extend(ast.iter_child_nodes(node))
    return False


def _calls_frontier(function):
    return any(isinstance(node, ast.Name) and node.id == FRONTIER for node in ast.walk(function))


# --- comparing: what variants of a function do with the arguments that the tests give it ----------------------------

COMPARE_CHARS = 300  # of one text
COMPARE_NODES = 4000  # parts of one value that are looked at
CALL_SECONDS = 1.0  # for one variant, one call and what is near it
WAITING_SECONDS = 8.0  # the same on a machine that is too busy to give it that much of a processor
CALLS_OF_TEST = 12
LOOK = "__egcfg_look__"


class Watched(Variants):
    """Variants whose original calls `LOOK` first of all, while `looking`."""

    looking = False

    def transform(self, tree, first_line=None, trace=False, sentinel=False):
        if not self.looking:
            super().transform(tree, first_line, trace, sentinel)
            return
        try:
            node = find_function(tree, self.qualname, self.first_line)[-1]
        except LookupError:
            return
        place = 1 if _is_docstring(node.body[0]) and len(node.body) > 1 else 0
        call = ast.Expr(ast.Call(ast.Name(LOOK, ast.Load()), [], []))
        call.lineno, call.col_offset = node.body[place].lineno, 0
        node.body.insert(place, call)
        ast.fix_missing_locations(tree)


class Comparison:
    """At each call of a function, forks a child for each variant, which does the same call and tells what came of it.

    A fork is a copy of everything the call can see, so that no variant sees what another one did. Arguments and results
    leave the sandbox as text by exact type and as a digest; no object does.
    """

    def __init__(self, root, request, emit):
        self.emit, self.calls, self.nearby = emit, request["calls"], request["nearby"]
        self.left = request["seconds"]
        self.sources = [base64.b64decode(text) for text in request["sources"]]
        self.examples = [(ast.literal_eval(call), ast.literal_eval(gives)) for call, gives in request["examples"]]
        where = (request["path"], request["qualname"], request["first_line"])
        self.variants = Watched(root, *where, self.sources[0])
        self.variants.looking = True
        self.variants.hook_import(self.sources[0], False, False)
        self.beside = [self._varied(root, one) for one in request["beside"]]
        self.callers = {
            (os.path.realpath(one.file), one.chain[-1].name, _first_line(one.chain[-1])) for one, _ in self.beside
        }
        self.node, self.of_test, self.seen, self.functions, self.busy = "", 0, set(), [], False
        setattr(builtins, LOOK, self.look)

    @staticmethod
    def _varied(root, one):
        """Return a function that varies beside the target, and its sources."""
        sources = [base64.b64decode(text) for text in one["sources"]]
        return Variants(root, one["path"], one["qualname"], one["first_line"], sources[0]), sources

    def start(self, node):
        """A test begins."""
        self.node, self.of_test = node, 0

    def look(self):
        """What the watched function calls first: compares the variants on this call, if there is still room."""
        room = self.calls > 0 and self.of_test < CALLS_OF_TEST
        if self.busy or not self.node or self.left <= 0 or not (room or self.examples):
            return
        self.busy, begun = True, _monotonic()
        try:
            if self.examples:
                self._show(_getframe(1))
            if room:
                self._compare(_getframe(1))
        except Exception as error:
            self.emit({"k": "uncompared", "m": "%s: %s" % (type(error).__name__, _text_of(error)[:COMPARE_CHARS])})
            self.calls, self.examples = 0, []
        finally:
            self.busy = False
            self.left -= _monotonic() - begun

    def _show(self, frame):
        """Let each variant do the examples of the docstring, once for all tests."""
        examples, self.examples = self.examples, []
        function = self._function_of(frame.f_code)
        answers = [self._ask(function, number, examples, _outcome_of_example) for number in range(len(self.sources))]
        for place in range(len(examples)):
            results = [answer[place] if place < len(answer) else ["lost", "", ""] for answer in answers]
            self.emit({"k": "compared", "n": self.node, "a": "", "near": False, "r": results, "e": place + 1})

    def _compare(self, frame):
        if self.beside and self._called_by_another(frame.f_back):
            return
        names, arguments = arguments_of(frame)
        key = fingerprint([arguments[0], sorted(arguments[1].items())])
        if key in self.seen:
            return
        function = self._function_of(frame.f_code)
        self.seen.add(key)
        self.calls -= 1
        self.of_test += 1
        texts = [_call_text(names, arguments)]
        near = list(nearby(arguments)) if self.nearby else []
        texts += [_call_text(names, one) for one in near]
        answers = [self._ask(function, number, [arguments, *near], _outcome_of) for number in range(len(self.sources))]
        for place, said in enumerate(texts):
            results = [answer[place] if place < len(answer) else ["lost", "", ""] for answer in answers]
            self.emit({"k": "compared", "n": self.node, "a": said, "near": place > 0, "r": results})

    def _called_by_another(self, frame):
        """Say whether a function that varies beside the target is running."""
        while frame is not None:
            code = frame.f_code
            if (os.path.realpath(code.co_filename), code.co_name, code.co_firstlineno) in self.callers:
                return True
            frame = frame.f_back
        return False

    def _function_of(self, code):
        """Return the one function object that is running; raise LookupError when it cannot be told which."""
        for attempt in range(2):
            found = [function for function, _ in self.functions if function.__code__ is code]
            if len(found) == 1:
                return found[0]
            if attempt == 0:
                self.functions = self.variants.functions()
        raise LookupError("%d functions share this code" % len(found))

    def _ask(self, function, number, inputs, outcome_of):
        """Return [kind, text, digest] for each of the inputs, as far as a child gets with them."""
        receive, send = os.pipe()
        pid = _quiet_fork()
        if pid == 0:
            try:
                os.close(receive)
                self._answer(function, number, inputs, send, outcome_of)
            finally:
                _exit(0)
        os.close(send)
        try:
            begun = _monotonic()
            data, late = _read_all(receive, begun + CALL_SECONDS)
            while late and len(data) < FRAME_BYTES and _monotonic() - begun < WAITING_SECONDS and _kept_waiting(pid):
                more, late = _read_all(receive, _monotonic() + CALL_SECONDS / 4)
                data += more
        finally:
            os.close(receive)
            with contextlib.suppress(OSError):
                _kill(pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                os.waitpid(pid, 0)
        answers = [json.loads(line) for line in data.split(b"\n")[:-1]]
        if len(answers) < len(inputs):
            answers.append(["timeout" if late else "crashed", "", ""])
        return answers

    def _answer(self, function, number, inputs, send, outcome_of):
        """In the child: do the calls one after the other, each on copies of the arguments where that is possible."""
        try:
            _limit(resource.RLIMIT_CPU, time.process_time() + CALL_SECONDS + 1)
            null = os.open(os.devnull, os.O_RDWR)
            for descriptor in (1, 2):
                os.dup2(null, descriptor)
            sys.stdout = sys.stderr = io.StringIO()
            self.variants.looking = False
            self.functions = self.variants.functions()
            self.variants.swap(self.functions, self.sources[number])
            for other, sources in self.beside:
                self._swap_beside(other, sources[0], sources[number])
        except BaseException as error:
            line = ["refused", "%s: %s" % (type(error).__name__, _text_of(error)[:COMPARE_CHARS]), ""]
            _write(send, json.dumps(line).encode() + b"\n")
            return
        last = len(inputs) - 1
        for place, one in enumerate(inputs):
            own = one if place == last else _copied(one)
            _write(send, json.dumps(outcome_of(function, own)).encode() + b"\n")

    @staticmethod
    def _swap_beside(variants, original, source):
        """Give another function its body of the variant; raise LookupError where that is impossible."""
        if source != original:
            functions = variants.functions()
            if not functions:
                raise LookupError("%s is not imported" % variants.qualname)
            variants.swap(functions, source)


def _comparison(root, request, emit):
    """Return the comparison that was asked for, None when it is impossible."""
    try:
        return Comparison(root, request, emit) if request else None
    except (LookupError, SyntaxError, ValueError, OSError) as error:
        emit({"k": "uncompared", "m": "%s: %s" % (type(error).__name__, error)})
        return None


def _quiet_fork():
    """Fork; that the process has threads, of which newer versions of Python warn, is so by intent."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _fork()


def _kept_waiting(pid):
    """Say whether a child wants to run and has not had its time on a processor, as far as the kernel tells."""
    try:
        with _open("/proc/%d/stat" % pid, "rb") as stream:
            fields = stream.read().rpartition(b")")[2].split()
        used = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return False
    return fields[0] == b"R" and used < CALL_SECONDS


def _read_all(descriptor, end):
    """Return (what was written until the descriptor was closed or the time was up, whether it was up)."""
    data = b""
    while len(data) < FRAME_BYTES:
        left = end - _monotonic()
        if left <= 0 or not select.select([descriptor], [], [], left)[0]:
            return data, True
        part = _read(descriptor, 1 << 16)
        if not part:
            break
        data += part
    return data, False


def arguments_of(frame):
    """Return (names, (positional, keywords)) with which a function was called, before its body has changed them."""
    code, local = frame.f_code, frame.f_locals
    count, names = code.co_argcount, list(code.co_varnames)
    positional = [local[name] for name in names[:count]]
    shown = names[:count]
    rest = count + code.co_kwonlyargcount
    keywords = {name: local[name] for name in names[count:rest]}
    if code.co_flags & 4:
        positional += local[names[rest]]
        rest += 1
    if code.co_flags & 8:
        keywords.update(local[names[rest]])
    return shown, (positional, keywords)


def _call_text(names, arguments):
    """Return arguments as a call writes them, without the first one if it is `self` or `cls`."""
    positional, keywords = arguments
    parts = []
    for place, value in enumerate(positional):
        name = names[place] if place < len(names) else ""
        if place == 0 and name == "cls":
            continue
        parts.append("%s=%s" % (name, _told(value)) if name == "self" else _told(value))
    parts += ["%s=%s" % (name, _told(value)) for name, value in keywords.items()]
    return _cut(", ".join(parts), COMPARE_CHARS)


def _told(value):
    """Return a text for a value, with what the attributes of an object hold."""
    attributes = _attributes(value) if type(type(value)) is type and type(value).__module__ != "builtins" else []
    if not attributes or type(value) in _MAPPINGS or isinstance(value, (BaseException, type)):
        return _cut(safe_repr(value, 3), COMPARE_CHARS)
    shown = ("%s=%s" % (name, safe_repr(item, 2)) for name, item in attributes[:_ITEMS])
    return _cut("%s(%s)" % (_class_name(type(value)), ", ".join(shown)), COMPARE_CHARS)


def _copied(value):
    """Return a copy of a value: containers by exact type, objects by the copy module, what resists as it is."""
    try:
        import copy

        return copy.deepcopy(value)
    except Exception:
        return value


def _outcome_of(function, arguments):
    """Return [kind, text, digest] of one call; the digest also tells what it did to its arguments."""
    positional, keywords = arguments
    try:
        value = _run_out(function(*positional, **keywords))
    except SystemExit as error:
        return ["raise", "SystemExit(%s)" % safe_repr(error.code), "SystemExit"]
    except Exception as error:
        return ["raise", _cut(safe_repr(error, 3), COMPARE_CHARS), _class_name(type(error))]
    return ["value", _told(value), fingerprint([value, positional, sorted(keywords.items())])]


def _outcome_of_example(function, example):
    """Return [kind, text, "", whether it gave what the docstring says] of one example."""
    (positional, keywords), expected = example
    try:
        value = _run_out(function(*positional, **keywords))
    except SystemExit:
        return ["raise", "SystemExit", "", False]
    except Exception as error:
        return ["raise", _cut(safe_repr(error, 3), COMPARE_CHARS), "", False]
    return ["value", _told(value), "", _alike(value, expected)]


def _alike(value, expected):
    """Say whether a value is what a literal says, by exact type; numbers are compared as numbers."""
    kind, wanted = type(value), type(expected)
    if kind in (int, float, complex) and wanted in (int, float, complex):
        return value == expected or abs(value - expected) <= 1e-9 * abs(expected)
    if kind is not wanted:
        return False
    if kind in (list, tuple):
        return len(value) == len(expected) and all(map(_alike, value, expected))
    if kind is dict:
        try:
            return len(value) == len(expected) and all(_alike(value[key], expected[key]) for key in expected)
        except KeyError:
            return False
    return fingerprint(value) == fingerprint(expected)


def _run_out(value):
    """Return what a generator yields or a coroutine returns, as far as that takes no event loop."""
    if type(value) is types.GeneratorType:
        return list(itertools.islice(value, 50))
    if type(value) is types.CoroutineType:
        try:
            value.send(None)
        except StopIteration as end:
            return end.value
        value.close()
        raise RuntimeError("it waits for something")
    return value


def fingerprint(value):
    """Return a digest that is equal for equal values, in this process and its forks; runs no code of user classes.

    Floating-point numbers are equal when twelve digits are. What is behind the first COMPARE_NODES parts is not seen.
    """
    import hashlib

    parts = []
    _walk(value, parts, {})
    return hashlib.sha1("\0".join(parts).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _walk(value, parts, seen):
    kind = type(value)
    if len(parts) >= COMPARE_NODES:
        return
    if kind is float:
        parts.append("float %.12g" % value)
    elif kind is str or kind is bytes or kind is bytearray:
        parts.append("%s %r" % (kind.__name__, value[:10_000]))
    elif kind is int:
        parts.append("int %x" % value if value.bit_length() < 10_000 else "int of %d bits" % value.bit_length())
    elif kind in _PLAIN_TYPES or isinstance(value, type):
        parts.append("%s %s" % (_class_name(kind), safe_repr(value)))
    elif id(value) in seen:
        parts.append("seen %d" % seen[id(value)])
    else:
        seen[id(value)] = len(seen)
        parts.append("%s(" % _class_name(kind))
        _walk_inside(value, kind, parts, seen)
        parts.append(")")


def _walk_inside(value, kind, parts, seen):
    if kind is set or kind is frozenset:
        parts.extend(sorted(fingerprint(item) for item in itertools.islice(value, COMPARE_NODES)))
        return
    for base, items in ((dict, dict.items), (list, list.__iter__), (tuple, tuple.__iter__)):
        if issubclass(kind, base):
            for item in itertools.islice(items(value), COMPARE_NODES):
                _walk(item, parts, seen)
    if kind is collections.deque:
        for item in value:
            _walk(item, parts, seen)
    if issubclass(kind, (set, frozenset)):
        parts.extend(sorted(fingerprint(item) for item in set.__iter__(value)))
    if issubclass(kind, _UNINTERESTING):
        parts.append(str(getattr(value, "__qualname__", "")))
        return
    if issubclass(kind, BaseException):
        _walk(value.args, parts, seen)
    if kind.__module__ not in ("builtins", "collections"):
        for name, item in _attributes(value):
            parts.append(name)
            _walk(item, parts, seen)


def nearby(arguments):
    """Yield like arguments, each with one small change: what a test of the next case would look like."""
    positional, keywords = arguments
    for place, value in enumerate(positional):
        for other in _near(value):
            yield [*positional[:place], other, *positional[place + 1 :]], keywords
    for name, value in keywords.items():
        for other in _near(value):
            yield positional, {**keywords, name: other}


def _near(value, depth=1):
    """Return values of the same shape a step away, most telling first."""
    kind = type(value)
    if kind is bool:
        return [not value]
    if kind is int:
        return [value + 1, value - 1] if value > 0 else [value + 1]
    if kind is float:
        return [value + 1.0, value / 2]
    if kind is str:
        return [value[:-1], value + value[:1]] + ([value[::-1]] if len(value) > 2 else []) if value else []
    if kind is list or kind is tuple:
        if not value:
            return []
        found = [value[:-1], value + value[:1], value[::-1]]
        if depth:
            for place in {0, len(value) - 1}:
                for other in _near(value[place], depth - 1)[:2]:
                    found.append(value[:place] + kind([other]) + value[place + 1 :])
        return [other for other in found if other != value]
    return []


# --- a function apart: its tests in one sandbox, its body in another, plain data between them ----------------------

_PLAIN_ITEMS = 100_000  # in one message
_LISTS = {"l": list, "t": tuple, "s": set, "z": frozenset}
_DATES = {"d": datetime.date, "h": datetime.time, "m": datetime.datetime}


class NotPlain(ValueError):
    """A value that does not cross: of a class of its own, too deep, or too large."""


def to_plain(value):
    """Return a value as JSON data from which `from_plain` makes an equal one; by exact type, so that nothing runs."""
    room = [_PLAIN_ITEMS]

    def pack(value, depth):
        room[0] -= 1
        kind = type(value)
        if room[0] < 0 or depth > 60:
            raise NotPlain("too deep or too large")
        if value is None or kind is bool or kind is str:
            return value
        if kind is int:
            return value if -(1 << 53) < value < 1 << 53 else ["i", hex(value)]
        if kind is float:
            return ["f", value.hex()]
        if kind is complex:
            return ["c", value.real.hex(), value.imag.hex()]
        if kind is bytes or kind is bytearray:
            return ["b" if kind is bytes else "B", base64.b64encode(value).decode()]
        if kind is dict:
            return ["D", [[pack(key, depth + 1), pack(item, depth + 1)] for key, item in value.items()]]
        for mark, known in _LISTS.items():
            if kind is known:
                return [mark, [pack(item, depth + 1) for item in value]]
        if kind is range:
            return ["r", *(pack(part, depth + 1) for part in (value.start, value.stop, value.step))]
        return _pack_number_or_date(value, kind)

    return pack(value, 0)


def _pack_number_or_date(value, kind):
    if kind is decimal.Decimal:
        return ["N", str(value)]
    if kind is fractions.Fraction:
        return ["F", hex(value.numerator), hex(value.denominator)]
    if kind is datetime.timedelta:
        return ["T", value.days, value.seconds, value.microseconds]
    for mark, known in _DATES.items():
        if kind is known and type(getattr(value, "tzinfo", None)) in (type(None), datetime.timezone):
            if not getattr(value, "fold", 0):
                return [mark, value.isoformat()]
    raise NotPlain("a value of class %s" % _class_name(kind))


def from_plain(data):
    """Return the value that `to_plain` made data of. Raises NotPlain for anything else, whoever wrote it."""
    try:
        return _unpack(data, 0)
    except NotPlain:
        raise
    except Exception as error:
        raise NotPlain("malformed data") from error


def _unpack(data, depth):
    if data is None or type(data) in (bool, str, int):
        return data
    if type(data) is not list or depth > 60:
        raise NotPlain("malformed data")
    mark, *parts = data
    if mark in _LISTS:
        return _LISTS[mark](_unpack(item, depth + 1) for item in parts[0])
    if mark == "D":
        return {_unpack(key, depth + 1): _unpack(item, depth + 1) for key, item in parts[0]}
    if mark in _DATES:
        return _DATES[mark].fromisoformat(parts[0])
    simple = {
        "i": lambda: int(parts[0], 16),
        "f": lambda: float.fromhex(parts[0]),
        "c": lambda: complex(float.fromhex(parts[0]), float.fromhex(parts[1])),
        "b": lambda: base64.b64decode(parts[0]),
        "B": lambda: bytearray(base64.b64decode(parts[0])),
        "r": lambda: range(*(_unpack(part, depth + 1) for part in parts)),
        "N": lambda: decimal.Decimal(parts[0]),
        "F": lambda: fractions.Fraction(int(parts[0], 16), int(parts[1], 16)),
        "T": lambda: datetime.timedelta(*parts),
    }
    return simple[mark]()


class Asker:
    """What the body of a function that runs apart calls, in the process of the tests."""

    def __init__(self, emit, ear):
        self.emit, self.ear, self.lock, self.owner = emit, ear, threading.Lock(), os.getpid()

    def __call__(self, positional, keywords):
        if os.getpid() != self.owner:
            raise self._unasked("arguments", "a process that the tests started calls it")
        try:
            sent = to_plain([list(positional), keywords])
        except NotPlain as error:
            raise self._unasked("arguments", str(error)) from None
        with self.lock:
            self.emit({"k": "ask", "a": sent})
            answer = self._hear()
        self._mutate([list(positional), keywords], sent, answer.get("p"))
        if "s" in answer:
            return positional[answer["s"]]
        if "v" in answer:
            return self._checked(answer["v"])
        if "e" in answer:
            raise self._exception(answer["e"], _getframe(1).f_globals)
        if "n" in answer:
            raise self._unasked("result", str(answer["n"])[:300])
        raise RuntimeError("the function's process ended: %s" % str(answer.get("why"))[:300])

    def _hear(self):
        heard = b""
        while not heard.endswith(b"\n"):
            data = _read(self.ear, 1 << 16)
            if not data:
                _exit(0)
            heard += data
        answer = json.loads(heard)
        return answer if isinstance(answer, dict) else {}

    def _checked(self, data):
        try:
            return from_plain(data)
        except NotPlain as error:
            raise self._unasked("result", str(error)) from None

    def _unasked(self, what, why):
        self.emit({"k": "unasked", "w": what, "m": why})
        return RuntimeError("the call cannot cross to another process: %s" % why)

    def _mutate(self, given, sent, after):
        """Do to the arguments what the function did to its own copies of them."""
        if after is None or after == sent:
            return
        left = self._checked(after)
        pairs = list(zip(given[0], left[0])) + [(item, left[1].get(key)) for key, item in given[1].items()]  # noqa: B905
        for old, new in pairs:
            if type(old) is not type(new) or old == new:
                continue
            if type(old) in (list, bytearray):
                old[:] = new
            elif type(old) in (dict, set):
                old.clear()
                old.update(new)
            else:
                raise self._unasked("arguments", "it changes what is inside its arguments")

    def _exception(self, told, known):
        """Return an exception of a class that the tests' process knows itself; no other class is ever made."""
        name, args = told
        kind = known.get(name, getattr(builtins, name, None)) if isinstance(name, str) else None
        if not (isinstance(kind, type) and issubclass(kind, Exception)):
            return self._unasked("result", "it raises %s" % str(name)[:100])
        args = tuple(self._checked(args))
        if kind.__module__ == "builtins":
            return kind(*args)
        error = kind.__new__(kind)
        error.args = args
        return error


def _serve_function(root, request, ear, send):
    """In the child: import one module and answer calls of one of its functions until nobody asks any more."""
    emit = _emitter(send)
    try:
        os.chdir(root)
        module = importlib.import_module(_module_of(root, request["path"]))
        function = module
        for part in request["qualname"].split("."):
            function = getattr(function, part)
    except BaseException as error:
        emit({"k": "refused", "why": "%s: %s" % (type(error).__name__, _text_of(error))})
        _exit(0)
    emit({"k": "ready"})
    pending = b""
    while True:
        while b"\n" not in pending:
            data = _read(ear, 1 << 16)
            if not data:
                _exit(0)
            pending += data
        line, _, pending = pending.partition(b"\n")
        emit(_answer(function, json.loads(line)["a"]))


def _answer(function, data):
    positional, keywords = from_plain(data)
    answer = {}
    try:
        value = function(*positional, **keywords)
    except Exception as error:
        try:
            answer["e"] = [_class_name(type(error)), to_plain(list(error.args))]
        except NotPlain as why:
            answer["n"] = "its exception holds %s" % why
    except BaseException as error:
        answer["why"] = "it raised %s" % _class_name(type(error))
    else:
        mutable = [place for place, item in enumerate(positional) if item is value and type(item) in (list, dict, set)]
        try:
            answer.update({"s": mutable[0]} if mutable else {"v": to_plain(value)})
        except NotPlain as why:
            answer["n"] = "its result holds %s" % why
    with contextlib.suppress(NotPlain):
        answer["p"] = to_plain([positional, keywords])
    return answer


def _module_of(root, path):
    """Return the name under which a file of the repository is imported: as deep as its packages go."""
    folder, name = os.path.split(os.path.join(root, path))
    parts = [] if name == "__init__.py" else [name[: -len(".py")]]
    while os.path.exists(os.path.join(folder, "__init__.py")) and folder != root:
        folder, name = os.path.split(folder)
        parts.insert(0, name)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    return ".".join(parts)


# --- processes -----------------------------------------------------------------------------------------------------


def _prctl(option, value):
    import ctypes

    ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_CHILD_SUBREAPER, PR_GET_NO_NEW_PRIVS = 1, 4, 36, 39

# System calls that tests have no use for and kernels had holes in: (name, number on x86-64, number on aarch64, errno).
_DENIED = (
    ("io_uring_setup", 425, 425, errno.ENOSYS),
    ("io_uring_enter", 426, 426, errno.ENOSYS),
    ("io_uring_register", 427, 427, errno.ENOSYS),
    ("bpf", 321, 280, errno.EPERM),
    ("perf_event_open", 298, 241, errno.EPERM),
    ("userfaultfd", 323, 282, errno.EPERM),
    ("add_key", 248, 217, errno.EPERM),
    ("request_key", 249, 218, errno.EPERM),
    ("keyctl", 250, 219, errno.EPERM),
    ("unshare", 272, 97, errno.EPERM),
    ("setns", 308, 268, errno.EPERM),
    ("mount", 165, 40, errno.EPERM),
    ("umount2", 166, 39, errno.EPERM),
    ("pivot_root", 155, 41, errno.EPERM),
    ("fsopen", 430, 430, errno.EPERM),
    ("open_tree", 428, 428, errno.EPERM),
    ("move_mount", 429, 429, errno.EPERM),
    ("mount_setattr", 442, 442, errno.EPERM),
    ("ptrace", 101, 117, errno.EPERM),
    ("process_vm_readv", 310, 270, errno.EPERM),
    ("process_vm_writev", 311, 271, errno.EPERM),
    ("pidfd_getfd", 438, 438, errno.EPERM),
    ("kexec_load", 246, 104, errno.EPERM),
    ("init_module", 175, 105, errno.EPERM),
    ("finit_module", 313, 273, errno.EPERM),
    ("open_by_handle_at", 304, 265, errno.EPERM),
)
_MACHINES = {"x86_64": (0xC000003E, 1, 317), "aarch64": (0xC00000B7, 2, 277)}  # audit name, column above, seccomp


def _filter_program(machine):
    """Return the BPF program that denies `_DENIED` on a machine, and everything of another calling convention."""
    audit, column, _ = _MACHINES[machine]
    load, equal, above, answer = 0x20, 0x15, 0x35, 0x06
    program = [(load, 0, 0, 4), (equal, 1, 0, audit), (answer, 0, 0, 0x50000 | errno.ENOSYS), (load, 0, 0, 0)]
    if machine == "x86_64":  # the x32 numbers are the same calls under other names
        program += [(above, 0, 1, 0x40000000), (answer, 0, 0, 0x50000 | errno.ENOSYS)]
    for row in _DENIED:
        program += [(equal, 0, 1, row[column]), (answer, 0, 0, 0x50000 | row[3])]
    return b"".join(struct.pack("HBBI", *step) for step in [*program, (answer, 0, 0, 0x7FFF0000)])


# System calls that name a process: (numbers as above, the argument that names it). What a zygote's children may not
# call with its own id, nor with -1, which means everybody: one that is stopped or slowed down would hold up the run.
_ADDRESSED = (
    ("kill", 62, 129, 0),
    ("tkill", 200, 130, 0),
    ("tgkill", 234, 131, 0),
    ("rt_sigqueueinfo", 129, 138, 0),
    ("rt_tgsigqueueinfo", 297, 240, 0),
    ("pidfd_open", 434, 434, 0),
    ("prlimit64", 302, 261, 0),
    ("sched_setaffinity", 203, 122, 0),
    ("sched_setscheduler", 144, 119, 0),
    ("setpriority", 141, 140, 1),
    ("setpgid", 109, 154, 1),
)
_PIDFD_SEND_SIGNAL = (424, 424)


def _shield_program(machine, pid):
    """Return the BPF program under which nobody can signal, limit or join the process `pid`, a group leader."""
    column = _MACHINES[machine][1]
    load, equal, answer = 0x20, 0x15, 0x06
    refuse = (answer, 0, 0, 0x50000 | errno.EPERM)
    values = (pid, 0xFFFFFFFF, (1 << 32) - pid)
    program = [(load, 0, 0, 0), (equal, 0, 1, _PIDFD_SEND_SIGNAL[column - 1]), refuse]
    for row in _ADDRESSED:
        program += [(load, 0, 0, 0), (equal, 0, 1 + 2 * len(values), row[column]), (load, 0, 0, 16 + 8 * row[3])]
        for value in values:
            program += [(equal, 0, 1, value), refuse]
    return b"".join(struct.pack("HBBI", *step) for step in [*program, (answer, 0, 0, 0x7FFF0000)])


def _deny_calls():
    """Put our own filter of system calls on top of the engine's; bubblewrap brings none. Return whether that worked."""
    return _filter(_filter_program)


def _shield():
    """Put this process in a group of its own and out of reach of its future children. Return whether that worked."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    return _filter(lambda machine: _shield_program(machine, os.getpid()))


def _filter(program_for):
    """Install a filter of system calls for this process and its children, for good. Return whether that worked.

    Only where new privileges are ruled out already: elsewhere the kernel wants that first, and it would change tests.
    """
    import ctypes

    machine = os.uname().machine
    library = ctypes.CDLL(None, use_errno=True)
    if machine not in _MACHINES or sys.maxsize < 1 << 32 or library.prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1:
        return False
    program = program_for(machine)
    steps = ctypes.create_string_buffer(program, len(program))
    header = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(steps)))
    if library.syscall(_MACHINES[machine][2], 1, 4, header) == 0:  # SET_MODE_FILTER, without slowing speculation down
        return True
    return library.prctl(22, 2, header) == 0  # PR_SET_SECCOMP, SECCOMP_MODE_FILTER


def _children():
    """Return the ids of this process's children, orphans of its descendants included."""
    try:
        with _open("/proc/self/task/%d/children" % os.getpid(), "rb") as file:
            return {int(pid) for pid in file.read().split()}
    except OSError:
        return {pid for pid in _processes() if _parent(pid) == os.getpid()}


def _processes():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _parent(pid):
    try:
        with _open("/proc/%d/stat" % pid, "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[1])
    except (OSError, ValueError, IndexError):
        return 0


def _sweep(keep):
    """Kill and reap every child but `keep`; their orphans become children in turn. Return whether none is left."""
    end = _monotonic() + 3
    while True:
        alive = _children() - keep
        if not alive:
            return True
        for pid in alive:
            with contextlib.suppress(OSError):
                _kill(pid, signal.SIGKILL)
        for pid in alive:
            with contextlib.suppress(OSError):
                os.waitpid(pid, os.WNOHANG)
        if _monotonic() > end:
            return False
        _sleep(0.0005)


def _limit(kind, value):
    with contextlib.suppress(OSError, ValueError):
        hard = resource.getrlimit(kind)[1]
        value = int(value) if hard == resource.RLIM_INFINITY else min(int(value), hard)
        resource.setrlimit(kind, (value, value))


def _become_child(close, seconds, file_mib):
    """Turn a fresh fork into the process that runs code of the repository."""
    _detach(close)
    _cap(seconds, file_mib)


def _detach(close):
    """Make a fresh fork a group of its own that ends with its parent and has none of its descriptors."""
    with contextlib.suppress(OSError):
        os.setpgid(0, 0)
    for descriptor in close:
        with contextlib.suppress(OSError):
            os.close(descriptor)
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    _prctl(PR_SET_DUMPABLE, 1)
    with contextlib.suppress(OSError), _open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    _limit(resource.RLIMIT_CORE, 0)
    signal.pthread_sigmask(signal.SIG_SETMASK, set())


def _cap(seconds, file_mib):
    """Limit what this process may use; the time is only a backstop behind the parent's deadline."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    _limit(resource.RLIMIT_CPU, used.ru_utime + used.ru_stime + seconds + 2)
    _limit(resource.RLIMIT_FSIZE, file_mib << 20)


_PAGE = mmap.PAGESIZE
_MADV_POPULATE_WRITE = 23  # Linux 5.14; refused before, which costs nothing
MAX_PAGES = 16384


def _own_pages():
    """Return [[address, bytes], ...] of the writable memory that this process no longer shares with its parent."""
    found, left = [], MAX_PAGES
    with _open("/proc/self/maps") as maps, _open("/proc/self/pagemap", "rb", buffering=0) as pagemap:
        for line in maps.read().splitlines():
            span, mode = line.split()[:2]
            start, end = (int(number, 16) for number in span.split("-"))
            if mode != "rw-p" or end - start > 1 << 30:
                continue
            pagemap.seek(start // _PAGE * 8)
            entries = memoryview(pagemap.read((end - start) // _PAGE * 8)).cast("Q")
            for place, entry in enumerate(entries):
                if entry >> 63 and entry >> 56 & 1 and left > 0:  # present, and mapped by nobody else
                    left -= 1
                    address = start + place * _PAGE
                    if found and sum(found[-1]) == address:
                        found[-1][1] += _PAGE
                    else:
                        found.append([address, _PAGE])
    return found


def _copy_pages(ranges):
    """Have the kernel copy these pages now instead of when each is first written to."""
    import ctypes

    advise = ctypes.CDLL(None).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    for address, size in ranges:
        advise(address, size, _MADV_POPULATE_WRITE)


def _checked_ranges(value):
    """Return the ranges a child reported, if that is what they are; it may be hostile."""
    pairs = value if isinstance(value, list) else []
    sound = [pair for pair in pairs if isinstance(pair, list) and [type(number) for number in pair] == [int, int]]
    sound = [(address, size) for address, size in sound if 0 < address < 1 << 47 and 0 < size <= MAX_PAGES * _PAGE]
    return sound if sum(size for _, size in sound) <= MAX_PAGES * _PAGE else []


def _emitter(descriptor, nonce=""):
    """Return a function that writes one JSON line, whole, to a descriptor; only from the process that made it."""
    owner = os.getpid()

    def emit(frame):
        if os.getpid() != owner:
            return
        if nonce:
            frame["x"] = nonce
        data = json.dumps(frame, separators=(",", ":")).encode() + b"\n"
        view = memoryview(data)
        while view:
            view = view[_write(descriptor, view) :]

    return emit


def _status(status):
    return -(status & 0x7F) if status & 0x7F else status >> 8


class Child:
    """A child as its parent sees it: lines until it ends, is too slow, or talks too much."""

    def __init__(self, pid, descriptor, ear=-1):
        self.pid, self.descriptor, self.buffer, self.total = pid, descriptor, b"", 0
        self.ear = ear  # where a child that waits for its request listens
        self.why, self.code, self.reaped, self.ended = "", 0, False, False
        self.pidfd = -1
        with contextlib.suppress(OSError, AttributeError):  # neither Python 3.8's nor every sandbox's kernel has it
            self.pidfd = os.pidfd_open(pid)
        os.set_blocking(descriptor, False)

    def tell(self, request, end):
        """Give a waiting child its request. Returns False when it is dead or does not read until `end`."""
        view = memoryview(json.dumps(request, separators=(",", ":")).encode() + b"\n")
        os.set_blocking(self.ear, False)
        try:
            while view:
                if not select.select([], [self.ear], [], max(end - _monotonic(), 0))[1]:
                    return False
                view = view[_write(self.ear, view[:4096]) :]
        except OSError:
            return False
        return True

    def lines(self, deadline):
        """Yield lines; `deadline` is called for the moment to give up. Afterwards `why` says how it ended."""
        poller = select.poll()
        poller.register(self.descriptor, select.POLLIN)
        if self.pidfd >= 0:
            poller.register(self.pidfd, select.POLLIN)
        while not self.why:
            left = deadline() - _monotonic()
            if left <= 0:
                self.why = "timeout"
                return
            ready = {fd for fd, _ in poller.poll(min(left, 60 if self.pidfd >= 0 else 0.05) * 1000 + 1)}
            if self.descriptor in ready:
                yield from self._take()
            elif self.pidfd in ready or self.pidfd < 0:
                self._check()
        while self._more():
            yield from self._take()

    def _more(self):
        return (
            self.why == "exited" and bool(select.select([self.descriptor], [], [], 0)[0]) and not self.buffer == b"\0"
        )

    def _take(self):
        try:
            data = _read(self.descriptor, 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._check(wait=True)
            self.buffer = b"\0"
            return
        self.total += len(data)
        self.buffer += data
        *lines, self.buffer = self.buffer.split(b"\n")
        if len(self.buffer) > FRAME_BYTES or self.total > STREAM_BYTES or any(len(x) > FRAME_BYTES for x in lines):
            self.why = "flood"
            return
        yield from lines

    def _check(self, wait=False):
        """See whether the child has ended. A closed pipe with a live child is given a second."""
        end = _monotonic() + 1.0
        while not self.why:
            try:
                pid, status = os.waitpid(self.pid, os.WNOHANG)
            except OSError:
                pid, status = self.pid, 0
            if pid:
                self.why, self.code, self.reaped = "exited", _status(status), True
            elif not wait or _monotonic() > end:
                self.why = "timeout" if wait else ""
                return
            else:
                _sleep(0.001)

    def end(self):
        """Kill what is left of the child and its group. A second call does nothing."""
        if self.ended:
            return
        self.ended = True
        for act in (lambda: os.killpg(self.pid, signal.SIGKILL), lambda: _kill(self.pid, signal.SIGKILL)):
            with contextlib.suppress(OSError):
                act()
        if not self.reaped:
            with contextlib.suppress(OSError):
                self.code = _status(os.waitpid(self.pid, 0)[1])
        for descriptor in (self.descriptor, self.pidfd, self.ear):
            if descriptor >= 0:
                os.close(descriptor)


def _wipe(folder, keep):
    """Empty the temporary folder of what was not there at the start. Return whether that worked."""
    clean = True
    for name in os.listdir(folder):
        if name in keep:
            continue
        path = os.path.join(folder, name)
        if os.path.isdir(path) and not os.path.islink(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                os.unlink(path)
        clean = clean and not os.path.lexists(path)
    return clean


class Tree:
    """A writable repository that is as it was after every execution. Raises OSError when it is too large to be kept.

    What changed is seen by the time of the last change of status, which only the kernel sets; a file that changed a
    moment ago is compared byte by byte, since the next change may carry the same time.
    """

    FILES, BYTES, MOMENT_NS = 20_000, 64 << 20, 50_000_000

    def __init__(self, root):
        self.root = root
        self.folders, self.files, self.seen = {}, {}, {}
        left = self.BYTES
        for folder, folders, names in os.walk(root):
            self.folders[folder] = (os.lstat(folder).st_mode, frozenset([*folders, *names]))
            links = [name for name in folders if os.path.islink(os.path.join(folder, name))]
            for path in (os.path.join(folder, name) for name in [*names, *links]):
                content = self._content(path)
                left -= len(content)
                if left < 0 or len(self.files) >= self.FILES:
                    raise OSError("the repository is too large to be put back after every execution")
                self.files[path] = (os.lstat(path).st_mode, content)

    def put(self, path, content):
        """Let a file have this content from now on."""
        full = os.path.join(self.root, path)
        self.files[full] = (self.files[full][0], content)
        self._write(full)

    def restore(self):
        """Undo every change. Returns whether that was possible."""
        try:
            self._restore(self.root)
        except OSError:
            return False
        return True

    def _restore(self, folder):
        mode, names = self.folders[folder]
        if os.lstat(folder).st_mode != mode:
            os.chmod(folder, mode & 0o7777)
        present = set(os.listdir(folder))
        for name in present - names:
            self._remove(os.path.join(folder, name))
        for name in names:
            path = os.path.join(folder, name)
            if path not in self.folders:
                if name not in present or not self._unchanged(path):
                    self._write(path)
                continue
            if name in present and (os.path.islink(path) or not os.path.isdir(path)):
                self._remove(path)
            os.makedirs(path, exist_ok=True)
            self._restore(path)

    def _unchanged(self, path):
        now = os.lstat(path)
        sign = (now.st_mode, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)
        if self.seen.get(path) == sign:
            return True
        mode, content = self.files[path]
        if now.st_mode != mode or self._content(path) != content:
            return False
        if time.time_ns() - now.st_ctime_ns > self.MOMENT_NS:
            self.seen[path] = sign
        return True

    def _content(self, path):
        if os.path.islink(path):
            return os.fsencode(os.readlink(path))
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with _open(descriptor, "rb") as file:
            return file.read(self.BYTES)

    def _write(self, path):
        mode, content = self.files[path]
        self._remove(path)
        if mode & 0o170000 == 0o120000:
            os.symlink(content, path)
            return
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        with _open(descriptor, "wb") as file:
            file.write(content)
            os.fchmod(descriptor, mode & 0o7777)

    def _remove(self, path):
        if os.path.isdir(path) and not os.path.islink(path):
            for folder, folders, _ in os.walk(path):
                os.chmod(folder, 0o700)
                for name in folders:
                    if not os.path.islink(os.path.join(folder, name)):
                        os.chmod(os.path.join(folder, name), 0o700)
            shutil.rmtree(path)
        elif os.path.lexists(path):
            os.unlink(path)


# --- warm: zygotes, and one child per execution --------------------------------------------------------------------


class Zygote:
    """A process that waits with everything loaded and forks one child per execution."""

    def __init__(self, request, root, tmp, tape):
        self.request, self.root, self.tmp, self.tape = request, root, tmp, tape
        self.nodes = request["nodes"]
        self.places = Places(root)
        source = base64.b64decode(request["source"])
        self.variants = Variants(root, request["path"], request["qualname"], request["first_line"], source)
        self.called = False
        self.next_channel = None
        self.waiting, self.pages, self.scout, self.dirty = None, None, False, False

    def main(self, channel, next_channel):
        """Run pytest up to its first conftest and serve there; children come back and go on. Never returns."""
        try:
            self.channel, self.next_channel, self.role = channel, next_channel, "import"
            plugins, arguments = self._prepared()
            status = self.pytest.main(arguments, plugins=plugins)
            if self.role == "child":
                self._finish(int(status))
            _send(self.channel, {"ok": False, "why": "pytest ended with status %d before it ran a test" % int(status)})
        except BaseException as error:
            with contextlib.suppress(BaseException):
                _send(channel, {"ok": False, "why": "%s: %s" % (type(error).__name__, error)})
        finally:
            _exit(1)

    def _prepared(self):
        """Return the plugins and arguments for pytest."""
        import pytest

        self.pytest = pytest
        _enter(self.root)
        files = _files_of(self.nodes, self.root)
        arguments = pytest_arguments(self.root, files, ["-s", *self.request.get("args", ())], self.tmp)
        zygote = self

        class Hooks:
            @pytest.hookimpl(tryfirst=True)
            def pytest_load_initial_conftests(self, args):
                if sum(argument in ("-s", "--capture=no") for argument in args) < 2:  # one of them is ours
                    _seem_captured()
                zygote.serve_imports()

            @pytest.hookimpl(tryfirst=True)
            def pytest_runtestloop(self, session):
                if zygote.role == "swap":
                    zygote.serve_swaps(session)
                elif session.items:
                    zygote.run_items(session.items)

        self.reporter = make_reporter(pytest, self._emit, self.places, wanted=self.nodes, on_test=self._on_test)
        return [self.reporter, Hooks()], arguments

    def _emit(self, frame):
        if self.role == "child":
            self.emit(frame)
        elif frame["k"] in ("collect_error", "internal"):
            self.trouble = frame.get("m", "")

    trouble = ""
    recorder = None

    def _on_test(self, node):
        if self.role == "child":
            self._close_trace()
            self.tape.write(["t", self.nodes.index(node) if node in self.nodes else -1])
            if self.recorder is not None:
                self.recorder.reset()

    def _close_trace(self):
        if self.recorder is not None and self.recorder.cut:
            self.tape.write(["c"])

    def serve_imports(self):
        """At the fork point before any conftest. Only forked children and the next zygote return."""
        loaded = sorted(
            name
            for name, module in list(sys.modules.items())
            if isinstance(getattr(module, "__file__", None), str) and self.places.relative(module.__file__)
        )
        why = "pytest itself imports %s of this repository" % loaded[0] if loaded else ""
        _send(self.channel, {"ok": not loaded, "why": why})
        self._settle()
        for request in _requests(self.channel):
            if request["op"] == "collect":
                if _fork() == 0:
                    os.close(self.channel.fileno())
                    self.channel, self.role = self.next_channel, "swap"
                    _shield()
                    self.descriptors = set(os.listdir("/proc/self/fd"))
                    self._watch()
                    return
                self.next_channel.close()
                self.keep = _children()
            elif request["op"] == "load":
                self._load(request["modules"])
            elif self.execute(request, self._import_variant):
                return
        _exit(0)

    def serve_swaps(self, session):
        """At the fork point after collection."""
        watched = sys.getprofile() is self.profile
        sys.setprofile(None)
        threading.setprofile(None)
        self.items = {item.nodeid: item for item in session.items}
        self.functions = self.variants.functions()
        why = self.refuses() if watched else "the repository installs a profiler"
        _send(self.channel, {"ok": not why, "why": why, "modules": self._foreign()})
        self._settle()
        for request in _requests(self.channel):
            if self.execute(request, self._swap_variant):
                self.run_items([self.items[node] for node in self.pending if node in self.items])
        _exit(0)

    def _foreign(self):
        """Return the modules that collection imported and that are not the repository's, in order of import."""
        found = []
        for name, module in list(sys.modules.items()):
            file = getattr(module, "__file__", None)
            spec = getattr(module, "__spec__", None)
            if name not in self.before and isinstance(file, str) and getattr(spec, "name", None) == name:
                if not self.places.relative(file) and type(spec.loader).__module__.startswith("_frozen_importlib"):
                    found.append(name)
        return found

    def _load(self, modules):
        """Import them here once instead of in every child: neither tests nor variants can have changed them."""
        for name in modules:
            with contextlib.suppress(Exception):
                importlib.import_module(name)
        gc.collect()
        gc.freeze()

    def _settle(self):
        self.before = set(sys.modules)
        self.keep = _children()
        self.files = set(os.listdir(self.tmp)) if self.tmp else set()
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        _prctl(PR_SET_DUMPABLE, 0)
        gc.collect()
        gc.freeze()

    def _watch(self):
        """Notice a call of the target during collection: its results would be old under a swap."""
        name, line = self.variants.qualname.rpartition(".")[2], self.variants.first_line
        real = os.path.realpath(self.variants.file)

        def profile(frame, event, _argument):
            seen = frame.f_code
            if event == "call" and seen.co_firstlineno == line and seen.co_name == name:
                if os.path.realpath(seen.co_filename) == real:
                    self.called = True

        self.profile = profile
        threading.setprofile(profile)
        sys.setprofile(profile)

    def refuses(self):
        if self.variants.refusal:
            return self.variants.refusal
        if not self.items:
            return "no test was collected: %s" % (self.trouble or "the node ids are unknown")
        if self.called:
            return "called at import or collection"
        if not any(place == len(self.variants.original) - 1 for _, place in self.functions) and not (
            len(self.variants.original) > 1 and self.functions
        ):
            return "no such function was imported"
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and self.places.relative(file) == self.variants.path:
                loader = getattr(getattr(module, "__spec__", None), "loader", None)
                if type(loader).__name__ == "AssertionRewritingHook":
                    return "its module is rewritten by pytest"
        copied = self.variants.copied(self.functions)
        if copied:
            return copied
        if self._shares_files():
            return "a file or socket is open after collection"
        with _open("/proc/self/status") as file:
            threads = next(int(line.split()[1]) for line in file if line.startswith("Threads"))
        return "%d threads are running" % threads if threads != 1 else self.variants.refuses()

    def _shares_files(self):
        """Say whether collection left something open whose position or state all children would share."""
        for name in set(os.listdir("/proc/self/fd")) - self.descriptors:
            with contextlib.suppress(OSError):  # the listing's own
                if not stat.S_ISCHR(os.fstat(int(name)).st_mode):  # pytest holds /dev/null, others /dev/urandom
                    return True
        return False

    def execute(self, request, prepare):
        """Answer one request by a child. Returns True in the child, which goes on to run the tests."""
        started = _monotonic()
        limit, wanted = float(request["timeout"]), set(request.get("nodes") or self.nodes)
        pending = [node for node in self.nodes if node in wanted]
        answer = {"tests": [], "errors": [], "why": ""}
        for _ in range(3):
            child, frames = self._converse(dict(request, nodes=pending), limit, prepare)
            if child is None:
                return True
            refused = next((frame["why"] for frame in frames if frame["k"] == "refused"), None)
            if refused is not None:
                answer["why"] = str(refused)
                break
            last = self._merge(answer, frames, child)
            if last is None or last not in pending:
                break
            pending, limit = pending[pending.index(last) + 1 :], limit / 2
            if not pending:
                break
            self._clean(child)
        answer["d"] = round(_monotonic() - started, 6)
        _send(self.channel, answer)
        self._clean(child)
        _send(self.channel, {"dirty": self.dirty})
        if request.get("again"):
            self.waiting = self._spawn(prepare)
            return self.waiting is None
        return False

    def _converse(self, request, limit, prepare):
        """Return (child, what it said) for a request given to the child that waits; (None, None) in the child itself.

        One that dies or stops while it waits, which code in another child can bring about, is replaced once.
        """
        for _ in range(2):
            child, self.waiting = self.waiting or self._spawn(prepare), None
            if child is None:
                return None, None
            self.tape.clear()
            end = _monotonic() + limit
            request["scout"] = bool(request.get("again")) and self.pages is None
            frames = self._gather(child, end) if child.tell(request, end) else []
            if frames:
                break
            self._clean(child)
        pages = next((frame.get("r") for frame in frames if frame["k"] == "pages"), None)
        if pages is not None:
            self.pages = _checked_ranges(pages)
        return child, frames

    def _spawn(self, prepare):
        """Fork the child that will run the next request. Returns it; None in the child, once it has its request."""
        receive, send = os.pipe()
        ear, tell = os.pipe()
        parent = os.getpid()
        pid = _fork()
        if pid:
            os.close(send)
            os.close(ear)
            return Child(pid, receive, tell)
        self.role = "child"
        self.emit = _emitter(send)
        _detach([receive, tell, self.channel.fileno()])
        if os.getppid() != parent:  # it ended before we could ask to end with it
            _exit(1)
        request = self._await(ear)
        self.pending, self.scout = request["nodes"], request["scout"]
        self._variant(request, prepare)
        return None

    def _await(self, ear):
        """Wait for the request, with the memory that it will take already made our own."""
        if self.pages:
            _copy_pages(self.pages)
        _prctl(PR_SET_DUMPABLE, 0)  # until then nobody may look into this process or change it
        heard = b""
        while not heard.endswith(b"\n"):
            data = _read(ear, 1 << 16)
            if not data:
                _exit(0)
            heard += data
        os.close(ear)
        request = json.loads(heard)
        _prctl(PR_SET_DUMPABLE, 1)
        _cap(2 * request["timeout"], request["file_mib"])
        self.emit({"k": "begun"})
        return request

    def _clean(self, child):
        """Remove what a child left; what cannot be removed makes this process unfit for another."""
        child.end()
        swept = _sweep(self.keep)
        self.dirty = self.dirty or not swept or (bool(self.tmp) and not _wipe(self.tmp, self.files))

    def _gather(self, child, end):
        frames = []
        for line in child.lines(lambda: end):
            try:
                frame = json.loads(line)
                if isinstance(frame, dict) and isinstance(frame.get("k"), str):
                    frames.append(frame)
                    if frame["k"] in ("done", "refused"):
                        child.why = "exited"
            except ValueError:
                continue
        return frames

    def _finish(self, status):
        """In the child: say that all is said, and end."""
        if self.scout:
            with contextlib.suppress(Exception):
                self.emit({"k": "pages", "r": _own_pages()})
        self.emit({"k": "done", "status": status})
        _exit(0)

    def _merge(self, answer, frames, child):
        """Add one child's tests to the answer. Return the test during which the child ended, if any."""
        tapes = self.tape.read()
        current, last = None, None
        for frame in frames:
            kind = frame["k"]
            if kind == "start":
                current = {"n": frame.get("n"), "ph": [], "why": "", "tape": None}
                if current["n"] in self.nodes:
                    current["tape"] = tapes.get(self.nodes.index(current["n"]))
                answer["tests"].append(current)
            elif kind == "phase" and current is not None:
                current["ph"].append(frame)
            elif kind == "end":
                current = None
            elif kind == "collect_error":
                answer["errors"].append(frame)
        if current is not None:
            runaway = current["tape"] is not None and current["tape"].get("run")
            current["why"] = "timeout" if runaway or child.why != "exited" else "crashed"
            current["code"] = child.code
            last = current["n"]
        elif child.why != "exited" and not answer["tests"]:
            answer["why"] = "timeout before the first test"
        return last

    def _variant(self, request, prepare):
        trace = bool(request.get("trace"))
        if trace:
            tape = self.tape

            def runaway():
                tape.write(["z"])
                _exit(RUNAWAY_STATUS)

            def record(event):
                tape.write(["e", *event])

            self.recorder = Recorder(record, request["events"], MAX_STEPS, runaway)
        _install_builtins(self.tape, self.recorder)
        try:
            prepare(base64.b64decode(request["source"]), trace, bool(request.get("sentinel")))
        except Exception as error:
            self.emit({"k": "refused", "why": "%s: %s" % (type(error).__name__, error)})
            _exit(0)

    def _import_variant(self, source, trace, sentinel):
        self.variants.hook_import(source, trace, sentinel)
        self.reporter.wanted = self.pending

    def _swap_variant(self, source, trace, sentinel):
        self.variants.swap(self.functions, source, trace, sentinel)

    def run_items(self, items):
        for place, item in enumerate(items):
            following = items[place + 1] if place + 1 < len(items) else None
            item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
            self._close_trace()
        self._finish(0)


def _files_of(nodes, root):
    files = []
    for node in nodes:
        name = node.split("::")[0]
        if name not in files and os.path.exists(os.path.join(root, name)):
            files.append(name)
    return files


def _send(channel, frame):
    channel.sendall(json.dumps(frame, separators=(",", ":")).encode() + b"\n")


def _requests(channel):
    with channel.makefile("rb") as lines:
        for line in lines:
            yield json.loads(line)


# --- the server ----------------------------------------------------------------------------------------------------


class _Forked(BaseException):
    """Raised in a fresh fork to leave our own frames, so that tests find as much of the stack free as under pytest.

    args: what to call then, and with what.
    """


@contextlib.contextmanager
def _ending_here():
    """End a fresh fork that cannot be set up, or it would go on as a second server."""
    try:
        yield
    except BaseException:
        _exit(1)


class Server:
    """Reads requests from the host and answers each; runs no code of the repository itself."""

    def __init__(self, source, sink):
        self.source, self.sink = source, sink
        self.pending = b""
        self.root, self.tmp = "", ""
        self.zygote, self.channels, self.tape, self.dirty = 0, {}, None, False
        self.tree, self.path = None, ""
        self.denied = False  # whether system calls are filtered
        self.function, self.answers, self.lines, self.until = None, None, iter(()), 0.0  # a function apart

    def serve(self):
        signal.pthread_sigmask(signal.SIG_BLOCK, set(range(1, signal.NSIG)) - {signal.SIGKILL, signal.SIGSTOP, 32, 33})
        _prctl(PR_SET_DUMPABLE, 0)
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.denied = _deny_calls()
        while True:
            line = self._line()
            if line is None:
                break
            request = json.loads(line)
            try:
                getattr(self, "do_" + request["op"])(request)
            except Exception as error:
                self._reply({"k": "error", "why": "%s: %s" % (type(error).__name__, error)})
        self._drop()
        _exit(0)

    def _line(self):
        while b"\n" not in self.pending:
            data = _read(self.source, 1 << 16)
            if not data:
                return None
            self.pending += data
        line, _, self.pending = self.pending.partition(b"\n")
        return line

    def _exactly(self, size):
        parts, left = [self.pending[:size]], size - min(size, len(self.pending))
        self.pending = self.pending[size:]
        while left:
            data = _read(self.source, min(left, 1 << 20))
            if not data:
                raise EOFError("the stream of files ended early")
            parts.append(data)
            left -= len(data)
        return b"".join(parts)

    def _reply(self, frame):
        self._reply_raw(json.dumps(frame, separators=(",", ":")).encode())

    def _reply_raw(self, data):
        view = memoryview(data + b"\n")
        while view:
            view = view[_write(self.sink, view) :]

    def do_hello(self, request):
        """Say who we are, and set up paths: where the repository is, and where it was when it was installed."""
        self.root, self.tmp = request["root"], request.get("tmp", "")
        _limit(resource.RLIMIT_NOFILE, MAX_FILES)  # rootless Podman ignores the one it was given
        if request.get("processes"):
            _limit(resource.RLIMIT_NPROC, request["processes"])
        if request.get("was"):
            _remap(request["was"], self.root)
        if self.root not in sys.path:  # after the standard library, before a copy that may be installed
            place = next((n for n, entry in enumerate(sys.path) if "-packages" in entry), len(sys.path))
            sys.path[place:place] = [os.path.join(self.root, "src"), self.root]
        try:
            pytest = importlib.metadata.version("pytest")
        except importlib.metadata.PackageNotFoundError:
            pytest = ""
        self._reply(
            {"k": "hello", "protocol": PROTOCOL, "python": sys.version.split()[0], "pytest": pytest}
            | {"pid": os.getpid(), "uid": os.getuid(), "status": _own_status(), "interfaces": _interfaces()}
            | {"denied": self.denied, "limits": _own_limits()}
        ) if sys.version_info >= (3, 9) else None

    def do_files(self, request):
        """Receive the repository as a tar stream."""
        data = self._exactly(request["size"])
        os.makedirs(self.root, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            extra = {"filter": "fully_trusted"} if hasattr(tarfile, "data_filter") else {}
            archive.extractall(self.root, **extra)  # the host wrote it
            count = len(archive.getnames())
        self.tree = Tree(self.root) if request.get("keep") else None
        self._reply({"k": "files", "count": count})

    def do_suite(self, request):
        """Run pytest once in a child and pass on what it says."""
        output = os.path.join(self.tmp or "/tmp", ".egcfg-output-%d" % os.getpid())
        receive, send = os.pipe()
        ear, tell = os.pipe()
        pid = _fork()
        if pid == 0:
            with _ending_here():
                _become_child([receive, tell, self.source, self.sink], request["suite_timeout"], request["file_mib"])
                _redirect(output)
            raise _Forked(_run_suite, self.root, request, send, self.tmp, ear)
        os.close(send)
        os.close(ear)
        child = Child(pid, receive, tell)
        end = _monotonic() + request["suite_timeout"]
        watch = {"end": end}
        for line in child.lines(lambda: min(watch["end"], end)):
            try:
                frame = json.loads(line)
                if not isinstance(frame, dict):
                    raise ValueError("not an object")
            except ValueError:
                self._reply({"k": "garbled"})
                continue
            limit = {"start": 1.0, "collecting": 4.0}.get(frame.get("k"))
            if limit is not None:
                watch["end"] = _monotonic() + limit * request["test_timeout"]
            elif frame.get("k") in ("end", "collected", "done"):  # reports of phases do not stop a test's clock
                watch["end"] = end
            self._reply_raw(b'{"k":"child","d":' + line + b"}")
            if request.get("apart") and frame.get("k") == "ask" and frame.get("x") == request["nonce"]:
                child.tell(json.loads(self._line() or b"{}"), end)
            if frame.get("k") == "done" and frame.get("x") == request["nonce"]:
                child.why = "exited"
        why = "suite-timeout" if child.why == "timeout" and _monotonic() >= end else child.why
        child.end()
        _sweep({self.zygote})
        self._reply({"k": "exit", "why": why, "code": child.code, "out": _tail(output, request["output"])})

    def do_apart(self, request):
        """Start the process that answers calls of one function; say why it cannot."""
        self.function = request
        self._reply({"k": "apart", "why": self._start_function()})

    def _start_function(self):
        receive, send = os.pipe()
        ear, tell = os.pipe()
        pid = _fork()
        if pid == 0:
            _become_child([receive, tell, self.source, self.sink], self.function["seconds"], self.function["file_mib"])
            _redirect(os.devnull)
            _serve_function(self.root, self.function, ear, send)
        os.close(send)
        os.close(ear)
        self.answers = Child(pid, receive, tell)
        self.until = _monotonic() + self.function["timeout"]
        self.lines = self.answers.lines(lambda: self.until)
        said = self._next_answer()
        return "" if said.get("k") == "ready" else str(said.get("why") or "it did not start")

    def _next_answer(self):
        """Return what the function's process says next; {"why": ...} when it ended, is silent or talks nonsense."""
        line = next(self.lines, None)
        try:
            said = json.loads(line) if line is not None else None
        except ValueError:
            said = None
        if isinstance(said, dict):
            return said
        why = "nonsense" if line is not None else self.answers.why or "silence"
        self.answers.end()
        _sweep(set())
        self.answers = None
        return {"why": why}

    def do_ask(self, request):
        """Pass one call on to the function's process; one that has ended is started again first."""
        why = "" if self.answers is not None else self._start_function()
        if why or self.answers is None:
            self._reply({"k": "asked", "d": {"why": why or "it did not start"}})
            return
        self.until = _monotonic() + self.function["timeout"]
        told = self.answers.tell({"a": request["a"]}, self.until)
        self._reply({"k": "asked", "d": self._next_answer() if told else {"why": "it does not listen"}})

    def do_prepare(self, request):
        """Start the zygotes of a warm session."""
        self._drop()
        self.dirty, self.path = False, request["path"]
        self.tape = Tape()
        ours, theirs = socket.socketpair()
        ours2, theirs2 = socket.socketpair()
        self.zygote = _fork()
        if self.zygote == 0:
            self._zygote(request, theirs, theirs2, (ours, ours2))
        theirs.close()
        theirs2.close()
        self.channels = {"import": Line(ours), "swap": Line(ours2)}
        answer = {"k": "prepared", "import": None, "swap": None}
        answer["import"] = self.channels["import"].receive(request["timeout"])
        if request.get("swap") and answer["import"] and answer["import"].get("ok"):
            self.channels["import"].send({"op": "collect"})
            answer["swap"] = self.channels["swap"].receive(request["timeout"])
            modules = (answer["swap"] or {}).pop("modules", None)
            if isinstance(modules, list):
                self.channels["import"].send({"op": "load", "modules": [str(name) for name in modules]})
        self._reply(answer)

    def _zygote(self, request, channel, next_channel, close):
        with _ending_here():
            for end in close:
                end.close()
            for descriptor in (self.source, self.sink):
                os.close(descriptor)
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            _shield()
            _redirect(os.devnull)
            zygote = Zygote(request, self.root, self.tmp, self.tape)
        raise _Forked(zygote.main, channel, next_channel)

    def do_execute(self, request):
        """Have a zygote run the tests on one variant; it cleans up once the answer is on its way."""
        line = self.channels[request["level"]]
        if self.dirty:
            self._reply({"k": "executed", "d": {"why": "unclean", "dirty": True}})
            return
        if self.tree is not None:
            self.tree.put(self.path, base64.b64decode(request["source"]))
        line.send(request)
        answer = line.receive(2 * request["timeout"] + 5)  # later only if the zygote itself was stopped
        self._reply({"k": "executed", "d": answer})
        rest = line.receive(10) if answer is not None else None
        self.dirty = rest is None or rest.get("dirty") is not False
        if self.tree is not None and not self.tree.restore():
            self.dirty = True

    def _drop(self):
        for line in self.channels.values():
            line.close()
        self.zygote, self.channels = 0, {}
        _sweep(set())


class Line:
    """One end of a zygote's channel, with a deadline."""

    def __init__(self, channel):
        self.channel, self.buffer = channel, b""

    def send(self, frame):
        self.channel.settimeout(10)
        with contextlib.suppress(OSError):
            _send(self.channel, frame)

    def receive(self, timeout):
        """Return the next frame, or None when the zygote is gone, silent or talks nonsense."""
        end = _monotonic() + timeout
        while b"\n" not in self.buffer:
            left = end - _monotonic()
            if left <= 0 or len(self.buffer) > 16 << 20:
                return None
            self.channel.settimeout(left)
            try:
                data = self.channel.recv(1 << 16)
            except OSError:
                return None
            if not data:
                return None
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b"\n")
        try:
            frame = json.loads(line)
        except ValueError:
            return None
        return frame if isinstance(frame, dict) else None

    def close(self):
        self.channel.close()


def _run_suite(root, request, descriptor, tmp, ear):
    """In the child: one pytest run, then the end of the process."""
    emit = _emitter(descriptor, request["nonce"])
    try:
        gc.unfreeze()
        _enter(root)
        places = Places(root)
        nodes = request["nodes"]
        files = [] if nodes is None else _files_of(nodes, root)
        _install_builtins(Tape(), None)
        setattr(builtins, ASK, Asker(emit, ear))
        import pytest

        coverage = Coverage(places, emit) if request.get("coverage") else None
        comparison = _comparison(root, request.get("compare"), emit)
        plugin = make_reporter(
            pytest,
            emit,
            places,
            nodes,
            request.get("canaries", ()),
            coverage,
            output=request["output"],
            comparison=comparison,
            collect_only=bool(request.get("collect_only")),
        )
        if nodes is not None and not files:
            emit({"k": "done", "status": 5})
            _exit(0)
        arguments = pytest_arguments(root, files, request.get("args", ()), tmp)
        status = int(pytest.main(arguments, plugins=[plugin]))
        emit({"k": "done", "status": status})
    except BaseException as error:
        with contextlib.suppress(BaseException):
            emit({"k": "internal", "m": "%s: %s" % (type(error).__name__, error)})
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
        _exit(0)


def _enter(root):
    """Make the repository the current folder, as a shell does."""
    os.chdir(root)
    os.environ["PWD"] = root


def _seem_captured():
    """Let the standard streams behave as under pytest's capture, which warm runs go without.

    It holds what was written in a file, and children of one process would share its position.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            stream.reconfigure(encoding="utf-8", errors="replace")
    with contextlib.suppress(ImportError, AttributeError):
        sys.stdin = importlib.import_module("_pytest.capture").DontReadFromInput()


def _seem_started_by_a_shell():
    """Look like an interpreter that runs the pytest command, whatever started us, and how."""
    sys.argv[:] = [os.path.join(os.path.dirname(sys.executable), "pytest")]
    os.environ.pop("PYTHONHASHSEED", None)  # for us alone: what a test starts is as random as ever
    for number in set(signal.valid_signals()) - {signal.SIGPIPE, signal.SIGXFSZ, signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is signal.SIG_IGN:  # as for jobs in the background
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def _redirect(path):
    """Point descriptors 0 to 2 away from our channels."""
    null = os.open(os.devnull, os.O_RDWR)
    sink = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(null, 0)
    os.dup2(sink, 1)
    os.dup2(sink, 2)
    os.close(null)
    os.close(sink)


def _tail(path, size):
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return ""
    with _open(descriptor, "rb") as file:
        file.seek(max(0, os.fstat(descriptor).st_size - size))
        data = file.read(size)
    with contextlib.suppress(OSError):
        os.unlink(path)
    return data.decode("utf-8", "replace")


def _remap(was, root):
    """Let an editable installation of the checkout mean the copy in the sandbox."""
    for place, entry in enumerate(sys.path):
        if entry == was or entry.startswith(was + os.sep):
            sys.path[place] = root + entry[len(was) :]
    for finder in sys.meta_path:
        names = getattr(sys.modules.get(getattr(finder, "__module__", "")), "MAPPING", None)
        if isinstance(names, dict):
            for name, path in list(names.items()):
                if isinstance(path, str) and (path == was or path.startswith(was + os.sep)):
                    names[name] = root + path[len(was) :]
    sys.path_importer_cache.clear()


def _own_status():
    import ctypes

    wanted = ("CapEff", "CapBnd", "NoNewPrivs", "Seccomp", "Seccomp_filters")
    found = {"NoNewPrivs": str(ctypes.CDLL(None).prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0))}  # gVisor's file lacks it
    with contextlib.suppress(OSError), _open("/proc/self/status") as file:
        pairs = (line.split(":", 1) for line in file if ":" in line)
        found.update((name, value.strip()) for name, value in pairs if name in wanted)
    return found


MAX_FILES = 1024  # open at once
_LIMITS = {  # under /sys/fs/cgroup: version 2, version 1
    "memory": ("memory.max", "memory/memory.limit_in_bytes"),
    "processes": ("pids.max", "pids/pids.max"),
    "processor time": ("cpu.max", "cpu/cpu.cfs_quota_us"),
}


def _own_limits():
    """Return what our control group says it is limited to; nothing of what cannot be read."""
    found = {}
    for name, paths in _LIMITS.items():
        for path in paths:
            with contextlib.suppress(OSError, UnicodeDecodeError), _open("/sys/fs/cgroup/" + path) as file:
                found[name] = file.read(80).strip()
    return found


def _interfaces():
    try:
        return sorted(name for _, name in socket.if_nameindex())
    except OSError:
        return []


def serve():
    """Take over stdin and stdout and serve until stdin ends."""
    source, sink = os.dup(0), os.dup(1)
    for descriptor in (source, sink):
        os.set_inheritable(descriptor, False)
    _redirect(os.devnull)
    sys.dont_write_bytecode = True
    _seem_started_by_a_shell()
    gc.freeze()
    try:
        Server(source, sink).serve()
    except _Forked as forked:
        function, *arguments = forked.args
    function(*arguments)
