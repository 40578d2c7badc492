"""The library of scenes, brands and promotions that the rest of the project asks."""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

from zimage_core.domain import (
    Brand,
    Category,
    Language,
    Light,
    PriceStyle,
    Product,
    ProductionWindow,
    Promotion,
    Prompt,
    Refusal,
    Scene,
    SceneName,
    Stage,
)
from zimage_core.errors import PromptError
from zimage_core.prompting.compose import CLAUSES_BY_MODE, blocked_in_product, compose_prompt
from zimage_core.prompting.files import PromptFiles, SceneSource, Source, read_prompt_files
from zimage_core.prompting.lint import Problem, lint_files
from zimage_core.prompting.shapes import BrandFile, PromotionFile
from zimage_core.prompting.templates import variables_of

OPENS_AT = time(2, 0)
"""When production opens on its day, on the clocks of the promotion: machines are idle, and a person comes in soon."""


def moment(day: date, at: time, zone: ZoneInfo) -> datetime:
    """Return when clocks in `zone` show `at` on `day`; of two such moments the first, and where clocks skip it, after.

    Going by UTC makes the answer a time that clocks there do show.
    """
    return datetime.combine(day, at, zone).astimezone(UTC).astimezone(zone)


@dataclass(frozen=True, slots=True)
class PromptLibrary:
    """Everything under prompts/, read once; asking changes nothing. Load it again in each process."""

    files: PromptFiles

    @classmethod
    def load(cls, prompts_dir: Path) -> PromptLibrary:
        """Return the library of a folder. Raises PromptError naming every file and key that has the wrong shape."""
        return cls(read_prompt_files(prompts_dir))

    @property
    def fingerprint(self) -> str:
        """16 hex digits over all files: two libraries with the same one compose the same prompts."""
        return self.files.fingerprint

    @property
    def scene_names(self) -> tuple[SceneName, ...]:
        """The scenes there are, sorted."""
        return tuple(sorted(self.files.scenes))

    @property
    def brand_slugs(self) -> tuple[str, ...]:
        """The brands there are, sorted."""
        return tuple(sorted(self.files.brands))

    @property
    def promotion_slugs(self) -> tuple[str, ...]:
        """The promotions there are, sorted."""
        return tuple(sorted(self.files.promotions))

    def scene(self, name: SceneName, category: Category) -> Scene:
        """Return a scene with the category's overrides laid over it. Raises PromptError for an unknown scene."""
        found = self._scene_source(name)
        shape = found.by_category[category]
        stage = shape.stage
        light = stage.light
        return Scene(
            name=name,
            category=category,
            mode=found.head.mode,
            stage=Stage(
                backdrop=stage.backdrop,
                floor=stage.floor,
                palette=stage.palette,
                light=Light(light.azimuth_deg, light.elevation_deg, light.softness_ratio, light.warmth_ratio),
                fill_ratio=stage.fill_ratio,
                horizon_ratio=stage.horizon_ratio,
                reflection_ratio=stage.reflection_ratio,
                bokeh_ratio=stage.bokeh_ratio,
                text_room=stage.text_room,
            ),
            camera=shape.camera,
            version=found.source.version,
            file=found.source.file,
        )

    def suits(self, name: SceneName, category: Category) -> bool:
        """Tell whether the scene is made for products of the category."""
        return category in self._scene_source(name).head.suits

    def wordings(self, scene: Scene, language: Language) -> int:
        """Return how many different prompts the scene's paraphrases make before they come round again."""
        words = self._scene_source(scene.name).by_category[scene.category].words(language)
        return math.lcm(*(len(words.of(kind)) for kind in CLAUSES_BY_MODE[scene.mode])) if words else 0

    def brand(self, slug: str) -> Brand:
        """Return a brand. Raises PromptError listing the known ones."""
        source, file = self._brand_source(slug)
        return Brand(
            slug=slug,
            name=file.name,
            palette=file.palette,
            badge_color=file.badge_color,
            badge_text_color=file.badge_text_color,
            price_color=file.price_color,
            font=file.font,
            logo=file.logo,
            style_words_zh=file.style_words_zh,
            style_words_en=file.style_words_en,
            version=source.version,
        )

    def promotion(self, slug: str) -> Promotion:
        """Return a promotion.

        Raises PromptError listing the known ones, or naming the absolute claim in what it writes over pictures.
        """
        source, file = self._promotion_source(slug)
        style = file.price_style
        for text in (file.badge_zh, file.badge_en, style.label_zh, style.label_en):
            claim = self.files.overlay_blocklist.find(text)
            if claim is not None:
                raise PromptError(
                    f"{source.file} writes “{text}” over pictures, and “{claim.word}” may not stand there: "
                    f"{claim.reason}."
                )
        return self.promotion_as_written(slug)

    def promotion_as_written(self, slug: str) -> Promotion:
        """Return a promotion whatever it writes over pictures: for who takes that down, never for who draws it.

        Raises PromptError listing the known ones.
        """
        source, file = self._promotion_source(slug)
        return Promotion(
            slug=slug,
            name_zh=file.name_zh,
            name_en=file.name_en,
            starts=file.starts,
            ends=file.ends,
            scenes=file.scenes,
            channels=file.channels,
            brand=file.brand,
            badge_zh=file.badge_zh,
            badge_en=file.badge_en,
            price_style=PriceStyle(**file.price_style.model_dump()),
            language=file.language,
            version=source.version,
            time_zone=file.time_zone,
        )

    def lead_days(self, promotion_slug: str) -> int:
        """Return how many days before a promotion starts its pictures should be made; schedules are cut from this."""
        return self._promotion_source(promotion_slug)[1].lead_days

    def production_window(self, promotion_slug: str) -> ProductionWindow:
        """Return when a promotion's pictures are made, in its time zone. Raises PromptError for an unknown one."""
        file = self._promotion_source(promotion_slug)[1]
        zone = ZoneInfo(file.time_zone)
        deadline = moment(file.starts - timedelta(days=file.freeze_days), time(), zone)
        if not file.lead_days:
            return ProductionWindow(deadline, deadline)
        return ProductionWindow(moment(file.starts - timedelta(days=file.lead_days), OPENS_AT, zone), deadline)

    def refuse(self, product: Product) -> Refusal | None:
        """Return why no picture may be made of this product (a blocked word in its text), or None."""
        return blocked_in_product(product, self.files.blocklist)

    def compose(
        self,
        product: Product,
        scene: Scene,
        brand: Brand,
        promotion: Promotion,
        *,
        language: Language,
        wording: int = 0,
    ) -> Prompt | Refusal:
        """Return the prompt of a product in a scene, or the Refusal of its text.

        `scene.mode` decides whether the product is named at all: a stage is described empty. The promotion reaches
        only templates that ask for `promotion`, so pictures are shared between promotions unless a scene says
        otherwise. Raises PromptError when a file is at fault (see compose_prompt).
        """
        refusal = self.refuse(product)
        if refusal is not None:
            return refusal
        found = self._scene_source(scene.name)
        return compose_prompt(
            found.by_category[scene.category].words(language),
            scene.mode,
            found.source,
            brand,
            self._brand_source(brand.slug)[0],
            variables_of(product, brand, promotion, language),
            language=language,
            wording=wording,
        )

    def lint(self) -> tuple[Problem, ...]:
        """Return everything in the files' content that a careful editor would object to, errors first."""
        return lint_files(self.files)

    def _scene_source(self, name: SceneName) -> SceneSource:
        if name not in self.files.scenes:
            raise PromptError(f"There is no scene {name!r}; known scenes: {', '.join(self.scene_names)}.")
        return self.files.scenes[name]

    def _brand_source(self, slug: str) -> tuple[Source, BrandFile]:
        if slug not in self.files.brands:
            raise PromptError(f"There is no brand {slug!r}; known brands: {', '.join(self.brand_slugs)}.")
        return self.files.brands[slug]

    def _promotion_source(self, slug: str) -> tuple[Source, PromotionFile]:
        if slug not in self.files.promotions:
            raise PromptError(f"There is no promotion {slug!r}; known promotions: {', '.join(self.promotion_slugs)}.")
        return self.files.promotions[slug]
