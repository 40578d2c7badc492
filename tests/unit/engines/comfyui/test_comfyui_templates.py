"""Workflows: read, understood by title or by wiring, filled; whatever is not clear is said, never guessed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from zimage_core.engines.comfyui.graph import load_graph, read_graph, shipped_templates
from zimage_core.engines.comfyui.slots import Role, find_slots
from zimage_core.engines.comfyui.template import PER_PICTURE, Kind, make_template
from zimage_core.errors import ConfigurationError

SHIPPED: list[tuple[str, Kind]] = [
    ("z_image_turbo_text", "text"),
    ("z_image_turbo_inpaint", "inpaint"),
    ("z_image_turbo_inpaint_control", "inpaint"),
]
VALUES: dict[Role, Any] = {
    "prompt": "a red mug", "seed": 7, "width": 512, "height": 768, "output": "zimage/x", "reference": "zimage/a.png",
    "mask": "zimage/b.png",
}  # fmt: skip


def official() -> dict[str, Any]:
    """The text template as an export has it: other ids, the editor's own titles."""
    graph = load_graph("z_image_turbo_text").to_json()
    text = json.dumps(graph)
    for node_id in graph:
        text = text.replace(f'"{node_id}"', f'"57:{node_id}"')
    renamed: dict[str, Any] = json.loads(text)
    for node in renamed.values():
        node["_meta"]["title"] = node["class_type"]
    return renamed


def written(folder: Path, graph: dict[str, Any]) -> str:
    path = folder / "template.json"
    path.write_text(json.dumps(graph))
    return str(path)


def node_of(graph: dict[str, Any], class_type: str) -> dict[str, Any]:
    (found,) = (node for node in graph.values() if node["class_type"] == class_type)
    return found


def add(graph: dict[str, Any], node_id: str, class_type: str, title: str = "", **inputs: Any) -> None:
    graph[node_id] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def test_every_shipped_template_has_a_kind_that_is_tested_here() -> None:
    assert sorted(shipped_templates()) == sorted(name for name, _ in SHIPPED)


def test_the_text_template_is_the_official_graph() -> None:
    graph = load_graph("z_image_turbo_text").to_json()
    assert {node_id: (node["class_type"], node["inputs"]) for node_id, node in graph.items()} == {
        "28": ("UNETLoader", {"unet_name": "z_image_turbo_bf16.safetensors", "weight_dtype": "default"}),
        "30": ("CLIPLoader", {"clip_name": "qwen_3_4b.safetensors", "type": "lumina2", "device": "default"}),
        "29": ("VAELoader", {"vae_name": "ae.safetensors"}),
        "27": ("CLIPTextEncode", {"text": "PROMPT", "clip": ["30", 0]}),
        "33": ("ConditioningZeroOut", {"conditioning": ["27", 0]}),
        "13": ("EmptySD3LatentImage", {"width": 1024, "height": 1024, "batch_size": 1}),
        "11": ("ModelSamplingAuraFlow", {"model": ["28", 0], "shift": 3.0}),
        "3": (
            "KSampler",
            {
                "model": ["11", 0], "positive": ["27", 0], "negative": ["33", 0], "latent_image": ["13", 0], "seed": 0,
                "steps": 8, "cfg": 1.0, "sampler_name": "res_multistep", "scheduler": "simple", "denoise": 1.0,
            },
        ),
        "8": ("VAEDecode", {"samples": ["3", 0], "vae": ["29", 0]}),
        "9": ("SaveImage", {"images": ["8", 0], "filename_prefix": "zimage/picture"}),
    }  # fmt: skip


@pytest.mark.parametrize(("name", "kind"), SHIPPED)
def test_titles_and_wiring_find_the_same_places(name: str, kind: Kind) -> None:
    titled = load_graph(name)
    plain = titled.to_json()
    for node in plain.values():
        node["_meta"]["title"] = node["class_type"]
    roles = set(PER_PICTURE[kind]) | {"steps", "guidance", "unet", "clip", "vae"}
    by_title = find_slots(titled, needed=roles)
    by_wiring = find_slots(read_graph(json.dumps(plain), name), needed=roles)
    assert {slot.found_by for slot in by_title.found} == {"title"}
    assert {slot.found_by for slot in by_wiring.found} == {"wiring"}
    places = [sorted((slot.role, slot.node_id, slot.input) for slot in slots.found) for slots in (by_title, by_wiring)]
    assert places[0] == places[1]


def test_every_value_arrives_where_it_belongs_and_nothing_else_changes(tmp_path: Path) -> None:
    plain = official()
    template = make_template(
        written(tmp_path, plain), "text", files={"unet": "mine.safetensors"}, steps=9, guidance=0.5
    )
    filled = template.filled(VALUES)
    assert node_of(filled, "CLIPTextEncode")["inputs"]["text"] == "a red mug"
    assert node_of(filled, "EmptySD3LatentImage")["inputs"] == {"width": 512, "height": 768, "batch_size": 1}
    sampler = node_of(filled, "KSampler")["inputs"]
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (7, 9, 1.5)
    assert node_of(filled, "SaveImage")["inputs"]["filename_prefix"] == "zimage/x"
    assert node_of(filled, "UNETLoader")["inputs"]["unet_name"] == "mine.safetensors"
    changed = {"text", "width", "height", "seed", "steps", "cfg", "filename_prefix", "unet_name"}
    for node_id, node in plain.items():
        for name, value in node["inputs"].items():
            assert name in changed or filled[node_id]["inputs"][name] == value


def test_filling_twice_shares_nothing() -> None:
    template = make_template("z_image_turbo_text", "text", files={})
    first, second = template.filled(VALUES), template.filled({**VALUES, "prompt": "a blue mug"})
    assert node_of(first, "CLIPTextEncode")["inputs"]["text"] == "a red mug"
    second["28"]["inputs"]["unet_name"] = "spoilt"
    assert template.filled(VALUES)["28"]["inputs"]["unet_name"] == "z_image_turbo_bf16.safetensors"


def test_one_prompt_makes_one_picture_whatever_the_template_says(tmp_path: Path) -> None:
    graph = official()
    node_of(graph, "EmptySD3LatentImage")["inputs"]["batch_size"] = 4
    template = make_template(written(tmp_path, graph), "text", files={})
    assert node_of(template.filled(VALUES), "EmptySD3LatentImage")["inputs"]["batch_size"] == 1


def test_a_value_that_comes_from_a_primitive_is_filled_there(tmp_path: Path) -> None:
    graph = official()
    add(graph, "90", "PrimitiveInt", value=1024)
    node_of(graph, "EmptySD3LatentImage")["inputs"]["width"] = ["90", 0]
    filled = make_template(written(tmp_path, graph), "text", files={}).filled(VALUES)
    assert filled["90"]["inputs"]["value"] == 512
    assert node_of(filled, "EmptySD3LatentImage")["inputs"]["width"] == ["90", 0]


def test_a_negative_text_is_filled_unless_it_is_zeroed_or_the_prompt_itself(tmp_path: Path) -> None:
    graph = official()
    slots = find_slots(read_graph(json.dumps(graph), "t"), needed=(), welcome=("negative",))
    assert slots.of("negative") == ()
    add(graph, "91", "CLIPTextEncode", text="blurry", clip=["57:30", 0])
    node_of(graph, "KSampler")["inputs"]["negative"] = ["91", 0]
    (slot,) = find_slots(read_graph(json.dumps(graph), "t"), needed=(), welcome=("negative",)).of("negative")
    assert slot.node_id == "91"


def test_a_title_may_name_its_input_and_a_role_may_stand_on_two_nodes(tmp_path: Path) -> None:
    graph = official()
    add(graph, "92", "RandomNoise", "zimage:seed=noise_seed", noise_seed=1)
    node_of(graph, "KSampler")["_meta"]["title"] = "First pass zimage:seed, zimage:steps"
    filled = make_template(written(tmp_path, graph), "text", files={}, steps=4).filled(VALUES)
    assert filled["92"]["inputs"]["noise_seed"] == 7
    assert (node_of(filled, "KSampler")["inputs"]["seed"], node_of(filled, "KSampler")["inputs"]["steps"]) == (7, 4)


def test_photo_and_mask_may_be_one_file_with_the_mask_in_its_alpha(tmp_path: Path) -> None:
    graph = load_graph("z_image_turbo_inpaint").to_json()
    for node in graph.values():
        node["_meta"]["title"] = ""
    del graph["41"]
    graph["42"]["inputs"]["mask"] = ["40", 1]
    template = make_template(written(tmp_path, graph), "inpaint", files={})
    assert template.slots.mask_in_alpha
    assert {slot.node_id for role in ("reference", "mask") for slot in template.slots.of(role)} == {"40"}


# ---------------------------------------------------------------- what is refused


def test_the_editors_own_file_is_refused_with_how_to_export(tmp_path: Path) -> None:
    path = written(tmp_path, {"nodes": [{"id": 1, "type": "KSampler"}], "links": [], "version": 0.4})
    with pytest.raises(ConfigurationError, match=r"Export \(API\)"):
        load_graph(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "not JSON"),
        ("{}", "no nodes"),
        ("[]", "no nodes"),
        ('{"1": {"inputs": {}}}', "no class_type"),
        ('{"1": {"class_type": "A", "inputs": []}}', "not an object"),
        ('{"1": {"class_type": "A", "inputs": {"x": ["2", 0]}}}', "comes from node 2"),
    ],
)
def test_what_is_no_api_format_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        read_graph(text, "t.json")


def test_a_file_that_is_not_there_names_those_that_are() -> None:
    with pytest.raises(ConfigurationError, match="z_image_turbo_text"):
        load_graph("no_such_template")


def test_two_nodes_that_could_be_meant_are_both_named(tmp_path: Path) -> None:
    """The revision of the official template that adds words of its own to the prompt."""
    graph = official()
    add(graph, "93", "CLIPTextEncode", "Safe for work", text="safe for work", clip=["57:30", 0])
    add(graph, "94", "ConditioningCombine", conditioning_1=["57:27", 0], conditioning_2=["93", 0])
    node_of(graph, "KSampler")["inputs"]["positive"] = ["94", 0]
    with pytest.raises(ConfigurationError, match="several nodes could take the prompt") as refused:
        make_template(written(tmp_path, graph), "text", files={})
    assert "57:27" in str(refused.value)
    assert '93 (CLIPTextEncode, "Safe for work")' in str(refused.value)
    graph["57:27"]["_meta"]["title"] = "zimage:prompt"
    filled = make_template(written(tmp_path, graph), "text", files={}).filled(VALUES)
    assert (filled["57:27"]["inputs"]["text"], filled["93"]["inputs"]["text"]) == ("a red mug", "safe for work")


def test_two_samplers_and_two_outputs_are_ambiguous(tmp_path: Path) -> None:
    graph = official()
    add(graph, "95", "SaveImage", images=["57:8", 0], filename_prefix="b")
    with pytest.raises(ConfigurationError, match=r"several nodes could take the output: 57:9 .* 95"):
        make_template(written(tmp_path, graph), "text", files={})
    graph["95"]["class_type"] = "PreviewImage"
    graph["96"] = {**node_of(graph, "KSampler"), "_meta": {"title": "again"}}
    graph["57:8"]["inputs"]["samples"] = ["96", 0]
    graph["96"] = {**graph["96"], "inputs": {**graph["96"]["inputs"], "latent_image": ["57:3", 0]}}
    with pytest.raises(ConfigurationError, match="several nodes could take the"):
        make_template(written(tmp_path, graph), "text", files={})


def test_nodes_that_the_output_does_not_depend_on_are_not_looked_at(tmp_path: Path) -> None:
    graph = official()
    add(graph, "97", "KSampler", **{**node_of(graph, "KSampler")["inputs"], "seed": 1})
    assert make_template(written(tmp_path, graph), "text", files={}).filled(VALUES)["97"]["inputs"]["seed"] == 1


def test_a_template_of_the_other_kind_says_what_it_lacks() -> None:
    with pytest.raises(ConfigurationError, match="no node that takes the reference: title one of its nodes"):
        make_template("z_image_turbo_text", "inpaint", files={})
    with pytest.raises(ConfigurationError, match="no node that takes the width"):
        make_template("z_image_turbo_inpaint", "text", files={})


def test_a_setting_without_a_place_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no node that takes the model_patch"):
        make_template("z_image_turbo_inpaint", "inpaint", files={"model_patch": "x.safetensors"})


def test_an_unknown_title_and_a_title_on_the_wrong_node_are_refused(tmp_path: Path) -> None:
    graph = official()
    graph["57:8"]["_meta"]["title"] = "zimage:promt"
    with pytest.raises(ConfigurationError, match="zimage:promt, which is nothing we fill"):
        make_template(written(tmp_path, graph), "text", files={})
    graph["57:8"]["_meta"]["title"] = "zimage:prompt"
    with pytest.raises(ConfigurationError, match="none of the inputs text, prompt, value, string; it has samples, vae"):
        make_template(written(tmp_path, graph), "text", files={})


def test_a_mask_cannot_come_from_the_colours_of_the_photo(tmp_path: Path) -> None:
    graph = load_graph("z_image_turbo_inpaint").to_json()
    for node in graph.values():
        node["_meta"]["title"] = ""
    graph["41"] = {"class_type": "ImageToMask", "inputs": {"image": ["40", 0], "channel": "red"}}
    with pytest.raises(ConfigurationError, match="from its colours, the mask"):
        make_template(written(tmp_path, graph), "inpaint", files={})


# ---------------------------------------------------------------- identity


def test_the_content_of_a_template_is_what_decides_pixels(tmp_path: Path) -> None:
    graph = official()
    content = make_template(written(tmp_path, graph), "text", files={}).content
    for node in graph.values():
        node["_meta"]["title"] = "renamed in the editor"
    node_of(graph, "KSampler")["inputs"]["seed"] = 99
    node_of(graph, "CLIPTextEncode")["inputs"]["text"] = "another example"
    assert make_template(written(tmp_path, graph), "text", files={}).content == content
    assert make_template(written(tmp_path, graph), "text", files={"vae": "other"}).content != content
    assert make_template(written(tmp_path, graph), "text", files={}, steps=9).content != content
    node_of(graph, "KSampler")["inputs"]["sampler_name"] = "euler"
    assert make_template(written(tmp_path, graph), "text", files={}).content != content
