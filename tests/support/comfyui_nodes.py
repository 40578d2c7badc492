"""The nodes of a ComfyUI, as far as our templates use them: what they take, what a graph may be refused for, and a
picture that follows from the values that arrived, so that a test can say what must have arrived."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

FILES = {
    "unet": ["z_image_turbo_bf16.safetensors", "z_image_turbo_fp8.safetensors"],
    "clip": ["qwen_3_4b.safetensors"],
    "vae": ["ae.safetensors"],
    "model_patch": ["Z-Image-Turbo-Fun-Controlnet-Union-2.1.safetensors"],
}
EXCEPTIONS = {
    "oom": ("torch.OutOfMemoryError", "Allocation on device 0 would exceed allowed memory. (out of memory)"),
    "error": ("RuntimeError", "CUDA error: an illegal memory access was encountered"),
    "value_error": ("ValueError", "too many values to unpack (expected 2)"),
    "wrong_clip": ("RuntimeError", "mat1 and mat2 shapes cannot be multiplied (32x768 and 2560x3840)"),
}
MODEL, CLIP, VAE, COND, LATENT, IMAGE, MASK, PATCH = (
    (name, {}) for name in ("MODEL", "CLIP", "VAE", "CONDITIONING", "LATENT", "IMAGE", "MASK", "MODEL_PATCH")
)
SIDE = ("INT", {"default": 1024, "min": 16, "max": 16384, "step": 16})


def combo(options: list[str]) -> tuple[Any, dict[str, Any]]:
    """The shape that newer nodes give their choices in."""
    return ("COMBO", {"options": options, "multiselect": False})


def node_table(files: Mapping[str, list[str]]) -> dict[str, dict[str, Any]]:
    """Return what the server says of each class: inputs, outputs, whether it is an output node."""
    node = _node
    return {
        "UNETLoader": node(
            {"unet_name": (files["unet"], {}), "weight_dtype": (["default", "fp8_e4m3fn"], {})}, "MODEL"
        ),
        "CLIPLoader": node(
            {"clip_name": combo(files["clip"]), "type": (["stable_diffusion", "lumina2", "flux"], {})},
            "CLIP",
            {"device": (["default", "cpu"], {"advanced": True})},
        ),
        "VAELoader": node({"vae_name": (files["vae"],)}, "VAE"),
        "ModelPatchLoader": node({"name": combo(files["model_patch"])}, "MODEL_PATCH"),
        "CLIPTextEncode": node({"text": ("STRING", {"multiline": True}), "clip": CLIP}, "CONDITIONING"),
        "ConditioningZeroOut": node({"conditioning": COND}, "CONDITIONING"),
        "ConditioningCombine": node({"conditioning_1": COND, "conditioning_2": COND}, "CONDITIONING"),
        "EmptySD3LatentImage": node(
            {"width": SIDE, "height": SIDE, "batch_size": ("INT", {"min": 1, "max": 4096})}, "LATENT"
        ),
        "ModelSamplingAuraFlow": node({"model": MODEL, "shift": ("FLOAT", {"min": 0.0, "max": 100.0})}, "MODEL"),
        "KSampler": node(
            {
                "model": MODEL,
                "seed": ("INT", {"min": 0, "max": 2**64 - 1, "control_after_generate": True}),
                "steps": ("INT", {"default": 20, "min": 1, "max": 10000}),
                "cfg": ("FLOAT", {"min": 0.0, "max": 100.0}),
                "sampler_name": (["euler", "res_multistep"], {}),
                "scheduler": (["simple", "normal"], {}),
                "positive": COND,
                "negative": COND,
                "latent_image": LATENT,
                "denoise": ("FLOAT", {"min": 0.0, "max": 1.0}),
            },
            "LATENT",
        ),
        "VAEDecode": node({"samples": LATENT, "vae": VAE}, "IMAGE"),
        "VAEEncode": node({"pixels": IMAGE, "vae": VAE}, "LATENT"),
        "SetLatentNoiseMask": node({"samples": LATENT, "mask": MASK}, "LATENT"),
        "LoadImage": node({"image": ([], {"image_upload": True})}, "IMAGE", outputs=("IMAGE", "MASK")),
        "LoadImageMask": node({"image": ([], {"image_upload": True}), "channel": (["alpha", "red"], {})}, "MASK"),
        "ZImageFunControlnet": node(
            {"model": MODEL, "model_patch": PATCH, "vae": VAE, "strength": ("FLOAT", {"min": -10.0, "max": 10.0})},
            "MODEL",
            {"image": IMAGE, "inpaint_image": IMAGE, "mask": MASK},
        ),
        "PrimitiveInt": node({"value": ("INT", {})}, "INT"),
        "SaveImage": node(
            {"images": IMAGE, "filename_prefix": ("STRING", {"default": "ComfyUI"})}, outputs=(), is_output=True
        ),
        "PreviewImage": node({"images": IMAGE}, outputs=(), is_output=True),
    }


def _node(
    required: dict[str, Any],
    gives: str = "",
    optional: dict[str, Any] | None = None,
    *,
    outputs: tuple[str, ...] | None = None,
    is_output: bool = False,
) -> dict[str, Any]:
    given = (gives,) if outputs is None else outputs
    inputs = {"required": required} | ({"optional": optional} if optional else {})
    return {"input": inputs, "output": list(given), "output_node": is_output}


# ---------------------------------------------------------------- what a graph is refused for


def validate(graph: dict[str, Any], table: dict[str, dict[str, Any]], photos: Mapping[str, bytes]) -> dict[str, Any]:
    """Return {"error": ..., "node_errors": ...}: error None where at least one output can be made."""
    for node_id, entry in graph.items():
        if entry.get("class_type") not in table:
            said = f"Node '{entry.get('class_type')}' not found. The custom node may not be installed."
            return _refused("missing_node_type", said, f"Node ID '#{node_id}'")
    outputs = [node_id for node_id, entry in graph.items() if table[entry["class_type"]]["output_node"]]
    if not outputs:
        return _refused("prompt_no_outputs", "Prompt has no outputs", "")
    node_errors: dict[str, Any] = {}
    good = []
    for output in outputs:
        wrong = {node: errors for node in _behind(graph, output) if (errors := _errors(graph, node, table, photos))}
        for node, errors in wrong.items():
            known = node_errors.setdefault(
                node, {"errors": errors, "dependent_outputs": [], "class_type": graph[node]["class_type"]}
            )
            known["dependent_outputs"].append(output)
        if not wrong:
            good.append(output)
    if not good:
        details = "\n".join(f"{e['message']}: {e['details']}" for n in node_errors.values() for e in n["errors"])
        return _refused("prompt_outputs_failed_validation", "Prompt outputs failed validation", details, node_errors)
    return {"error": None, "node_errors": node_errors, "good": good}


def _refused(kind: str, message: str, details: str, node_errors: dict[str, Any] | None = None) -> dict[str, Any]:
    error = {"type": kind, "message": message, "details": details, "extra_info": {}}
    return {"error": error, "node_errors": node_errors or {}}


def _behind(graph: dict[str, Any], node_id: str) -> list[str]:
    met = [node_id]
    for current in met:
        for value in graph[current]["inputs"].values():
            if isinstance(value, list) and value[0] not in met:
                met.append(value[0])
    return met


def _errors(
    graph: dict[str, Any], node_id: str, table: dict[str, dict[str, Any]], photos: Mapping[str, bytes]
) -> list[dict[str, Any]]:
    inputs, info = graph[node_id]["inputs"], table[graph[node_id]["class_type"]]["input"]
    found = [
        _error("required_input_missing", "Required input is missing", name, name)
        for name in info["required"]
        if name not in inputs
    ]
    for name, spec in {**info["required"], **info.get("optional", {})}.items():
        if name in inputs and (wrong := _wrong(graph, inputs[name], name, spec, table, photos)):
            found.append(wrong)
    return found


def _wrong(
    graph: dict[str, Any],
    value: Any,
    name: str,
    spec: tuple[Any, ...],
    table: dict[str, Any],
    photos: Mapping[str, bytes],
) -> dict[str, Any] | None:
    kind, settings = spec[0], spec[1] if len(spec) > 1 else {}
    if isinstance(value, list):
        given = table[graph[value[0]]["class_type"]]["output"][value[1]]
        if given != kind and not (kind == "COMBO" or isinstance(kind, list)):
            said = f"{name}, received_type({given}) mismatch input_type({kind})"
            return _error("return_type_mismatch", "Return type mismatch between linked nodes", said, name)
        return None
    if settings.get("image_upload"):
        if value not in photos:
            said = f"image - Invalid image file: {value}"
            return _error("custom_validation_failed", "Custom validation failed for node", said, name)
        return None
    choices = settings["options"] if kind == "COMBO" else kind
    if isinstance(choices, list) and value not in choices:
        return _error("value_not_in_list", "Value not in list", f"{name}: '{value}' not in {choices}", name)
    if kind in ("INT", "FLOAT"):
        if "min" in settings and value < settings["min"]:
            return _error("value_smaller_than_min", f"Value {value} smaller than min of {settings['min']}", name, name)
        if "max" in settings and value > settings["max"]:
            return _error("value_bigger_than_max", f"Value {value} bigger than max of {settings['max']}", name, name)
    return None


def _error(kind: str, message: str, details: str, name: str) -> dict[str, Any]:
    return {"type": kind, "message": message, "details": details, "extra_info": {"input_name": name}}


# ---------------------------------------------------------------- what is drawn


@dataclass(frozen=True)
class Wanted:
    """The values that reached the sampler of a graph."""

    text: str
    seed: int
    steps: int
    cfg: float
    width: int
    height: int
    unet: str
    model_patch: str | None
    photo: np.ndarray | None
    mask: np.ndarray | None

    def picture(self) -> np.ndarray:
        """The picture (H, W, 3) RGB of these values: soft blobs, and the photo where the mask keeps it."""
        dice = np.random.default_rng([self.seed, self.steps, int(self.cfg * 100), *self.text.encode()])
        coarse = dice.integers(0, 256, (4, 4, 3)).astype(np.float32)
        drawn = np.clip(cv2.resize(coarse, (self.width, self.height), interpolation=cv2.INTER_CUBIC), 0, 255)
        if self.photo is not None and self.mask is not None:
            share = (self.mask.astype(np.float32) / 255)[..., None]
            drawn = drawn * share + self.photo * (1 - share)
        return np.rint(drawn).astype(np.uint8)


def wanted(graph: dict[str, Any], output: str, photos: Mapping[str, bytes]) -> Wanted:
    """Return what this output is to show, found along the wires as ComfyUI runs them."""

    def origin(node_id: str, name: str) -> tuple[str, int]:
        value = graph[node_id]["inputs"][name]
        return value[0], value[1]

    def value(node_id: str, name: str) -> Any:
        given = graph[node_id]["inputs"][name]
        return graph[given[0]]["inputs"]["value"] if isinstance(given, list) else given

    sampler = origin(origin(output, "images")[0], "samples")[0]
    latent = origin(sampler, "latent_image")[0]
    photo = mask = None
    if graph[latent]["class_type"] == "SetLatentNoiseMask":
        mask = _mask(graph, *origin(latent, "mask"), photos)
        photo = _rgba(photos[graph[origin(origin(latent, "samples")[0], "pixels")[0]]["inputs"]["image"]])[..., :3]
        height, width = photo.shape[:2]
    else:
        width, height = value(latent, "width"), value(latent, "height")
    model, patch = origin(sampler, "model")[0], None
    while graph[model]["class_type"] != "UNETLoader":
        if graph[model]["class_type"] == "ZImageFunControlnet":
            patch = graph[origin(model, "model_patch")[0]]["inputs"]["name"]
        model = origin(model, "model")[0]
    return Wanted(
        text=graph[origin(sampler, "positive")[0]]["inputs"]["text"],
        seed=value(sampler, "seed"),
        steps=value(sampler, "steps"),
        cfg=value(sampler, "cfg"),
        width=width,
        height=height,
        unet=graph[model]["inputs"]["unet_name"],
        model_patch=patch,
        photo=photo,
        mask=mask,
    )


def _mask(graph: dict[str, Any], node_id: str, output: int, photos: Mapping[str, bytes]) -> np.ndarray:
    """White = paint: a colour as it is, an alpha channel turned around."""
    rgba = _rgba(photos[graph[node_id]["inputs"]["image"]])
    if graph[node_id]["class_type"] == "LoadImageMask":
        channel = graph[node_id]["inputs"]["channel"]
        return 255 - rgba[..., 3] if channel == "alpha" else rgba[..., 0]
    assert output == 1, "the first output of LoadImage is no mask"
    return 255 - rgba[..., 3]


def _rgba(png: bytes) -> np.ndarray:
    read = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_UNCHANGED)
    if read.shape[2] == 3:
        return cv2.cvtColor(read, cv2.COLOR_BGR2RGBA)
    return cv2.cvtColor(read, cv2.COLOR_BGRA2RGBA)


def signature(graph: dict[str, Any], node_id: str, photos: Mapping[str, bytes]) -> str:
    """What a node's answer is cached under: its class, its values, and all that is behind them."""
    parts: list[Any] = [graph[node_id]["class_type"]]
    for name, value in sorted(graph[node_id]["inputs"].items()):
        if isinstance(value, list):
            parts.append([name, signature(graph, value[0], photos), value[1]])
        else:
            parts.append([name, value, hashlib.sha256(photos.get(value, b"")).hexdigest() if name == "image" else ""])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def failure(graph: dict[str, Any], how: str) -> tuple[str, dict[str, Any]]:
    """Return the message (name, data) of a sampler that fails in this way, "interrupted" or one of EXCEPTIONS."""
    sampler = next(name for name, node in graph.items() if node["class_type"] == "KSampler")
    about = {"node_id": sampler, "node_type": "KSampler", "executed": []}
    if how == "interrupted":
        return "execution_interrupted", about
    kind, said = EXCEPTIONS[how]
    return "execution_error", about | {"exception_type": kind, "exception_message": said, "traceback": []}
