"""Trains the tokenizer: byte-level BPE, 4096 pieces, saved in the ordinary transformers format.

Encoding is local to lines: a newline is always a token of its own and an indentation is one token, so that encode(a
+ b) == encode(a) + encode(b) whenever `a` ends in a newline. Line-by-line decoding relies on that. Digits stand
alone, with at most the space before them. Nothing is added or cleaned up: decode(encode(text)) == text.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

from bot.decoding.prompt import SPECIAL_TOKENS
from training.corpus import load
from training.words import EVERY

VOCABULARY = 4096
MAX_LENGTH = 2048
PIECES = r"\n| {2,}| ?_*[A-Za-z]+|_+| ?[0-9]| ?[^\sA-Za-z0-9_]+|\s"

ERRORS = (
    "TypeError: unsupported operand type(s) for +: 'int' and 'str'",
    "IndexError: list index out of range",
    "KeyError: 'a'",
    "NameError: name",
    "AttributeError: 'list' object has no attribute",
)


def new_tokenizer() -> Tokenizer:
    """Return an untrained tokenizer with our pieces."""
    tokenizer = Tokenizer(models.BPE(unk_token=None))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PIECES), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def train(texts: Iterator[str], vocabulary: int = VOCABULARY) -> Tokenizer:
    """Return a tokenizer trained on `texts`; special tokens get the first ids, in the order of SPECIAL_TOKENS."""
    tokenizer = new_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[AddedToken(t, normalized=False, special=True) for t in SPECIAL_TOKENS],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def literal(rng: random.Random, depth: int = 0) -> str:
    """Return the source of a random value as tests and traces show them."""
    kind = rng.randrange(8 if depth < 2 else 4)
    if kind < 2:
        return str(
            rng.choice([rng.randrange(10), rng.randrange(-20, 100), rng.randrange(1000), round(rng.random() * 9, 2)])
        )
    if kind == 2:
        return repr(rng.choice(["", "a", "abc", "hello world", "x,y", "Tea", "a-b", "id", "10:30", "A1"]))
    if kind == 3:
        return rng.choice(["True", "False", "None", "[]", "{}", "''", "()"])
    items = [literal(rng, depth + 1) for _ in range(rng.randrange(1, 5))]
    if kind == 4:
        return f"({', '.join(items)},)"
    if kind == 5:
        return "{" + ", ".join(f"{rng.choice('abcxyz')!r}: {item}" for item in items) + "}"
    return f"[{', '.join(items)}]"


def texts(functions: Path, seed: int, count: int = 24_000) -> Iterator[str]:
    """Yield about 70 % code, 15 % tests and failures, 15 % trace events."""
    rng = random.Random(seed)
    every = load(functions)
    rng.shuffle(every)
    for function in every[:count]:
        yield function.text
        call = f"{function.name}({literal(rng)}, {literal(rng)})"
        yield f"assert {call} == {literal(rng)}\nAssertionError: assert {literal(rng)} == {literal(rng)}\n"
        yield f" {rng.choice(EVERY)}={literal(rng)}, ret {literal(rng)} => fail AssertionError: assert\n"
        error = rng.choice(ERRORS)
        yield " ".join(["", *rng.sample(EVERY, 14)]) + f"_{rng.choice(EVERY)}"
        yield "(" + "(".join(rng.sample(EVERY, 9))
        yield f"def test_{function.name}():\n    assert {call} is {literal(rng)}\n {error}\n"


def save(tokenizer: Tokenizer, folder: Path) -> None:
    """Write tokenizer.json and tokenizer_config.json for transformers' AutoTokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_max_length": MAX_LENGTH,
        "pad_token": "<pad>",
        "eos_token": "<end>",
        "padding_side": "left",
        "clean_up_tokenization_spaces": False,
        "additional_special_tokens": [t for t in SPECIAL_TOKENS if t not in ("<pad>", "<end>")],
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--functions", type=Path, required=True, help="functions.jsonl of training.corpus")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--vocabulary", type=int, default=VOCABULARY)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    save(train(texts(options.functions, options.seed), options.vocabulary), options.out)


if __name__ == "__main__":
    main()
