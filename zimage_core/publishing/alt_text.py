"""Alternative text: what a person who cannot see the picture is told, from the catalogue and the scene."""

from __future__ import annotations

from zimage_core.domain import Language, Product, SceneName

MAX_CHARACTERS = 125  # screen readers cut at about 125; IPTC asks for at most 250, Shopify takes 512

_SCENES: dict[Language, dict[SceneName, str]] = {
    "zh": {
        "packshot": "白底商品图",
        "studio": "棚拍图",
        "lifestyle": "生活场景图",
        "detail": "细节特写",
        "flat_lay": "平铺图",
        "model_wear": "模特上身图",
    },
    "en": {
        "packshot": "on a white background",
        "studio": "in a studio setting",
        "lifestyle": "in a home setting",
        "detail": "in close-up",
        "flat_lay": "laid flat, from above",
        "model_wear": "worn by a model",
    },
}


def alt_text(product: Product, scene: SceneName, language: Language) -> str:
    """Return one line of at most 125 characters: name, then colour and material while they fit, then the setting.

    The price is left out: it changes, and the page says it. English falls back to the Chinese name where the catalogue
    has no English one; colour and material are then left out too, for they are in the catalogue's language.
    """
    setting = _SCENES[language][scene]
    joint, before_setting = ("，", "，") if language == "zh" else (", ", " ")
    name = product.name if language == "zh" else product.name_en or product.name
    details = [product.color, product.material] if language == "zh" else []
    parts = [_printable(name)]
    for detail in (_printable(detail) for detail in details if detail and detail not in name):
        longer = joint.join((*parts, detail))
        if len(longer) + len(before_setting) + len(setting) <= MAX_CHARACTERS:
            parts.append(detail)
    text = joint.join(parts)
    room = MAX_CHARACTERS - len(before_setting) - len(setting)
    if len(text) > room:
        text = text[: room - 1].rstrip() + "…"
    return f"{text}{before_setting}{setting}"


def _printable(text: str) -> str:
    # Control characters cannot stand in XML at all, and blanks of all kinds become one space.
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())
