#!/usr/bin/env python3
"""Converts a GGUF file of illumine's model cache into a folder for vLLM and transformers.

    convert.py MODEL.gguf FOLDER

The weights are dequantized to 32-bit floats; transformers cannot save a model loaded from GGUF
itself. Needs torch, transformers, safetensors, gguf and accelerate, and no network.
"""

import json
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

source, folder = Path(sys.argv[1]), Path(sys.argv[2])
parts = dict(pretrained_model_name_or_path=str(source.parent), gguf_file=source.name)
tokenizer = AutoTokenizer.from_pretrained(**parts)
model = AutoModelForCausalLM.from_pretrained(**parts, dtype=torch.float32)

# A tied output layer is the embedding, so it is not stored twice.
tied = model.config.tie_word_embeddings
weights = {
    name: weight.contiguous().clone()
    for name, weight in model.state_dict().items()
    if not (tied and name == "lm_head.weight")
}
config = model.config.to_dict()
for name in ["quantization_config", "_name_or_path", "_model_name_or_path"]:
    config.pop(name, None)
config |= {"architectures": [type(model).__name__], "torch_dtype": "float32"}

folder.mkdir(parents=True, exist_ok=True)
tokenizer.save_pretrained(folder)
(folder / "config.json").write_text(json.dumps(config, indent=1, default=str))
# The weights come last: a folder that holds them is complete.
save_file(weights, folder / "partial", metadata={"format": "pt"})
(folder / "partial").rename(folder / "model.safetensors")
