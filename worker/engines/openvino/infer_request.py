"""A model's file -> OpenVINO's model, and an infer request of it on the cores or the GPU that the flags say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from worker.artifacts.source import ModelSource
from worker.engines.device import pick
from worker.errors import ModelError
from worker.system.cpu import usable_cores


def read_model(core: Any, path: Path) -> Any:
    """OpenVINO's model of a file; ModelError for one that OpenVINO cannot read."""
    try:
        return core.read_model(str(path))
    except RuntimeError as error:
        raise ModelError(f"{path} cannot be read by OpenVINO: {_reason(error)}") from error


def device_of(core: Any, source: ModelSource) -> tuple[str, int | None]:
    """OpenVINO's name of the device to use ("CPU", "GPU.1"), and the GPU's number."""
    gpus = [device for device in core.available_devices if device.startswith("GPU")]
    number = pick(source.device, seen=len(gpus), framework="OpenVINO")
    return ("CPU", None) if number is None else (gpus[number], number)


def infer_request(core: Any, model: Any, device: str, source: ModelSource) -> Any:
    """An infer request of the compiled model, with the precision and threads of `source`. Raises ModelError."""
    settings = {"INFERENCE_PRECISION_HINT": _precision(core, device, source), "PERFORMANCE_HINT": "LATENCY"}
    if device == "CPU":
        settings["INFERENCE_NUM_THREADS"] = str(source.threads or usable_cores())
    return core.compile_model(model, device, settings).create_infer_request()


def _precision(core: Any, device: str, source: ModelSource) -> str:
    """The precision to compute in; ModelError for bf16 on a processor without it, where OpenVINO would use f32."""
    if source.precision == "bf16" and "BF16" not in core.get_property(device, "OPTIMIZATION_CAPABILITIES"):
        raise ModelError("This processor has no bf16 (AVX512-BF16 or AMX): use --precision f32.")
    return source.precision


def _reason(error: RuntimeError) -> str:
    """The lines of OpenVINO's error that say what is wrong; the lines before them name places in its source."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith(("Exception from", "Check '", "FrontEnd API"))]
    return " ".join((telling or lines or ["no reason given"])[:2])
