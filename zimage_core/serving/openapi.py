"""OpenAPI completed: what FastAPI cannot know of this server, and a description for every field of every form.

Forms of the server describe their own fields. Those of the exchange and of the domain, which are not made for this one
document, are described here.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from fastapi import FastAPI

from zimage_core.engines.exchange import GenerateAnswer

_REF: Final = "#/components/schemas/{model}"

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "Change": {
        "wording": "Which paraphrase of the prompt; 0 = the first.",
        "backdrop": "contrast = one that sets the product off; plain = one quiet tone; palette = the scene's own.",
        "layout": "Which layout of the texts that are drawn over the picture later.",
        "size": "smaller = fewer pixels than planned.",
        "mode": "Another way to make the picture than planned; null = as planned.",
        "why": "Which finding asked for the change.",
    },
    "Clause": {
        "text": "The words.",
        "file": "The file of prompts they come from.",
        "version": "That file's version.",
    },
    "DrawBody": {
        "prompt": "What is to be seen.",
        "negative_prompt": "What is not to be seen; engines without guidance do not look at it.",
        "width": "Pixels; a multiple of the engine's `size_multiple_px`.",
        "height": "Pixels; a multiple of the engine's `size_multiple_px`.",
        "num_inference_steps": "Must be the engine's own; best left out.",
        "guidance_scale": "Must be the engine's own; best left out.",
        "output_format": "Pictures are PNG.",
    },
    "EngineForm": {"engine": "What the engine says of itself."},
    "EngineInfo": {
        "name": "Which engine.",
        "fingerprint": "Names all that decides its pixels: weights, precision, steps, code.",
        "modes": "What it can make: text = from words, the others around a product's cut-out.",
        "needs_reference": "Whether a request must bring a product's cut-out.",
        "size_multiple_px": "Width and height must be multiples of this.",
        "max_side_px": "The longest side it makes.",
        "batch_limit": "The most requests in one call of it.",
        "seconds_per_image": "For forecasts.",
        "cost_usd_per_image": "For forecasts; what a picture really cost is in its answer.",
        "concurrent_calls": "How many calls it takes at a time.",
        "batch_tolerance_levels": "Mean difference, in 8-bit levels, between a picture made in a batch and made alone; "
        "0 = the same bytes.",
        "planned_area_px": "About how many pixels a generated picture is planned with.",
        "drawn_by": "The engine in another process that draws for this one; null = it draws itself.",
    },
    "FailureAnswer": {"detail": "Why there is no picture, or no answer."},
    "FailureForm": {
        "code": "The kind of error, for programs.",
        "sentence": "What is wrong and what to do, for people.",
        "retryable": "Whether the same call may be made again.",
        "retry_after_s": "Seconds after which asking again is worth it.",
        "sku": "The product, where the failure belongs to one.",
        "shot_id": "The shot, where the failure belongs to one.",
        "attempt": "The attempt's number, from 1.",
        "engine": "The engine that failed.",
        "seconds": "How long it took to fail.",
    },
    "GenerateAnswer": {"zimage": "What is known of the picture."},
    "Light": {
        "azimuth_deg": "0 = from the camera, 90 = from the right, -90 = from the left.",
        "elevation_deg": "0 = level with the product, 90 = overhead.",
        "softness_ratio": "0 = hard shadows, 1 = soft ones.",
        "warmth_ratio": "Below 0 cooler, above 0 warmer, 0 neutral.",
    },
    "Placement": {
        "scale": "Pixels of the picture per pixel of the cut-out.",
        "x_px": "Where the cut-out's left edge is.",
        "y_px": "Where the cut-out's upper edge is.",
    },
    "Prompt": {
        "text": "The whole prompt.",
        "negative": "What is not to be seen.",
        "language": "Language of the text.",
        "clauses": "The prompt's parts and where each comes from; empty = not recorded.",
    },
    "RenderedForm": {
        "attempt_id": "The attempt that was drawn.",
        "seconds": "How long the engine took for it.",
        "cost_usd": "What the engine was paid for it.",
        "notes": "What the engine wants known of it.",
    },
    "RequestForm": {
        "sku": "The product.",
        "shot_id": "The shot that was promised.",
        "number": "The attempt's number, from 1.",
        "mode": "How the picture is made; one of the engine's modes.",
        "prompt": "What is to be seen.",
        "scene": "The setting.",
        "change": "How this attempt departs from the plan.",
        "seed": "Decides the noise a picture begins with.",
        "width_px": "Pixels; a multiple of the engine's `size_multiple_px`.",
        "height_px": "Pixels; a multiple of the engine's `size_multiple_px`.",
    },
    "Scene": {
        "name": "Which scene.",
        "category": "The kind of product it was resolved for.",
        "mode": "How its pictures are made.",
        "stage": "How it is built.",
        "camera": "Lens and angle, in words.",
        "version": "Version of its file.",
        "file": "The file it comes from.",
    },
    "Stage": {
        "backdrop": "What is behind the product.",
        "floor": "What the product stands on.",
        "palette": "Colours as #rrggbb, the main one first.",
        "light": "The key light.",
        "fill_ratio": "Share of the picture's side that the product takes.",
        "horizon_ratio": "Where the floor ends, from the top.",
        "reflection_ratio": "How strongly the floor mirrors the product.",
        "bokeh_ratio": "How much blurred light there is behind.",
        "text_room": "Which side is kept free for texts.",
    },
}


def describe(api: FastAPI, *, keys: bool, open_paths: Collection[str]) -> None:
    """Make the application's OpenAPI whole: schemas that only a `$ref` names, every field described, how keys go.

    `keys`: whether any is needed at all; `open_paths` never need one.
    """
    plain = api.openapi

    def described() -> dict[str, Any]:
        if api.openapi_schema is None:
            schema = plain()
            components = schema.setdefault("components", {})
            _complete(components.setdefault("schemas", {}))
            if keys:
                _lock(schema, open_paths)
            api.openapi_schema = schema
        return api.openapi_schema

    api.openapi = described  # type: ignore[method-assign]


def _complete(schemas: dict[str, Any]) -> None:
    name = GenerateAnswer.__name__
    schemas.setdefault(name, GenerateAnswer.model_json_schema(ref_template=_REF))
    for inner, form in schemas[name].pop("$defs", {}).items():
        schemas.setdefault(inner, form)
    for form, words in WORDS.items():
        for field, about in schemas.get(form, {}).get("properties", {}).items():
            if field in words:
                about.setdefault("description", words[field])


def _lock(schema: dict[str, Any], open_paths: Collection[str]) -> None:
    schema["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer"},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    for path, methods in schema["paths"].items():
        for operation in methods.values():
            operation["security"] = [] if path in open_paths else [{"bearer": []}, {"header": []}]
