"""Pictures side by side, on white, to look at."""

import numpy as np
import torch
from PIL import Image, ImageDraw


def on_white(x):  # [B, 4, h, h] in -1..1, premultiplied -> [B, h, h, 3] bytes
    x = (x.float().clamp(-1, 1) + 1) / 2
    y = (x[:, :3] + 1 - x[:, 3:]).clamp(0, 1)
    return (y.permute(0, 2, 3, 1).cpu().numpy() * 255 + 0.5).astype(np.uint8)


def save(rows, path, titles=None, scale=1):
    """rows: list of [n, 4, 64, 64]; titles: a name a column."""
    n = max(len(r) for r in rows)
    size = 64 * scale
    top = 14 if titles else 0
    sheet = Image.new("RGB", (n * (size + 2), len(rows) * (size + 2) + top), (235, 235, 235))
    draw = ImageDraw.Draw(sheet)
    for i, title in enumerate(titles or []):
        draw.text((i * (size + 2) + 1, 1), title[: size // 6], fill=(60, 60, 60))
    for j, row in enumerate(rows):
        for i, picture in enumerate(on_white(row)):
            tile = Image.fromarray(picture).resize((size, size), 0)
            sheet.paste(tile, (i * (size + 2) + 1, top + j * (size + 2) + 1))
    sheet.save(path)


def psnr(x, y):
    return float((-10 * torch.log10(((x - y) / 2).pow(2).mean((1, 2, 3)))).mean())
