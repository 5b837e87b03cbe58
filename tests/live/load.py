#!/usr/bin/env python3
"""A plain load generator to compare with `illumine write --each`: the same requests, N in flight.

    load.py make 400 > cases.jsonl                    # a case file
    load.py run http://127.0.0.1:18290 cases.jsonl 16 # sends it to a llama-server

Uses only the standard library: a thread per request in flight, each with one connection. It sends
what illumine sends to a llama-server (POST /completion, not streamed, the same fields) and prints
the cases and tokens per second, its own CPU time, and the number of answers.
"""

import http.client
import json
import queue
import resource
import sys
import threading
import time
import urllib.parse

# The fields that illumine sends by default: DRY and the order of the samplers cost time too.
SETTINGS = {
    "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0, "top_k": 0, "min_p": 0.05,
    "typical_p": 1.0, "top_n_sigma": -1, "xtc_probability": 0.0, "xtc_threshold": 0.1,
    "dry_multiplier": 0.8, "dry_base": 1.75, "dry_allowed_length": 2,
    "dry_sequence_breakers": ["\n", ":", '"', "*"], "repeat_penalty": 1.0, "repeat_last_n": 360,
    "mirostat": 0, "mirostat_tau": 5.0, "mirostat_eta": 0.1,
    "samplers": [
        "penalties", "dry", "top_n_sigma", "top_k", "typ_p", "top_p", "min_p", "xtc", "temperature",
    ],
}  # fmt: skip


def make(count):
    names = ["keeper", "captain", "child", "baker", "widow", "thief", "monk", "queen"]
    for n in range(count):
        prompt = f"The {names[n % len(names)]} of house number {n} opened the door and"
        print(json.dumps({"id": n, "prompt": prompt, "seed": n, "temperature": 0, "length": 32}))


def work(root, cases, results):
    connection = http.client.HTTPConnection(root.hostname, root.port, timeout=600)
    while True:
        try:
            case = cases.get_nowait()
        except queue.Empty:
            return
        body = SETTINGS | {
            "prompt": case["prompt"],
            "n_predict": case["length"],
            "temperature": case["temperature"],
            "seed": case["seed"],
            "stream": False,
            "cache_prompt": True,
        }
        connection.request("POST", "/completion", json.dumps(body), {"content-type": "application/json"})
        answer = connection.getresponse()
        said = json.loads(answer.read())
        results.append((answer.status, said.get("tokens_predicted", 0)))


def context(root):
    """The context size of one slot: illumine looks for repetitions in all of it."""
    connection = http.client.HTTPConnection(root.hostname, root.port, timeout=60)
    connection.request("GET", "/props")
    return json.loads(connection.getresponse().read())["default_generation_settings"]["n_ctx"]


def healthy(root):
    try:
        connection = http.client.HTTPConnection(root.hostname, root.port, timeout=60)
        connection.request("GET", "/health")
        return connection.getresponse().status == 200
    except OSError:
        return False


def run(root, path, jobs):
    cases, results = queue.Queue(), []
    with open(path) as rows:
        for row in rows:
            cases.put(json.loads(row))
    root = urllib.parse.urlparse(root)
    while not healthy(root):
        time.sleep(0.2)
    SETTINGS["dry_penalty_last_n"] = context(root)
    threads = [threading.Thread(target=work, args=(root, cases, results)) for _ in range(jobs)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.monotonic() - began
    tokens = sum(count for _, count in results)
    used = resource.getrusage(resource.RUSAGE_SELF)
    cpu = used.ru_utime + used.ru_stime
    good = sum(status == 200 for status, _ in results)
    print(
        f"{good} of {len(results)} answers, {took:.2f} s, {len(results) / took:.2f} cases/s, "
        f"{tokens / took:.1f} tokens/s, {cpu:.2f} s of CPU, {cpu / max(tokens, 1) * 1e6:.0f} µs a token"
    )


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["make", count]:
            make(int(count))
        case ["run", root, path, jobs]:
            run(root, path, int(jobs))
        case _:
            sys.exit(__doc__)
