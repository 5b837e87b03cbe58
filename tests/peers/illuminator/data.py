"""Batches: pictures in -1..1 with words, style and flip."""

import json

import numpy as np
import torch

TRAIN, HELD_PAIR, HELD_CONCEPT = 0, 1, 2
INK = 0.4  # silhouettes are two fifths of the pictures: seen less often
TONED = 0.2  # five tones together count as much as the picture without


class Data:
    def __init__(self, path, device="cpu"):
        f = np.load(path)
        self.words = json.loads(str(f["words"]))
        self.styles = self.words["styles"]
        self.labels = [c["label"] for c in self.words["concepts"]]
        self.concept = f["concept"].astype(np.int64)
        self.style = f["style"].astype(np.int64)
        self.tone = f["tone"].astype(np.int64)
        self.part = f["part"].astype(np.int64)
        self.device = device
        self.pictures = torch.tensor(f["pictures"]).permute(0, 3, 1, 2).contiguous().to(device)
        self.mean, self.scale = torch.tensor(f["mean"]), float(f["scale"])
        e = (torch.tensor(f["embeddings"].astype(np.float32)) - self.mean) / self.scale
        self.text = e.to(device)
        # The captions of a concept in a tone stand apart from each other: (first, step, count).
        c, t = f["caption_concept"].astype(np.int64), f["caption_tone"].astype(np.int64)
        self.captions = {}
        for i, key in enumerate(zip(c.tolist(), t.tolist())):
            self.captions.setdefault(key, []).append(i)
        self.of_picture = [
            np.array(self.captions[k]) for k in zip(self.concept.tolist(), self.tone.tolist())
        ]
        weight = np.where(self.styles_are("ink"), INK, 1.0) * np.where(self.tone > 0, TONED, 1.0)
        self.only(np.where(self.part == TRAIN, weight, 0.0))
        # Pictures trained on of a concept in a tone, by style; -1 where there is none, and for no style.
        self.trained = {}
        for i in np.nonzero(self.part == TRAIN)[0]:
            of = self.trained.setdefault((self.concept[i], self.tone[i]), np.full(len(self.styles) + 1, -1))
            of[self.style[i]] = i

    def only(self, weight):
        """From now on pictures are picked by this weight."""
        self.weight = weight / weight.sum()
        self.cumulative = self.weight.cumsum()

    def others(self, concept, tone, style):  # [B] each -> indices or -1 [B, styles + 1]
        """What can be remembered beside a picture: the same thing in other styles."""
        none = np.full(len(self.styles) + 1, -1)
        found = np.stack([self.trained.get(k, none) for k in zip(concept, tone)])
        found[np.arange(len(found)), style] = -1
        return found

    def styles_are(self, name):
        return self.style == self.styles.index(name)

    def pick(self, rng, n):
        """Indices of n training pictures."""
        return np.searchsorted(self.cumulative, rng.random(n)).clip(0, len(self.weight) - 1)

    def images(self, index, flips=None):  # [B, 4, 64, 64]
        x = self.pictures[torch.as_tensor(index, device=self.device)].float() / 127.5 - 1
        if flips is not None:
            x = torch.where(flips.bool()[:, None, None, None], x.flip(-1), x)
        return x

    def condition(self, rng, index):
        """Words (one of the picture's captions), style, as tensors."""
        rows = [self.of_picture[i][rng.integers(len(self.of_picture[i]))] for i in index]
        text = self.text[torch.as_tensor(np.array(rows), device=self.device)]
        return text, torch.as_tensor(self.style[index], device=self.device)

    def labels_of(self, index):
        """Words (the label), style."""
        rows = np.array([self.of_picture[i][0] for i in index])
        return (self.text[torch.as_tensor(rows, device=self.device)],
                torch.as_tensor(self.style[index], device=self.device))
