"""Everyday words of small programs: names for the program grammar, and the tokenizer's guarantee to know them."""

# ruff: noqa: E501 - lists of words
from __future__ import annotations


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


LISTS = _words(
    "items values numbers nums data arr entries records rows elements points scores prices parts tokens xs seq lst readings samples weights sizes lengths amounts marks"
)
STRINGS = _words("text s line word name message string sentence phrase label title code raw source content path query")
WORD_LISTS = _words("words names lines tokens labels tags keys fields columns parts strings titles")
COUNTS = _words(
    "n k count limit size width depth step total length maximum minimum threshold target bound window capacity amount level"
)
INDICES = _words("i j k index idx pos left right start end lo hi low high mid first last offset cursor")
ELEMENTS = _words("x item value number elem entry v num element current cur val")
CHARS = _words("c ch char letter symbol")
RESULTS = _words("result out total answer res output acc ans collected found best kept picked merged")
MAPPINGS = _words(
    "counts d table mapping lookup index groups totals stock prices scores ages config settings cache graph inventory registry"
)
OTHERS = _words("""previous prev next seen stack queue pivot below above equal head tail node parent child children graph edges
visited matrix grid row col cell digit digits remainder quotient carry base power factor product average mean median
variance ratio rate price quantity discount tax cart balance account deposit withdraw order customer user users email
date day month year hour minute second seconds days interval intervals span overlap merge sort sorted reverse search
filter parse format split join strip prefix suffix sep delimiter quote token bracket open close pairs pair key func
predicate callback default strict self cls push pop peek append insert remove update clear empty full contains events
clamp scale shift rotate swap compress expand encode decode flatten chunk batch group partition unique duplicates
longest shortest largest smallest highest lowest frequency histogram vowels letters upper lower title camel snake
lambda yield assert raise return range enumerate zip isinstance ValueError TypeError IndexError KeyError
ZeroDivisionError AttributeError AssertionError NameError RecursionError object attribute list index out of range
unsupported operand type for int str NoneType not subscriptable iterable string must be missing positional argument
required takes but were given timed division by zero invalid literal with base has no than defined referenced before
assignment local variable where it is associated value instances between supported could convert float keyword cannot
unhashable too many unpack expected enough callable comparison exceeded get test""")
EVERY = tuple(
    dict.fromkeys([*LISTS, *STRINGS, *WORD_LISTS, *COUNTS, *INDICES, *ELEMENTS, *CHARS, *RESULTS, *MAPPINGS, *OTHERS])
)
