"""Every question about a machine has an answer where it is well, and a cure where it is not."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks import fitness, fitness_engine
from tasks.fitness import Advice
from zimage_core.engines.graphics import Driver, GraphicsCard, TorchBuild, check_torch, read_driver
from zimage_core.errors import ConfigurationError, PromptError, QualityError, StorageError
from zimage_core.imaging import fonts
from zimage_core.quality import self_test
from zimage_core.settings import Settings, load_settings


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.chdir(tmp_path)
    return load_settings(work_dir=tmp_path / "work", out_dir=tmp_path / "out")


def test_a_python_that_is_too_old_is_refused_and_a_newer_one_is_doubted(settings: Settings):
    assert not isinstance(next(fitness.check_python(settings)), Advice)
    with pytest.raises(ConfigurationError, match=r"Python 3\.10\.2; zimage needs 3\.11 to 3\.13"):
        next(fitness.check_python(settings, (3, 10, 2)))
    assert isinstance(next(fitness.check_python(settings, (3, 15, 0))), Advice)


def test_a_folder_that_cannot_be_made_is_named_with_the_settings_that_choose_it(settings: Settings, tmp_path: Path):
    assert len(list(fitness.check_disk(settings))) == 3
    (tmp_path / "file").write_text("")
    wrong = settings.model_copy(update={"out_dir": tmp_path / "file" / "below"})
    with pytest.raises(StorageError, match=r"Nothing can be written to .*below.*ZIMAGE_OUT_DIR"):
        list(fitness.check_disk(wrong))


def test_a_folder_nobody_may_write_to_is_named(settings: Settings):
    """Of the kernel's own folders not even root may write to this one."""
    with pytest.raises(StorageError, match="Nothing can be written to /proc"):
        list(fitness.check_disk(settings.model_copy(update={"work_dir": Path("/proc/self")})))


def test_a_full_disk_is_said_before_a_run_finds_out(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fitness, "MIN_FREE_GIB", 1e9)
    with pytest.raises(StorageError, match="GiB free and a run needs"):
        list(fitness.check_disk(settings))


def test_a_small_folder_for_temporary_files_is_said_too(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(fitness, "MIN_TEMP_GIB", 1e9)
    with pytest.raises(StorageError, match=str(tempfile.gettempdir())):
        list(fitness.check_disk(settings))


def test_wrong_prompts_are_counted(settings: Settings, tmp_path: Path):
    assert "scenes" in next(fitness.check_prompts(settings))
    import shutil

    shutil.copytree(settings.prompts_dir, tmp_path / "prompts")
    (tmp_path / "prompts" / "promotions" / "618.yaml").write_text("name: 618\nscenes: [poster]\n")
    with pytest.raises(PromptError):
        list(fitness.check_prompts(settings.model_copy(update={"prompts_dir": tmp_path / "prompts"})))


@pytest.fixture
def fresh_fonts() -> Iterator[None]:
    fonts.find_font.cache_clear()
    fonts.load_font.cache_clear()
    yield
    fonts.find_font.cache_clear()
    fonts.load_font.cache_clear()


@pytest.mark.usefixtures("fresh_fonts")
def test_fonts_that_are_not_there_name_their_package(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert list(fitness.check_fonts(settings)) == ["Noto Sans CJK SC", "Noto Serif CJK SC"]
    fonts.find_font.cache_clear()
    (tmp_path / "fonts.conf").write_text("<fontconfig></fontconfig>")
    monkeypatch.setenv("FONTCONFIG_FILE", str(tmp_path / "fonts.conf"))
    monkeypatch.setattr(fonts, "_FOLDERS", (str(tmp_path / "none"),))
    with pytest.raises(ConfigurationError, match="apt-get install fonts-noto-cjk"):
        list(fitness.check_fonts(settings))


@pytest.mark.usefixtures("fresh_fonts")
def test_a_font_without_chinese_glyphs_is_found_by_drawing_them(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    latin = next(Path("/usr/share/fonts").rglob("DejaVuSans.ttf"))
    monkeypatch.setattr(fonts, "find_font", lambda family, bold: fonts.FontFile(latin, 0, "Noto Sans CJK SC Bold", ""))
    with pytest.raises(ConfigurationError, match="has no 到手价满减限时包邮: it is damaged"):
        list(fitness.check_fonts(settings))


def test_both_readers_read_and_a_second_one_that_is_gone_is_advised(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert not [said for said in fitness.check_reading(settings) if isinstance(said, Advice)]
    monkeypatch.setenv("PATH", str(tmp_path))
    first, second = fitness.check_reading(settings)
    assert not isinstance(first, Advice)
    assert isinstance(second, Advice)
    assert "apt-get install tesseract-ocr" in second


def test_a_second_reader_without_its_languages_is_advised(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("TESSDATA_PREFIX", str(tmp_path))
    assert "TESSDATA_PREFIX" in list(fitness.check_reading(settings))[-1]


def test_a_first_reader_that_reads_nothing_is_a_failure(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    drawn = self_test._drawn
    monkeypatch.setattr(self_test, "_drawn", lambda text: drawn(text) * 0 + 255)
    with pytest.raises(QualityError, match="cannot be trusted on this machine"):
        list(fitness.check_reading(settings))


# ---------------------------------------------------------------- graphics


def _smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Put a program in the place of the driver's own."""
    program = folder / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setenv("PATH", str(program.parent), prepend=":")


WORKING = """case "$1" in
--query-gpu*) echo 'NVIDIA GeForce RTX 4090, 24564, %d, 550.54.15';;
*) echo '| NVIDIA-SMI 550.54.15   Driver Version: 550.54.15   CUDA Version: 12.4 |';;
esac"""


def test_a_card_is_described_and_one_in_use_is_advised(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _smi(tmp_path, monkeypatch, WORKING % 1000)
    found = read_driver()
    assert found == Driver("550.54.15", (12, 4), (GraphicsCard("NVIDIA GeForce RTX 4090", 24564, 1000),))
    said = list(fitness_engine.check_graphics(settings))
    assert isinstance(said[0], Advice)
    assert "another process holds the rest" in said[0]
    assert said[-1] == "engine studio does not draw on it"


def test_a_driver_that_fails_is_said_in_its_own_words(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    _smi(tmp_path, monkeypatch, "echo 'Failed to initialize NVML: Driver/library version mismatch'; exit 18")
    with pytest.raises(ConfigurationError, match=r"version mismatch.*restart the machine"):
        list(fitness_engine.check_graphics(settings))


def test_a_card_that_torch_was_not_built_for_is_said(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The tests' own torch is a build for the CPU, or sees no card here."""
    _smi(tmp_path, monkeypatch, WORKING % 24000)
    with pytest.raises(ConfigurationError, match=r"is a build for the CPU|sees none"):
        list(fitness_engine.check_graphics(settings.model_copy(update={"engine": "diffusers"})))


@pytest.mark.parametrize(
    ("build", "why"),
    [
        (TorchBuild("2.13.0+cpu", None, 0), "build for the CPU"),
        (TorchBuild("2.13.0+cu130", (13, 0), 0), "CUDA 12.4 at most.*built for CUDA 13.0.*torch for CUDA 12"),
        (TorchBuild("2.13.0+cu128", (12, 8), 0), "CUDA_VISIBLE_DEVICES"),
    ],
)
def test_torch_and_driver_must_fit(build: TorchBuild, why: str):
    driver = Driver("550.54.15", (12, 4), (GraphicsCard("RTX", 24564, 24000),))
    with pytest.raises(ConfigurationError, match=why):
        check_torch(driver, build)
    check_torch(driver, TorchBuild("2.13.0+cu128", (12, 8), 1))
    check_torch(None, build)


def test_without_a_card_the_cpu_is_used_and_a_card_that_is_asked_for_is_missed(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    assert list(fitness_engine.check_graphics(settings)) == ["no GPU: engine studio runs on the CPU"]
    slow = settings.model_copy(update={"engine": "diffusers"})
    assert isinstance(next(fitness_engine.check_graphics(slow)), Advice)
    with pytest.raises(ConfigurationError, match="cuda:1, and there is no NVIDIA driver"):
        list(fitness_engine.check_graphics(slow.model_copy(update={"engine_devices": ("cuda:1",)})))


# ---------------------------------------------------------------- weights and engine


def _diffusers(settings: Settings, model: Path | str) -> Settings:
    return settings.model_copy(update={"engine": "diffusers", "engine_options": {"model": str(model)}})


def test_weights_that_are_here_are_counted_and_spoilt_ones_named(
    settings: Settings, tiny_checkpoint: Path, tmp_path: Path
):
    import shutil

    (said,) = fitness_engine.check_weights(_diffusers(settings, tiny_checkpoint))
    assert "every header read" in said
    spoilt = tmp_path / "spoilt"
    shutil.copytree(tiny_checkpoint, spoilt)
    weights = next((spoilt / "transformer").glob("*.safetensors"))
    weights.write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(ConfigurationError, match="git lfs pull"):
        list(fitness_engine.check_weights(_diffusers(settings, spoilt)))
    weights.unlink()
    weights.symlink_to(weights)
    with pytest.raises(ConfigurationError, match=r"lacks|cannot be read"):
        list(fitness_engine.check_weights(_diffusers(settings, spoilt)))


def test_weights_that_are_still_to_come_need_room(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from zimage_core.engines.diffusers import presence

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    chosen = _diffusers(settings, "Tongyi-MAI/Z-Image-Turbo-that-nobody-has")
    (said,) = fitness_engine.check_weights(chosen)
    assert isinstance(said, Advice)
    assert "hf download" in said
    (said,) = fitness_engine.check_engine(chosen)
    assert isinstance(said, Advice)
    monkeypatch.setattr(presence, "DOWNLOAD_GIB", 1e9)
    with pytest.raises(ConfigurationError, match="HF_HOME"):
        list(fitness_engine.check_weights(chosen))


def test_other_engines_need_no_weights_here_and_an_unknown_one_is_refused(settings: Settings):
    assert list(fitness_engine.check_weights(settings)) == ["none: engine studio needs none"]
    remote = settings.model_copy(update={"engine": "zimage_http"})
    assert list(fitness_engine.check_weights(remote)) == ["none: engine zimage_http draws elsewhere"]
    assert "studio makes" in next(fitness_engine.check_engine(settings))
    with pytest.raises(ConfigurationError, match="dalle"):
        list(fitness_engine.check_engine(settings.model_copy(update={"engine": "dalle"})))
