"""Which files make up a model, and their hash: by folder, hub id or single file; and what is said when one lacks."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tiny_checkpoint import copy_tiny

from zimage_core.engines.diffusers.options import Adapter, Options
from zimage_core.engines.diffusers.weights import find_model, weights_hash
from zimage_core.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture
def spoilt(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    return copy_tiny(tiny_checkpoint, tmp_path / "model")


def change_json(path: Path, **values: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


# ---------------------------------------------------------------- folders


def test_a_folder_is_its_parts_and_not_what_else_lies_in_it(tiny_checkpoint: Path):
    found = find_model(Options(model=str(tiny_checkpoint)))
    assert found.kind == "folder"
    assert found.name == "tiny-z-image-turbo"
    assert found.transformer == (tiny_checkpoint / "transformer" / "diffusion_pytorch_model.safetensors",)
    names = {str(path.relative_to(tiny_checkpoint)) for path in found.all_files}
    assert {"model_index.json", "vae/config.json", "text_encoder/model.safetensors"} <= names
    assert "tokenizer/tokenizer.json" in names
    assert not any(name.startswith("controlnet") for name in names)


def test_finding_a_model_imports_neither_torch_nor_diffusers(tiny_checkpoint: Path):
    code = (
        "import sys\n"
        "from zimage_core.engines.diffusers.options import Options\n"
        "from zimage_core.engines.diffusers.weights import find_model, weights_hash\n"
        f"weights_hash(find_model(Options(model={str(tiny_checkpoint)!r})).all_files, None)\n"
        "sys.exit(bool({'torch', 'diffusers', 'transformers'} & set(sys.modules)))\n"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_adapters_and_controlnet_belong_to_what_decides_the_picture(tiny_checkpoint: Path, tmp_path: Path):
    lora, config = tmp_path / "adapter_model.safetensors", tmp_path / "adapter_config.json"
    lora.write_bytes(b"any")
    config.write_text("{}")
    control = tiny_checkpoint / "controlnet-v2"
    found = find_model(Options(model=str(tiny_checkpoint), lora=(Adapter(lora, 1.0),), controlnet=control))
    assert {lora, config, control / "config.json"} <= set(found.all_files)
    assert control / "diffusion_pytorch_model.safetensors" in found.all_files


@pytest.mark.parametrize(
    "lost",
    [
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/config.json",
        "transformer/config.json",
        "transformer/diffusion_pytorch_model.safetensors",
        "scheduler/scheduler_config.json",
        "tokenizer/tokenizer_config.json",
    ],
)
def test_a_missing_part_is_named(spoilt: Path, lost: str):
    (spoilt / lost).unlink()
    with pytest.raises(ConfigurationError, match="not complete") as caught:
        find_model(Options(model=str(spoilt)))
    assert lost in str(caught.value)


def test_all_missing_parts_are_named_at_once(spoilt: Path):
    shutil.rmtree(spoilt / "vae")
    shutil.rmtree(spoilt / "tokenizer")
    with pytest.raises(ConfigurationError, match=r"tokenizer/merges\.txt, .*vae/config\.json, vae/diffusion_pytorch"):
        find_model(Options(model=str(spoilt)))


def test_a_lost_shard_is_named_and_whole_shards_are_all_taken(spoilt: Path):
    folder = spoilt / "transformer"
    whole = folder / "diffusion_pytorch_model.safetensors"
    for shard in ("a.safetensors", "b.safetensors"):
        shutil.copy(whole, folder / shard)
    whole.unlink()
    index = {"weight_map": {"one": "a.safetensors", "two": "b.safetensors", "three": "a.safetensors"}}
    (folder / "diffusion_pytorch_model.safetensors.index.json").write_text(json.dumps(index))
    assert [path.name for path in find_model(Options(model=str(spoilt))).transformer] == [
        "a.safetensors",
        "b.safetensors",
    ]
    (folder / "b.safetensors").unlink()
    with pytest.raises(ConfigurationError, match=r"transformer/b\.safetensors"):
        find_model(Options(model=str(spoilt)))


def test_a_model_of_another_pipeline_is_refused_by_its_name(spoilt: Path):
    change_json(spoilt / "model_index.json", _class_name="FluxPipeline")
    with pytest.raises(ConfigurationError, match="is a FluxPipeline"):
        find_model(Options(model=str(spoilt)))


def test_a_text_encoder_of_another_width_is_refused_with_both_widths(spoilt: Path):
    change_json(spoilt / "text_encoder" / "config.json", hidden_size=1024)
    with pytest.raises(ConfigurationError, match="vectors of 1024 values and the transformer reads 16"):
        find_model(Options(model=str(spoilt)))


def test_a_folder_that_is_no_model_says_so(tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"no model_index\.json"):
        find_model(Options(model=str(tmp_path)))


def test_a_configuration_that_is_not_json_is_named(spoilt: Path):
    (spoilt / "model_index.json").write_text("{oops")
    with pytest.raises(ConfigurationError, match=r"model_index\.json cannot be read as JSON"):
        find_model(Options(model=str(spoilt)))


# ---------------------------------------------------------------- one file and a base


@pytest.mark.parametrize(("name", "kind"), [("brand.safetensors", "file"), ("brand-Q4.gguf", "gguf")])
def test_one_file_takes_the_rest_from_its_base_and_not_the_bases_transformer(
    spoilt: Path, tmp_path: Path, name: str, kind: str
):
    file = tmp_path / name
    file.write_bytes(b"looked at when it is loaded")
    (spoilt / "transformer" / "diffusion_pytorch_model.safetensors").unlink()
    found = find_model(Options(model=str(file), base=str(spoilt)))
    assert (found.kind, found.transformer, found.folder, found.name) == (kind, (file,), spoilt, file.stem)
    assert file in found.all_files
    assert spoilt / "transformer" / "config.json" in found.all_files


def test_one_file_without_a_base_says_what_to_add(tmp_path: Path):
    file = tmp_path / "brand.safetensors"
    file.write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=r"brand\.safetensors holds the transformer alone.*option base"):
        find_model(Options(model=str(file)))


@pytest.mark.parametrize("model", ["/no/such/model.safetensors", "/no/such/folder", "nothing at all"])
def test_what_is_not_there_is_named(model: str):
    with pytest.raises(ConfigurationError, match=model):
        find_model(Options(model=model, base="owner/name", offline=True))


def test_a_missing_adapter_or_controlnet_is_found_out_before_anything_is_loaded(tiny_checkpoint: Path, tmp_path: Path):
    with pytest.raises(ConfigurationError, match=r"LoRA .*none\.safetensors does not exist"):
        find_model(Options(model=str(tiny_checkpoint), lora=(Adapter(tmp_path / "none.safetensors", 1.0),)))
    with pytest.raises(ConfigurationError, match=r"ControlNet .*none does not exist"):
        find_model(Options(model=str(tiny_checkpoint), controlnet=tmp_path / "none"))
    (tmp_path / "union.safetensors").write_bytes(b"x")
    with pytest.raises(ConfigurationError, match=r"union\.safetensors needs its config\.json"):
        find_model(Options(model=str(tiny_checkpoint), controlnet=tmp_path / "union.safetensors"))


# ---------------------------------------------------------------- hash


def test_the_same_weights_elsewhere_have_the_same_hash_and_one_changed_bit_another(tiny_checkpoint: Path, spoilt: Path):
    original = weights_hash(find_model(Options(model=str(tiny_checkpoint))).all_files, None)
    assert weights_hash(find_model(Options(model=str(spoilt))).all_files, None) == original
    assert len(original) == 64
    file = spoilt / "vae" / "diffusion_pytorch_model.safetensors"
    changed = bytearray(file.read_bytes())
    changed[-1] ^= 1
    file.write_bytes(changed)
    assert weights_hash(find_model(Options(model=str(spoilt))).all_files, None) != original


def test_the_order_of_files_does_not_count_but_every_file_does(tmp_path: Path):
    files = [tmp_path / name for name in "abc"]
    for file in files:
        file.write_text(file.name)
    assert weights_hash(files, None) == weights_hash(reversed(files), None)
    assert weights_hash(files, None) != weights_hash(files[:2], None)
    assert weights_hash(files, None) != weights_hash([*files, files[0]], None)


def test_files_are_read_once_and_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    read: list[str] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: read.append(file.name) or digest(file, kind))
    files = [tmp_path / "a", tmp_path / "b"]
    for file in files:
        file.write_text(file.name)
    memory = tmp_path / "memory"
    first = weights_hash(files, memory)
    assert len(read) == 2
    assert weights_hash(files, memory) == first
    assert len(read) == 2
    files[0].write_text("other")
    assert weights_hash(files, memory) != first
    assert read[2:] == [str(files[0])]
    assert [path.name for path in memory.iterdir()] == ["weights-sha256.json"]


def test_a_file_replaced_by_one_of_the_same_size_and_time_is_read_again(tmp_path: Path):
    file, other = tmp_path / "weights", tmp_path / "other"
    file.write_text("one")
    first = weights_hash([file], tmp_path)
    other.write_text("two")
    stat = file.stat()
    os.utime(other, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    other.replace(file)
    assert weights_hash([file], tmp_path) != first


def test_a_memory_that_cannot_be_read_costs_time_and_nothing_else(tmp_path: Path):
    file = tmp_path / "weights"
    file.write_text("one")
    first = weights_hash([file], None)
    (tmp_path / "weights-sha256.json").write_text('{"half a')
    assert weights_hash([file], tmp_path) == first
    assert weights_hash([file], tmp_path) == first


def test_a_file_that_cannot_be_hashed_is_named(tmp_path: Path):
    with pytest.raises(ConfigurationError, match="gone"):
        weights_hash([tmp_path / "gone"], None)
