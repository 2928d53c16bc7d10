"""The arms of the repair benchmark: ways of finding bodies, and which of them are compared.

An arm is nothing but what the pipeline is given in place of its portfolio. All else is the product's: the same
localisation, prompts, sandbox, ranking and verdict. Where an arm needs a setting, it is the product's own.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bot.generate import DEFAULT_PORTFOLIO, EDITING, Arm
from bot.records import Setting

PLAIN = Setting(0.0)
GUIDED = max((arm.setting for arm in DEFAULT_PORTFOLIO if arm.kind == "decode"), key=lambda setting: setting.gamma)
SAMPLES = Arm("sample", PLAIN, edits=False, harvests=False)


@dataclass(frozen=True, slots=True)
class BenchmarkArm:
    """arms: given to the pipeline; None for its own portfolio. model: whether one is needed."""

    letter: str
    title: str
    arms: tuple[Arm, ...] | None
    model: bool = True


def _decode(setting: Setting, *, harvests: bool = False) -> Arm:
    return Arm("decode", setting, edits=False, harvests=harvests)


ARMS = {
    arm.letter: arm
    for arm in (
        BenchmarkArm("A", "greedy, plain", (_decode(PLAIN),)),
        BenchmarkArm("B", "samples picked by the visible tests", (SAMPLES,)),
        BenchmarkArm(
            "C", "B, then samples that read the trace", (replace(SAMPLES, share=0.5), replace(SAMPLES, traced=True))
        ),
        BenchmarkArm("D", "guided, gamma 1", (_decode(replace(GUIDED, gamma=1.0)),)),
        BenchmarkArm("E", f"EG-CFG, {GUIDED}", (_decode(GUIDED),)),
        BenchmarkArm("F", "E with harvest", (_decode(GUIDED, harvests=True),)),
        BenchmarkArm(
            "G",
            "portfolio of decodes and samples, no edits",
            tuple(replace(arm, edits=False) for arm in DEFAULT_PORTFOLIO if arm.kind not in EDITING),
        ),
        BenchmarkArm("H", "single edits, no model", (Arm("edits"),), model=False),
        BenchmarkArm("I", "everything, the default", None),
        BenchmarkArm("J", "the default without a model", None, model=False),
    )
}

COMPARED = (  # first less second; fixed before any of them was measured
    ("I", "H"),  # what everything together adds to trying single edits
    ("I", "J"),  # what the model adds to all that needs none
    ("I", "G"),  # what the edits add to the model
    ("E", "B"),  # one guided decode against samples of the same budget
    ("F", "E"),  # what running finished continuations adds
    ("G", "B"),  # what the portfolio adds to samples
    ("C", "B"),  # what the trace in the prompt adds to samples
    ("D", "A"),  # what the signal adds to greedy decoding
    ("E", "D"),  # what a scale above 1 adds to the signal
)
