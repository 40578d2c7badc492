"""The summary is honest: what is missing is said as plainly as what was made."""

from __future__ import annotations

from dataclasses import replace

from made_up import outcome

from zimage_core.domain import Refusal
from zimage_core.reporting import summarise

REFUSED = Refusal("extract", "price_missing", "The price is empty.", "MUG-0107", 7)


def test_every_shot_is_counted_once() -> None:
    outcomes = [
        outcome(1),
        outcome(2, made_again=True),
        outcome(3, "doubtful", letter="B"),
        outcome(4, "given_up", letter="C"),
        outcome(5, "failed", letter=None),
        outcome(6, "promised", letter=None),
    ]
    summary = summarise(iter(outcomes), iter([REFUSED]))
    assert (summary.promised, summary.attempts, summary.regenerated, summary.renditions) == (6, 5, 1, 2)
    assert summary.states == {"accepted": 2, "doubtful": 1, "failed": 1, "given_up": 1, "promised": 1}
    assert summary.letters == {"A": 2, "B": 1, "C": 1}
    assert (summary.cost_usd, summary.engine_seconds) == (1.25, 2.5)
    (scene,) = summary.scenes
    assert (scene.scene, scene.promised, scene.accepted, scene.waiting) == ("studio", 6, 2, 2)
    assert summary.sentence() == (
        "2 of 6 promised shots are accepted (33.3 %), 1 wait for a person, 1 were given up, 1 failed for now, "
        "1 are not finished; 1 row was refused."
    )


def test_the_markdown_names_the_reasons_commonest_first() -> None:
    outcomes = [replace(outcome(n, "given_up", letter="C"), reason="too dark" if n else "no photo") for n in range(3)]
    text = summarise(outcomes, [REFUSED]).to_markdown()
    assert text.index("2 × too dark") < text.index("1 × no photo")
    assert "price\\_missing: The price is empty." in text


def test_words_of_the_catalogue_are_no_markdown() -> None:
    nasty = replace(outcome(1, "given_up", letter="C"), reason="<img src=x> | [a](http://b)\n# big")
    text = summarise([nasty], []).to_markdown()
    assert "<img" not in text
    assert "[a](" not in text
    assert "\n# big" not in text


def test_many_reasons_are_cut_and_the_rest_is_counted() -> None:
    outcomes = [replace(outcome(n, "failed", letter=None), reason=f"reason {n:02d}") for n in range(20)]
    assert "- and 12 for other reasons" in summarise(outcomes, []).to_markdown()


def test_nothing_promised_is_said() -> None:
    assert summarise([], [REFUSED, REFUSED]).sentence() == "No shot was promised; 2 rows were refused."
