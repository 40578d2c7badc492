"""The engine on one server: the right values arrive, the right file comes back, and nothing is drawn that is there."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from comfyui_answers import failed, made
from comfyui_server import ComfyUI
from zimage_requests import product, request_for

from zimage_core.domain import EngineInfo
from zimage_core.engines.base import EngineFailure, render_checked
from zimage_core.engines.comfyui import MODES, create
from zimage_core.engines.comfyui.engine import ComfyEngine
from zimage_core.engines.comfyui.graph import load_graph
from zimage_core.engines.drawing import drawing_of
from zimage_core.engines.wire.replies import EngineLocked
from zimage_core.errors import ConfigurationError, EngineRefused
from zimage_core.imaging.composite import OPAQUE_ALPHA, placed_premultiplied

EngineOn = Callable[..., ComfyEngine]


def info_of(**options: str) -> EngineInfo:
    engine = create(options)
    engine.close()
    return engine.info


# ---------------------------------------------------------------- what arrives


def test_prompt_seed_size_steps_and_guidance_arrive_and_the_picture_is_the_servers(
    server: ComfyUI, engine_on: EngineOn
) -> None:
    request = request_for("text", size=(128, 96))
    answer = made(engine_on(server), request)
    ((prompt_id, asked),) = server.drawn
    assert (asked.text, asked.seed) == (request.prompt.text, request.seed)
    assert (asked.width, asked.height, asked.steps, asked.cfg) == (128, 96, 8, 1.0)
    assert np.array_equal(answer.rgb, asked.picture())
    assert prompt_id in answer.notes[0]


def test_a_size_that_is_no_multiple_of_16_is_drawn_larger_and_cut_back(server: ComfyUI, engine_on: EngineOn) -> None:
    answer = made(engine_on(server), request_for("text", size=(100, 90)))
    ((_, asked),) = server.drawn
    assert (asked.width, asked.height) == (112, 96)
    assert np.array_equal(answer.rgb, asked.picture()[3:93, 6:106])


def test_steps_guidance_and_model_files_are_options(server: ComfyUI, engine_on: EngineOn) -> None:
    options = {"steps": "9", "guidance": "1.5", "allow_guidance": "yes", "unet": "z_image_turbo_fp8.safetensors"}
    made(engine_on(server, **options), request_for("text"))
    ((_, asked),) = server.drawn
    assert (asked.steps, asked.cfg, asked.unet) == (9, 2.5, "z_image_turbo_fp8.safetensors")


def test_an_inpainting_sends_photo_and_mask_and_keeps_the_products_pixels(server: ComfyUI, engine_on: EngineOn) -> None:
    request = request_for("inpaint", size=(160, 128))
    answer = made(engine_on(server), request)
    ((_, asked),) = server.drawn
    drawing = drawing_of(request, 16)
    assert np.array_equal(asked.photo, drawing.base_rgb)
    assert np.array_equal(asked.mask, drawing.repaint)
    assert asked.model_patch is None
    assert answer.placement is not None
    placed = placed_premultiplied(product(), answer.placement, 160, 128)
    opaque = placed[..., 3] == OPAQUE_ALPHA
    assert opaque.sum() > 200
    assert np.array_equal(answer.rgb[opaque], placed[opaque][:, :3])


def test_a_model_patch_asks_for_the_template_with_trained_inpainting(server: ComfyUI, engine_on: EngineOn) -> None:
    name = "Z-Image-Turbo-Fun-Controlnet-Union-2.1.safetensors"
    made(engine_on(server, model_patch=name), request_for("inpaint"))
    ((_, asked),) = server.drawn
    assert asked.model_patch == name


@pytest.mark.parametrize("reading", ["alpha of the mask file", "one file for both"])
def test_the_mask_says_the_same_whichever_way_a_template_reads_it(
    server: ComfyUI, engine_on: EngineOn, tmp_path: Path, reading: str
) -> None:
    graph = load_graph("z_image_turbo_inpaint").to_json()
    if reading == "alpha of the mask file":
        graph["41"]["inputs"]["channel"] = "alpha"
    else:
        del graph["41"]
        graph["40"]["_meta"]["title"] = ""
        graph["42"]["inputs"]["mask"] = ["40", 1]
    path = tmp_path / "t.json"
    path.write_text(json.dumps(graph))
    request = request_for("inpaint", size=(160, 128))
    made(engine_on(server, inpaint_template=str(path)), request)
    ((_, asked),) = server.drawn
    drawing = drawing_of(request, 16)
    assert np.array_equal(asked.mask, drawing.repaint)
    assert np.array_equal(asked.photo, drawing.base_rgb)


def test_a_stage_is_drawn_empty_and_the_product_set_down_in_it(server: ComfyUI, engine_on: EngineOn) -> None:
    answer = made(engine_on(server), request_for("stage", size=(160, 128)))
    assert answer.placement is not None
    assert server.photos == {}
    assert len(server.drawn) == 1


def test_an_upscaling_template_is_averaged_down(server: ComfyUI, engine_on: EngineOn) -> None:
    request = request_for("text", size=(64, 48))
    engine = engine_on(server)
    made(engine, request)
    (name,) = server.files
    small = cv2.imdecode(np.frombuffer(server.files[name], np.uint8), cv2.IMREAD_COLOR)
    server.files[name] = cv2.imencode(".png", cv2.resize(small, (128, 96), interpolation=cv2.INTER_NEAREST))[
        1
    ].tobytes()
    assert np.array_equal(made(engine, request).rgb, cv2.cvtColor(small, cv2.COLOR_BGR2RGB))


def test_a_template_that_draws_its_own_size_is_refused_with_what_to_title(server: ComfyUI, engine_on: EngineOn) -> None:
    engine, request = engine_on(server), request_for("text", size=(64, 48))
    made(engine, request)
    (name,) = server.files
    server.files[name] = cv2.imencode(".png", np.zeros((50, 70, 3), np.uint8))[1].tobytes()
    failure = failed(engine, request)
    assert type(failure.error) is EngineRefused
    assert "drew 70 x 50 px where 64 x 48" in failure.error.sentence
    assert "zimage:size" in failure.error.sentence


# ---------------------------------------------------------------- ids, files, cache


def test_each_try_has_a_uuid_of_its_own_and_its_file_bears_it(server: ComfyUI, engine_on: EngineOn) -> None:
    made(engine_on(server), request_for("text"))
    ((_, body),) = [entry for entry in server.bodies if entry[0] == "prompt"]
    assert str(uuid.UUID(body["prompt_id"])) == body["prompt_id"]
    assert list(server.files) == [f"zimage/{body['prompt_id']}_00001_.png"]


def test_an_attempt_that_was_drawn_before_is_not_drawn_again_by_whoever_asks(
    server: ComfyUI, engine_on: EngineOn
) -> None:
    request = request_for("text")
    first = made(engine_on(server), request)
    again = made(engine_on(server), request)  # a new process after the first was killed
    assert len(server.drawn) == 1
    assert np.array_equal(first.rgb, again.rgb)


def test_another_attempt_another_template_or_other_words_are_other_prompts(
    server: ComfyUI, engine_on: EngineOn
) -> None:
    request = request_for("text")
    made(engine_on(server), request)
    made(engine_on(server), request_for("text", number=2))
    made(engine_on(server, steps="7"), request)
    made(engine_on(server), dataclasses.replace(request, prompt=dataclasses.replace(request.prompt, text="a mug")))
    assert len({prompt_id for prompt_id, _ in server.drawn}) == len(server.drawn) == 4


def test_the_cache_of_the_server_gives_the_right_picture_to_another_attempt_with_the_same_values(
    server: ComfyUI, engine_on: EngineOn
) -> None:
    engine, request = engine_on(server), request_for("text")
    first = made(engine, request)
    other = made(engine, dataclasses.replace(request, attempt_id="another"))
    assert len(server.drawn) == 1, "the sampler's answer came from the cache"
    assert len(server.files) == 2, "but the file is new"
    assert np.array_equal(first.rgb, other.rgb)


def test_the_graph_in_the_files_text_is_dropped(server: ComfyUI, engine_on: EngineOn) -> None:
    answer = made(engine_on(server), request_for("text"))
    (png,) = server.files.values()
    assert b"KSampler" in png
    assert isinstance(answer.rgb, np.ndarray)
    assert "KSampler" not in repr(answer)


def test_cost_is_the_servers_own_time(engine_on: EngineOn) -> None:
    with ComfyUI(step_s=0.02) as server:
        answer = made(engine_on(server, rent_usd_per_hour="900"), request_for("text"))
    assert 0.1 < 4 * answer.cost_usd < answer.seconds


# ---------------------------------------------------------------- before anything is drawn


def test_a_missing_model_file_stops_the_run_and_names_what_the_server_has(server: ComfyUI, engine_on: EngineOn) -> None:
    requests = [request_for("text", shot=f"shot{i}") for i in range(8)]
    answers = render_checked(engine_on(server, unet="z_image_turbo_bf16_v2.safetensors"), requests)
    assert [type(answer) for answer in answers] == [EngineFailure] * 8
    errors = [answer.error for answer in answers if isinstance(answer, EngineFailure)]
    assert all(isinstance(error, EngineLocked) for error in errors)
    assert "it has z_image_turbo_bf16.safetensors" in errors[0].sentence
    assert server.calls["prompt"] == 0


def test_a_node_class_the_server_does_not_have_is_named_and_noticed_when_it_is_installed(
    server: ComfyUI, engine_on: EngineOn
) -> None:
    engine, request = engine_on(server), request_for("inpaint")
    table = dict(server.table)
    del server.table["SetLatentNoiseMask"]
    assert "has no node SetLatentNoiseMask" in failed(engine, request).error.sentence
    made(engine, request_for("text"))
    server.table.update(table)
    made(engine_on(server), request)


def test_the_preflight_asks_once_per_server(server: ComfyUI, engine_on: EngineOn) -> None:
    engine = engine_on(server)
    made(engine, request_for("text", shot="a"))
    asked = server.calls["object_info"]
    made(engine, request_for("text", shot="b"))
    assert asked == len(load_graph("z_image_turbo_text").nodes)
    assert server.calls["object_info"] == asked


# ---------------------------------------------------------------- what it says of itself


def test_a_fingerprint_is_of_what_draws_not_of_where() -> None:
    usual = info_of()
    assert usual.fingerprint.startswith("comfyui-")
    assert info_of(url="http://gpu1:8188,http://gpu2:8188", timeout_s="5").fingerprint == usual.fingerprint
    others = [
        info_of(unet="other.safetensors"),
        info_of(steps="9"),
        info_of(template="none"),
        info_of(inpaint_template="z_image_turbo_inpaint_control"),
    ]
    assert len({usual.fingerprint, *(other.fingerprint for other in others)}) == 5


def test_modes_are_those_it_has_templates_for() -> None:
    assert info_of().modes == MODES
    assert info_of(inpaint_template="none").modes == ("stage", "text")
    only = info_of(template="none")
    assert only.modes == ("inpaint",)
    assert only.needs_reference
    with pytest.raises(ConfigurationError, match="nothing it could draw"):
        create({"template": "none", "inpaint_template": "none"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"modle": "x"}, "no option modle; its options are allow_guidance, attempts"),
        ({"url": "gpu1:8188"}, "http or https"),
        ({"steps": "0"}, "from 1 to 200"),
        ({"guidance": "3"}, "allow_guidance=yes"),
        ({"upload_folder": "../x"}, "one folder name"),
        ({"model_patch": "x", "inpaint_template": "z_image_turbo_inpaint"}, "takes the model_patch"),
        ({"template": "gone.json"}, "cannot be read"),
    ],
)
def test_what_is_wrong_with_an_option_is_said_before_any_server_is_called(options: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        create(options)


def test_the_key_goes_along_with_every_call_and_the_socket_and_is_never_shown(
    server: ComfyUI, engine_on: EngineOn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZIMAGE_ENGINE_API_KEY", "very-secret")
    engine = engine_on(server)
    made(engine, request_for("text"))
    assert engine.fleet.station(server.url).ears.wait_open(5)
    assert {headers.get("authorization") for headers in server.headers} == {"Bearer very-secret"}
    assert "very-secret" not in repr(vars(engine))
