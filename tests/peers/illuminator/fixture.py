"""Tiny illuminators with random weights and what they compute, for tests/it/illuminator.rs and, of the
direct design, tests/it/direct.rs (in a folder of that name beside it); and what a refiner and a critic of known numbers
compute, for tests/it/refining.rs.

    python fixture.py ../../reference/illuminator FOLDER_OF_ALL_MINILM_L6_V2
"""

import json
import os
import sys
from dataclasses import replace

import torch
from safetensors.torch import save_file

from prepare import embed
from networks import (Critic, DirectEncoder, DirectGenerator, Discriminator, Encoder, Generator, Refiner,
                      Sizes, TokenTransformer, digits, divergence, quantize, values)

sizes = Sizes(levels=(5, 3), styles=2, condition=16, encoder=(32, 2, 1), coarse=(32, 2, 1),
              fine=(16, 2, 1), mid=8, last=4, tokens=(32, 2, 2), hidden=8, stages=(4, 6, 8, 8), judge=8)
out = sys.argv[1].rstrip("/")
torch.manual_seed(1)


def write(out, sizes, parts):
    os.makedirs(out, exist_ok=True)
    for name, part in parts.items():
        part.eval()
        for p in part.parameters():  # as they are when read from half precision; biases not zero
            p.data = (p.data + 0.05 * torch.randn_like(p)).half().float()
        state = {k: v.half().contiguous() for k, v in part.state_dict().items()}
        save_file(state, os.path.join(out, f"{name}.safetensors"))
    with open(os.path.join(out, "config.json"), "w") as f:
        json.dump(sizes.config(["flat", "ink"], [0.0] * 384, 0.05), f)


def write_concepts(out):
    table = dict(embeddings=words[:-1].half(), concept=torch.tensor([0, 0, 1, 2, 3], dtype=torch.uint32))
    save_file(table, os.path.join(out, "concepts.safetensors"),
              metadata=dict(labels=json.dumps(["dragon", "castle", "moon", "fox"])))


def write_memory(out, tokens):
    """Castles in both styles and a fox in one."""
    number = (tokens.long() * torch.tensor([1, sizes.levels[0]])).sum(-1)[[0, 1, 1]].to(torch.uint32)
    table = dict(tokens=number, concept=torch.tensor([1, 1, 3], dtype=torch.uint32),
                 style=torch.tensor([0, 1, 1], dtype=torch.uint32))
    save_file(table, os.path.join(out, "memory.safetensors"))


parts = dict(encoder=Encoder(sizes), generator=Generator(sizes), tokens=TokenTransformer(sizes),
             discriminator=Discriminator(sizes))
write(out, sizes, parts)
aliases = ["dragon", "fairy tale", "castle", "moon", "fox"]
words = torch.tensor(embed([*aliases, "a castle by moonlight"], sys.argv[2]))
write_concepts(out)

batch = 2
x = torch.tanh(torch.randn(batch, 4, 64, 64)).half().float()
text, style, flip = torch.randn(batch, sizes.text), torch.tensor([1, 2]), torch.tensor([0, 1])
with torch.no_grad():
    z = parts["encoder"](x)
    codes = quantize(z, sizes.levels)
    picture = parts["generator"](codes, text, style, flip)
    scores, features = parts["discriminator"](x, text, style % 2)
    tokens = digits(codes, sizes.levels)
    assert torch.equal(values(tokens, sizes.levels), codes)
    known = torch.rand(batch, 64) < 0.5
    t = parts["tokens"]
    # The first picture is shown the second in one style and in none that is known, and itself in another.
    memory = tokens.flip(0)[:, None].repeat(1, 3, 1, 1)
    memory[:, 1] = tokens
    has = torch.tensor([[True, True, True], [False, False, False]])
    ones = t.remembered(memory, has)
    hidden = t.hidden(tokens, known, text, style, flip, ones=ones, has=has)
    heads = t.heads(hidden)
    first = t.digit_logits(heads, torch.zeros_like(heads), 0)
    second = t.digit_logits(heads, t.told(t.rows(tokens)[..., 0]), 1)
    loss = t.loss(tokens, known, text, style, flip, ones=ones, has=has)
write_memory(out, tokens)
expected = dict(x=x, text=text, style=style.to(torch.uint32), flip=flip.to(torch.uint8), z=z, picture=picture,
                scores=scores, feature=features[2], tokens=tokens.to(torch.uint8), known=known.to(torch.uint8),
                prompt=words[-1], hidden=hidden, first=first, second=second, loss=loss[None])
expected = {k: v.contiguous() for k, v in expected.items()}
# Pictures are large and random; half precision is enough of them for what they show.
expected["x"] = expected["x"].half()
save_file(expected, os.path.join(out, "expected.safetensors"))

out, sizes = f"{out}-direct", replace(sizes, direct=(16, 32, 4))
parts = dict(encoder=DirectEncoder(sizes), generator=DirectGenerator(sizes))
write(out, sizes, parts)
write_concepts(out)
with torch.no_grad():
    mean, log_variance = parts["encoder"](x)
    z = torch.randn_like(mean)
    picture = parts["generator"](z, text, style, flip)
found = dict(mean=mean, log_variance=log_variance, z=z, picture=picture,
             divergence=divergence(mean, log_variance)[None])
save_file({k: v.contiguous() for k, v in found.items()}, os.path.join(out, "expected.safetensors"))

# Waves in place of weights, so that no file has to hold them.
waves = lambda count, step, size: size * torch.sin(step * torch.arange(count, dtype=torch.float64)).float()
with torch.no_grad():
    refiner, critic = Refiner(replace(sizes, direct=None)).eval(), Critic(sizes)
    for module in (refiner, critic):
        for name, p in module.named_parameters():
            p.copy_(waves(p.numel(), 0.7 + len(name) / 100, 0.2).view(p.shape))
    tokens = (waves(2 * 64 * 2, 0.37, 1.0) + 1).long().view(2, 64, 2)  # 0 or 1
    memory = tokens.flip(0)[:, None].repeat(1, 3, 1, 1)
    has = torch.tensor([[True, False, True], [False, False, False]])
    text, style, flip = waves(2 * 384, 0.11, 1.0).view(2, 384), torch.tensor([1, 2]), torch.tensor([0, 1])
    refined = refiner(tokens, text, style, flip, refiner.remembered(memory, has), has)
    features = [waves(2 * c * h * h, 0.3, 1.0).view(2, h, h, c).permute(0, 3, 1, 2)
                for c, h in ((24, 16), (40, 8), (112, 4))]
    scores, whole = critic(features, text, style % 2)
    found = dict(refined=refined, scores=torch.stack(scores), belongs=critic.belongs(whole, text))
save_file({k: v.contiguous() for k, v in found.items()}, os.path.join(sys.argv[1], "refining.safetensors"))
