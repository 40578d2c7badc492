"""What NVML says is passed on as it is; what a card cannot tell, and a card that is lost, is left out."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest

from zimage_core.serving.gpus import Gpus


@pytest.fixture
def two_cards(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """NVIDIA's own module, its calls into the driver replaced: card 0 is whole, card 1 is a slice that knows less."""
    told: list[str] = []

    def temperature(handle: int, _sensor: int) -> int:
        if handle == 1:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)
        return 61

    replaced = {
        "nvmlInit": lambda: told.append("init"),
        "nvmlShutdown": lambda: told.append("shutdown"),
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetMemoryInfo": lambda handle: SimpleNamespace(used=10 + handle, total=80),
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
        "nvmlDeviceGetName": lambda handle: "NVIDIA H100",
        "nvmlDeviceGetTemperature": temperature,
        "nvmlDeviceGetUtilizationRates": lambda handle: SimpleNamespace(gpu=97),
    }
    for name, function in replaced.items():
        monkeypatch.setattr(pynvml, name, function)
    return told


def test_every_card_is_read_and_the_driver_is_let_go(two_cards: list[str]) -> None:
    gpus = Gpus()
    whole, slice_of_one = gpus.readings()
    assert (whole.uuid, whole.memory_used_bytes, whole.memory_total_bytes) == ("GPU-0", 10, 80)
    assert (whole.temperature_celsius, whole.utilisation_percent) == (61, 97)
    assert (slice_of_one.temperature_celsius, slice_of_one.memory_used_bytes) == (None, 11)
    gpus.close()
    gpus.close()
    assert two_cards == ["init", "shutdown"]
    assert gpus.readings() == []


def test_a_card_that_is_lost_does_not_hide_the_others(
    two_cards: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def lost(handle: int) -> object:
        if handle == 0:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return SimpleNamespace(used=1, total=2)

    monkeypatch.setattr(pynvml, "nvmlDeviceGetMemoryInfo", lost)
    monkeypatch.setattr("zimage_core.serving.gpus.log.propagate", True)
    assert [gpu.index for gpu in Gpus().readings()] == [1]


def test_without_a_driver_there_are_no_readings(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent() -> None:
        raise pynvml.NVMLError(pynvml.NVML_ERROR_LIBRARY_NOT_FOUND)

    monkeypatch.setattr(pynvml, "nvmlInit", absent)
    gpus = Gpus()
    assert gpus.readings() == []
    gpus.close()
