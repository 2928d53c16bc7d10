"""Training: faults parse and differ, samples line up with their weights, evaluation functions stay out."""

from __future__ import annotations

import ast
import json
import random
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("tokenizers")
pytest.importorskip("transformers")

import numpy as np
import torch
from tokenizers import Tokenizer

from training import tokenizer as tokenizer_module
from training.code import Code
from training.contamination import humanevalfix_filter
from training.dataset import Pool, collate, write_shard
from training.executed import failing_cases, shown_tests
from training.execution import Worker, assemble
from training.faults import OPERATORS, edits, inject, neighbourhood
from training.functions import SourceFunction, identity, make_function, same_code
from training.grammar import CLASSES, FUNCTIONS, function_from, methods_from
from training.network import Network, Shape, to_llama
from training.samples import changed_tokens, encode, whole_body
from training.signals import signal_sample
from training.train import POOLS, Plan, Trainer

FUNCTION = """\
def keep_close(values, target, limit=3, *, strict=False):
    kept = []
    total = 0
    for index, value in enumerate(values):
        if value is None or index > 9:
            continue
        distance = abs(value - target)
        if distance < limit and not strict:
            kept.append(values[index - 1])
            total += distance.real * 2 - target.imag
        elif len(kept) == 2:
            break
    while total > 5 and kept:
        kept.pop(0)
        total -= 1
    return [min(k, "a".lower(), key=str) for k in kept if kept] or sorted(kept[1:], reverse=True)
"""


@pytest.fixture(scope="module")
def pieces() -> Tokenizer:
    texts = [FUNCTION, "assert f([1, 2], x) == 3\nAssertionError: assert 1 == 2\n"] * 20
    return tokenizer_module.train(iter(texts), vocabulary=600)


def plain_function(text: str, calls: tuple[str, ...] = ()) -> SourceFunction:
    function = make_function(text, "tests", calls)
    assert function is not None
    return function


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_each_operator_yields_a_fault_that_parses_and_differs(name: str) -> None:
    assert edits(Code(FUNCTION), name, random.Random(0))
    for seed in range(3):
        fault = inject(FUNCTION, random.Random(seed), frozenset({name}))
        if fault is not None:
            ast.parse(fault.text)
            assert not same_code(fault.text, FUNCTION)
            assert fault.text.splitlines()[0] == FUNCTION.splitlines()[0]


def test_faults_leave_the_rest_of_the_text_alone() -> None:
    changed = [text for operator, text in neighbourhood(FUNCTION) if operator == "CMP"]
    assert changed
    for text in changed:
        before, after = FUNCTION.splitlines(), text.splitlines()
        assert len(before) == len(after)
        assert sum(a != b for a, b in zip(before, after, strict=True)) == 1


def test_encoding_is_exact_and_local_to_lines(pieces: Tokenizer) -> None:
    for text in (FUNCTION, "  é\tx\n\n   y = 'ü'  # 12\n", "<fix>    a\n<end>"):
        ids = pieces.encode(text, add_special_tokens=False).ids
        assert pieces.decode(ids, skip_special_tokens=False) == text
        lines = text.splitlines(keepends=True)
        assert ids == [i for line in lines for i in pieces.encode(line, add_special_tokens=False).ids]


def test_weights_stand_on_the_tokens_that_the_fault_changed(pieces: Tokenizer) -> None:
    function = plain_function("def f(a, b):\n    total = a + b\n    return total\n")
    faulty = function.text.replace("a + b", "a - b")
    encoded = encode(whole_body(function, faulty, ("assert f(1, 2) == 3",), "AssertionError"), pieces)
    heavy = [pieces.decode([int(i)]) for i, w in zip(encoded.ids, encoded.weights, strict=True) if w == 100]
    assert "".join(heavy) == " +"
    answer = pieces.decode(
        [int(i) for i, w in zip(encoded.ids, encoded.weights, strict=True) if w], skip_special_tokens=False
    )
    assert answer == function.body + "<end>"


def test_a_deletion_marks_the_token_after_it() -> None:
    assert changed_tokens([1, 2, 3, 4], [1, 2, 4]) == [(2, 3)]


def test_a_batch_predicts_each_weighted_token_from_the_one_before(pieces: Tokenizer, tmp_path: Path) -> None:
    function = plain_function("def f(a, b):\n    return a + b\n")
    encoded = encode(whole_body(function, function.text.replace("+", "-")), pieces)
    write_shard([encoded, encoded], tmp_path / "one.npz")
    pool = Pool(tmp_path, seed=0)
    batch = collate(pool.take(2), 128)
    flat = batch.ids.reshape(-1)
    carried = [
        (int(flat[p]), int(t)) for p, t, w in zip(batch.places, batch.targets, batch.weights, strict=True) if w > 0
    ]
    ids = encoded.ids.tolist()
    expected = [(ids[i - 1], ids[i]) for i in range(1, len(ids)) if encoded.weights[i]]
    assert sorted(carried) == sorted(expected * 2)


def test_functions_samples_and_faults_fit_together_end_to_end(pieces: Tokenizer) -> None:
    functions = [
        (
            "def above(a, n):\n    return [v for v in a if v > n]\n",
            ("above([1, 5, 9], 4)", "above([2], 2)", "above([3], 1)"),
        ),
        ("def double(n):\n    total = n * 2\n    return total\n", ("double(1)", "double(4)", "double(-3)")),
        (
            "def first(s):\n    if not s:\n        return ''\n    return s[0]\n",
            ("first('ab')", "first('')", "first('xy')"),
        ),
    ]
    rng = random.Random(0)
    with Worker() as worker:
        for text, calls in functions:
            function = plain_function(text, calls)
            found = list(failing_cases(function, worker, rng, 3))
            assert found
            for failing in found:
                tests, failure = shown_tests(failing, rng)
                assert tests
                assert failure
                assert len(encode(whole_body(function, failing.fault.text, tests, failure), pieces).ids) > 20
                sample = signal_sample(failing, worker, rng, pieces)
                if sample is not None:
                    assert "<notrace>" not in sample.prompt
                    assert sample.prompt.endswith("<fix>")
                    assert sample.answer == function.body + "<end>"


def test_a_function_that_never_ends_is_a_timeout_and_the_worker_lives_on() -> None:
    with Worker() as worker:
        endless = "    while True:\n        try:\n            pass\n        except BaseException:\n            pass\n"
        loop = f"def f():\n{endless}"
        assert worker.run(loop, ["f()"])[0].kind in ("timeout", "raise")
        assert worker.run("def f():\n    return 1\n", ["f()"])[0].text == "1"


def test_the_worker_refuses_to_change_files_and_to_start_processes(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("here", encoding="utf-8")
    source = f"import os, shutil, subprocess, tempfile\nPATH = {str(kept)!r}\n"
    calls = ("os.remove(PATH)", "open(PATH, 'w')", "shutil.rmtree(os.path.dirname(PATH))", "subprocess.run(['true'])")
    with Worker() as worker:
        results = worker.run(source, [*calls, "os.fork()", "tempfile.mkdtemp()", "open(PATH).read()"])
    assert kept.read_text(encoding="utf-8") == "here"
    assert [r.text.split(":")[0] for r in results[:5]] == ["PermissionError"] * 5
    assert results[5].kind == "raise"
    assert results[6].text == "'here'"


def test_a_function_of_humaneval_is_refused_by_name_and_by_tree(tmp_path: Path) -> None:
    record = {
        "declaration": "def pile(n):\n",
        "canonical_solution": "    return [n + 2*i for i in range(n)]\n",
        "buggy_solution": "    return [n + 2*i + i for i in range(n)]\n",
    }
    path = tmp_path / "cases.jsonl"
    path.write_text(json.dumps(record) + "\n", encoding="utf-8")
    contamination = humanevalfix_filter(path)
    assert contamination.refuses("def stack(m):\n    return [m + 2 * k for k in range(m)]\n", "stack", "p")
    assert contamination.refuses("def has_close_elements(a):\n    return a\n", "has_close_elements", "p")
    assert contamination.refuses("def bitcount(n):\n    return n\n", "bitcount", "p")
    assert not contamination.refuses("def other(m):\n    return m\n", "other", "p")
    assert [reason for _, _, reason in contamination.hits] == ["tree", "name", "name"]


def test_a_function_called_and_built_like_one_of_mbpp_is_refused() -> None:
    contamination = humanevalfix_filter(None)
    assert contamination.refuses("def comb_sort(items):\n    return sorted(items)\n", "comb_sort", "p")
    assert contamination.refuses("def is_sublist(self, a, b):\n    return a in b\n", "is_sublist", "p")
    assert contamination.refuses("def count_set_bits(n):\n    return n.bit_count()\n", "count_set_bits", "p")
    assert not contamination.refuses("def split(text, mark):\n    return text.split(mark)\n", "split", "p")
    assert [reason for _, _, reason in contamination.hits] == ["name and parameters"] * 3


def test_identity_ignores_names_and_layout_but_not_constants() -> None:
    assert identity("def f(a):\n    return a + 1\n") == identity("def g(b):\n    # why\n    return (b + 1)\n")
    assert identity("def f(a):\n    return a + 1\n") != identity("def f(a):\n    return a + 2\n")


def test_skeletons_become_plain_functions() -> None:
    rng = random.Random(0)
    made = [function_from(skeleton, rng) for skeleton in FUNCTIONS]
    assert sum(function is not None for function in made) > 0.95 * len(FUNCTIONS)
    for skeleton in CLASSES:
        for method in methods_from(skeleton, rng):
            ast.parse(assemble(method.text, method.prelude))


def test_a_run_in_pieces_gives_the_weights_of_a_run_without_a_break(pieces: Tokenizer, tmp_path: Path) -> None:
    function = plain_function("def f(a, b):\n    return a + b\n")
    encoded = encode(whole_body(function, function.text.replace("+", "-")), pieces)
    for name in POOLS:
        (tmp_path / name).mkdir()
        write_shard([encoded] * 40, tmp_path / name / "one.npz")
    shape = Shape(pieces.get_vocab_size(), 16, 1, 2, 16)
    weights = []
    for stop_s in (float("inf"), 0.01):
        (out := tmp_path / str(stop_s)).mkdir()
        plan = Plan(tmp_path, out, 60_000, batch=1024, compile=False, stop_s=stop_s)
        runs = 1
        while not Trainer(plan, shape).run():
            runs += 1
        assert (runs > 1) == (stop_s < 1)
        weights.append(torch.load(out / "checkpoint.pt", weights_only=False)["average"]["embedding"])
    assert torch.equal(*weights)


def test_training_says_which_shards_are_missing(tmp_path: Path) -> None:
    with pytest.raises(LookupError, match=r"training\.build"):
        Trainer(Plan(tmp_path, tmp_path, 1000, compile=False), Shape(50, 16, 1, 2, 16)).run()


@pytest.mark.parametrize("key_heads", [0, 2])
def test_the_network_is_the_llama_that_it_is_exported_as(key_heads: int) -> None:
    torch.manual_seed(0)
    network = Network(Shape(vocabulary=50, width=32, layers=2, heads=4, feed_forward=48, key_heads=key_heads))
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    model = to_llama(network, pad=0, end=7)
    ids = torch.tensor([[3, 1, 4, 1, 5, 9, 2, 6]])
    with torch.no_grad():
        own = network.hidden(ids) @ network.embedding.T
        np.testing.assert_allclose(own, model(ids).logits, atol=2e-4)
