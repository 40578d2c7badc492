"""From a body to work: what is asked for, whether this server and its engine do it, and the key that names it."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from typing import Final

from zimage_core import clock
from zimage_core.domain import Change, EngineInfo, Light, Prompt, Scene, Stage, content_id
from zimage_core.engines.base import EngineFailure, RenderRequest, screen
from zimage_core.engines.exchange import (
    GenerateBody,
    RequestForm,
    from_base64,
    request_form,
    request_from,
    to_text,
)
from zimage_core.errors import EngineError, EngineUnavailable
from zimage_core.prompting import Blocklist
from zimage_core.serving.denials import Denied, Failed
from zimage_core.serving.forms import ImagesBody
from zimage_core.serving.work import Work

_PNG_START: Final = b"\x89PNG\r\n\x1a\n"
_SEEDS: Final = 2**64
MIN_SIDE_PX: Final = 16
"""Of a smaller picture nobody could tell whether it is blank."""
_PLAIN_STAGE: Final = Stage("sweep", "none", ("#e8e4dc", "#d9d4cc"), Light(-40.0, 50.0))
"""Requests of words alone name no scene; their engines draw from the words, and this is what a request must hold."""


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the engine samples: what a request may say of it is this or nothing."""

    steps: int = 8
    guidance: float = 0.0


@dataclass(frozen=True, slots=True)
class IntakeRules:
    """The server's own limits, whatever the engine could do."""

    max_side_px: int = 4096
    max_prompt_chars: int = 4000
    max_reference_megapixels: float = 16.0


@dataclass(frozen=True, slots=True)
class Order:
    """Work with the form it was asked for in, which is what a task keeps on disk."""

    work: Work
    form: RequestForm


class Intake:
    """Reads bodies for one engine. Raises Denied for the server's own limits, Failed for the engine's."""

    def __init__(
        self, info: EngineInfo, *, rules: IntakeRules, sampling: Sampling, blocklist: Blocklist | None
    ) -> None:
        self._info, self._rules, self._sampling, self._blocklist = info, rules, sampling, blocklist

    def of_body(self, body: GenerateBody, *, named: str) -> Order:
        """Return the order of a body of /v1/generate. `named` decides the seed where the body does not."""
        if body.zimage is not None:
            return self.of_form(body.zimage)
        given = body.model_fields_set
        self._check_sampling(
            body.num_inference_steps if "num_inference_steps" in given else None,
            body.guidance_scale if "guidance_scale" in given else None,
        )
        seed = _seed_of(named) if body.seed is None else body.seed
        return self._of_words(body.prompt, body.negative_prompt, seed, (body.width, body.height))

    def of_images(self, body: ImagesBody, *, named: str) -> list[Order]:
        """Return the orders of a body of /v1/images/generations, one per picture."""
        self._check_sampling(body.num_inference_steps, body.guidance_scale)
        seed = _seed_of(named) if body.seed is None else body.seed
        width_px, height_px = map(int, body.size.split("x"))
        return [
            self._of_words(body.prompt, body.negative_prompt or "", (seed + index) % _SEEDS, (width_px, height_px))
            for index in range(body.n)
        ]

    def of_form(self, form: RequestForm) -> Order:
        """Return the order of a whole request."""
        self._check_words(form.prompt.text)
        self._check_side(form.width_px, form.height_px)
        if form.reference is not None:
            self._check_reference(form.reference)
        try:
            request = request_from(form, self._info)
        except EngineError as error:
            # another engine was meant: no fault of this server, so no 5xx; the code says that it may be asked again
            status = 409 if isinstance(error, EngineUnavailable) else None
            raise Failed(EngineFailure(form.attempt_id, error, 0.0), status=status) from error
        return self._screened(request, form)

    # ------------------------------------------------------------ inside

    def _of_words(self, text: str, negative: str, seed: int, size: tuple[int, int]) -> Order:
        if not text.strip():
            raise Denied(422, "The prompt is empty.")
        self._check_words(text)
        self._check_side(*size)
        name = content_id("words", text, negative, seed, size)
        request = RenderRequest(
            attempt_id=name,
            sku="words",
            shot_id=name,
            number=1,
            mode="text",
            prompt=Prompt(text, negative, "zh" if any("\u4e00" <= sign <= "\u9fff" for sign in text) else "en", ()),
            scene=Scene("lifestyle", "default", "text", _PLAIN_STAGE, "", "1", "words"),
            change=Change(),
            seed=seed,
            width_px=size[0],
            height_px=size[1],
        )
        return self._screened(request, request_form(request))

    def _screened(self, request: RenderRequest, form: RequestForm) -> Order:
        refused = screen(self._info, request)
        if refused is not None:
            raise Failed(EngineFailure(request.attempt_id, refused, 0.0))
        return Order(Work(self._key_of(form), request), form)

    def _key_of(self, form: RequestForm) -> str:
        """Return 64 hex digits that name all that decides the picture: the whole request and the engine.

        Whole hashes, not short ones: callers choose the content, and one's picture must never be another's.
        """
        asked = form.model_dump_json(exclude={"fingerprint"})
        return hashlib.sha256(f"{self._info.fingerprint}\n{asked}".encode()).hexdigest()

    def _check_words(self, text: str) -> None:
        if len(text) > self._rules.max_prompt_chars:
            raise Denied(422, f"The prompt has {len(text)} characters; {self._rules.max_prompt_chars} are allowed.")
        found = self._blocklist.find(text) if self._blocklist else None
        if found is not None:
            raise Denied(422, f"The prompt holds '{found.word}', which is not drawn here: {found.reason}.")

    def _check_side(self, *sides_px: int) -> None:
        most_px = self._rules.max_side_px
        for side_px in sides_px:
            if not MIN_SIDE_PX <= side_px <= most_px:
                raise Denied(422, f"This server makes sides from {MIN_SIDE_PX} to {most_px} px, not {side_px}.")

    def _check_reference(self, text: str) -> None:
        """Look at the size a PNG says it has before anything is decoded."""
        try:
            png = from_base64(text)
        except ValueError as error:
            raise Denied(422, f"The product's cut-out cannot be read: {error}.") from None
        if not png.startswith(_PNG_START) or len(png) < 24:
            raise Denied(422, "The product's cut-out is not a PNG.")
        width_px, height_px = struct.unpack(">II", png[16:24])
        if width_px * height_px > self._rules.max_reference_megapixels * 1e6:
            raise Denied(
                422,
                f"The product's cut-out has {width_px} x {height_px} px; "
                f"{self._rules.max_reference_megapixels:g} megapixels are allowed.",
            )

    def _check_sampling(self, steps: int | None, guidance: float | None) -> None:
        if steps not in (None, self._sampling.steps) or guidance not in (None, self._sampling.guidance):
            raise Denied(
                422,
                f"This engine draws with {self._sampling.steps} steps and guidance {self._sampling.guidance:g}; "
                "ask for these or leave both out.",
            )


def body_name(endpoint: str, body: GenerateBody | ImagesBody) -> str:
    """Return a hash that names what is asked for and where: what an idempotency key may be used for again."""
    return hashlib.sha256(f"{endpoint}\n{to_text(body)}".encode()).hexdigest()


def fresh_name() -> str:
    """Return a name for a request that has no idempotency key: nobody else has it."""
    return clock.fresh_id()


def _seed_of(named: str) -> int:
    """Return the seed of a request that left it to the server: 32 bits of its name, so that a repeat draws the same."""
    return int.from_bytes(hashlib.sha256(f"seed:{named}".encode()).digest()[:4], "big")
