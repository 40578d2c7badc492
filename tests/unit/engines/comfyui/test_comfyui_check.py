"""`zimage comfyui check` and `show`: what a person is told of a template, and what a server lacks for it."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest
from comfyui_nodes import FILES, node_table
from comfyui_server import ComfyUI
from typer.testing import CliRunner

from flows.cli import app
from zimage_core.engines.comfyui.graph import load_graph, shipped_templates
from zimage_core.engines.comfyui.preflight import choices_of, lacking
from zimage_core.engines.comfyui.template import make_template
from zimage_core.errors import ConfigurationError


def said(*arguments: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, ["comfyui", *arguments])
    assert done.exit_code == code, done.output
    return done.output


def test_check_says_what_goes_where_and_what_stays() -> None:
    told = said("check", "z_image_turbo_text", "--engine-option", "steps=9")
    assert "draws from words" in told
    assert 'prompt: the prompt -> text of node 27 (CLIPTextEncode, "zimage:prompt") (by title)' in told
    assert "steps: 9 -> steps of node 3" in told
    assert "as it is: unet_name = z_image_turbo_bf16.safetensors" in told
    assert "note: steps is 9: Z-Image-Turbo is distilled to 8." in told


def test_check_tells_an_inpainting_by_what_it_loads() -> None:
    told = said("check", "z_image_turbo_inpaint")
    assert "draws around a product" in told
    assert "mask: the uploaded mask: white is painted -> image of node 41" in told


def test_check_asks_every_server_and_fails_when_one_lacks_something(server: ComfyUI) -> None:
    with ComfyUI(files={"unet": ["z_image_turbo_fp8.safetensors"]}) as lacking_one:
        told = said("check", "z_image_turbo_text", "--url", server.url, "--url", lacking_one.url, code=1)
    assert f"{server.url} (ComfyUI 0.18.1): has everything." in told
    assert f"{lacking_one.url} (ComfyUI 0.18.1): cannot run it:" in told
    assert "it has z_image_turbo_fp8.safetensors" in told
    assert "has everything." in said("check", "z_image_turbo_text", "--url", server.url)


def test_check_says_when_a_server_does_not_answer() -> None:
    with socket.socket() as taken:  # bound, but not listening
        taken.bind(("127.0.0.1", 0))
        told = said("check", "z_image_turbo_text", "--url", f"http://127.0.0.1:{taken.getsockname()[1]}", code=1)
    assert "cannot be reached" in told


def test_check_refuses_what_is_no_template(tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    path.write_text(json.dumps({"nodes": [], "links": []}))
    done = CliRunner().invoke(app, ["comfyui", "check", str(path)])
    assert isinstance(done.exception, ConfigurationError)
    assert "Export (API)" in done.exception.sentence
    done = CliRunner().invoke(app, ["comfyui", "check", "z_image_turbo_text", "--kind", "video"])
    assert isinstance(done.exception, ConfigurationError)


def test_show_prints_a_template_that_check_accepts(tmp_path: Path) -> None:
    assert said("show").split() == list(shipped_templates())
    path = tmp_path / "mine.json"
    path.write_text(said("show", "z_image_turbo_inpaint_control"))
    assert "draws around a product" in said("check", str(path))


# ---------------------------------------------------------------- the preflight itself


@pytest.mark.parametrize("name", shipped_templates())
def test_a_server_that_has_all_lacks_nothing_for_any_shipped_template(name: str) -> None:
    kind = "text" if name.endswith("text") else "inpaint"
    table = node_table(FILES)
    assert lacking(make_template(name, kind, files={}), lambda name: json.loads(json.dumps(table.get(name, {})))) == []


def test_everything_a_server_lacks_is_said_at_once() -> None:
    table = node_table({**FILES, "clip": []})
    del table["ModelSamplingAuraFlow"]
    table["VAEDecode"]["input"]["required"]["tile"] = ("INT", {})
    table["KSampler"]["input"]["required"]["steps"] = ("INT", {"min": 1, "max": 4})
    table["KSampler"]["input"]["required"]["sampler_name"] = ([f"sampler{i}" for i in range(40)], {})
    template = make_template("z_image_turbo_text", "text", files={})
    missing = lacking(template, lambda name: json.loads(json.dumps(table.get(name, {}))))
    assert len(missing) == 5
    told = " ".join(missing)
    assert "It has no node ModelSamplingAuraFlow" in told
    assert "has no tile, which the server requires" in told
    assert "clip_name of node 30" in told
    assert "it has none at all" in told
    assert "steps of node 3" in told
    assert "the server takes 1 to 4" in told
    assert "'res_multistep', which the server does not have; it has sampler0, sampler1" in told
    assert "and 32 more" in told


def test_what_each_picture_brings_along_is_not_judged_beforehand() -> None:
    table = node_table(FILES)
    table["EmptySD3LatentImage"]["input"]["required"]["width"] = ("INT", {"min": 16, "max": 512})
    template = make_template("z_image_turbo_text", "text", files={})
    assert lacking(template, lambda name: json.loads(json.dumps(table[name]))) == []
    assert load_graph("z_image_turbo_text").nodes["13"].inputs["width"] == 1024


@pytest.mark.parametrize(
    ("spec", "choices"),
    [
        ([["a", "b"], {}], ["a", "b"]),
        ([["a"]], ["a"]),
        (["COMBO", {"options": ["a"], "multiselect": False}], ["a"]),
        (["COMBO", {}], None),
        (["INT", {"min": 0}], None),
        (["IMAGE"], None),
        ([], None),
        (None, None),
    ],
)
def test_choices_are_read_in_both_shapes(spec: object, choices: list[str] | None) -> None:
    assert choices_of(spec) == choices
