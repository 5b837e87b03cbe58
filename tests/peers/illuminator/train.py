"""Trains the illuminator: reconstruct, then tokens, then paint; each resumes from its checkpoint.

    python train.py reconstruct DATA.npz RUN   # encoder and generator, on reconstruction alone
    python train.py tokens DATA.npz RUN        # the token Transformer, on the frozen encoder's tokens
    python train.py paint DATA.npz RUN         # generator against discriminator, encoder frozen
    python train.py refine DATA.npz RUN        # refiner and generator against a critic, on composed tokens
    python train.py direct DATA.npz RUN        # the direct design, all at once; a run of its own
    python train.py export DATA.npz RUN OUT    # fp16 safetensors and config.json

The learning rate is constant after the warm-up until --decay PICTURES before --until PICTURES, and
falls to a twentieth on that last stretch. --minutes ends a run early, with a checkpoint.
"""

import argparse
import copy
import json
import os
import signal
import time

import numpy as np
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

import sheet
from data import HELD_CONCEPT, HELD_PAIR, TRAIN, Data
from networks import (DIRECT, SIZES, Critic, DirectEncoder, DirectGenerator, Discriminator, Encoder, Generator,
                      Refiner, TokenTransformer, digits, divergence, quantize, values)
from perceptual import Features, unlike
from stored import load_floats

p = argparse.ArgumentParser()
p.add_argument("phase", choices=["reconstruct", "tokens", "paint", "refine", "direct", "export"])
p.add_argument("data")
p.add_argument("run")
p.add_argument("out", nargs="?")
p.add_argument("--batch", type=int, default=32)
p.add_argument("--lr", type=float, default=1e-3)
p.add_argument("--until", type=int, default=10**9)
p.add_argument("--decay", type=int, default=0)
p.add_argument("--minutes", type=float, default=1e9)
p.add_argument("--cool", type=float, default=0, help="share of --minutes, at its end, on which the rate falls")
p.add_argument("--save", type=float, default=4, help="minutes between checkpoints")
p.add_argument("--sheets", type=float, default=8, help="minutes between sheets")
p.add_argument("--drop", type=float, default=0.1, help="dropout of the token Transformer")
p.add_argument("--seed", type=int, default=0)
p.add_argument("--device", default="cpu")
p.add_argument("--threads", type=int, default=1)
p.add_argument("--compile", action="store_true")
p.add_argument("--muon", action="store_true", help="orthogonal steps for the blocks' matrices (all but paint)")
p.add_argument("--from", dest="begin", help="a folder of exported weights to begin with, where there is no checkpoint")
p.add_argument("--perceptual", type=float, default=1.0,
               help="weight of how unlike pictures look to EfficientNet-lite1 (reconstruct, paint)")
p.add_argument("--adversarial", type=float, default=0.1)
p.add_argument("--filled", type=float, default=0,
               help="paint: up to this share of a picture's tokens is written by the token Transformer")
p.add_argument("--belonging", type=float, default=0.005, help="refine: weight of words being told by the picture")
p.add_argument("--composed", type=int, default=5_000, help="refine: of how many pictures something is composed")
p.add_argument("--r1", type=float, default=0.02)
p.add_argument("--kl", type=float, default=0.005, help="weight of the distance of z from normal (direct)")
a = p.parse_args()

WANT = ["dragon", "fox", "castle", "sailboat", "crown", "ghost", "locomotive", "full moon", "dagger",
        "house", "owl", "rose", "mage", "wolf", "bread", "deciduous tree"]
cuda = a.device.startswith("cuda")
if cuda:
    torch.set_float32_matmul_precision("high")
else:
    torch.set_num_threads(a.threads)
torch.manual_seed(a.seed)
autocast = lambda: torch.autocast("cuda" if cuda else "cpu", torch.bfloat16)
data = Data(a.data, a.device)
os.makedirs(a.run, exist_ok=True)
stopping = []
signal.signal(signal.SIGTERM, lambda *_: stopping.append(1))
at = lambda name: os.path.join(a.run, name)


def say(*words):
    line = " ".join(str(w) for w in words)
    print(line, flush=True)
    with open(at(f"{a.phase}.log"), "a") as f:
        f.write(line + "\n")


def optimizer(parameters, lr, beta=0.9):
    return torch.optim.AdamW(parameters, lr, betas=(beta, 0.99), weight_decay=0.01, fused=cuda or None)


class Muon:
    """Steps of orthogonal shape for the blocks' matrices (Jordan et al. 2024, with the scale of Liu et
    al. 2025, arXiv 2502.16982, so that AdamW's rate holds), AdamW's for the rest."""

    def __init__(self, model, lr):
        self.matrices = [q for n, q in model.named_parameters()
                         if ("block." in n or "fine." in n) and q.ndim == 2]
        mine = {id(q) for q in self.matrices}
        self.rest = optimizer([q for q in model.parameters() if id(q) not in mine], lr)
        self.momentum = [torch.zeros_like(q) for q in self.matrices]
        self.param_groups = self.rest.param_groups
        self.alike = {}
        for i, q in enumerate(self.matrices):
            self.alike.setdefault(tuple(q.shape), []).append(i)

    def state_dict(self):
        return dict(momentum=self.momentum, rest=self.rest.state_dict())

    def load_state_dict(self, state):
        if "rest" not in state:
            return  # a checkpoint of AdamW's: its moments are gathered anew
        self.rest.load_state_dict(state["rest"])
        for m, s in zip(self.momentum, state["momentum"]):
            m.copy_(s)

    def zero_grad(self):
        self.rest.zero_grad()
        for q in self.matrices:
            q.grad = None

    @torch.no_grad()
    def step(self):
        self.rest.step()
        lr = self.param_groups[0]["lr"]
        for shape, which in self.alike.items():
            g = torch.stack([self.matrices[i].grad for i in which])
            m = torch.stack([self.momentum[i] for i in which]).lerp_(g, 0.05)
            for i, row in zip(which, m):
                self.momentum[i].copy_(row)
            u = orthogonal(g.lerp(m, 0.95)) * (0.2 * max(shape) ** 0.5)
            for i, row in zip(which, u):
                self.matrices[i].mul_(1 - 0.01 * lr).sub_(row, alpha=lr)


def orthogonal(g):
    """Newton-Schulz, five rounds, of matrices [n, rows, columns]."""
    x = g.bfloat16()
    tall = x.shape[1] > x.shape[2]
    x = x.transpose(1, 2) if tall else x
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(5):
        y = x @ x.transpose(1, 2)
        x = 3.4445 * x + (-4.7750 * y + 2.0315 * y @ y) @ x
    return (x.transpose(1, 2) if tall else x).float()


def rate(seen, step, elapsed):
    left = (a.until - seen) / a.decay if a.decay else 1.0
    if a.cool:
        left = min(left, (1 - elapsed / (a.minutes * 60)) / a.cool)
    return min(1.0, step / 200) * max(0.05, min(1.0, left))


@torch.no_grad()
def average(mean, now, step):
    keep = min(0.5 ** (a.batch / 15_000), 1 - 1 / (step * 0.1 + 2))  # half of it after 15,000 pictures
    torch._foreach_lerp_(list(mean.parameters()), list(now.parameters()), 1 - keep)


def reconstruction(x, y):
    """L1 at four sizes, and of the differences between neighbours (edges)."""
    edges = 0.0
    for d in (2, 3):
        edges = edges + (x.diff(dim=d) - y.diff(dim=d)).abs().mean()
    total = edges
    for _ in range(4):
        total = total + (x - y).abs().mean()
        x, y = F.avg_pool2d(x, 2), F.avg_pool2d(y, 2)
    return total


class Loop:
    """Counts, keeps and resumes: modules and optimizers by name."""

    def __init__(self, **parts):
        self.parts, self.step, self.seen = parts, 0, 0
        self.rng = np.random.default_rng(a.seed + 1)
        self.start = self.saved = self.drawn = self.spoken = time.time()
        path = at(f"{a.phase}.pt")
        if os.path.exists(path):
            state = torch.load(path, map_location=a.device, weights_only=False)
            for name, part in parts.items():
                part.load_state_dict(state[name])
            self.step, self.seen = state["step"], state["seen"]
            self.rng.bit_generator.state = state["rng"]
            torch.set_rng_state(state["torch"].cpu())
            say("resumed at", self.step, "steps,", self.seen, "pictures")
        self.begun = self.seen

    def save(self):
        state = {name: part.state_dict() for name, part in self.parts.items()}
        state |= dict(step=self.step, seen=self.seen, rng=self.rng.bit_generator.state,
                      torch=torch.get_rng_state())
        torch.save(state, at(f"{a.phase}.pt.part"))
        os.replace(at(f"{a.phase}.pt.part"), at(f"{a.phase}.pt"))
        self.saved = time.time()

    def go_on(self):
        return not stopping and self.seen < a.until and time.time() - self.start < a.minutes * 60

    def tick(self, metrics, draw):
        self.step += 1
        self.seen += a.batch
        now = time.time()
        if now - self.spoken > 30 or self.step == 1:
            self.spoken = now
            pace = (self.seen - self.begun) / (now - self.start)
            values_ = " ".join(f"{k} {float(torch.as_tensor(v).detach()):.4f}" for k, v in metrics().items())
            if "nan" in values_:
                raise SystemExit("the loss is not a number; the last checkpoint stands")
            say(f"step {self.step} pictures {self.seen} {pace:.1f}/s", values_)
        if now - self.saved > a.save * 60:
            self.save()
        if now - self.drawn > a.sheets * 60:
            self.drawn = now
            draw()


def set_rate(o, base, loop):
    for g in o.param_groups:
        g["lr"] = base * rate(loop.seen, loop.step + 1, time.time() - loop.start)


def batch(loop):
    index = data.pick(loop.rng, a.batch)
    flip = torch.as_tensor(loop.rng.integers(0, 2, a.batch), device=a.device)
    text, style = data.condition(loop.rng, index)
    text = text + 0.05 * torch.randn_like(text)
    return index, data.images(index, flip), text, style, flip


def without(text, style, condition, rng, share=0.1):
    """Some rows without words and style, for guidance; some without style only: any will do."""
    chance = torch.as_tensor(rng.random(len(text)), device=text.device)
    neither, any_ = chance < share, chance < 1.5 * share
    return (torch.where(neither[:, None], condition.none.to(text.dtype), text),
            torch.where(any_, torch.full_like(style, SIZES.styles), style))


LOOK = np.random.default_rng(7)
SEEN = LOOK.choice(np.nonzero((data.part == TRAIN) & (data.tone == 0) & ~data.styles_are("ink"))[0], 16, False)
PAIR = LOOK.choice(np.nonzero((data.part == HELD_PAIR) & (data.tone == 0) & ~data.styles_are("ink"))[0], 16, False)
NEW = LOOK.choice(np.nonzero((data.part == HELD_CONCEPT) & (data.tone == 0) & ~data.styles_are("ink"))[0], 16, False)


@torch.no_grad()
def sheet_of_reconstructions(encoder, generator, name):
    rows, score = [], []
    for index in (SEEN, PAIR, NEW):
        x = data.images(index)
        text, style = data.labels_of(index)
        y = generator(quantize(encoder(x)), text, style, torch.zeros_like(style))
        score.append(f"{sheet.psnr(x, y):.2f}")
        rows += [x, y]
    sheet.save(rows, at(name), scale=1)
    say("PSNR seen, held pair, held concept:", *score)


def drawings(draw):
    """Sixteen wanted concepts in some styles; then what is known beside a drawing of it."""
    rows = []
    concepts = np.array([data.labels.index(w) for w in WANT])
    text = data.text[[data.captions[c, 0][0] for c in concepts]]
    for style, seed in ((0, 1), (0, 2), (3, 1), (4, 1), (5, 1), (8, 1)):
        rows.append(draw(text, torch.full((len(concepts),), style, device=a.device), seed, concepts))
    return rows


@torch.no_grad()
def sheet_of_tokens(transformer, generator, table, name):
    transformer.eval()

    def draw(text, style, seed, concepts):
        flip = torch.zeros_like(style)
        g = torch.Generator().manual_seed(seed)
        memory = recalled(data.others(concepts, 0 * concepts, style.cpu().numpy()), flip, table)
        tokens = transformer.draw(text, style, flip, generator=g, memory=memory)
        return generator(values(tokens), text, style, flip)

    rows = drawings(draw)
    for index in (SEEN, PAIR, NEW):
        rows += [data.images(index), draw(*data.labels_of(index), 1, data.concept[index])]
    sheet.save(rows, at(name), titles=WANT)


@torch.no_grad()
def sheet_of_one_pass(encoder, generator, name):
    def draw(text, style, seed, _=None):
        z = torch.randn(len(text), generator.latent, generator=torch.Generator().manual_seed(seed))
        return generator(z.to(a.device), text, style, torch.zeros_like(style))

    rows, score = drawings(draw), []
    for index in (SEEN, PAIR, NEW):
        x = data.images(index)
        text, style = data.labels_of(index)
        y = generator(encoder(x)[0], text, style, torch.zeros_like(style))
        rows += [x, y, draw(text, style, 1)]
        score.append(" ".join(f"{sheet.psnr(x, other):.2f}" for other in rows[-2:]))
    sheet.save(rows, at(name), titles=WANT)
    say("PSNR of reconstruction and draw; seen, held pair, held concept:", ", ".join(score))


def compiled(module):
    # The adaptive weight reads a graph twice.
    torch._functorch.config.donated_buffer = False
    return torch.compile(module, dynamic=False) if a.compile else module


def likened():
    """How unlike pictures look to a network of others (Johnson et al. 2016; Esser et al. 2021)."""
    if not a.perceptual:
        return lambda x, y: torch.zeros(())
    features = Features().to(a.device).eval()

    def look(x, y):
        with torch.no_grad():
            wanted = features(x)
        return unlike(features(y), wanted)

    run = compiled(look)

    def likeness(x, y):
        with autocast():
            return run(x, y)

    return likeness


def begun(module, name):
    """The module with exported weights, where --from names some."""
    if a.begin:
        found = load_floats(os.path.join(a.begin, f"{name}.safetensors"))
        with torch.no_grad():
            for key, wanted in module.state_dict().items():
                if key in found:  # what is larger than it was begins as the module does
                    some = tuple(slice(min(n, m)) for n, m in zip(wanted.shape, found[key].shape))
                    wanted[some] = found[key][some].to(wanted)
    return module.float().to(a.device)


def autoencoder():
    """The first phase's encoder, frozen, and generator; of a run, or of exported weights."""
    path = at("reconstruct.pt")
    if os.path.exists(path) or not a.begin:
        state = torch.load(path, map_location=a.device, weights_only=False)
        encoder, generator = Encoder().to(a.device), Generator().to(a.device)
        encoder.load_state_dict(state["encoder_mean"])
        generator.load_state_dict(state["generator_mean"])
    else:
        encoder, generator = begun(Encoder(), "encoder"), begun(Generator(), "generator")
    return encoder.eval().requires_grad_(False), generator


def reconstruct():
    encoder, generator = begun(Encoder(), "encoder"), begun(Generator(), "generator")
    means = copy.deepcopy(encoder), copy.deepcopy(generator)
    both = torch.nn.ModuleList([encoder, generator])
    o = Muon(both, a.lr) if a.muon else optimizer(both.parameters(), a.lr)
    loop = Loop(encoder=encoder, generator=generator, encoder_mean=means[0],
                generator_mean=means[1], optimizer=o)
    run_encoder, run_generator, likeness = compiled(encoder), compiled(generator), likened()
    draw = lambda: sheet_of_reconstructions(*means, "reconstruct.png")
    while loop.go_on():
        set_rate(o, a.lr, loop)
        _, x, text, style, flip = batch(loop)
        text, style = without(text, style, generator.condition, loop.rng)
        shift = loop.rng.integers(-2, 3, 2)
        x = torch.roll(x, tuple(int(s) for s in shift), (2, 3))
        with autocast():
            codes = quantize(run_encoder(x))
            y = run_generator(codes, text, style, flip)
        rec, look = reconstruction(x, y), likeness(x, y)
        # Squares at the start: src/train/reconstruct.rs says why.
        squares = 0 if a.begin else 8 * max(0, 1 - loop.step / 400) * (x - y).square().mean()
        loss = rec + squares + a.perceptual * look
        o.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(both.parameters(), 5.0)
        o.step()
        average(means[0], encoder, loop.step + 1)
        average(means[1], generator, loop.step + 1)
        loop.tick(lambda: dict(loss=loss, rec=rec, look=look, codes=len(torch.unique(digits(codes).flatten(0, 1), dim=0))), draw)
    loop.save()
    draw()


@torch.no_grad()
def all_tokens(encoder):
    """[pictures, 2, 64, 6]: as they are and flipped."""
    out = []
    for start in range(0, len(data.concept), 256):
        index = np.arange(start, min(start + 256, len(data.concept)))
        one = []
        for flipped in (0, 1):
            flips = torch.full((len(index),), flipped, device=a.device)
            one.append(digits(quantize(encoder(data.images(index, flips)))).to(torch.uint8))
        out.append(torch.stack(one, 1))
    return torch.cat(out)


def some(rng, others, keep=0.7):
    """Some of the pictures that can be remembered, one in ten as in no known style."""
    others = np.where(rng.random(others.shape) < keep, others, -1)
    for row in np.nonzero(rng.random(len(others)) < 0.1)[0]:
        there = np.nonzero(others[row] >= 0)[0]
        if len(there):
            one = rng.choice(there)
            others[row, -1], others[row, one] = others[row, one], -1
    return others


def recalled(others, flip, table):
    """Their tokens [B, styles + 1, 64, 12], and which there are [B, styles + 1]."""
    others = torch.as_tensor(others, device=a.device)
    return table[others.clamp(min=0), flip[:, None]].long(), others >= 0


def forgetful(rng, text, style, has, condition):
    """One row in ten without words, style and memory, for guidance; some without style only: any will
    do. Half of those that remember have no words, so that memory is learned to be read; and one in
    six forgets."""
    chance = torch.as_tensor(rng.random((3, len(text))), device=text.device)
    neither, any_ = chance[0] < 0.1, chance[0] < 0.15
    has = has & ~(neither | (chance[1] < 1 / 6))[:, None]
    wordless = neither | (has.any(1) & (chance[2] < 0.5))
    return (torch.where(wordless[:, None], condition.none.to(text.dtype), text),
            torch.where(any_, torch.full_like(style, SIZES.styles), style), has)


def tokens():
    encoder, generator = autoencoder()
    table = all_tokens(encoder)
    held = np.nonzero((data.part == HELD_PAIR) & (data.tone == 0))[0]
    seen = np.random.default_rng(5).choice(np.nonzero((data.part == TRAIN) & (data.tone == 0))[0], len(held), False)
    model = begun(TokenTransformer(), "tokens")
    mean = copy.deepcopy(model)
    o = Muon(model, a.lr) if a.muon else optimizer(model.parameters(), a.lr)
    loop = Loop(model=model, mean=mean, optimizer=o)
    model.drop = a.drop
    run_loss = torch.compile(model.loss) if a.compile else model.loss

    @torch.no_grad()
    def held_out(index, given, remember):
        mean.eval()
        rng = np.random.default_rng(9)
        losses = []
        for part in np.array_split(index, len(index) // 128 + 1):
            t = table[torch.as_tensor(part, device=a.device), 0].long()
            known = torch.as_tensor(rng.random((len(part), 64)) < given, device=a.device)
            text, style = data.labels_of(part)
            flip = torch.zeros_like(style)
            others = data.others(data.concept[part], data.tone[part], data.style[part])
            memory, has = recalled(others if remember else np.full_like(others, -1), flip, table)
            with autocast():
                losses.append(float(mean.loss(t, known, text, style, flip, ones=mean.remembered(memory, has), has=has)))
        return float(np.mean(losses))

    def draw():
        for given in (0.5, 0.0):
            for remember in (True, False):
                say(f"{given} given, {'remembering' if remember else 'by words'}:",
                    f"held {held_out(held, given, remember):.3f} seen {held_out(seen, given, remember):.3f} nats a token")
        sheet_of_tokens(mean, generator, table, "tokens.png")

    smooth = None
    model.train()
    while loop.go_on():
        set_rate(o, a.lr, loop)
        index = data.pick(loop.rng, a.batch)
        flip = torch.as_tensor(loop.rng.integers(0, 2, a.batch), device=a.device)
        text, style = data.condition(loop.rng, index)
        text = text + 0.05 * torch.randn_like(text)
        t = table[torch.as_tensor(index, device=a.device), flip].long()
        others = data.others(data.concept[index], data.tone[index], data.style[index])
        memory, has = recalled(some(loop.rng, others), flip, table)
        text, style, has = forgetful(loop.rng, text, style, has, model.condition)
        share = np.cos(np.pi / 2 * loop.rng.random((a.batch, 1)))  # of unknown tokens
        known = torch.as_tensor(loop.rng.random((a.batch, 64)) >= share, device=a.device)
        with autocast():
            loss = run_loss(t, known, text, style, flip, ones=model.remembered(memory, has), has=has)
        o.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        o.step()
        average(mean, model, loop.step + 1)
        smooth = loss.detach() if smooth is None else 0.98 * smooth + 0.02 * loss.detach()
        loop.tick(lambda: dict(loss=smooth), draw)
    loop.save()
    draw()


def judged(d, run_d, step, x, drawn, text, style):
    """The discriminator's loss: real pictures, some drawn of each, real ones beside other words."""
    n = len(x)
    shown = torch.cat([x, *(y.detach() for y in drawn), x])
    words = torch.cat([text] * (1 + len(drawn)) + [text.roll(1, 0)])
    with autocast():
        scores, _ = run_d(shown, words, style.repeat(2 + len(drawn)))
    real, *false, mismatched = scores.split(n)
    loss = sum(F.softplus(f - real).mean() for f in false) / len(drawn)
    loss = loss + 0.5 * F.softplus(mismatched - real).mean()
    if step % 8 == 0:  # R1 (Mescheder et al. 2018), lazily: eight times the weight
        xr = x.detach().requires_grad_(True)
        score, _ = d(xr, text, style)
        (slope,) = torch.autograd.grad(score.sum(), xr, create_graph=True)
        loss = loss + 8 * a.r1 / 2 * slope.square().sum((1, 2, 3)).mean()
    return loss


def fooled(d, run_d, x, drawn, text, style):
    """The generator's loss against the discriminator, feature matching of the first drawn ones with
    the real, and how far apart the scores are."""
    n, k = len(x), len(drawn)
    d.requires_grad_(False)
    with autocast():
        with torch.no_grad():
            real, wanted = run_d(x, text, style)
        false, got = run_d(torch.cat(drawn), text.repeat(k, 1), style.repeat(k))
    d.requires_grad_(True)
    adversarial = sum(F.softplus(real - f).mean() for f in false.split(n)) / k
    matching = sum((w.float() - h[:n].float()).abs().mean() for w, h in zip(wanted, got))
    return adversarial, matching, (real - false[-n:]).mean()


def clipped_step(o, loss, parameters):
    o.zero_grad()
    loss.backward()
    torch.nn.utils.clip_grad_norm_(parameters, 5.0)
    o.step()


def balance(weight, rec, adversarial, last):
    """The adaptive weight (Esser et al. 2021), on the last layer."""
    slopes = [torch.autograd.grad(l, last, retain_graph=True)[0].norm() for l in (rec, adversarial)]
    return (0.9 * weight + 0.1 * slopes[0] / (slopes[1] + 1e-6)).clamp(0, 100).detach()


def paint():
    encoder, generator = autoencoder()
    d = Discriminator().to(a.device)
    mean = copy.deepcopy(generator)
    og = optimizer(generator.parameters(), a.lr * 0.3)
    od = optimizer(d.parameters(), a.lr * 0.3, 0.5)
    loop = Loop(generator=generator, mean=mean, discriminator=d, og=og, od=od)
    g, run_d, likeness = compiled(generator), d, likened()  # to compile the discriminator takes too long
    composer = None
    if a.filled and os.path.exists(at("tokens.pt")):
        composer = TokenTransformer().to(a.device).eval().requires_grad_(False)
        state = torch.load(at("tokens.pt"), map_location=a.device, weights_only=False)
        composer.load_state_dict(state["mean"])
        del state
    weight = torch.ones((), device=a.device)
    draw = lambda: sheet_of_reconstructions(encoder, mean, "paint.png")
    while loop.go_on():
        set_rate(og, a.lr * 0.3, loop)
        set_rate(od, a.lr * 0.3, loop)
        _, x, text, style, flip = batch(loop)
        with torch.no_grad(), autocast():
            codes = quantize(encoder(x))
            if composer:
                # Tokens as the Transformer writes them: what the generator will be given to paint.
                known = torch.as_tensor(
                    loop.rng.random((a.batch, 64)) >= a.filled * loop.rng.random((a.batch, 1)),
                    device=a.device)
                codes = values(composer.filled(digits(codes), known, text, style, flip))
        with autocast():
            fake = g(codes, text, style, flip)
        loss_d = judged(d, run_d, loop.step, x, [fake], text, style)
        clipped_step(od, loss_d, d.parameters())

        adversarial, matching, gap = fooled(d, run_d, x, [fake], text, style)
        rec, look = reconstruction(x, fake), likeness(x, fake)
        if loop.step % 16 == 0:
            weight = balance(weight, rec, adversarial, generator.conv4.weight)
        ramp = min(1.0, loop.seen / 20_000)
        loss = rec + a.perceptual * look + ramp * (a.adversarial * weight * adversarial + 0.2 * matching)
        clipped_step(og, loss, generator.parameters())
        average(mean, generator, loop.step + 1)
        loop.tick(lambda: dict(rec=rec, look=look, d=loss_d, g=adversarial, fm=matching, weight=weight, gap=gap), draw)
    loop.save()
    draw()


@torch.no_grad()
def composed_tokens(composer, table):
    """What drawing would compose of --composed pictures that are trained on, as they are and flipped, and
    of which there is some; kept in the run's folder, since it takes a while."""
    path = at("composed.pt")
    if os.path.exists(path):
        return torch.load(path, map_location=a.device)
    plain = np.where(data.tone == 0, data.weight, 0)
    tokens, there = torch.zeros_like(table), torch.zeros(table.shape[:2], dtype=torch.bool, device=a.device)
    rng = np.random.default_rng(a.seed + 2)
    count = min(a.composed, int((plain > 0).sum()))
    which = rng.choice(len(plain), count, False, p=plain / plain.sum())
    for flipped in (0, 1):
        for index in np.array_split(rng.permutation(which), len(which) // 128 + 1):
            text, style = data.condition(rng, index)
            flip = torch.full_like(style, flipped)
            memory = recalled(data.others(data.concept[index], data.tone[index], data.style[index]), flip, table)
            with autocast():
                # How strongly what is remembered pulls is by chance: so drawing may have it either way.
                composed = composer.draw(text, style, flip, memory=memory, recall=rng.uniform(1, 4))
                tokens[index, flipped] = composed.to(table.dtype)
            there[index, flipped] = True
        say(int(there.sum()), "composed")
    torch.save((tokens, there), path)
    return tokens, there


def partly_composed(rng, real, composed, there):
    """Six rows in ten as they were composed, one in seven as the encoder has them, the others of both."""
    chance, share = rng.random((len(real), 1)), rng.random((len(real), 1))
    share = np.where(chance < 0.6, 1.0, np.where(chance < 0.85, share, 0.0))
    use = torch.as_tensor(rng.random((len(real), 64)) < share, device=real.device) & there[:, None]
    return torch.where(use[..., None], composed, real).long(), use.float().mean(1)


def refine():
    """Refiner and generator together against a critic, on what was composed: the pictures that were
    wanted say how it should look, the critic that it is sharp and what the words say."""
    encoder, generator = autoencoder()
    composer = begun(TokenTransformer(), "tokens").eval().requires_grad_(False)
    refiner = begun(Refiner(), "refiner" if os.path.exists(os.path.join(a.begin, "refiner.safetensors")) else "tokens")
    table = all_tokens(encoder)
    composed, there = composed_tokens(composer, table)
    data.only(np.where(there.cpu().numpy().all(1), data.weight, 0))
    features = Features().to(a.device).eval()
    critic = Critic().to(a.device)
    means = copy.deepcopy(refiner), copy.deepcopy(generator)
    both = torch.nn.ModuleList([refiner, generator])
    og = Muon(both, a.lr)
    oc = optimizer(critic.parameters(), a.lr, 0.5)
    loop = Loop(refiner=refiner, generator=generator, refiner_mean=means[0], generator_mean=means[1],
                critic=critic, og=og, oc=oc)
    refiner.train()
    refiner.drop = a.drop

    def painted(tokens, text, style, flip, ones, has, words):
        codes = refiner(tokens, text, style, flip, ones, has)
        return generator(codes, words, style, flip)

    def looked(y):
        return [f.float() for f in features(y)]

    run_painted, run_looked = compiled(painted), compiled(looked)
    smooth = {}

    def draw():
        refined = [means[0].eval()]
        rows = drawings(lambda text, style, seed, concepts: refine_drawn(composer, *refined, means[1], table, text, style, seed, concepts))
        for index in (SEEN, PAIR, NEW):
            text, style = data.labels_of(index)
            rows += [data.images(index), refine_drawn(composer, *refined, means[1], table, text, style, 1, data.concept[index])]
        sheet.save(rows, at("refine.png"), titles=WANT)

    while loop.go_on():
        set_rate(og, a.lr, loop)
        set_rate(oc, a.lr, loop)
        index, x, text, style, flip = batch(loop)
        where = torch.as_tensor(index, device=a.device)
        tokens, share = partly_composed(loop.rng, table[where, flip], composed[where, flip], there[where, flip])
        others = data.others(data.concept[index], data.tone[index], data.style[index])
        memory, has = recalled(some(loop.rng, others, 0.85), flip, table)
        chance = torch.as_tensor(loop.rng.random(len(index)), device=a.device)
        dumb = (chance < 0.05)[:, None]
        any_ = torch.where(chance < 0.15, torch.full_like(style, SIZES.styles), style)
        with autocast():
            y = run_painted(tokens, torch.where(dumb, refiner.condition.none, text), any_, flip,
                            refiner.remembered(memory, has), has, torch.where(dumb, generator.condition.none, text))
            # Moved by chance, or patterns that only the network's own grid can see would be rewarded.
            shift = tuple(int(n) for n in loop.rng.integers(-3, 4, 2))
            found = run_looked(y.roll(shift, (2, 3)))
            with torch.no_grad():
                wanted = run_looked(x.roll(shift, (2, 3)))
        look = unlike(found, wanted)
        pick = lambda f: [f[2], f[3], f[5]]

        # The critic: what is real beside what is painted and beside others' words.
        with autocast():
            real, h = critic(pick(wanted), text, style)
            false, _ = critic([f.detach() for f in pick(found)], text, style)
            other, _ = critic(pick(wanted), *mismatched(text, style))
        same = torch.arange(len(x), device=a.device)
        told = F.cross_entropy(critic.belongs(h, text), same)
        loss_c = sum(F.softplus(f - r).mean() + 0.5 * F.softplus(o - r).mean() for f, r, o in zip(false, real, other)) / len(real)
        clipped_step(oc, loss_c + told, critic.parameters())

        critic.requires_grad_(False)
        with autocast():
            with torch.no_grad():
                real, _ = critic(pick(wanted), text, style)
            false, h = critic(pick(found), text, style)
        critic.requires_grad_(True)
        adversarial = sum(F.softplus(r - f).mean() for f, r in zip(false, real)) / len(real)
        belonging = F.cross_entropy(critic.belongs(h, text), same)
        weight = (1 - 0.2 * share)[:, None, None, None]
        rec = reconstruction(x * weight, y * weight)
        ramp = min(1.0, loop.seen / 6_000)
        loss = rec + a.perceptual * look + ramp * (a.adversarial * adversarial + a.belonging * belonging)
        clipped_step(og, loss, both.parameters())
        average(means[0], refiner, loop.step + 1)
        average(means[1], generator, loop.step + 1)
        gap = sum((r - f).mean() for r, f in zip(real, false)) / len(real)
        for k, v in dict(rec=rec, look=look, c=loss_c, told=told, g=adversarial, belongs=belonging, gap=gap).items():
            smooth[k] = 0.98 * smooth.get(k, v.detach()) + 0.02 * v.detach()
        loop.tick(lambda: smooth, draw)
    loop.save()
    draw()


def mismatched(text, style):
    """Of the first half of a batch the words of another picture, of the second another's style; where
    that is its own after all, real is told from real, which has no slope."""
    first = torch.arange(len(style), device=style.device) < len(style) // 2
    return torch.where(first[:, None], text.roll(1, 0), text), torch.where(first, style, style.roll(1, 0))


@torch.no_grad()
def refine_drawn(composer, refiner, generator, table, text, style, seed, concepts):
    flip = torch.zeros_like(style)
    memory = recalled(data.others(concepts, 0 * concepts, style.cpu().numpy()), flip, table)
    tokens = composer.draw(text, style, flip, generator=torch.Generator().manual_seed(seed), memory=memory)
    codes = refiner(tokens, text, style, flip, refiner.remembered(*memory), memory[1])
    return generator(codes, text, style, flip)


def direct():
    """Encoder and generator on reconstruction through z, and the generator against the discriminator
    on reconstructions and on draws of z by chance (CVAE-GAN, Bao et al. 2017)."""
    encoder, generator = begun(DirectEncoder(), "encoder"), begun(DirectGenerator(), "generator")
    d = Discriminator().to(a.device)
    means = copy.deepcopy(encoder), copy.deepcopy(generator)
    both = torch.nn.ModuleList([encoder, generator])
    og = Muon(both, a.lr) if a.muon else optimizer(both.parameters(), a.lr)
    od = optimizer(d.parameters(), a.lr * 0.3, 0.5)
    loop = Loop(encoder=encoder, generator=generator, encoder_mean=means[0], generator_mean=means[1],
                discriminator=d, og=og, od=od)
    run_encoder, g, run_d = compiled(encoder), compiled(generator), compiled(d)
    weight = torch.ones((), device=a.device)
    draw = lambda: sheet_of_one_pass(*means, "direct.png")
    while loop.go_on():
        set_rate(og, a.lr, loop)
        set_rate(od, a.lr * 0.3, loop)
        _, x, text, style, flip = batch(loop)
        n = len(x)
        some, any_ = without(text, style, generator.condition, loop.rng)
        with autocast():
            mean, log_variance = run_encoder(x)
            z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
            z = torch.cat([z, torch.randn_like(z)])
            y = g(z, torch.cat([some, text]), torch.cat([any_, style]), flip.repeat(2))
        drawn = back, free = y.split(n)
        loss_d = judged(d, run_d, loop.step, x, drawn, text, style)
        clipped_step(od, loss_d, d.parameters())

        adversarial, matching, gap = fooled(d, run_d, x, drawn, text, style)
        rec, kl = reconstruction(x, back), divergence(mean, log_variance)
        if loop.step % 16 == 0:
            weight = balance(weight, rec, adversarial, generator.conv4.weight)
        ramp, warm = min(1.0, loop.seen / 40_000), min(1.0, loop.seen / 20_000)
        # Squares at the start: src/train/reconstruct.rs says why.
        squares = 0 if a.begin else 8 * max(0, 1 - loop.step / 400) * (x - back).square().mean()
        loss = rec + squares + warm * a.kl * kl
        loss = loss + ramp * (a.adversarial * weight * adversarial + 0.2 * matching)
        clipped_step(og, loss, both.parameters())
        average(means[0], encoder, loop.step + 1)
        average(means[1], generator, loop.step + 1)
        loop.tick(lambda: dict(rec=rec, kl=kl, d=loss_d, g=adversarial, fm=matching, weight=weight, gap=gap,
                               spread=free.std(0).mean()), draw)
    loop.save()
    draw()


def export():
    os.makedirs(a.out, exist_ok=True)
    sizes = DIRECT if os.path.exists(at("direct.pt")) else SIZES
    networks = one_pass_means() if sizes is DIRECT else composed_means()
    for name, tensors in networks.items():
        half = {k: v.detach().cpu().half().contiguous() for k, v in tensors.items()}
        save_file(half, os.path.join(a.out, f"{name}.safetensors"))
    if sizes is SIZES:
        remembered(networks["encoder"])
    config = sizes.config(data.styles, [round(float(v), 7) for v in data.mean], data.scale)
    with open(os.path.join(a.out, "config.json"), "w") as f:
        json.dump(config, f)
    concepts()


def one_pass_means():
    state = torch.load(at("direct.pt"), map_location="cpu", weights_only=False)
    return dict(encoder=state["encoder_mean"], generator=state["generator_mean"])


def composed_means():
    encoder, generator = autoencoder()
    found = dict(encoder=encoder.state_dict(), generator=generator.state_dict())
    for name in ("tokens", "refiner"):  # what was begun with, where nothing has trained on
        if a.begin and os.path.exists(os.path.join(a.begin, f"{name}.safetensors")):
            found[name] = load_floats(os.path.join(a.begin, f"{name}.safetensors"))
    for phase, part, name in (("paint", "mean", "generator"), ("tokens", "mean", "tokens"),
                              ("refine", "generator_mean", "generator"), ("refine", "refiner_mean", "refiner")):
        path = at(f"{phase}.pt")
        if os.path.exists(path):
            found[name] = torch.load(path, map_location="cpu", weights_only=False)[part]
    return found


@torch.no_grad()
def remembered(encoder):
    """Tokens of the pictures, held out or not, one a thing and style, each token as one number."""
    reader = Encoder()
    reader.load_state_dict(encoder)
    reader.eval()
    shown = sorted(set(data.concept.tolist()))
    kept = {}
    for i in np.nonzero(data.tone == 0)[0]:
        kept.setdefault((shown.index(data.concept[i]), int(data.style[i])), i)
    keys = sorted(kept)
    value = torch.tensor([int(np.prod(SIZES.levels[:k])) for k in range(len(SIZES.levels))])
    tokens = []
    for part in np.array_split([kept[k] for k in keys], len(keys) // 256 + 1):
        tokens.append((digits(quantize(reader(data.images(part).cpu()))).long() * value).sum(-1))
    table = dict(tokens=torch.cat(tokens).to(torch.uint32),
                 concept=torch.tensor([c for c, _ in keys], dtype=torch.uint32),
                 style=torch.tensor([s for _, s in keys], dtype=torch.uint32))
    save_file(table, os.path.join(a.out, "memory.safetensors"))
    say(len(keys), "pictures remembered")


def concepts():
    """The table of what can be drawn: the concepts of the pictures, their labels and tags."""
    shown = sorted(set(data.concept.tolist()))
    raw = np.load(a.data)
    rows, owner = [], []
    for number, c in enumerate(shown):
        all_ = data.words["concepts"][c]["captions"]
        plain = all_[0].removeprefix("person ")
        # The label first; then the tags that stand alone.
        for caption, row in zip(all_, data.captions[c, 0]):
            joined = caption.startswith((plain + " ", plain + ",", "a ", "an "))
            if caption == all_[0] or caption == plain or not joined:
                rows.append(row)
                owner.append(number)
    table = dict(embeddings=torch.tensor(raw["embeddings"][rows]).half(),
                 concept=torch.tensor(owner, dtype=torch.uint32))
    labels = json.dumps([data.labels[c] for c in shown], ensure_ascii=False)
    save_file(table, os.path.join(a.out, "concepts.safetensors"), metadata=dict(labels=labels))
    say(len(shown), "concepts,", len(rows), "aliases")


globals()[a.phase]()
