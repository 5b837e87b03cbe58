"""The sheet of a set of weights: what `illumine draw` makes of fixed prompts, seed 1, unpicked.

    python showcase.py ILLUMINE WEIGHTS DATA.npz OUT.png [MORE ARGUMENTS OF draw …]

Above: things in each style (dragon and ghost were held out of training). Then pairs of thing and
style that were held out, the real picture over the drawn one. Below: thirty prompts from stories.
"""

import os
import subprocess
import sys
import tempfile
import textwrap

import numpy as np
from PIL import Image, ImageDraw

from data import HELD_PAIR, Data

SEEN = ["dragon", "fox", "castle", "sailboat", "crown", "ghost", "locomotive", "full moon", "dagger",
        "house", "owl", "rose", "mage", "wolf", "bread", "deciduous tree"]
STORY = ["a red dragon asleep", "an old wizard in a tower", "a wolf in the snow", "a ship in a storm",
         "the lighthouse on the rock", "a black cat at the window", "the king's golden crown",
         "a candle burning in the dark", "a dusty book of spells", "the moon over the sea",
         "a rusty key", "a knight with a sword", "a bowl of hot soup", "a small green frog",
         "the haunted house on the hill", "an owl in the old oak", "a chest full of gold",
         "a spider in its web", "a red rose", "a loaf of bread and cheese", "a horse by the gate",
         "the mountain at dawn", "a broken heart", "rain on the roof", "a lantern", "a bee on a flower",
         "a snake in the grass", "the train at night", "a pirate", "a bottle with a letter in it"]
ACROSS, TILE, GAP = 16, 64, 4

program, weights, data, out, *more = sys.argv[1:]
data = Data(data)


def draw(prompt, style):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "x.png")
        words = [program, "draw", prompt, "--weights", weights, "--style", style, "--seed", "1",
                 "--size", str(TILE), "-o", path]
        subprocess.run(words + more, check=True, capture_output=True)
        return Image.open(path).convert("RGBA").copy()


def real(index):
    pixels = data.pictures[index].permute(1, 2, 0).numpy().astype(np.float32)
    alpha = pixels[..., 3:] / 255
    straight = np.where(alpha > 0, pixels[..., :3] / np.maximum(alpha, 1 / 255), 0).clip(0, 255)
    return Image.fromarray(np.concatenate([straight, pixels[..., 3:]], -1).round().astype(np.uint8), "RGBA")


rows = [(SEEN, None)]
for style in data.styles:
    rows.append((style, [draw(words, style) for words in SEEN]))
held = np.nonzero((data.part == HELD_PAIR) & (data.tone == 0) & ~data.styles_are("ink"))[0]
held = np.random.default_rng(1).choice(held, ACROSS, False)
names = [data.labels[data.concept[i]] for i in held]
rows.append(([f"{n} ({data.styles[data.style[i]]})" for n, i in zip(names, held)], None))
rows.append(("real", [real(i) for i in held]))
rows.append(("drawn", [draw(n, data.styles[data.style[i]]) for n, i in zip(names, held)]))
for start in range(0, len(STORY), ACROSS - 1):
    some = STORY[start : start + ACROSS - 1]
    rows.append((some, None))
    rows.append(("noto", [draw(words, "noto") for words in some]))
    rows.append(("flat", [draw(words, "flat") for words in some]))

LEFT, WORDS = 56, 40
height = sum(TILE + GAP if pictures else WORDS for _, pictures in rows)
sheet = Image.new("RGB", (LEFT + ACROSS * (TILE + GAP), height), "white")
pen = ImageDraw.Draw(sheet)
top = 0
for words, pictures in rows:
    if pictures is None:
        for at, name in enumerate(words):
            lines = textwrap.wrap(name, 11)[:3]
            pen.text((LEFT + at * (TILE + GAP), top + 3), "\n".join(lines), fill=(60, 60, 60))
        top += WORDS
        continue
    pen.text((2, top + TILE // 2 - 6), words, fill=(120, 120, 120))
    for at, picture in enumerate(pictures):
        sheet.paste(picture, (LEFT + at * (TILE + GAP), top), picture)
    top += TILE + GAP
sheet.save(out, optimize=True)
