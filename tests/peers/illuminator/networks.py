"""The illuminator's networks as PyTorch modules.

The baseline and design finder of crates/imagegen: the same layers, the same tensor names and
layouts in safetensors, so that weights go both ways. Shapes in comments; B is the batch.

A picture is [B, 4, 64, 64], premultiplied RGBA in -1..1. Its tokens are [B, 64, 12]: an 8 by 8 grid
(rows from the top), each token twelve small whole numbers ("digits"), digit k below levels[k].
"""

import math
from dataclasses import asdict, dataclass

import torch
import torch.nn as nn
import torch.nn.functional as F


@dataclass
class Sizes:
    """All sizes; `config.json` of a set of weights has them (crates/imagegen/src/config.rs)."""

    levels: tuple = (7, 7, 7, 5, 5, 5, 5, 5, 5, 5, 5, 5)  # odd, so that zero is a level
    text: int = 384  # width of the sentence embedding
    styles: int = 9
    condition: int = 256
    encoder: tuple = (192, 4, 3)  # width, heads, blocks
    coarse: tuple = (256, 4, 3)
    fine: tuple = (96, 3, 2)
    mid: int = 32  # channels at half the picture's size
    last: int = 16  # and at the whole
    tokens: tuple = (256, 4, 6)
    hidden: int = 128  # of the network that draws a token's digits
    stages: tuple = (32, 64, 128, 192)  # of the discriminator
    judge: int = 192  # width of its scores
    direct: tuple = None  # of the direct design: latent, hidden, depth

    @property
    def depth(self):
        """Numbers at each place of the grid that is painted: a token's digits, or what z becomes."""
        return self.direct[2] if self.direct else len(self.levels)

    def config(self, styles, text_mean, text_scale):
        """What config.json says."""
        stack = lambda s: dict(zip(("width", "heads", "blocks"), s))
        direct = dict(direct=dict(zip(("latent", "hidden", "depth"), self.direct))) if self.direct else {}
        return dict(
            size=64, levels=list(self.levels), styles=styles, text=self.text, text_mean=text_mean,
            text_scale=text_scale, condition=self.condition, encoder=stack(self.encoder),
            generator=dict(coarse=stack(self.coarse), fine=stack(self.fine), mid=self.mid, last=self.last),
            tokens=dict(stack=stack(self.tokens), hidden=self.hidden),
            discriminator=dict(stages=list(self.stages), width=self.judge),
            **direct,
        )


SIZES = Sizes()
DIRECT = Sizes(direct=(128, 512, 16))


def layer_norm(x):
    return F.layer_norm(x, (x.shape[-1],))


class Block(nn.Module):
    """Pre-norm Transformer block; scale and shift from the condition where it has one (AdaLN)."""

    def __init__(self, d, heads, condition=None, ratio=3):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(d, 3 * d)
        self.out = nn.Linear(d, d)
        self.up = nn.Linear(d, ratio * d)
        self.down = nn.Linear(ratio * d, d)
        if condition:
            self.modulation = nn.Linear(condition, 4 * d)
            nn.init.normal_(self.modulation.weight, std=0.02)
            nn.init.zeros_(self.modulation.bias)
        else:
            self.scale = nn.Parameter(torch.zeros(2, d))
            self.shift = nn.Parameter(torch.zeros(2, d))
        for last in (self.out, self.down):
            last.weight.data *= 0.5
            nn.init.zeros_(last.bias)

    def forward(self, x, w=None, drop=0.0):  # x [B, T, d], w [B, condition]
        b, t, d = x.shape
        if w is None:
            s1, s2 = self.scale.to(x.dtype)
            h1, h2 = self.shift.to(x.dtype)
        else:
            s1, h1, s2, h2 = self.modulation(w)[:, None].chunk(4, -1)
        y = layer_norm(x) * (1 + s1) + h1
        q, k, v = self.qkv(y).view(b, t, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        a = torch.softmax((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2), -1)
        y = (a @ v).transpose(1, 2).reshape(b, t, d)
        x = x + F.dropout(self.out(y), drop, drop > 0)
        y = layer_norm(x) * (1 + s2) + h2
        return x + F.dropout(self.down(F.relu(self.up(y)).square()), drop, drop > 0)


class Condition(nn.Module):
    """Words, style and flip to one vector."""

    def __init__(self, sizes):
        super().__init__()
        w = sizes.condition
        self.style = nn.Embedding(sizes.styles + 1, 64)  # the last: none given
        self.flip = nn.Embedding(2, 8)
        self.none = nn.Parameter(torch.zeros(sizes.text))  # in place of words, for guidance
        self.in_ = nn.Linear(sizes.text + 64 + 8, w)
        self.mid = nn.Linear(w, w)
        self.out = nn.Linear(w, w)

    def forward(self, text, style, flip):
        x = torch.cat([text, self.style(style), self.flip(flip)], 1)
        x = F.leaky_relu(self.in_(x), 0.2)
        x = F.leaky_relu(self.mid(x), 0.2)
        return F.leaky_relu(self.out(x), 0.2)


def patches(x, p):  # [B, c, h, h] -> [B, (h/p)^2, p*p*c], each patch row by row, channel last
    b, c, h, _ = x.shape
    g = h // p
    return x.view(b, c, g, p, g, p).permute(0, 2, 4, 3, 5, 1).reshape(b, g * g, p * p * c)


def unpatches(x, g, p, c):  # the inverse
    b = x.shape[0]
    return x.view(b, g, g, p, p, c).permute(0, 5, 1, 3, 2, 4).reshape(b, c, g * p, g * p)


def split(x):  # [B, 64, 4 d] -> [B, 256, d]: each token becomes 2 by 2
    b, _, d = x.shape
    return x.view(b, 8, 8, 2, 2, d // 4).permute(0, 1, 3, 2, 4, 5).reshape(b, 256, d // 4)


def windows(x):  # [B, 256, d] -> [4 B, 64, d]: the four quarters
    b, _, d = x.shape
    return x.view(b, 2, 8, 2, 8, d).transpose(2, 3).reshape(b * 4, 64, d)


def unwindows(x):
    b, _, d = x.shape
    return x.view(b // 4, 2, 2, 8, 8, d).transpose(2, 3).reshape(b // 4, 256, d)


class Encoder(nn.Module):
    """Picture to tokens."""

    def __init__(self, sizes=SIZES):
        super().__init__()
        d, heads, blocks = sizes.encoder
        self.patch = nn.Linear(256, d)
        self.position = nn.Parameter(torch.randn(64, d) * 0.1)
        self.block = nn.ModuleList([Block(d, heads) for _ in range(blocks)])
        self.out = nn.Linear(d, sizes.depth)

    def forward(self, x):  # -> [B, 64, 12], unbounded
        x = self.patch(patches(x, 8))
        x = x + self.position.to(x.dtype)
        for block in self.block:
            x = block(x)
        return self.out(layer_norm(x)).float()


def halves(levels, device=None):
    return torch.tensor([(n - 1) / 2 for n in levels], device=device)


def quantize(z, levels=SIZES.levels):
    """Finite scalar quantisation (Mentzer et al. 2023): to values in -1..1, gradients straight through."""
    half = halves(levels, z.device)
    z = torch.tanh(z) * half
    return (z + (z.round() - z).detach()) / half


def digits(values, levels=SIZES.levels):  # [B, 64, 12] of -1..1 -> whole numbers from 0
    half = halves(levels, values.device)
    return (values * half + half).round().long()


def values(digits_, levels=SIZES.levels):
    half = halves(levels, digits_.device)
    return (digits_ - half) / half


class Generator(nn.Module):
    """Tokens, words and style to a picture."""

    def __init__(self, sizes=SIZES):
        super().__init__()
        (d, heads, blocks), (fine, fine_heads, fine_blocks) = sizes.coarse, sizes.fine
        mid, last = sizes.mid, sizes.last
        self.mid, self.last = mid, last
        self.condition = Condition(sizes)
        self.in_ = nn.Linear(sizes.depth, d)
        self.position = nn.Parameter(torch.randn(64, d) * 0.3)
        self.block = nn.ModuleList([Block(d, heads, sizes.condition) for _ in range(blocks)])
        self.split = nn.Linear(d, 4 * fine)
        self.fine_position = nn.Parameter(torch.randn(256, fine) * 0.3)
        self.fine = nn.ModuleList(
            [Block(fine, fine_heads, sizes.condition) for _ in range(fine_blocks)]
        )
        self.pixels = nn.Linear(fine, 4 * mid)
        self.conv1 = nn.Conv2d(mid, mid, 3, 1, 1)
        self.conv2 = nn.Conv2d(mid, mid, 3, 1, 1)
        self.widen = nn.Conv2d(mid, 4 * last, 1)
        self.conv3 = nn.Conv2d(last, last, 3, 1, 1)
        self.conv4 = nn.Conv2d(last, 4, 3, 1, 1)

    def forward(self, codes, text, style, flip):  # codes [B, 64, 12] of -1..1
        return self.paint(codes, self.condition(text, style, flip))

    def paint(self, codes, w):
        x = self.in_(codes)
        x = x + self.position.to(x.dtype)
        for block in self.block:
            x = block(x, w)
        x = split(self.split(x))
        x = windows(x + self.fine_position.to(x.dtype))
        w4 = w.repeat_interleave(4, 0)
        for block in self.fine:
            x = block(x, w4)
        x = unpatches(self.pixels(layer_norm(unwindows(x))), 16, 2, self.mid)  # [B, mid, 32, 32]
        x = x + self.conv2(F.leaky_relu(self.conv1(F.leaky_relu(x, 0.2)), 0.2))
        x = F.pixel_shuffle(self.widen(F.leaky_relu(x, 0.2)), 2)  # [B, last, 64, 64]
        y = self.conv4(F.leaky_relu(self.conv3(F.leaky_relu(x, 0.2)), 0.2))
        return torch.tanh((x[:, :4] + y).float())


class DirectEncoder(Encoder):
    """Picture to a normal distribution of z: mean and log variance, [B, latent] each."""

    def __init__(self, sizes=DIRECT):
        super().__init__(sizes)
        self.moments = nn.Linear(64 * sizes.depth, 2 * sizes.direct[0])
        self.moments.weight.data *= 0.5
        nn.init.zeros_(self.moments.bias)

    def forward(self, x):
        mean, spread = self.moments(super().forward(x).flatten(1)).float().chunk(2, 1)
        return mean, 8 * torch.tanh(spread / 8)  # bounded, so that its exponential is


class DirectGenerator(Generator):
    """z, words and style to a picture in one pass: the generator, on a grid that z becomes."""

    def __init__(self, sizes=DIRECT):
        super().__init__(sizes)
        latent, hidden, depth = sizes.direct
        self.latent, self.depth = latent, depth
        self.grid = nn.ModuleDict(dict(
            in_=nn.Linear(latent + sizes.condition, hidden),
            mid=nn.Linear(hidden, hidden),
            out=nn.Linear(hidden, 64 * depth),
        ))

    def forward(self, z, text, style, flip):  # z [B, latent]
        w = self.condition(text, style, flip)
        x = F.leaky_relu(self.grid["in_"](torch.cat([z.to(w.dtype), w], 1)), 0.2)
        x = F.leaky_relu(self.grid["mid"](x), 0.2)
        return self.paint(self.grid["out"](x).view(len(z), 64, self.depth), w)


def divergence(mean, log_variance):
    """From the standard normal distribution, in nats a picture."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()


class Discriminator(nn.Module):
    """Picture, words and style to a score, by projection (Miyato and Koyama 2018), whole and by patch."""

    def __init__(self, sizes=SIZES):
        super().__init__()
        channels, width = sizes.stages, sizes.judge
        self.width = width
        self.in_ = nn.Conv2d(16, channels[0], 3, 1, 1)
        self.conv1 = nn.ModuleList()
        self.conv2 = nn.ModuleList()
        self.skip = nn.ModuleList()
        for i, o in zip(channels, channels[1:]):
            self.conv1.append(nn.Conv2d(i, o, 3, 1, 1))
            self.conv2.append(nn.Conv2d(o, o, 3, 1, 1))
            self.skip.append(nn.Conv2d(i, o, 1))
        self.text = nn.Linear(sizes.text, width)
        self.style = nn.Embedding(sizes.styles, width)
        self.whole = nn.Linear(16 * channels[-1], width)
        self.score = nn.Linear(width, 1)
        self.patch = nn.Conv2d(channels[2], width + 1, 1)

    def forward(self, x, text, style):  # -> [B], features
        x = self.in_(F.pixel_unshuffle(x, 2))
        c = (self.text(text) + self.style(style)).float()
        features = []
        for k in range(3):
            x = F.avg_pool2d(x, 2)
            y = F.leaky_relu(self.conv1[k](F.leaky_relu(x, 0.2)), 0.2)
            x = self.skip[k](x) + 0.5 * self.conv2[k](y)
            features.append(x)
            if k == 1:
                p = self.patch(F.leaky_relu(x, 0.2)).float()
                matched = (p[:, 1:] * c[:, :, None, None]).sum(1) / math.sqrt(self.width)
                patch = (p[:, 0] + matched).mean((1, 2))
        h = F.leaky_relu(self.whole(F.leaky_relu(x, 0.2).flatten(1)), 0.2).float()
        whole = self.score(h)[:, 0].float() + (h * c).sum(1) / math.sqrt(self.width)
        return whole + patch, features


def spread():
    """All places, any first few of them all over the picture (Halton 1960; crates/imagegen/src/halton.rs)."""
    order, n = [], 1
    mirrored = lambda n, base: (n % base + mirrored(n // base, base)) / base if n else 0.0
    while len(order) < 64:
        place = int(8 * mirrored(n, 2)) * 8 + int(8 * mirrored(n, 3))
        n += 1
        if place not in order:
            order.append(place)
    return torch.tensor(order)


SPREAD = spread()


class TokenTransformer(nn.Module):
    """Writes a picture's tokens, all at once, some of them given (MaskGIT, Chang et al. 2022).

    A token's digits are drawn one after the other by a small network on top, so that together
    they are one choice among all that a token can be. What is remembered is the same thing's pictures
    in other styles, as tokens at the same places, at most one a style: what each style tells of another is
    learned (retrieval, as of Blattmann et al. 2022). The last row of styles is for pictures in none of these.
    """

    PREFIX = 5  # four tokens of words, one of style and flip

    def __init__(self, sizes=SIZES, drop=0.1):
        super().__init__()
        d, heads, blocks = sizes.tokens
        self.d, self.drop, self.levels, self.hidden_width = d, drop, sizes.levels, sizes.hidden
        self.styles = sizes.styles
        levels, hidden = sizes.levels, sizes.hidden
        self.condition = Condition(sizes)
        self.words = nn.Linear(sizes.text, 4 * d)
        self.style = nn.Embedding(sizes.styles + 1, d)
        self.flip = nn.Embedding(2, d)
        self.position = nn.Parameter(torch.randn(64 + self.PREFIX, d) * 0.1)
        self.token = nn.Embedding(sum(levels), d)  # a row a digit and value
        nn.init.normal_(self.token.weight, std=0.1)
        self.memory = nn.Parameter(torch.randn((sizes.styles + 1) * sum(levels), d) * 0.1)  # a row a style, too
        self.nearness = nn.Embedding(sizes.styles + 1, sizes.styles + 1)  # of a wanted style to each remembered
        nn.init.zeros_(self.nearness.weight)
        self.no_memory = nn.Parameter(torch.zeros(d))
        self.mask = nn.Parameter(torch.randn(d) * 0.1)
        self.block = nn.ModuleList([Block(d, heads, sizes.condition) for _ in range(blocks)])
        n = len(levels)
        self.head = nn.Linear(d, n * hidden)
        self.before = nn.Embedding(sum(levels), n * hidden)  # what the digits before say
        nn.init.normal_(self.before.weight, std=0.05)
        self.logits = nn.ModuleList([nn.Linear(hidden, n) for n in levels])

    def rows(self, tokens):  # [B, 64, 12] -> rows of the tables
        start = [sum(self.levels[:k]) for k in range(len(self.levels))]
        return tokens + torch.tensor(start, device=tokens.device)

    def remembered(self, memory, has):
        """memory [B, styles + 1, 64, 12], has [B, styles + 1] (true where there is one) -> each place's
        digits as ones among zeros, [B, 64, styles + 1, rows]."""
        places = self.rows(memory).permute(0, 2, 1, 3)
        ones = torch.zeros(*places.shape[:3], sum(self.levels), device=places.device)
        return ones.scatter_(3, places, 1.0) * has[:, None, :, None]

    def recall(self, ones, has, style):
        """`remembered` of pictures in a wanted style -> [B, 64, d]."""
        near = (8 * self.nearness(style)).exp() * has  # eight: so that steps of the common size are enough
        near = near / (near.sum(1, keepdim=True) + 1e-9)
        seen = (ones * near[:, None, :, None]).flatten(2) @ self.memory
        return torch.where(has.any(1)[:, None, None], seen, self.no_memory)

    def seen(self, tokens, known):
        return torch.where(known[..., None], self.token(self.rows(tokens)).sum(2), self.mask)

    def hidden(self, tokens, known, text, style, flip, ones=None, has=None):
        """tokens [B, 64, 12], known [B, 64] (true where given) -> [B, 64, d]; ones of `remembered`."""
        w = self.condition(text, style, flip)
        prefix = torch.cat(
            [self.words(text).view(-1, 4, self.d), (self.style(style) + self.flip(flip))[:, None]], 1
        )
        x = self.seen(tokens, known)
        x = x + (self.no_memory if ones is None else self.recall(ones, has, style))
        x = torch.cat([prefix, x.to(prefix.dtype)], 1) + self.position.to(prefix.dtype)
        drop = self.drop if self.training else 0.0
        x = F.dropout(x, drop, drop > 0)
        for block in self.block:
            x = block(x, w, drop)
        return layer_norm(x[:, self.PREFIX :])

    def digit_logits(self, heads, before, k):
        """heads, before [..., 12, hidden]: logits of digit k, `before` summed over the digits < k."""
        return self.logits[k](F.relu(heads[..., k, :] + before[..., k, :]).square()).float()

    def heads(self, hidden):
        return self.head(hidden).unflatten(-1, (len(self.levels), self.hidden_width))

    def told(self, rows):  # what a digit says to those after it
        return self.before(rows).unflatten(-1, (len(self.levels), self.hidden_width))

    def loss(self, tokens, known, *condition, **memory):
        """Mean cross-entropy of the unknown tokens' digits, in nats a token."""
        heads = self.heads(self.hidden(tokens, known, *condition, **memory))
        rows = self.rows(tokens)
        before = torch.zeros_like(heads)
        total = 0.0
        unknown = (~known).float()
        for k in range(len(self.levels)):
            logits = self.digit_logits(heads, before, k)
            loss = F.cross_entropy(logits.flatten(0, 1), tokens[..., k].flatten(), reduction="none")
            total = total + (loss.view(unknown.shape) * unknown).sum()
            before = before + self.told(rows[..., k])
        return total / unknown.sum().clamp(min=1)

    @torch.no_grad()
    def filled(self, tokens, known, *condition, **memory):
        """Tokens with those that are not known drawn at once, as they are likely: [B, 64, 12]."""
        heads = self.heads(self.hidden(tokens, known, *condition, **memory))
        before = torch.zeros_like(heads)
        drawn = tokens.clone()
        for k in range(len(self.levels)):
            logits = self.digit_logits(heads, before, k)
            noise = -torch.log(-torch.log(torch.rand_like(logits).clamp(1e-9, 1 - 1e-7)))
            drawn[..., k] = torch.where(known, tokens[..., k], (logits + noise).argmax(-1))
            before = before + self.told(self.rows(drawn)[..., k])
        return drawn

    @torch.no_grad()
    def draw(self, text, style, flip, steps=8, temperature=0.3, guidance=2.0, recall=3.0,
             generator=None, tokens=None, known=None, memory=None):
        """Writes tokens in `steps` rounds, spread over the picture. What is
        remembered pulls: a digit is less likely by `recall` nats for each step that it is away from the
        remembered one. Guidance by two rows a picture."""
        b, dev = len(text), text.device
        if tokens is None:
            tokens = torch.zeros(b, 64, len(self.levels), dtype=torch.long, device=dev)
            known = torch.zeros(b, 64, dtype=torch.bool, device=dev)
        tokens, known = tokens.clone(), known.clone()
        none = (self.condition.none.expand(b, -1), torch.full_like(style, self.styles))
        two = (torch.cat([text, none[0]]), torch.cat([style, none[1]]), flip.repeat(2))
        ones = has = None
        if memory is not None:
            has = torch.cat([memory[1], torch.zeros_like(memory[1])])
            ones = self.remembered(memory[0].repeat(2, 1, 1, 1), has)
        chance = lambda shape: torch.rand(shape, generator=generator, device=generator.device if generator else dev).to(dev)
        noise = lambda shape: -torch.log(-torch.log(chance(shape).clamp(1e-9, 1 - 1e-7)))
        start = (~known).sum(1)
        # Each place's number in the order, and what is known already behind all others.
        rank = (SPREAD.argsort().to(dev) - (chance((b, 1)) * 64).long()) % 64
        rank = (rank + 64 * known).argsort(1).argsort(1)
        other, some = self.one_of(memory, style, chance((b, 1))) if memory is not None else (tokens, start < 0)

        for step in range(steps):
            # As many as these are known after this round, of those unknown at the start.
            keep = start - (start * math.cos(math.pi / 2 * (step + 1) / steps)).floor().long()
            keep = keep.clamp(min=1) if step + 1 < steps else start
            new = (rank < keep[:, None]) & ~known
            places = new.long().argsort(1, descending=True)[:, : int(new.sum(1).max())]
            at = lambda x: x.gather(1, places.repeat(len(x) // b, 1)[..., None].expand(-1, -1, x.shape[2]))
            hidden = self.hidden(tokens.repeat(2, 1, 1), known.repeat(2, 1), *two, ones=ones, has=has)
            heads = self.heads(at(hidden))
            before = torch.zeros_like(heads)
            drawn, pull = at(tokens), some[:, None, None] * recall
            for k in range(len(self.levels)):
                given, free = self.digit_logits(heads, before, k).chunk(2)
                logits = free + guidance * (given - free)
                away = torch.arange(logits.shape[-1], device=dev) - at(other)[..., k, None]
                logits = logits - pull * away.abs()
                pick = (logits / max(temperature, 1e-4) + noise(logits.shape)).argmax(-1)
                drawn[..., k] = pick
                before = before + self.told(self.rows(drawn)[..., k].repeat(2, 1))
            fresh = tokens.scatter(1, places[..., None].expand_as(drawn), drawn)
            tokens = torch.where(new[..., None], fresh, tokens)
            known = known | new
        return tokens

    def one_of(self, memory, style, chances):
        """Of what is remembered, one picture: the likelier, the more its style tells of the wanted one,
        [B, 64, 12]; and whether there is one."""
        near = (8 * self.nearness(style)).exp() * memory[1]
        slot = (near.cumsum(1) < chances * near.sum(1, keepdim=True)).sum(1)
        return memory[0][torch.arange(len(style)), slot.clamp(max=near.shape[1] - 1)], memory[1].any(1)


class Refiner(TokenTransformer):
    """Looks over what was composed, once, and moves each token's values to what is painted: trained with
    the generator against a discriminator, where the composer learned one token at a time."""

    def __init__(self, sizes=SIZES, drop=0.1):
        super().__init__(sizes, drop)
        for name in ("mask", "head", "before", "logits"):
            delattr(self, name)
        self.out = nn.Linear(sizes.tokens[0], len(sizes.levels))
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def seen(self, tokens, known):
        return self.token(self.rows(tokens)).sum(2)

    def forward(self, tokens, text, style, flip, ones=None, has=None):
        """tokens [B, 64, 12] -> values [B, 64, 12]"""
        hidden = self.hidden(tokens, None, text, style, flip, ones=ones, has=has)
        return values(tokens, self.levels) + self.out(hidden).float()


class Critic(nn.Module):
    """A discriminator on the features of a network that others trained (Projected GANs, Sauer et al.
    2021): scores by place at three sizes and one of the whole, each with words and style by projection;
    and how well a whole picture and words belong together (as of XMC-GAN, Zhang et al. 2021)."""

    def __init__(self, sizes=SIZES, channels=(24, 40, 112), width=96, whole=192):
        super().__init__()
        self.width, self.wide = width, whole
        self.in_ = nn.ModuleList([nn.Linear(c, width) for c in channels])
        self.out = nn.ModuleList([nn.Linear(width, 1 + width) for _ in channels])
        self.text = nn.Linear(sizes.text, width)
        self.style = nn.Embedding(sizes.styles, width)
        self.whole = nn.Linear(16 * channels[-1], whole)
        self.score = nn.Linear(whole, 1)
        self.subject = nn.Linear(sizes.text, whole)
        self.manner = nn.Embedding(sizes.styles, whole)

    def forward(self, features, text, style):
        """features: a list of [B, C, h, h] -> scores, a list of [B]; and the whole's vector [B, whole]"""
        c = self.text(text) + self.style(style)
        scores = []
        for f, in_, out in zip(features, self.in_, self.out):
            x = F.leaky_relu(in_(unit(f).permute(0, 2, 3, 1).flatten(1, 2)), 0.2)
            x = out(x).float()
            matched = (x[..., 1:] * c[:, None].float()).sum(-1) / math.sqrt(self.width)
            scores.append((x[..., 0] + matched).mean(1))
        h = F.leaky_relu(self.whole(unit(features[-1]).permute(0, 2, 3, 1).flatten(1)), 0.2).float()
        wanted = (self.subject(text) + self.manner(style)).float()
        scores.append(self.score(h.to(text.dtype))[:, 0].float() + (h * wanted).sum(1) / math.sqrt(self.wide))
        return scores, h

    def belongs(self, h, text):
        """Of each picture, which of the batch's words are its own: logits [B, B]."""
        words = F.normalize(self.subject(text).float(), dim=1)
        return 12 * F.normalize(h, dim=1) @ words.T


def unit(f):
    """Features of length one at each place, times the root of how many."""
    return f / (f.square().mean(1, keepdim=True) + 1e-6).sqrt()
