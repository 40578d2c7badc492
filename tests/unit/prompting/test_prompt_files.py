import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from zimage_core.errors import PromptError
from zimage_core.prompting import PromptLibrary

PROMPTS = Path(__file__).resolve().parents[3] / "prompts"


@pytest.mark.parametrize(
    ("file", "key", "value", "said"),
    [
        ("scenes/studio.yaml", "default.stage.palete", ["#ffffff"], "default.stage.palete: this key is not known here"),
        (
            "scenes/studio.yaml",
            "categories.home.zh.setings",
            ["x"],
            "categories.home.zh.setings: this key is not known",
        ),
        ("scenes/studio.yaml", "categories.toys", {}, "categories.toys"),
        ("scenes/studio.yaml", "default.stage.fill_ratio", 7, "default.stage.fill_ratio: Input should be less than"),
        ("scenes/studio.yaml", "default.zh.light", [], "default.zh.light"),
        ("scenes/studio.yaml", "default.camera", "drone", "default.camera"),
        ("scenes/studio.yaml", "scene", "detail", "scene: says 'detail' but the file is named studio.yaml"),
        ("brands/nuowu.yaml", "colour", "#ffffff", "brands/nuowu.yaml: colour: this key is not known here"),
        ("brands/nuowu.yaml", "font", "comic", "brands/nuowu.yaml: font"),
        (
            "promotions/618.yaml",
            "badge_zh",
            618,
            "promotions/618.yaml: badge_zh: Input should be a valid string; it is 618",
        ),
        ("promotions/618.yaml", "starts", "soon", "promotions/618.yaml: starts"),
        ("promotions/618.yaml", "brand", ..., "promotions/618.yaml: brand: this key is missing"),
        ("promotions/618.yaml", "scenes", ["poster"], "promotions/618.yaml: scenes.0"),
        ("blocklist.yaml", "version", 0, "blocklist.yaml: version"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(edited: Callable[..., Path], file: str, key: str, value: object, said: str):
    with pytest.raises(PromptError, match="cannot be used") as caught:
        PromptLibrary.load(edited(file, key, value))
    assert said in str(caught.value)


def test_all_that_is_wrong_is_said_at_once(edited: Callable[..., Path]):
    edited("scenes/studio.yaml", "default.stage.palete", [])
    edited("brands/nuowu.yaml", "colour", "x")
    root = edited("promotions/618.yaml", "starts", "soon")
    with pytest.raises(PromptError) as caught:
        PromptLibrary.load(root)
    assert all(file in str(caught.value) for file in ("scenes/studio.yaml", "brands/nuowu.yaml", "promotions/618.yaml"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("version: 1\nversion: 2\n", "the key 'version' stands here twice"),
        ("version: [", "is not valid YAML"),
        ("- a list", "must be a mapping"),
        ("version: !!python/object/apply:os.getcwd []", "is not valid YAML"),
    ],
)
def test_a_file_that_is_not_plain_yaml_is_refused(tmp_path: Path, text: str, said: str):
    shutil.copytree(PROMPTS, tmp_path / "p")
    (tmp_path / "p/brands/nuowu.yaml").write_text(text, "utf-8")
    with pytest.raises(PromptError, match=r"brands/nuowu\.yaml") as caught:
        PromptLibrary.load(tmp_path / "p")
    assert said in str(caught.value)


def test_a_missing_folder_or_file_is_a_sentence(tmp_path: Path):
    with pytest.raises(PromptError, match="There is no folder"):
        PromptLibrary.load(tmp_path / "nowhere")
    shutil.copytree(PROMPTS, tmp_path / "p")
    (tmp_path / "p/blocklist.yaml").unlink()
    shutil.rmtree(tmp_path / "p/brands")
    with pytest.raises(PromptError, match=r"brands/: has no \.yaml file; blocklist\.yaml: cannot be read"):
        PromptLibrary.load(tmp_path / "p")


def test_a_file_with_the_other_yaml_ending_is_not_overlooked(tmp_path: Path):
    shutil.copytree(PROMPTS, tmp_path / "p")
    (tmp_path / "p/brands/nuowu.yaml").rename(tmp_path / "p/brands/nuowu.yml")
    with pytest.raises(PromptError, match=r"brands/nuowu\.yml: must end in \.yaml"):
        PromptLibrary.load(tmp_path / "p")


def test_a_change_shows_in_the_version_even_when_nobody_raised_the_number(edited: Callable[..., Path]):
    before = PromptLibrary.load(PROMPTS)
    after = PromptLibrary.load(edited("scenes/studio.yaml", "default.stage.fill_ratio", 0.5))
    old, new = (library.scene("studio", "home").version for library in (before, after))
    assert old != new
    assert old.split("+")[0] == new.split("+")[0] == "1"
    assert before.fingerprint != after.fingerprint
    assert before.scene("detail", "home") == after.scene("detail", "home")


def test_a_category_changes_only_what_it_says(library: PromptLibrary):
    default, electronics = library.scene("studio", "default"), library.scene("studio", "electronics")
    assert electronics.stage.floor == "gloss" != default.stage.floor
    assert electronics.stage.light.elevation_deg == 45 != default.stage.light.elevation_deg
    assert electronics.stage.horizon_ratio == default.stage.horizon_ratio
    assert electronics.camera == default.camera
