"""Reads weights whose matrices may be stored in 8 bits (crates/imagegen/src/eight_bit.rs)."""

import torch
from safetensors.torch import load_file


def load_floats(path):
    """The tensors of a file; a matrix NAME.q8_0 [rows, columns / 32 * 34] as floats under NAME.

    A block of 34 bytes is a half-precision scale and 32 signed bytes.
    """
    found = {}
    for name, tensor in load_file(path).items():
        if name.endswith(".q8_0"):
            rows = tensor.shape[0]
            blocks = tensor.reshape(-1, 34)
            scale = blocks[:, :2].contiguous().view(torch.float16).float()
            tensor = (scale * blocks[:, 2:].contiguous().view(torch.int8).float()).reshape(rows, -1)
            name = name.removesuffix(".q8_0")
        found[name] = tensor
    return found
