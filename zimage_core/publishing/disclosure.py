"""Who must be told how a picture was made: the matrix of markets, channels, makings and words drawn, from dated rules.

Pure: the same channel, making, words and day give the same answer. disclosure.yaml holds the rules and their sources.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from zimage_core.domain import Channel, Mode, OverlayRole, SceneName
from zimage_core.domain.planning import AiLabel, Market, Slot
from zimage_core.errors import ConfigurationError
from zimage_core.publishing.channels import STRENGTHS
from zimage_core.publishing.seal import digital_source_type, engine_kind

Making = Literal["photo", "composite", "drawn", "ai_composite", "generated", "synthetic_person"]
"""How a picture was made; disclosure.yaml says what each word means."""
AI_MAKINGS: frozenset[Making] = frozenset({"ai_composite", "generated", "synthetic_person"})
"""Those in which a trained model made pixels."""
Choice = Literal["allow", "label", "disclose", "deny"]

_SHIPPED = Path(__file__).with_name("disclosure.yaml")
_STRICTNESS: tuple[Choice, ...] = get_args(Choice)
_LABELS: tuple[AiLabel, ...] = get_args(AiLabel)


class DisclosureRule(BaseModel):
    """One rule of disclosure.yaml; empty fields fit anything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    markets: tuple[Market, ...] = ()
    channels: tuple[str, ...] = ()
    slots: tuple[Slot, ...] = ()
    makings: tuple[Making, ...] = ()
    drawn: tuple[OverlayRole, ...] = ()
    overlay_allowed: bool | None = None
    in_force: date
    until: date | None = None
    decision: Choice
    labels: tuple[AiLabel, ...] = ()
    reason: str = Field(min_length=1)
    source: str
    verified_on: date

    @field_validator("source")
    @classmethod
    def _says_how_sure(cls, source: str) -> str:
        if not source.startswith(STRENGTHS):
            raise ValueError(f"a source must begin with one of: {', '.join(STRENGTHS)}")
        return source

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> DisclosureRule:
        if "global" in self.markets:
            raise ValueError("markets names real markets; leave it out for a rule that holds everywhere")
        if self.until is not None and self.until < self.in_force:
            raise ValueError("until lies before in_force")
        if self.decision in {"allow", "deny"} and self.labels:
            raise ValueError(f"a rule that says {self.decision} asks for no labels")
        return self


class DisclosureRules(BaseModel):
    """All rules, and the markets that a channel of market `global` counts as."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    global_means: tuple[Market, ...] = Field(min_length=1)
    rules: tuple[DisclosureRule, ...]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> DisclosureRules:
        names = [rule.id for rule in self.rules]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"two rules are called {', '.join(sorted(twice))}")
        return self


@dataclass(frozen=True, slots=True)
class Disclosure:
    """What is to be done before a picture goes to a channel.

    `labels` the file must carry (none where denied). `digital_source_type` is the IPTC URI it must carry where the
    channel names one, else None: the type that fits how it was made. `sources`, each with its strength first, belong to
    the rules in `rules`.
    """

    decision: Choice
    labels: tuple[AiLabel, ...]
    reason: str
    sources: tuple[str, ...]
    rules: tuple[str, ...]
    digital_source_type: str | None = None


def making_of(engine: str, mode: Mode, scene: SceneName) -> Making:
    """Return how an attempt was made. `engine` is the one that drew, `mode` the one that really made it.

    A packshot is the photo whatever engine is at hand. Engines nobody knows count as trained models (seal.engine_kind).
    """
    if mode == "packshot":
        return "photo"
    if engine_kind(engine) == "procedural":
        return "drawn" if mode == "text" else "composite"
    if scene == "model_wear":
        return "synthetic_person"
    return "generated" if mode == "text" else "ai_composite"


def disclosure_for(
    channel: Channel,
    making: Making,
    *,
    on: date,
    drawn: Collection[OverlayRole] = (),
    rules: DisclosureRules | None = None,
) -> Disclosure:
    """Return what the rules in force on a day want of a picture for a channel.

    `drawn` are the words over *this file's* picture: none where the channel gets the bare one. The answer is the
    strictest decision of all rules that apply, with the labels of all of them and of the channel's own `ai`.
    """
    known = rules or load_disclosure_rules()
    found = [rule for rule in known.rules if _applies(rule, channel, making, drawn, on, known.global_means)]
    decision = _strictest(rule.decision for rule in found)
    own = channel.ai.labels if making in AI_MAKINGS else ()
    wanted = {label for rule in found for label in rule.labels} | set(own)
    if own and decision == "allow":
        decision = "label"
    denied = decision == "deny"
    speaking = [rule for rule in found if not denied or rule.decision == "deny"]
    reasons = [rule.reason for rule in speaking]
    sources = [f"{rule.source} (rule {rule.id}, looked at on {rule.verified_on})" for rule in speaking]
    if own and not denied:
        reasons.append(f"{channel.slug} wants AI-made pictures labelled")
        sources.append(f"{channel.source_of('ai')} (channel {channel.slug}, looked at on {channel.verified_on})")
    return Disclosure(
        decision=decision,
        labels=() if denied else tuple(label for label in _LABELS if label in wanted),
        reason="; ".join(reasons) or "no rule asks for anything",
        sources=tuple(sources),
        rules=tuple(rule.id for rule in speaking),
        digital_source_type=_named_type(channel, making) if not denied else None,
    )


@cache
def load_disclosure_rules(path: Path | None = None) -> DisclosureRules:
    """Return the rules of a file; None = the one shipped with the package. Raises ConfigurationError in a sentence."""
    path = path or _SHIPPED
    try:
        return DisclosureRules.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise ConfigurationError(f"The disclosure rules {path} cannot be read: {error.strerror}.") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path.name} is not YAML: {error}.") from error
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors())
        raise ConfigurationError(f"{path.name} cannot be used: {wrong}.") from None


def _applies(
    rule: DisclosureRule,
    channel: Channel,
    making: Making,
    drawn: Collection[OverlayRole],
    on: date,
    global_means: tuple[Market, ...],
) -> bool:
    markets = global_means if channel.market == "global" else (channel.market,)
    return (
        rule.in_force <= on <= (rule.until or date.max)
        and (not rule.markets or bool(set(rule.markets) & set(markets)))
        and (not rule.channels or any(fnmatchcase(channel.slug, pattern) for pattern in rule.channels))
        and (not rule.slots or channel.slot in rule.slots)
        and (not rule.makings or making in rule.makings)
        and (not rule.drawn or bool(set(rule.drawn) & set(drawn)))
        and rule.overlay_allowed in {None, channel.overlay_allowed}
    )


def _strictest(decisions: Iterable[Choice]) -> Choice:
    return max(decisions, key=_STRICTNESS.index, default="allow")


def _named_type(channel: Channel, making: Making) -> str | None:
    if making not in AI_MAKINGS or channel.ai.source_type == "exact":
        return None
    return digital_source_type("a trained model", "text")
