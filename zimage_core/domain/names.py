"""The closed lists of words that nouns are made of: modes, scenes, categories, letters, states."""

from typing import Literal

Mode = Literal["packshot", "stage", "inpaint", "text"]
SceneName = Literal["packshot", "studio", "lifestyle", "detail", "flat_lay", "model_wear"]
Category = Literal["fashion", "electronics", "home", "beauty", "food", "default"]
GradeLetter = Literal["A", "B", "C"]
VerdictKind = Literal["accept", "review", "regenerate", "give_up"]
DecisionKind = Literal["approve", "reject", "regenerate"]
ShotState = Literal["promised", "accepted", "doubtful", "given_up", "failed", "left_out"]
OverlayRole = Literal["badge", "price", "original_price", "caption"]
Language = Literal["zh", "en"]
