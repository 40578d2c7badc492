"""Labelled picture sets that measure grading, made here from seeds: nothing is downloaded, nothing but code is kept.

Seed "A" is for tuning checks, seed "B" for the figures that are published, "C" for a last look; they share no modelled
product, text or setting (the six example photos are in A and B). Each maker yields small frozen dataclasses, the same
ones in the same order on every machine with the same fonts:

    photos(seed, count)        ProductPhoto    base photos with exact mattes
    sharpness(seed, count)     SharpnessCase   sharp and blurred versions, `.with_badge()` under a crisp overlay
    texts(seed, drawn_by, count) TextCase      right and wrong texts, drawn by "code" or by a "model"
    planted(seed, count)       PlantedCase     finished pictures with one defect each, and good ones of every scene
    fidelity(seed, count)      FidelityCase    the product changed, or only relit, moved and compressed
    mattes(seed, count)        MatteCase       photos with true mattes, fit and unfit for a cut-out
    duplicates(seed, count)    DuplicateCase   repeats, other products on the same stage, other colours
"""

from benchmarks.quality_sets.duplicate_set import DuplicateCase, duplicates
from benchmarks.quality_sets.fidelity_set import FidelityCase, fidelity
from benchmarks.quality_sets.matte_set import MatteCase, mattes
from benchmarks.quality_sets.photo_set import ProductPhoto, photo, photos
from benchmarks.quality_sets.planted_set import PlantedCase, planted
from benchmarks.quality_sets.sharpness_set import SharpnessCase, sharpness
from benchmarks.quality_sets.text_set import TextCase, texts

__all__ = [
    "DuplicateCase",
    "FidelityCase",
    "MatteCase",
    "PlantedCase",
    "ProductPhoto",
    "SharpnessCase",
    "TextCase",
    "duplicates",
    "fidelity",
    "mattes",
    "photo",
    "photos",
    "planted",
    "sharpness",
    "texts",
]
