"""Does a badge or price hide the product it advertises?"""

from __future__ import annotations

from zimage_core.domain import Finding
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

NAME = "text_over_product"


def measure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return the share of the product that the worst text's card covers, as the overlay reported it."""
    texts = evidence.given.placed_texts
    if not texts:
        return (not_applicable(NAME, "No text was drawn."),)
    worst = max(texts, key=lambda text: text.covers_product_ratio)
    value = worst.covers_product_ratio
    role = worst.role.replace("_", " ")
    sentence = f"The {role} covers {value:.1%} of the product." if value > 0 else "No text covers the product."
    return (measured(rubric, NAME, value, "share", sentence, box=worst.plate if value > 0 else None),)
