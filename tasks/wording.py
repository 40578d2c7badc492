"""The words of an attempt: what its engine is told, and what scorers ask about afterwards."""

from __future__ import annotations

import dataclasses

from tasks.runtime import Rooms
from zimage_core.domain import Change, Promise, Prompt, Refusal
from zimage_core.errors import PromptError


def prompt_of(open_rooms: Rooms, promise: Promise, change: Change, promotion_slug: str) -> Prompt:
    """Return the promised prompt, or the words that this change asks for: a paraphrase, or those of another mode.

    A shot that becomes a stage needs the words of an empty scene: its own name the product, which would be drawn twice.
    Raises PromptError when the words cannot be composed.
    """
    mode = change.mode or promise.shot.mode
    if change.wording == 0 and mode == promise.shot.mode:
        return promise.shot.prompt
    library = open_rooms.library
    promotion = library.promotion(promotion_slug)
    composed = library.compose(
        promise.product,
        dataclasses.replace(promise.shot.scene, mode=mode),
        library.brand(promotion.brand),
        promotion,
        language=promise.shot.prompt.language,
        wording=change.wording,
    )
    if isinstance(composed, Refusal):
        raise PromptError(composed.reason, sku=promise.product.sku, shot_id=promise.shot.shot_id)
    return composed
