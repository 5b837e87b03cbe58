"""Embeddings of a few phrases by transformers' BERT in fp32, for tests/it/encoder.rs.

    python minilm.py FOLDER_OF_ALL_MINILM_L6_V2 > minilm.json
"""

import json
import sys

import torch
from transformers import BertModel, BertTokenizerFast

PHRASES = [
    "a red dragon asleep",
    "An old wizard in a tower, at night.",
    "train in the snow",
    "crème brûlée & œufs",
    "She opened the old book and read the spell; nothing happened, and then everything did.",
    "",
    "東京 の 猫 🐈",
    "word " * 600,
]

tokenizer = BertTokenizerFast.from_pretrained(sys.argv[1])
bert = BertModel.from_pretrained(sys.argv[1]).eval()
rows = []
with torch.no_grad():
    for phrase in PHRASES:
        t = tokenizer([phrase], truncation=True, max_length=256, return_tensors="pt")
        mean = bert(**t).last_hidden_state.mean(1)
        e = torch.nn.functional.normalize(mean, dim=-1)[0]
        rows.append({"phrase": phrase, "embedding": [round(float(x), 7) for x in e]})
json.dump(rows, sys.stdout, ensure_ascii=False)
