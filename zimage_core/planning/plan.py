"""Products × scenes × sizes → Promises and Refusals, one product at a time."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from zimage_core.domain import (
    Category,
    Channel,
    EngineInfo,
    Mode,
    Product,
    Promise,
    Promotion,
    Prompt,
    Refusal,
    Scene,
    SceneName,
    Shot,
    content_id,
)
from zimage_core.errors import PlanError
from zimage_core.planning.forecast import Forecast, Tally
from zimage_core.planning.request import Request, check_channels
from zimage_core.planning.sizes import Target, targets_for
from zimage_core.prompting import PromptLibrary


def shot_id_of(
    sku: str,
    scene: Scene,
    mode: Mode,
    width_px: int,
    height_px: int,
    prompt: Prompt,
    reference_sha256: str | None,
    engine_fingerprint: str,
    matte_sha256: str | None = None,
) -> str:
    """Return the id of a shot: all that decides its pixels before a try is made, and nothing else (see domain).

    A shot without a matte has the id that it had before there were mattes.
    """
    return content_id(
        "shot",
        sku,
        scene.name,
        scene.stage,
        scene.camera,
        mode,
        width_px,
        height_px,
        prompt.text,
        prompt.negative,
        reference_sha256,
        engine_fingerprint,
        *(() if matte_sha256 is None else (matte_sha256,)),
    )


@dataclass(slots=True)
class _Shards:
    """Hands out shards in order; the shots of one SKU never part, and a shard holds `size` unless one SKU has more."""

    run_id: str
    size: int
    index: int = -1
    held: int = 0
    last_sku: str | None = None

    def shard_for(self, sku: str, shots: int) -> str:
        """Return the shard that takes these shots of a SKU."""
        if self.index < 0 or (sku != self.last_sku and self.held + shots > self.size):
            self.index += 1
            self.held = 0
        self.held += shots
        self.last_sku = sku
        return content_id("shard", self.run_id, self.index)


@dataclass(slots=True)
class Plan(Iterator[Promise | Refusal]):
    """An iterator of Promises and Refusals; `forecast` sums up what has passed through it so far."""

    _request: Request
    _products: Iterator[Product]
    _tally: Tally
    _shards: _Shards
    _resolved: dict[tuple[SceneName, Category, Mode], tuple[Scene, tuple[Target, ...]]] = field(default_factory=dict)
    _entries: Iterator[Promise | Refusal] = field(init=False)

    def __post_init__(self) -> None:
        self._entries = self._stream()

    def __next__(self) -> Promise | Refusal:
        return next(self._entries)

    @property
    def forecast(self) -> Forecast:
        """The sum of what has been yielded so far; complete once the iterator is exhausted."""
        return self._tally.forecast()

    def _stream(self) -> Iterator[Promise | Refusal]:
        ordinal = 0
        for product in self._products:
            self._tally.products += 1
            shots, refusals = self._shots_of(product)
            for refusal in refusals:
                self._tally.count_refusal(refusal)
                yield refusal
            if not shots:
                continue
            self._tally.note_prices(product)
            shard_id = self._shards.shard_for(product.sku, len(shots))
            self._tally.shards = self._shards.index + 1
            for shot, channels in shots:
                promise = Promise(self._request.run_id, shot, product, channels, shard_id, ordinal)
                ordinal += 1
                self._tally.count_promise(promise)
                yield promise

    def _shots_of(self, product: Product) -> tuple[list[tuple[Shot, tuple[str, ...]]], list[Refusal]]:
        refused = self._request.library.refuse(product)
        if refused is not None:
            return [], [refused]
        shots: list[tuple[Shot, tuple[str, ...]]] = []
        refusals: list[Refusal] = []
        for name in self._request.scenes:
            if not self._request.takers(name):
                continue
            if not self._request.library.suits(name, product.category):
                self._tally.unsuited[name, product.category] += 1
                continue
            mode = self._mode_for(name, product)
            if isinstance(mode, Refusal):
                refusals.append(mode)
            else:
                shots.extend(self._shots_in(name, mode, product))
        return shots, refusals

    def _mode_for(self, name: SceneName, product: Product) -> Mode | Refusal:
        """Return how this engine makes the scene of this product, or why it cannot."""
        engine = self._request.engine
        planned = self._request.library.scene(name, product.category).mode
        mode: Mode = planned if product.image is not None else "text"
        if mode in engine.modes and (product.image is not None or not engine.needs_reference):
            if mode != planned:
                self._tally.note(
                    "drawn_from_words", "Some products have no photo and are drawn from words alone", product.sku
                )
            return mode
        if product.image is None:
            why = f"{product.sku} has no photo, and engine {engine.name} cannot draw {name} from words (mode text)"
        else:
            does = ", ".join(engine.modes) or "nothing"
            why = f"Engine {engine.name} cannot make {name} of {product.sku}: that takes mode {mode}, it does {does}"
        return Refusal(
            stage="plan",
            code="engine_cannot",
            reason=f"{why}{self._others_for(mode)}.",
            sku=product.sku,
            record_no=product.record_no,
            field="scene",
            value=name,
        )

    def _others_for(self, mode: Mode) -> str:
        able = self._request.able_engines
        if able is None:
            return ""
        others = [other for other in able(mode) if other != self._request.engine.name]
        return f"; engines that could: {', '.join(others)}" if others else "; no other installed engine could"

    def _resolve(self, name: SceneName, category: Category, mode: Mode) -> tuple[Scene, tuple[Target, ...]]:
        key = (name, category, mode)
        if key not in self._resolved:
            scene = dataclasses.replace(self._request.library.scene(name, category), mode=mode)
            self._resolved[key] = (scene, targets_for(mode, self._request.takers(name), self._request.engine))
        return self._resolved[key]

    def _shots_in(self, name: SceneName, mode: Mode, product: Product) -> Iterator[tuple[Shot, tuple[str, ...]]]:
        request = self._request
        scene, targets = self._resolve(name, product.category, mode)
        prompt = request.library.compose(
            product, scene, request.brand, request.promotion, language=request.promotion.language
        )
        assert isinstance(prompt, Prompt), "a product with blocked words was refused before"
        # A picture drawn from words does not look at the photo, so a new photo must not make it anew.
        looks_at_photo = mode != "text" or request.engine.needs_reference
        reference, sha256 = (product.image, product.image_sha256) if looks_at_photo else (None, None)
        matte, matte_sha256 = (product.matte, product.matte_sha256) if reference is not None else (None, None)
        if reference is not None and sha256 is None:
            raise PlanError("The photo has not been read yet; check photos before planning.", sku=product.sku)
        if matte is not None and matte_sha256 is None:
            raise PlanError("The matte has not been read yet; check photos before planning.", sku=product.sku)
        for target in targets:
            size = (target.width_px, target.height_px)
            shot_id = shot_id_of(
                product.sku, scene, mode, *size, prompt, sha256, request.engine.fingerprint, matte_sha256
            )
            self._note_enlarged(target, name, product.sku)
            shot = Shot(
                shot_id=shot_id,
                sku=product.sku,
                scene=scene,
                mode=mode,
                width_px=target.width_px,
                height_px=target.height_px,
                prompt=prompt,
                reference=reference,
                reference_sha256=sha256,
                engine=request.engine.name,
                engine_fingerprint=request.engine.fingerprint,
                matte=matte,
                matte_sha256=matte_sha256,
            )
            yield shot, target.channels

    def _note_enlarged(self, target: Target, name: SceneName, sku: str) -> None:
        short_px = min(target.width_px, target.height_px)
        for channel in self._request.channels:
            if channel.slug in target.channels and short_px < channel.min_short_side_px:
                self._tally.note(
                    "enlarged",
                    f"{name} is made {target.width_px}x{target.height_px} px and enlarged for {channel.slug}, which"
                    f" asks for a short side of at least {channel.min_short_side_px} px",
                    sku,
                    unit="shot",
                )


def iter_plan(
    products: Iterable[Product],
    library: PromptLibrary,
    promotion: Promotion,
    channels: Mapping[str, Channel],
    engine: EngineInfo,
    *,
    run_id: str,
    scenes: Iterable[SceneName] | None = None,
    channels_wanted: Iterable[str] | None = None,
    limit: int | None = None,
    shard_size: int = 200,
    able_engines: Callable[[Mode], tuple[str, ...]] | None = None,
) -> Plan:
    """Return the plan of a run as an iterator; the same input gives the same entries in the same order.

    `scenes` and `channels_wanted` replace the promotion's own choice; `limit` is how many products are taken from the
    front of the catalogue. Memory does not grow with the number of products. `able_engines` names the engines that do
    a mode, for the sentence of a Refusal. Products must have had their photos checked (`image_sha256`).

    Raises PlanError at once for an unknown channel, scene, or a size below one; PromptError for an unknown brand; and
    while iterating, PlanError for a photo that was never read or an engine whose limits leave no size.
    """
    scene_names = tuple(dict.fromkeys(promotion.scenes if scenes is None else scenes))
    slugs = tuple(dict.fromkeys(promotion.channels if channels_wanted is None else channels_wanted))
    check_channels(promotion, channels, library, scenes=scene_names, channels_wanted=slugs)
    if shard_size < 1 or (limit is not None and limit < 1):
        raise PlanError(f"shard_size ({shard_size}) and limit ({limit}) must be at least 1.")
    request = Request(
        library=library,
        promotion=promotion,
        brand=library.brand(promotion.brand),
        engine=engine,
        run_id=run_id,
        scenes=scene_names,
        channels=tuple(channels[slug] for slug in slugs),
        able_engines=able_engines,
    )
    tally = Tally(promotion, engine)
    for name in scene_names:
        if not request.takers(name):
            tally.note("scene_without_channel", f"No channel of this run takes {name}: nothing is made of it")
    for channel in request.channels:
        if not set(channel.scenes) & set(scene_names):
            tally.note("channel_without_scene", f"{channel.slug} takes none of the scenes of this run")
    return Plan(request, itertools.islice(products, limit), tally, _Shards(run_id, shard_size))
