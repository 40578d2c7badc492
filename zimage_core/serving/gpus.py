"""What the driver says of the GPUs: memory, temperature, use. Nothing where there is no NVIDIA driver."""

from __future__ import annotations

import logging
from typing import Any

from zimage_core.serving.forms import GpuReading

log = logging.getLogger("zimage_core.serving")


class Gpus:
    """NVML, opened once. Every GPU that the driver shows to this process is read, whichever the engine draws on."""

    def __init__(self) -> None:
        self._nvml: Any = None
        try:
            import pynvml  # type: ignore[import-untyped]

            pynvml.nvmlInit()
        except ModuleNotFoundError:
            log.info("GPU memory and temperature are not read: nvidia-ml-py is not installed")
        except pynvml.NVMLError as error:
            log.info("GPU memory and temperature are not read: %s", error)
        else:
            self._nvml = pynvml

    def readings(self) -> list[GpuReading]:
        """Return one reading per GPU; a GPU that the driver has lost is left out."""
        if self._nvml is None:
            return []
        found = []
        for index in range(self._nvml.nvmlDeviceGetCount()):
            try:
                found.append(self._reading(index))
            except self._nvml.NVMLError as error:
                log.warning("GPU %d cannot be read: %s", index, error)
        return found

    def close(self) -> None:
        """Let go of the driver; may be called twice."""
        if self._nvml is not None:
            self._nvml.nvmlShutdown()
            self._nvml = None

    def _reading(self, index: int) -> GpuReading:
        nvml = self._nvml
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        return GpuReading(
            index=index,
            uuid=str(nvml.nvmlDeviceGetUUID(handle)),
            name=str(nvml.nvmlDeviceGetName(handle)),
            memory_used_bytes=int(memory.used),
            memory_total_bytes=int(memory.total),
            temperature_celsius=self._where_known(nvml.nvmlDeviceGetTemperature, handle, nvml.NVML_TEMPERATURE_GPU),
            utilisation_percent=self._where_known(lambda h: nvml.nvmlDeviceGetUtilizationRates(h).gpu, handle),
        )

    def _where_known(self, ask: Any, *arguments: Any) -> int | None:
        """Return what some cards and slices of cards cannot tell, or None."""
        try:
            return int(ask(*arguments))
        except self._nvml.NVMLError_NotSupported:
            return None
