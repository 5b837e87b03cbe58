#!/usr/bin/env python3
"""Writes three stories with illumine, locally or through a server, and compares the results.

    compare.py local FOLDER                                write with the local engine
    compare.py server FOLDER NAME URL [MODEL [ORACLE]]     write through a server, and compare

ILLUMINE is the program, GGUF the model file. FOLDER gets one JSON file for each server, which
table.py turns into Markdown. ORACLE is the address of another server with the same weights: its
log-probabilities are used if the server itself reports none.
"""

import json
import math
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

from tap import Tap

OPENING = "Once upon a time, in a lighthouse by the sea,"
QUESTION = "Name three things that a lighthouse keeper needs."
MEMORY = "A story about Mara, who keeps the light on the island of Sorrel, and her brother Tom."
PASSAGE = (
    "The boat came in late. Mara counted the barrels twice, because the harbour master had once "
    "cheated her of a week's oil, and she had sat in the dark for seven nights. \"You are thinner,\" "
    "said Tom. He stood in the stern with a rope in his hand and did not throw it. \"Has the light "
    "been good to you?\" She said that the light was the light. He threw the rope. The wind took the "
    "end and laid it across the rocks, where the gulls had left their shells, and she had to climb "
    "down for it in her good shoes. When she came up again, Tom had already"
)
STORIES = {
    "opening": [OPENING],
    "chat": ["--chat", QUESTION],
    "passage": ["--system", MEMORY, PASSAGE],
}
LENGTH = 32
# Greedy, without penalties.
NEUTRAL = ["temperature=0", "top_k=0", "top_p=1", "min_p=0", "repetition_penalty=1"]
NEUTRAL += ["dry_multiplier=0", "presence_penalty=0", "frequency_penalty=0"]
GREEDY = ["--seed", "1", *(part for setting in NEUTRAL for part in ("--set", setting))]
# How much worse than the best token, in nats, a token may be that another engine chooses.
TIE = 0.15
# How many of the best tokens a server reports.
BEST = 5


def illumine(arguments, lines=None):
    """Runs illumine without its user's settings: the exit code, the output and the messages."""
    foreign = ("ILLUMINE_", "HF_", "TRANSFORMERS_")
    mine = {name: it for name, it in os.environ.items() if not name.startswith(foreign)}
    if key := os.environ.get("ILLUMINE_API_KEY"):
        mine["ILLUMINE_API_KEY"] = key
    mine["XDG_CONFIG_HOME"] = tempfile.gettempdir() + "/no-configuration"
    command = [os.environ["ILLUMINE"], *arguments]
    done = subprocess.run(
        command, input=lines, env=mine, capture_output=True, text=True, timeout=600, check=False
    )
    return done.returncode, done.stdout, done.stderr.strip()


def write(story, engine):
    """Writes a story; returns what `illumine write --json` prints, or why it failed."""
    length = ["--max-tokens", str(LENGTH)]
    code, out, said = illumine(["write", "--json", *engine, *GREEDY, *length, *STORIES[story]])
    if code != 0:
        return {"failed": said or "exit code %d" % code}
    return json.loads(out) | {"said": said}


def ask(url, path, body):
    """The JSON answer to a POST; None if the server refuses it."""
    headers = {"content-type": "application/json"}
    if key := os.environ.get("ILLUMINE_API_KEY"):
        headers["authorization"] = "Bearer " + key
    request = urllib.request.Request(url + path, json.dumps(body).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)
    except (urllib.error.HTTPError, json.JSONDecodeError):
        return None


def vocabulary():
    """The bytes of each token id, from the GGUF file."""
    from gguf import GGUFReader

    field = GGUFReader(os.environ["GGUF"]).fields["tokenizer.ggml.tokens"]
    names = [bytes(field.parts[at]).decode() for at in field.data]
    # Byte-level BPE writes unprintable bytes as the characters from 256 on.
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    moved = [byte for byte in range(256) if byte not in plain]
    table = {chr(byte): byte for byte in plain}
    table |= {chr(256 + at): byte for at, byte in enumerate(moved)}
    return [bytes(table[c] for c in name) for name in names]


def prompt_ids(url, path, body):
    """The ids of the prompt's tokens as the server reports them, or only their number if it
    reports no more; and the route or field that reports them."""
    if path == "/completion":
        told = ask(url, "/tokenize", {"content": body["prompt"], "add_special": True})
        return told["tokens"], "`/tokenize`"
    chats = "messages" in body
    if chats and (shown := ask(url, "/apply-template", {"messages": body["messages"]})):
        text = {"content": shown["prompt"], "add_special": True, "parse_special": True}
        told = ask(url, "/tokenize", text)
        return told["tokens"], "`/apply-template` and `/tokenize`"
    short = without_stream(body) | {"max_tokens": 1}
    if told := ask(url, path, short | {"return_token_ids": True}):
        ids = told.get("prompt_token_ids") or told["choices"][0].get("prompt_token_ids")
        if ids:
            return ids, "`return_token_ids`"
    if not chats and (told := ask(url, "/extras/tokenize", {"input": body["prompt"]})):
        return told["tokens"], "`/extras/tokenize`"
    told = ask(url, path, short) or {}
    return (told.get("usage") or {}).get("prompt_tokens"), "`usage`"


def without_stream(body):
    return {name: it for name, it in body.items() if name != "stream_options"} | {"stream": False}


def best_tokens(url, path, body):
    """The best tokens, as (bytes, log-probability), at each place that the server reaches when it
    is asked again; nothing if it reports none."""
    if path == "/completion":
        more = {"n_probs": BEST}
    elif "messages" in body:
        more = {"logprobs": True, "top_logprobs": BEST}
    else:
        more = {"logprobs": BEST}
    answer = ask(url, path, without_stream(body) | more) or {}
    told = (answer.get("choices") or [{}])[0].get("logprobs") or {}
    places = answer.get("completion_probabilities") or told.get("content")
    if places is None:
        maps = [best or {} for best in told.get("top_logprobs") or []]
        rows = [[(text.encode(), by) for text, by in best.items()] for best in maps]
    else:
        pair = lambda row: (bytes(row.get("bytes") or row["token"].encode()), row["logprob"])
        rows = [[pair(row) for row in place["top_logprobs"]] for place in places]
    return [sorted(best, key=lambda row: -row[1]) for best in rows]


def local_gap(story, at, mine, taken):
    """How much better than `taken` the local engine finds its own token, in nats, from /alts;
    None if /alts does not list both."""
    *flags, text = STORIES[story]
    length = ["--set", "whole_sentences=off", "--max-tokens", str(at + 1)]
    command = ["repl", "live", "--private", "--offline", "--device", "cpu", *GREEDY, *length, *flags]
    word = mine.decode(errors="replace").strip()
    if not word:
        return None
    _, out, _ = illumine(command, text + "\n/alts " + word + "\n")
    rows = re.findall(r'^ *\d+  (".*") +([0-9.]+) % +after.*?(current|$)', out, re.MULTILINE)
    shares = {json.loads(name).encode(): float(share) for name, share, _ in rows}
    current = [json.loads(name).encode() for name, _, mark in rows if mark]
    if current != [mine] or not shares.get(mine) or not shares.get(taken):
        return None
    return math.log(shares[mine] / shares[taken])


def compared(story, local, text, places, elsewhere):
    """Whether two texts agree as far as those of two engines can, and a sentence about it."""
    left, at = text.encode(), 0
    while at < len(local["ids"]) and left.startswith(PIECES[local["ids"][at]]):
        left = left[len(PIECES[local["ids"][at]]) :]
        at += 1
    if at == len(local["ids"]):
        return not left, "goes on after the end" if left else "equal, %d tokens" % at
    mine = PIECES[local["ids"][at]]
    best, whose = (places[at], "on the server") if at < len(places) else ([], "")
    if not best:
        best = elsewhere(local["prompt_ids"] + local["ids"][:at])
        whose = "on the server behind it"
    taken = [row for row in best if (left.startswith(row[0]) if row[0] and left else row[0] in ENDS)]
    if not left and not taken:
        return False, "ends after %d of %d tokens" % (at, len(local["ids"]))
    there = "differs from token %d" % (at + 1)
    if not best:
        return False, there + ", without log-probabilities"
    kept = [row for row in best if row[0] == mine]
    if not taken or not kept:
        names = ", ".join("`%s` %.2f" % (shown(token), by) for token, by in best)
        return False, "%s: `%s` is not among %s" % (there, shown(mine), names)
    gap = best[0][1] - min(taken[0][1], kept[0][1])
    here = local_gap(story, at, mine, taken[0][0])
    said = "%s: `%s` or `%s`, %.2f nat %s" % (there, shown(mine), shown(taken[0][0]), gap, whose)
    said += "" if here is None else ", %.2f nat locally" % here
    return min(gap, gap if here is None else here) <= TIE, said


def shown(token):
    return token.decode(errors="replace").replace("\n", "\\n") or "(the end)"


# What a writer does, with illumine's usual settings: name, flags, lines.
PROBES = [
    ("prose", ["--max-tokens", "2"], OPENING + "\n/why\n/alts\n"),
    ("chat", ["--chat", "--max-tokens", "8"], QUESTION + "\n/continue\n/why\n"),
    ("bans", ["--max-tokens", "12", "--temperature", "0"], "/ban young\n" + OPENING + "\n"),
]


def server(folder, name, url, model="", oracle=""):
    """Writes the stories through a server and saves what it did."""
    place = urllib.parse.urlparse(url)
    tap = Tap(place.hostname, place.port)
    engine = ["--model", tap.url + ("#" + model if model else "")]
    own = json.loads((folder / "local.json").read_text())
    _, about, said = illumine(["repl", "live", "--private", *engine], "/model\n")
    result = {"about": about, "said": said, "stories": {}, "probes": {}}
    for story in STORIES:
        before = len(tap.requests())
        it = write(story, engine)
        asked = [one for one in tap.requests()[before:] if one[1].get("stream")]
        row = {name: it.get(name) for name in ("text", "said", "failed", "stop")}
        row["requests"] = [[path, body, got.decode(errors="replace")] for path, body, got in asked]
        result["stories"][story] = row
        if "failed" in it:
            continue
        path, body, _ = asked[-1]
        ids, how = prompt_ids(url, path, body)
        want = own[story]["prompt_ids"]
        same = ids == (want if isinstance(ids, list) else len(want))
        row["prompt"] = {"same": same, "how": how, "ids": ids}

        def elsewhere(ids):
            one = {"prompt": ids, "max_tokens": 1, "temperature": 0, "model": "smollm2"}
            found = best_tokens(oracle, "/v1/completions", one) if oracle else []
            return found[0] if found else []

        places = best_tokens(url, path, body)
        row["same"], row["compared"] = compared(story, own[story], it["text"], places, elsewhere)
    for probe, flags, lines in PROBES:
        before = len(tap.requests())
        command = ["repl", "live", "--private", "--seed", "1", *engine, *flags]
        code, out, said = illumine(command, lines)
        asked = [one for one in tap.requests()[before:] if "messages" in one[1]]
        last = asked[-1][1]["messages"] if asked else []
        result["probes"][probe] = {"code": code, "out": out, "said": said, "messages": last}
    tap.close()
    save(folder, name, result)


def local(folder):
    written = {story: write(story, ["--offline", "--device", "cpu"]) for story in STORIES}
    for story, it in written.items():
        if "failed" in it:
            sys.exit("%s: the local engine failed: %s" % (story, it["failed"]))
    save(folder, "local", written)


def save(folder, name, value):
    (folder / (name + ".json")).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    command, folder, rest = sys.argv[1], Path(sys.argv[2]), sys.argv[3:]
    if command == "local":
        local(folder)
    else:
        PIECES = vocabulary()
        # The empty text, and the tokens that end a document and a turn.
        ENDS = {b"", b"<|endoftext|>", b"<|im_end|>"}
        server(folder, *rest)
