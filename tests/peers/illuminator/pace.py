"""How fast the same weights draw in PyTorch: words to pixels, as `illumine draw` does it.

    python pace.py WEIGHTS FOLDER_OF_ALL_MINILM_L6_V2 [THREADS]

Prints milliseconds, the median of twenty: one picture, and four of one prompt as one batch, each
with the embedding of the words, eight rounds of token writing with guidance, refining and painting.
"""

import json
import os
import statistics
import sys
import time

import torch
from transformers import BertModel, BertTokenizerFast

from networks import Generator, Refiner, TokenTransformer
from stored import load_floats

torch.set_num_threads(int(sys.argv[3]) if len(sys.argv) > 3 else 2)
folder, words = sys.argv[1:3]


def part(module, name):
    module.load_state_dict(load_floats(os.path.join(folder, f"{name}.safetensors")))
    return module.float().eval().requires_grad_(False)


began = time.perf_counter()
config = json.load(open(os.path.join(folder, "config.json")))
transformer, generator = part(TokenTransformer(), "tokens"), part(Generator(), "generator")
refiner = part(Refiner(), "refiner")
tokenizer = BertTokenizerFast.from_pretrained(words)
bert = BertModel.from_pretrained(words).eval()
print(f"load {1000 * (time.perf_counter() - began):.1f} ms")
mean = torch.tensor(config["text_mean"])
# As many pictures to look at as there may be: one in each other style.
has = torch.tensor([[False] + [True] * (transformer.styles - 1) + [False]])
shown = torch.zeros(1, transformer.styles + 1, 64, len(config["levels"]), dtype=torch.long)


@torch.inference_mode()
def draw(prompt, count):
    t = tokenizer([prompt], truncation=True, max_length=256, return_tensors="pt")
    e = torch.nn.functional.normalize(bert(**t).last_hidden_state.mean(1), dim=-1)
    text = ((e - mean) / config["text_scale"]).repeat(count, 1)
    style = flip = torch.zeros(count, dtype=torch.long)
    memory = shown.repeat(count, 1, 1, 1), has.repeat(count, 1)
    tokens = transformer.draw(text, style, flip, steps=8, memory=memory)
    codes = refiner(tokens, text, style, flip, refiner.remembered(*memory), memory[1])
    picture = generator(codes, text, style, flip)
    return ((picture + 1) * 127.5).round().to(torch.uint8).numpy()


for count in (1, 4):
    times = []
    for _ in range(23):
        began = time.perf_counter()
        draw("a red dragon asleep", count)
        times.append(1000 * (time.perf_counter() - began))
    print(f"{count} at once {statistics.median(times[3:]):.1f} ms")
