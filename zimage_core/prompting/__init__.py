"""Prompting: what engines are told and what is written over pictures, from the files under prompts/.

What it is:       reads, lints and versions scenes, brands, promotions and the blocklist; composes
                  Product + Scene + Brand + Promotion into a Prompt with provenance, and the texts of an Overlay.
May import:       domain, errors.
May touch:        the prompts folder it is handed, to read.
Never:            treats catalogue text as a template, translates, rounds a price, or asks a model.
"""

from zimage_core.prompting.blocklist import Blocked, Blocklist
from zimage_core.prompting.library import PromptLibrary
from zimage_core.prompting.lint import Problem
from zimage_core.prompting.overlay_text import format_price, overlay_for
from zimage_core.prompting.templates import MAX_PROMPT_TOKENS, clean_text, estimated_tokens

__all__ = [
    "MAX_PROMPT_TOKENS",
    "Blocked",
    "Blocklist",
    "Problem",
    "PromptLibrary",
    "clean_text",
    "estimated_tokens",
    "format_price",
    "overlay_for",
]
