"""A transformer in fewer bits: quantised on load (int8, fp8, nf4), or read from a GGUF file that already is.

Only the products of attention and feed-forward are quantised: they are 98 % of the parameters, and what is left
(embedders, modulation, the last layer) is where a rounded weight moves the whole picture.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import torch

from zimage_core.engines.diffusers.options import Options
from zimage_core.engines.diffusers.quiet import quiet_imports
from zimage_core.engines.diffusers.single_file import empty_model, expected_tensors, match_names, third_of
from zimage_core.errors import ConfigurationError

NF4_BLOCK: Final = 64
"""Values that share a factor, as bitsandbytes has it; its CPU products want whole blocks in every row."""


def quantize(
    transformer: Any, options: Options, dtype: torch.dtype, device: torch.device
) -> tuple[bool, tuple[str, ...]]:
    """Quantise the transformer's products in place as the options say; return whether it is still plain, and notes.

    int8 and fp8 keep weights in 8 bits (torchao), nf4 in 4 (bitsandbytes); products are computed in `dtype`. fp8 on the
    fast path is left to that path, which multiplies in fp8 and needs the plain weights for it.
    """
    kind = options.quantization
    if kind == "none":
        return True, ()
    if kind == "fp8" and options.path == "fast":
        return True, ("fp8 is done by the fast path, from plain weights.",)
    if kind == "nf4":
        _to_nf4(transformer, dtype, device)
    else:
        _to_8_bits(transformer, kind)
    return False, (f"The transformer's attention and feed-forward weights were quantised to {kind} on load.",)


def _products(transformer: Any) -> dict[str, torch.nn.Linear]:
    """Return the products that are quantised, by name."""
    return {
        name: module
        for name, module in transformer.named_modules()
        if isinstance(module, torch.nn.Linear) and (".attention." in name or ".feed_forward." in name)
    }


def _to_8_bits(transformer: Any, kind: str) -> None:
    with quiet_imports():
        from torchao.quantization import Float8WeightOnlyConfig, Int8WeightOnlyConfig, quantize_
    chosen = _products(transformer)
    config = Int8WeightOnlyConfig() if kind == "int8" else Float8WeightOnlyConfig()
    quantize_(transformer, config, filter_fn=lambda _, name: name in chosen)


def _to_nf4(transformer: Any, dtype: torch.dtype, device: torch.device) -> None:
    with quiet_imports():
        import bitsandbytes
    chosen = {name: module for name, module in _products(transformer).items() if module.in_features % NF4_BLOCK == 0}
    if not chosen:
        raise ConfigurationError(
            f"No weight of this transformer can be quantised to nf4: none has rows of a multiple of {NF4_BLOCK} values."
        )
    for name, module in chosen.items():
        narrow = bitsandbytes.nn.Linear4bit(
            module.in_features,
            module.out_features,
            bias=module.bias is not None,
            compute_dtype=dtype,
            quant_type="nf4",
            device="meta",
        )
        narrow.weight = bitsandbytes.nn.Params4bit(module.weight.data, requires_grad=False, quant_type="nf4")
        narrow.bias = module.bias
        parent, _, last = name.rpartition(".")
        setattr(transformer.get_submodule(parent), last, narrow.to(device))


def held_bytes(module: torch.nn.Module) -> int:
    """Return the bytes that a module's parameters and buffers hold, those of packed and scaled tensors included."""
    return sum(_tensor_bytes(tensor) for tensor in (*module.parameters(), *module.buffers()))


def _tensor_bytes(tensor: Any) -> int:
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_tensor_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    state = getattr(tensor, "quant_state", None)
    factors = [getattr(state, name, None) for name in ("absmax", "code")] if state is not None else []
    return int(tensor.nbytes) + sum(int(factor.nbytes) for factor in factors if factor is not None)


# ---------------------------------------------------------------- GGUF


def read_gguf(path: Path, folder: Path, dtype: torch.dtype) -> tuple[Any, tuple[str, ...]]:
    """Return the transformer in a GGUF file, described by config.json in `folder`, and notes.

    Weights stay packed and are unpacked to `dtype` for every product. Raises ConfigurationError: not a GGUF file or not
    a whole one, a packing that diffusers cannot undo, tensors missing, unexpected or of another size.
    """
    with quiet_imports():
        from diffusers import GGUFQuantizationConfig, ZImageTransformer2DModel
    empty = empty_model(ZImageTransformer2DModel, folder)
    packed = _read_packed(path)
    origins = match_names(path, packed, expected_tensors(empty))
    tensors = {name: third_of(packed[origin.name], origin.third) for name, origin in origins.items()}
    linear = {f"{name}.weight" for name, module in empty.named_modules() if isinstance(module, torch.nn.Linear)}
    tensors = {name: tensor if name in linear else _unpacked(tensor, dtype) for name, tensor in tensors.items()}
    try:
        transformer = ZImageTransformer2DModel.from_single_file(
            tensors,
            config=str(folder),
            quantization_config=GGUFQuantizationConfig(compute_dtype=dtype),
            dtype=dtype,
            local_files_only=True,
        )
    except ValueError as error:
        raise ConfigurationError(f"{path} does not fit the configuration in {folder}: {error}") from error
    return transformer, (f"{path.name} is quantised; its weights are unpacked for every product.",)


def _unpacked(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the values of a tensor that only products could read packed: a norm, a bias, a padding token."""
    from diffusers.quantizers.gguf.utils import GGUFParameter, dequantize_gguf_tensor

    return dequantize_gguf_tensor(tensor).to(dtype) if isinstance(tensor, GGUFParameter) else tensor


def _read_packed(path: Path) -> dict[str, Any]:
    from diffusers.models.model_loading_utils import load_gguf_checkpoint

    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ConfigurationError(f"{path} is not a GGUF file.")
        return dict(load_gguf_checkpoint(str(path)))
    except (OSError, ValueError, IndexError) as error:
        raise ConfigurationError(f"{path} cannot be read as GGUF, or is not whole: {error}") from error
