"""What ComfyUI says, in its own words, and which error of ours that is; malformed answers among them."""

from __future__ import annotations

from typing import Any

import pytest

from zimage_core.engines.comfyui.failures import (
    PhotoGone,
    concerns_output,
    error_for_400,
    error_for_entry,
    messages_of,
)
from zimage_core.engines.comfyui.server import images_of
from zimage_core.engines.comfyui.template import make_template
from zimage_core.engines.comfyui.work import drawing_seconds
from zimage_core.engines.wire.replies import EngineLocked
from zimage_core.errors import EngineError, EngineOutOfMemory, EngineRefused, EngineUnavailable

URL = "http://gpu:8188"
SLOTS = make_template("z_image_turbo_inpaint", "inpaint", files={}).slots
TEXT = make_template("z_image_turbo_text", "text", files={}).slots


def refused(node: str, kind: str, name: str, details: str = "") -> dict[str, Any]:
    error = {"type": kind, "message": kind, "details": details, "extra_info": {"input_name": name}}
    return {
        "error": {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"},
        "node_errors": {node: {"errors": [error], "dependent_outputs": ["9"], "class_type": "X"}},
    }


def failed(kind: str, said: str, node: str = "3", node_type: str = "KSampler") -> dict[str, Any]:
    data = {"node_id": node, "node_type": node_type, "exception_type": kind, "exception_message": said}
    return {"status": {"status_str": "error", "completed": False, "messages": [["execution_error", data]]}}


@pytest.mark.parametrize(
    ("body", "kind", "said"),
    [
        (refused("28", "value_not_in_list", "unet_name", "'x' not in []"), EngineLocked, "node 28 (UNETLoader"),
        (refused("3", "required_input_missing", "eta"), EngineLocked, "node 3 (KSampler"),
        (refused("13", "value_bigger_than_max", "width"), EngineRefused, "refuses this picture"),
        (refused("3", "value_bigger_than_max", "denoise"), EngineLocked, "refuses the template"),
        ({"error": {"type": "missing_node_type", "message": "Node 'X' not found."}}, EngineLocked, "'X' not found"),
        ({"error": {"type": "prompt_no_outputs", "message": "Prompt has no outputs"}}, EngineLocked, "no outputs"),
        ({"error": "no prompt", "node_errors": []}, EngineLocked, "no prompt"),
        ({}, EngineLocked, "gives no reason"),
    ],
)
def test_a_refused_graph_waits_for_a_person_unless_it_is_this_pictures_own_value(
    body: dict[str, Any], kind: type[EngineError], said: str
) -> None:
    error = error_for_400(body, TEXT, URL)
    assert type(error) is kind
    assert said in error.sentence


def test_a_photo_that_is_not_there_is_sent_again() -> None:
    for node in ("40", "41"):
        error = error_for_400(refused(node, "custom_validation_failed", "image", "Invalid image file"), SLOTS, URL)
        assert type(error) is PhotoGone
        assert error.retryable


@pytest.mark.parametrize(
    ("entry", "kind"),
    [
        (failed("torch.OutOfMemoryError", "Allocation on device"), EngineOutOfMemory),
        (failed("RuntimeError", "CUDA out of memory. Tried to allocate 2 GiB"), EngineOutOfMemory),
        (failed("RuntimeError", "mat1 and mat2 shapes cannot be multiplied"), EngineLocked),
        (failed("safetensors_rust.SafetensorError", "Error while deserializing header: HeaderTooLarge"), EngineLocked),
        (failed("FileNotFoundError", "No such file or directory: 'ae.safetensors'"), EngineLocked),
        (failed("PIL.UnidentifiedImageError", "cannot identify image file", "40", "LoadImage"), PhotoGone),
        (failed("FileNotFoundError", "No such file or directory", "41", "LoadImageMask"), PhotoGone),
        (failed("TypeError", "unsupported operand"), EngineRefused),
        (failed("RuntimeError", "CUDA error: unspecified launch failure"), EngineUnavailable),
        ({"status": {"status_str": "error", "messages": [["execution_interrupted", {}]]}}, EngineUnavailable),
        ({"status": {"status_str": "error", "messages": []}}, EngineUnavailable),
    ],
)
def test_an_execution_that_failed_is_told_by_its_exception(entry: dict[str, Any], kind: type[EngineError]) -> None:
    error = error_for_entry(entry, SLOTS, URL)
    assert type(error) is kind
    assert error.sentence.endswith((".", "?", "…"))


@pytest.mark.parametrize("entry", [{}, {"status": None}, {"status": {"status_str": "success", "messages": None}}])
def test_an_entry_that_names_no_failure_has_none(entry: dict[str, Any]) -> None:
    assert error_for_entry(entry, SLOTS, URL) is None


def test_node_errors_of_an_accepted_graph_count_only_for_our_output() -> None:
    errors = {"50": {"errors": [], "dependent_outputs": ["51"], "class_type": "X"}}
    assert not concerns_output(errors, "9")
    assert concerns_output(errors, "50")
    assert concerns_output(errors, "51")
    assert not concerns_output([], "9")


@pytest.mark.parametrize("entry", [{}, {"outputs": None}, {"outputs": {"9": {"images": [{"filename": 1}, "x", None]}}}])
def test_outputs_of_another_shape_are_no_outputs(entry: dict[str, Any]) -> None:
    assert list(images_of(entry, "9")) == []


def test_messages_of_another_shape_are_left_out_and_seconds_come_from_the_servers_clock() -> None:
    messages = [None, ["execution_start", {"timestamp": 1000}], ["x"], ["execution_success", {"timestamp": 3500}]]
    entry = {"status": {"messages": messages}}
    assert [name for name, _ in messages_of(entry)] == ["execution_start", "execution_success"]
    assert drawing_seconds(entry) == 2.5
    assert drawing_seconds({}) == 0.0
