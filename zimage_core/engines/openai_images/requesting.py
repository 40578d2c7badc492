"""What is sent to which server, and how its answer is read; no network here.

SGLang Diffusion (sources of several revisions up to mid-2026) has defaults of its own for every field: the answer as an
address, jpg of quality 75, 9 steps, seed 1024 in older ones, and another size where it does not like the one asked for.
vLLM-Omni (be81443c): 50 steps and guidance 5.0, base64 PNG only. So nothing is left out, and the size is verified.
"""

from __future__ import annotations

import base64
import binascii
from typing import Any

from zimage_core.engines.drawing import Drawing
from zimage_core.engines.openai_images.options import NAME, Options
from zimage_core.engines.wire.client import Reply
from zimage_core.engines.wire.pictures import decode_picture
from zimage_core.errors import BadImage
from zimage_core.imaging.pixels import Rgb


def body_for(drawing: Drawing, options: Options) -> dict[str, Any]:
    """Return the JSON that asks for one picture of one seed."""
    body: dict[str, Any] = {
        "model": options.model,
        "prompt": drawing.prompt,
        "negative_prompt": drawing.negative,
        "n": 1,  # one seed gives one picture: n > 1 would draw from seeds nobody asked for
        "size": f"{drawing.width_px}x{drawing.height_px}",
        "response_format": "b64_json",
        "seed": drawing.seed,
        "num_inference_steps": options.steps,
        "guidance_scale": options.guidance,
    }
    if options.server == "sglang":
        body["output_format"] = "png"  # vLLM-Omni answers in PNG only and has no such field
    return body


def picture_of(reply: Reply, drawing: Drawing) -> Rgb:
    """Return the picture of an answer with status 200.

    Raises BadImage: not one picture, an address instead of it, no base64, another size, a damaged file.
    """
    answer = reply.json_object(NAME, "a picture in JSON")
    data = answer.get("data")
    if not isinstance(data, list) or len(data) != 1 or not isinstance(data[0], dict):
        came = f"{len(data)} of them" if isinstance(data, list) else f"a field data of type {type(data).__name__}"
        raise _bad(reply, f"answered with {came} where one picture was asked for")
    text = data[0].get("b64_json")
    if not isinstance(text, str) or not text:
        if data[0].get("url"):
            raise _bad(
                reply,
                "answered with an address instead of the picture: it ignored response_format=b64_json. Update it, or "
                "check that no gateway before it rewrites requests",
            )
        raise _bad(reply, f"answered without a picture: its field b64_json is {type(text).__name__}")
    try:
        picture = base64.b64decode(text.rpartition(",")[2], validate=True)
    except (binascii.Error, ValueError):
        raise _bad(reply, "answered with a field b64_json that is not base64") from None
    return decode_picture(picture, NAME, width_px=drawing.width_px, height_px=drawing.height_px)


def _bad(reply: Reply, what: str) -> BadImage:
    return BadImage(f"Engine '{NAME}' at {reply.endpoint} {what}.", engine=NAME)
