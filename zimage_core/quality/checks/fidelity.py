"""Is it still this product? What the picture shows is laid over what the photo shows, and compared.

Where the product was put its place is known, give or take what an engine moved it; where an engine drew it, or the file
is from elsewhere, it is looked for (`alignment`). Structure and colour are asked apart (`comparison`).
"""

from __future__ import annotations

from zimage_core.domain import Finding
from zimage_core.quality.comparison import Colour, Structure, colour_of
from zimage_core.quality.evidence import Evidence
from zimage_core.quality.findings import measured, not_applicable
from zimage_core.quality.rubric import Rubric

STRUCTURE = "fidelity_structure"
COLOUR = "fidelity_colour"

_NO_PHOTO = "There is no photo to compare the product with."
_TOO_LITTLE = "Too little of the product is opaque to compare."
_TEXTURE_LOST = 0.4
_TURNED_DEG = 8.0
_PALER, _RICHER = 0.88, 1.14


def measure_structure(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return how like the photo's the worst of 7 x 7 parts of the product is: contrast, structure, fine texture."""
    if evidence.given.cutout is None:
        return (not_applicable(STRUCTURE, _NO_PHOTO),)
    if evidence.comparison is None:
        if evidence.given.placement is not None or evidence.standing is not None:
            return (not_applicable(STRUCTURE, _TOO_LITTLE),)
        sentence = "Nothing like the product of the photo is found in the picture."
        return (measured(rubric, STRUCTURE, 0.0, "similarity", sentence, box=evidence.product_box),)
    structure = evidence.comparison[1]
    passes = structure.value >= rubric.limit(STRUCTURE)
    sentence = "The product is that of the photo." if passes else _difference(structure)
    return (
        measured(rubric, STRUCTURE, structure.value, "similarity", sentence, box=None if passes else structure.where),
    )


def measure_colour(evidence: Evidence, rubric: Rubric) -> tuple[Finding, ...]:
    """Return CIEDE2000 between product and photo after what the scene's light may do was taken out."""
    if evidence.given.cutout is None:
        return (not_applicable(COLOUR, _NO_PHOTO),)
    if evidence.comparison is None:
        return (not_applicable(COLOUR, "The product was not found in the picture, so its colours are not compared."),)
    colour = colour_of(evidence.comparison[0])
    if colour is None:
        return (not_applicable(COLOUR, _TOO_LITTLE),)
    limit = rubric.limit(COLOUR)
    passes = colour.value <= limit
    sentence = (
        "The product has the colours of the photo."
        if passes
        else f"The product's colour is off by {colour.value:.1f} from the photo (CIEDE2000, limit {limit:.1f})"
        f"{_change(colour)}."
    )
    return (measured(rubric, COLOUR, colour.value, "dE2000", sentence),)


def _difference(structure: Structure) -> str:
    if structure.texture < _TEXTURE_LOST:
        return f"The product has lost its texture: {structure.texture:.0%} of the photo's fine contrast is left."
    return f"The product is not that of the photo: its worst part agrees to {structure.value:.2f} only (1 = the same)."


def _change(colour: Colour) -> str:
    if abs(colour.hue_deg) >= _TURNED_DEG:
        return f": its hue is turned by {abs(colour.hue_deg):.0f} degrees"
    if colour.chroma_ratio <= _PALER:
        return f": it is paler, {1 - colour.chroma_ratio:.0%} less colour"
    return f": it is more colourful by {colour.chroma_ratio - 1:.0%}" if colour.chroma_ratio >= _RICHER else ""
