"""A function as text: find it in a file, complete a half-written body, splice a new body in.

What other modules use, gathered from the modules that decide: `bot.function_text` reads a function from a file,
`bot.half_written` makes an unfinished body run, `bot.splicing` writes a body into the file.
"""

from bot.function_text import (
    INDENT,
    FunctionNode,
    FunctionText,
    find_function,
    function_at,
    functions_in,
    has_yield,
    refusal,
)
from bot.half_written import at_statement_boundary, complete
from bot.logical_lines import logical_lines
from bot.splicing import BodyError, splice

__all__ = [
    "INDENT",
    "BodyError",
    "FunctionNode",
    "FunctionText",
    "at_statement_boundary",
    "complete",
    "find_function",
    "function_at",
    "functions_in",
    "has_yield",
    "logical_lines",
    "refusal",
    "splice",
]
