"""A patch as function bodies and nothing else: made from them, checked to be only that, put on other files.

Pure functions of records and bytes. A patch replaces one body, or several one after the other, in one file or in more;
each of these steps is a patch of its own that can be told, checked and moved alone.
"""

from __future__ import annotations

import difflib
import io
import re
import tokenize
from collections.abc import Iterable, Mapping
from dataclasses import replace

from bot.functions import BodyError, FunctionText, find_function, function_at, functions_in, splice
from bot.records import Patch
from runners.runner import Frame, FunctionKey


def make_patch(path: str, source: bytes, function: FunctionText, body: str) -> Patch:
    """Return the patch that puts `body` into `function`. Raises BodyError as `splice` does."""
    after = splice(source, function, body)
    return Patch(path, function.qualname, source, after, unified_diff(path, source, after))


def joined(steps: Iterable[Patch]) -> Patch:
    """Return one patch that takes these steps in order; each starts from what the ones before left of its file.

    Raises ValueError when there are none, or when a step does not follow from those before.
    """
    flat = [step for patch in steps for step in patch.steps]
    if not flat:
        raise ValueError("A patch has at least one step.")
    first, *rest = flat
    whole = replace(first, further=tuple(rest))
    files: dict[str, bytes] = {}
    for step in flat:
        if files.get(step.path, step.before) != step.before:
            raise ValueError(f"The change of {step.qualname} was not made on {step.path} as the steps before leave it.")
        files[step.path] = step.after
    if not rest:
        return whole
    return replace(whole, diff="".join(unified_diff(path, whole.originals[path], files[path]) for path in files))


def body_change(step: Patch) -> tuple[FunctionText, str] | None:
    """Return the function as it was before one step and its new body, or None if anything else differs."""
    for old in functions_in(step.before):
        if old.qualname != step.qualname:
            continue
        for new in functions_in(step.after):
            same = new.qualname == old.qualname and new.first_line == old.first_line and new.header == old.header
            if same and _rest(step.before, old) == _rest(step.after, new):
                return old, new.body
    return None


def _rest(content: bytes, function: FunctionText) -> tuple[bytes, bytes]:
    return content[: function.start].rstrip(), content[function.end :].strip()


def moved_onto(files: Mapping[str, bytes], patch: Patch) -> Patch | None:
    """Return the patch as it reads on `files` (path -> bytes), changed by others; files not named are as before.

    Steps that have been taken already are left out. None when nothing is left, or when a step no longer fits.
    """
    current = dict(files)
    steps: list[Patch] = []
    for step in patch.steps:
        change = body_change(step)
        if change is None:
            return None
        source = current.get(step.path, step.before)
        function = moved_function(source, change[0])
        if function is None:
            return None
        if function.body == change[1]:
            continue
        try:
            steps.append(make_patch(step.path, source, function, change[1]))
        except BodyError:
            return None
        current[step.path] = steps[-1].after
    return joined(steps) if steps else None


def with_body(patch: Patch, step: Patch, body: str) -> dict[str, bytes]:
    """Return the patched files, but with `body` in the function of one of the patch's steps.

    Raises BodyError when it cannot stand there, ValueError when the step is none of the patch.
    """
    files = patch.files
    change = body_change(step)
    function = moved_function(files[step.path], change[0]) if change is not None and step.path in files else None
    if function is None:
        raise ValueError(f"The patch does not change {step.qualname}.")
    return {**files, step.path: splice(files[step.path], function, body)}


def moved_function(source: bytes, wanted: FunctionText) -> FunctionText | None:
    """Return the function in a file whose bodies may have become longer or shorter, None if it is gone."""
    exact = find_function(source, wanted.qualname, wanted.first_line)
    if exact is not None and exact.header == wanted.header:
        return exact
    matching = [f for f in functions_in(source) if f.qualname == wanted.qualname]
    return min(matching, key=lambda f: (f.header != wanted.header, abs(f.first_line - wanted.first_line)), default=None)


def original_key(patch: Patch, key: FunctionKey) -> FunctionKey:
    """Return the key that a function executed with the patch applied has without it."""
    function = find_function(patch.files.get(key.path, b""), key.qualname, key.first_line)
    before = moved_function(patch.originals[key.path], function) if function is not None else None
    return key if before is None else replace(key, first_line=before.first_line)


def original_frame(patch: Patch, frame: Frame) -> Frame:
    """Return a frame of a run with the patch applied as it would be without it, its line inside the same function."""
    function = function_at(patch.files.get(frame.path, b""), frame.line)
    before = moved_function(patch.originals[frame.path], function) if function is not None else None
    if function is None or before is None:
        return frame
    return replace(frame, line=min(before.end_line, frame.line - function.first_line + before.first_line))


def unified_diff(path: str, before: bytes, after: bytes) -> str:
    """Return the change as `git diff` shows it, carriage returns and a missing newline at the end included."""
    old, new = _diff_lines(before), _diff_lines(after)
    lines = difflib.unified_diff(old, new, f"a/{path}", f"b/{path}")
    return "".join(line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in lines)


def _diff_lines(content: bytes) -> list[str]:
    try:
        text = content.decode(tokenize.detect_encoding(io.BytesIO(content).readline)[0].removesuffix("-sig"))
    except (SyntaxError, UnicodeDecodeError):
        text = content.decode("utf-8", "replace")
    return re.findall(r"[^\n]*\n|[^\n]+", text)
