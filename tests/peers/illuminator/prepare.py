"""Pictures, labels and embedded captions as one compressed file for the trainer.

    python prepare.py data-64.safetensors all-MiniLM-L6-v2/ illuminator-64.npz

The first is what `illumine train data` makes; the second is the sentence encoder's folder.
"""

import json
import sys

import numpy as np
import torch
from safetensors import safe_open
from transformers import BertModel, BertTokenizerFast

TONES = ["light", "medium-light", "medium", "medium-dark", "dark"]


@torch.no_grad()
def embed(captions, folder):
    """Mean over the tokens, then to length one: [len(captions), 384]."""
    tokenizer = BertTokenizerFast.from_pretrained(folder)
    bert = BertModel.from_pretrained(folder).eval()
    order = sorted(range(len(captions)), key=lambda i: len(captions[i]))
    out = np.zeros((len(captions), 384), np.float32)
    for start in range(0, len(order), 256):
        some = order[start : start + 256]
        t = tokenizer([captions[i] for i in some], padding=True, truncation=True, max_length=128,
                      return_tensors="pt")
        hidden = bert(**t).last_hidden_state
        mask = t["attention_mask"][..., None].float()
        mean = (hidden * mask).sum(1) / mask.sum(1)
        out[some] = torch.nn.functional.normalize(mean, dim=-1).numpy()
    return out


def main(data, encoder, out):
    with safe_open(data, "np") as f:
        words = json.loads(f.metadata()["words"])
        tensors = {name: f.get_tensor(name) for name in f.keys()}
    toned = {c for c, t in zip(tensors["concept"].tolist(), tensors["tone"].tolist()) if t}
    captions, concept, tone = [], [], []
    for i, c in enumerate(words["concepts"]):
        for caption in c["captions"]:
            for t in range(6 if i in toned else 1):
                captions.append(f"{caption}, {TONES[t - 1]} skin" if t else caption)
                concept.append(i)
                tone.append(t)
    embeddings = embed(captions, encoder)
    mean = embeddings.mean(0)
    scale = (embeddings - mean).std()
    np.savez_compressed(
        out, **tensors, embeddings=embeddings.astype(np.float16), mean=mean, scale=scale,
        caption_concept=np.array(concept, np.uint32), caption_tone=np.array(tone, np.uint8),
        words=json.dumps(words),
    )
    print(len(captions), "captions of", len(words["concepts"]), "concepts")


if __name__ == "__main__":
    main(*sys.argv[1:])
