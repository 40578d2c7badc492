"""The matrix: channel, making, words drawn and day give allow, label, disclose or deny, with the labels and why."""

from __future__ import annotations

import dataclasses
from datetime import date
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zimage_core.domain import OverlayRole
from zimage_core.errors import ConfigurationError
from zimage_core.publishing.channels import STRENGTHS, load_channels
from zimage_core.publishing.disclosure import (
    AI_MAKINGS,
    Choice,
    Making,
    disclosure_for,
    load_disclosure_rules,
    making_of,
)

CHANNELS = load_channels()
MAKINGS: tuple[Making, ...] = get_args(Making)
CHOICES: tuple[Choice, ...] = get_args(Choice)
ROLES: tuple[OverlayRole, ...] = get_args(OverlayRole)
TODAY = date(2026, 11, 21)
IPTC, AIGC, VISIBLE = "digital_source_type", "aigc", "visible"


@pytest.mark.parametrize("slug", CHANNELS)
def test_a_real_photo_without_words_is_allowed_everywhere(slug: str):
    answer = disclosure_for(CHANNELS[slug], "photo", on=TODAY)
    assert (answer.decision, answer.labels, answer.rules) == ("allow", (), ())


@pytest.mark.parametrize(
    ("channel", "making", "decision", "labels"),
    [
        ("taobao_main", "composite", "allow", ()),
        ("taobao_main", "ai_composite", "disclose", (IPTC, AIGC, VISIBLE)),
        ("taobao_main", "generated", "deny", ()),
        ("taobao_main", "synthetic_person", "disclose", (IPTC, AIGC, VISIBLE)),
        ("taobao_white", "ai_composite", "deny", ()),
        ("tmall_main", "generated", "deny", ()),
        ("tmall_detail", "generated", "disclose", (IPTC, AIGC, VISIBLE)),
        ("jd_main", "photo", "allow", ()),
        ("jd_main", "ai_composite", "deny", ()),
        ("pinduoduo_main", "generated", "deny", ()),
        ("wechat_moments", "generated", "disclose", (IPTC, AIGC, VISIBLE)),
        ("poster_social", "synthetic_person", "disclose", (IPTC, AIGC, VISIBLE)),
        ("amazon_main", "composite", "deny", ()),
        ("amazon_main", "drawn", "deny", ()),
        ("amazon_main", "ai_composite", "deny", ()),
        ("amazon_secondary", "composite", "allow", ()),
        ("amazon_secondary", "ai_composite", "label", (IPTC,)),
        ("amazon_secondary", "synthetic_person", "disclose", (IPTC, VISIBLE)),
        ("walmart_main", "generated", "deny", ()),
        ("ebay", "ai_composite", "label", (IPTC,)),
        ("ebay", "generated", "deny", ()),
        ("ebay", "synthetic_person", "disclose", (IPTC,)),
        ("etsy", "composite", "allow", ()),
        ("etsy", "ai_composite", "deny", ()),
        ("etsy", "generated", "deny", ()),
        ("google_merchant", "ai_composite", "label", (IPTC,)),
        ("google_merchant", "generated", "label", (IPTC,)),
        ("google_merchant", "synthetic_person", "disclose", (IPTC,)),
        ("shopify", "composite", "allow", ()),
        ("shopify", "generated", "label", (IPTC,)),
        ("shopify", "synthetic_person", "disclose", (IPTC, VISIBLE)),
        ("instagram_portrait", "synthetic_person", "disclose", (IPTC, VISIBLE)),
    ],
)
def test_the_matrix(channel: str, making: Making, decision: Choice, labels: tuple[str, ...]):
    answer = disclosure_for(CHANNELS[channel], making, on=TODAY)
    assert (answer.decision, answer.labels) == (decision, labels)
    assert bool(answer.sources) == (decision != "allow")
    assert all(any(strength in source for strength in STRENGTHS) for source in answer.sources)


@pytest.mark.parametrize(
    ("channel", "making", "before", "then", "after"),
    [
        ("wechat_moments", "generated", date(2025, 8, 31), date(2025, 9, 1), "disclose"),
        ("amazon_secondary", "synthetic_person", date(2026, 6, 8), date(2026, 6, 9), "disclose"),
        ("etsy", "ai_composite", date(2026, 7, 8), date(2026, 7, 9), "deny"),
    ],
)
def test_a_rule_holds_from_its_first_day_on(channel: str, making: Making, before: date, then: date, after: Choice):
    assert disclosure_for(CHANNELS[channel], making, on=before).decision == "label"  # the channel's own wish, undated
    assert disclosure_for(CHANNELS[channel], making, on=then).decision == after


def test_the_european_rule_holds_from_its_first_day_on():
    eu = dataclasses.replace(CHANNELS["shopify"], market="eu")
    assert "eu-marking" not in disclosure_for(eu, "generated", on=date(2026, 8, 1)).rules
    assert "eu-marking" in disclosure_for(eu, "generated", on=date(2026, 8, 2)).rules


@pytest.mark.parametrize(
    ("channel", "drawn", "decision"),
    [
        ("amazon_main", ("badge",), "deny"),
        ("google_merchant", ("price",), "deny"),
        ("jd_main", ("caption",), "deny"),
        ("taobao_main", ("badge", "price", "original_price"), "allow"),
        ("shopify", ("badge", "price"), "allow"),
        ("shopify", ("original_price",), "disclose"),
        ("amazon_secondary", ("original_price",), "allow"),
    ],
)
def test_words_over_a_photo(channel: str, drawn: tuple[OverlayRole, ...], decision: Choice):
    assert disclosure_for(CHANNELS[channel], "photo", on=TODAY, drawn=drawn).decision == decision


def test_google_knows_one_type_and_the_others_the_one_that_fits():
    named = disclosure_for(CHANNELS["google_merchant"], "ai_composite", on=TODAY).digital_source_type
    assert named is not None
    assert named.endswith("/trainedAlgorithmicMedia")
    assert disclosure_for(CHANNELS["google_merchant"], "composite", on=TODAY).digital_source_type is None
    assert disclosure_for(CHANNELS["shopify"], "ai_composite", on=TODAY).digital_source_type is None


def test_a_denial_says_why_and_whose_rule_it_is():
    answer = disclosure_for(CHANNELS["etsy"], "generated", on=TODAY)
    assert "of the item itself" in answer.reason
    assert answer.rules == ("etsy-the-item-itself",)
    assert "official: etsy.com" in answer.sources[0]
    assert "2026-11-21" in answer.sources[0]


@pytest.mark.parametrize(
    ("engine", "mode", "scene", "making"),
    [
        ("studio", "packshot", "packshot", "photo"),
        ("diffusers", "packshot", "packshot", "photo"),
        ("studio", "stage", "studio", "composite"),
        ("studio", "inpaint", "model_wear", "composite"),
        ("studio", "text", "lifestyle", "drawn"),
        ("diffusers", "inpaint", "lifestyle", "ai_composite"),
        ("nobody knows it", "stage", "studio", "ai_composite"),
        ("dashscope", "text", "detail", "generated"),
        ("comfyui", "inpaint", "model_wear", "synthetic_person"),
        ("zimage_http", "text", "model_wear", "synthetic_person"),
    ],
)
def test_how_an_attempt_was_made(engine: str, mode, scene, making: Making):
    assert making_of(engine, mode, scene) == making


@given(
    channel=st.sampled_from(list(CHANNELS.values())),
    making=st.sampled_from(MAKINGS),
    drawn=st.sets(st.sampled_from(ROLES)),
    more=st.sets(st.sampled_from(ROLES)),
    on=st.dates(date(2024, 1, 1), date(2030, 1, 1)),
)
def test_more_words_or_more_machine_never_make_it_laxer(channel, making, drawn, more, on):
    answer = disclosure_for(channel, making, on=on, drawn=drawn)
    assert disclosure_for(channel, making, on=on, drawn=drawn) == answer
    strictness = CHOICES.index
    assert strictness(disclosure_for(channel, making, on=on, drawn=drawn | more).decision) >= strictness(
        answer.decision
    )
    assert strictness(answer.decision) >= strictness(disclosure_for(channel, "photo", on=on, drawn=drawn).decision)
    assert not (answer.decision in {"deny", "allow"} and answer.labels)
    if making in AI_MAKINGS and answer.decision != "deny":
        assert set(channel.ai.labels) <= set(answer.labels)
    if "visible" in answer.labels:
        assert channel.overlay_allowed


GOOD = """
global_means: [us]
rules:
  - id: a-rule
    markets: [us]
    in_force: 2026-01-01
    until: 2026-12-31
    decision: label
    labels: [visible]
    reason: because
    source: "official: us"
    verified_on: 2026-11-21
"""


def test_rules_of_ones_own_hold_between_their_two_days(tmp_path: Path):
    path = tmp_path / "rules.yaml"
    path.write_text(GOOD, encoding="utf-8")
    own = load_disclosure_rules(path)
    channel = CHANNELS["shopify"]
    decisions = [
        disclosure_for(channel, "photo", on=on, rules=own).decision
        for on in (date(2025, 12, 31), date(2026, 1, 1), date(2026, 12, 31), date(2027, 1, 1))
    ]
    assert decisions == ["allow", "label", "label", "allow"]
    assert disclosure_for(CHANNELS["taobao_main"], "photo", on=date(2026, 6, 1), rules=own).decision == "allow"


@pytest.mark.parametrize(
    ("was", "becomes", "sentence"),
    [
        ("[visible]", "[loud]", r"rules\.0\.labels\.0"),
        ("decision: label", "decision: deny", "a rule that says deny asks for no labels"),
        ("markets: [us]", "markets: [global]", "names real markets"),
        ("until: 2026-12-31", "until: 2025-12-31", "until lies before in_force"),
        ('"official: us"', '"hearsay"', "must begin with one of"),
        ("rules:", "rules: [", "is not YAML"),
        ("markets:", "market:", "Extra inputs"),
        ("global_means: [us]", "", "global_means: Field required"),
    ],
)
def test_a_wrong_rule_is_named(tmp_path: Path, was: str, becomes: str, sentence: str):
    path = tmp_path / "rules.yaml"
    path.write_text(GOOD.replace(was, becomes, 1), encoding="utf-8")
    with pytest.raises(ConfigurationError, match=sentence):
        load_disclosure_rules(path)


def test_two_rules_of_one_name_and_a_missing_file_are_refused(tmp_path: Path):
    path = tmp_path / "rules.yaml"
    rule = GOOD[GOOD.index("  - id") :]
    path.write_text(GOOD + rule, encoding="utf-8")
    with pytest.raises(ConfigurationError, match="two rules are called a-rule"):
        load_disclosure_rules(path)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load_disclosure_rules(tmp_path / "none.yaml")
