"""What a plan amounts to: counts, time and money at one attempt per shot, and what does not fit together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from zimage_core.domain import EngineInfo, Product, Promise, Promotion, Refusal
from zimage_core.errors import PlanError

_EXAMPLES = 3


@dataclass(frozen=True, slots=True)
class Conflict:
    """Something that was promised all the same but that a person should know; `count` is products or shots (`unit`)."""

    code: str
    sentence: str
    count: int = 0
    unit: str = "product"
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """The sum of a plan so far. `unsuited` is keyed (scene, category); `channels` counts pictures each will get."""

    promotion: str
    engine: str
    products: int
    shots: int
    shards: int
    scenes: Mapping[str, int]
    modes: Mapping[str, int]
    channels: Mapping[str, int]
    refused: Mapping[str, int]
    refusal_examples: Mapping[str, str]
    unsuited: Mapping[tuple[str, str], int]
    seconds: float
    cost_usd: float
    conflicts: tuple[Conflict, ...]

    def unsuited_sentences(self) -> tuple[str, ...]:
        """Return a sentence for each scene that is not made for a category of the catalogue."""
        return tuple(
            f"{scene} is not made for {category}: {_counted(count, 'product')}"
            for (scene, category), count in sorted(self.unsuited.items())
        )

    def to_markdown(self) -> str:
        """Return the forecast as a page for the Prefect UI, the terminal or a pull request."""
        shards = _counted(self.shards, "shard")
        lines = [
            f"# Plan: {_cell(self.promotion)}",
            "",
            f"**{_counted(self.shots, 'shot')}** of {_counted(self.products, 'product')} in {shards}.",
            "",
            f"Engine **{_cell(self.engine)}**, at one attempt per shot:",
            f"about **{_duration(self.seconds)}** on one engine, **${self.cost_usd:,.2f}**.",
        ]
        lines += _table(("scene", "shots"), self.scenes)
        lines += _table(("channel", "pictures"), self.channels)
        lines += _table(("mode", "shots"), self.modes)
        if self.refused:
            lines += ["", "## Refused", "", "| code | count | for example |", "| --- | ---: | --- |"]
            lines += [
                f"| {_cell(code)} | {n:,} | {_cell(self.refusal_examples[code])} |" for code, n in self.refused.items()
            ]
        if self.unsuited:
            lines += ["", "## Not promised", ""]
            lines += [f"- {_cell(sentence)}" for sentence in self.unsuited_sentences()]
        if self.conflicts:
            lines += ["", "## Please look", ""]
            lines += [f"- {_cell(_told(conflict))}" for conflict in self.conflicts]
        return "\n".join(lines) + "\n"


def ensure_something(forecast: Forecast) -> None:
    """Raise PlanError when a finished plan promises nothing: a run that does nothing must not look like a success."""
    if forecast.shots:
        return
    if not forecast.products:
        raise PlanError("There is nothing to do: the catalogue gave no products.")
    why = [f"{n} refused as {code} ({forecast.refusal_examples[code]})" for code, n in forecast.refused.items()]
    why += forecast.unsuited_sentences()
    why += [_told(conflict) for conflict in forecast.conflicts]
    raise PlanError(f"There is nothing to do: {_counted(forecast.products, 'product')}, 0 shots. " + "; ".join(why))


@dataclass(slots=True)
class Tally:
    """Counts while a plan streams by; bounded by scenes, categories, channels and codes, never by products."""

    promotion: Promotion
    engine: EngineInfo
    products: int = 0
    shots: int = 0
    shards: int = 0
    cost_usd: float = 0.0
    scenes: Counter[str] = field(default_factory=Counter)
    modes: Counter[str] = field(default_factory=Counter)
    channels: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    refusal_examples: dict[str, str] = field(default_factory=dict)
    unsuited: Counter[tuple[str, str]] = field(default_factory=Counter)
    conflicts: dict[tuple[str, str], Conflict] = field(default_factory=dict)

    def count_promise(self, promise: Promise) -> None:
        """Count a shot for its scene, mode and channels. Packshots are cut from photos, so they cost no generation."""
        self.shots += 1
        self.scenes[promise.shot.scene.name] += 1
        self.modes[promise.shot.mode] += 1
        self.channels.update(promise.channels)
        if promise.shot.mode != "packshot":
            self.cost_usd += self.engine.cost_usd_per_image

    def count_refusal(self, refusal: Refusal) -> None:
        """Count a refusal under its code and keep the first reason as the example."""
        self.refused[refusal.code] += 1
        self.refusal_examples.setdefault(refusal.code, refusal.reason)

    def note(self, code: str, sentence: str, example: str | None = None, unit: str = "product") -> None:
        """Count a conflict; one without an example is a fact of the request and is noted once."""
        old = self.conflicts.get((code, sentence), Conflict(code, sentence, unit=unit))
        examples = old.examples
        if example is not None and example not in examples and len(examples) < _EXAMPLES:
            examples = (*examples, example)
        count = old.count + (example is not None)
        self.conflicts[code, sentence] = Conflict(code, sentence, count, unit, examples)

    def note_prices(self, product: Product) -> None:
        """Note prices that the promotion wants to show and the catalogue cannot back."""
        style = self.promotion.price_style
        if not style.show:
            return
        if product.price is None:
            self.note("price_missing", f"{self.promotion.slug} shows prices, but some products have none", product.sku)
        elif style.show_original and product.original_price is not None and product.original_price <= product.price:
            self.note(
                "original_price_not_higher",
                f"{self.promotion.slug} strikes the old price through, but it is not above the price; it is left out",
                product.sku,
            )

    def forecast(self) -> Forecast:
        """Return the sum so far."""
        return Forecast(
            promotion=self.promotion.slug,
            engine=self.engine.name,
            products=self.products,
            shots=self.shots,
            shards=self.shards,
            scenes=dict(self.scenes),
            modes=dict(self.modes),
            channels=dict(self.channels),
            refused=dict(self.refused),
            refusal_examples=dict(self.refusal_examples),
            unsuited=dict(self.unsuited),
            seconds=self.shots * self.engine.seconds_per_image,
            cost_usd=self.cost_usd,
            conflicts=tuple(self.conflicts[key] for key in sorted(self.conflicts)),
        )


def _told(conflict: Conflict) -> str:
    if not conflict.count:
        return conflict.sentence
    more = ", ..." if conflict.count > len(conflict.examples) else ""
    return f"{conflict.sentence}: {_counted(conflict.count, conflict.unit)} ({', '.join(conflict.examples)}{more})"


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _table(head: tuple[str, str], counts: Mapping[str, int]) -> list[str]:
    if not counts:
        return []
    rows = [f"| {_cell(name)} | {count:,} |" for name, count in counts.items()]
    return ["", f"| {head[0]} | {head[1]} |", "| --- | ---: |", *rows]


def _cell(text: str) -> str:
    """Return text that cannot break out of a table cell, nor become HTML."""
    return " ".join(text.split()).replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;")


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"
