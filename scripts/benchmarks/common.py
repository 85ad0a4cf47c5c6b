"""What all benchmarks share: commands, clocks, labs and the table."""

import contextlib
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def die(message):
    sys.exit(f"bench: {message}")


def say(text):
    print("bench:", text, file=sys.stderr, flush=True)


def run(*command, check=True, **options):
    """Runs a command to its end and returns what it printed."""
    options = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True, **options}
    done = subprocess.run([str(word) for word in command], **options)
    if check and done.returncode:
        raise RuntimeError(f"`{' '.join(map(str, command))[:200]}` failed: {done.stderr.strip()[-600:]}")
    return done.stdout


def timed(work):
    since = time.perf_counter()
    work()
    return time.perf_counter() - since


def most_memory(process):
    """Returns the most memory in bytes that a process of this host had so far; 0 if it cannot be told."""
    try:
        text = pathlib.Path(f"/proc/{process}/status").read_text()
        return sum(int(line.split()[1]) * 1024 for line in text.splitlines() if line.startswith("VmHWM"))
    except OSError:
        return 0


class Clock:
    """Takes down what was measured, under a name."""

    def __init__(self):
        self.figures, self.loads, self.failures = {}, [], []

    def note(self, name, figure):
        self.figures.setdefault(name, []).append(figure)

    def settle(self):
        # What others wrote before is on the disk before the clock starts.
        os.sync()
        self.loads.append(os.getloadavg()[0])

    def time(self, name, work):
        self.settle()
        taken = timed(work)
        self.note(name, taken)
        say(f"{name}: {taken:.2f} s (load {self.loads[-1]:.1f})")
        return taken

    def attempt(self, name, work):
        """Lets a contestant fail without the others."""
        try:
            work()
        except (RuntimeError, OSError) as error:
            self.failures.append(name)
            say(f"{name} failed, which is counted: {error}")


class Lab:
    """A lab of `count` nodes in a folder of its own, `toml` being its lab.toml."""

    def __init__(self, program, folder, count, name=None, toml=""):
        self.program, self.count, self.name = program, count, name or f"bench-{count}"
        # What runs in the lab is what a benchmark puts there.
        self.folder, self.env = folder / self.name, {**os.environ, "LAB_STACK": "none"}
        self.folder.mkdir()
        if toml:
            self.describe(toml)

    def describe(self, toml):
        (self.folder / "lab.toml").write_text(toml)

    def command(self, *words):
        return [str(self.program), "--lab", self.name, "--progress", "plain", *words]

    def __call__(self, *words, check=True):
        return run(*self.command(*words), cwd=self.folder, env=self.env, check=check)

    def up(self):
        self("up", "--nodes", str(self.count))

    def down(self):
        # What did not go at once, on a machine that is busy, may go when asked again.
        for _ in range(2):
            try:
                return self("down", "--yes")
            except RuntimeError as error:
                say(f"{self.name} is not gone: {error}")

    def watched(self, *words):
        """Runs lab, and returns the most memory that it had and the news that it told."""
        with tempfile.TemporaryFile("w+") as news:
            command = [str(self.program), "--lab", self.name, "--progress", "json", *words]
            child = subprocess.Popen(command, cwd=self.folder, env=self.env, stdin=subprocess.DEVNULL,
                                     stdout=subprocess.DEVNULL, stderr=news)
            peak = 0
            while child.poll() is None:
                peak = max(peak, most_memory(child.pid))
                time.sleep(0.01)
            news.seek(0)
            told = news.read()
        if child.returncode:
            raise RuntimeError(f"`lab {' '.join(words)}` failed: {told[-600:]}")
        events = []
        for line in told.splitlines():
            with contextlib.suppress(ValueError):
                events.append(json.loads(line))
        return peak, events

    def peak_of_up(self):
        """Returns the most memory that `lab up` had."""
        return self.watched("up", "--nodes", str(self.count))[0]

    def use_cache(self, folder):
        self.env["XDG_CACHE_HOME"] = str(folder)

    def forget_cache(self):
        """Removes what is left of a cache that no lab uses any more: unpacked layers are in volumes."""
        self("images", "prune", check=False)
        store = f"{self.env['XDG_CACHE_HOME']}/lab/store"
        found = run("docker", "volume", "ls", "-q", "--filter", f"label=lab.store={store}").split()
        if found:
            run("docker", "volume", "rm", *found, check=False)

    def containers(self):
        names = run("docker", "ps", "-q", "--filter", f"label=lab.name={self.name}").split()
        return json.loads(run("docker", "inspect", *names))

    def typical(self, times, *words):
        return statistics.median(timed(lambda: self(*words)) for _ in range(times))


def check_host(programs, wants_vagrant=False):
    if not shutil.which("docker") or subprocess.run(["docker", "version"], capture_output=True).returncode:
        die("no Docker engine answers: `scripts/engine` starts one")
    if not run("docker", "image", "ls", "-q", "lab/node").strip():
        die("the image that nodes boot from is not there: `lab up` makes it, then `lab down`")
    if wants_vagrant and not shutil.which("vagrant"):
        die("no vagrant: `scripts/setup --bench` installs it, or leave it out with `--no-vagrant`")
    folder = pathlib.Path(programs or run(ROOT / "scripts/build").split()[-1]).resolve()
    if not all((folder / name).exists() for name in ("lab", "labd")):
        die(f"no lab and labd in {folder}: `scripts/build` makes them")
    return folder


def head():
    print("| what | median | min–max | ratio | aim |\n|---|---|---|---|---|")


def row(what, value, ratio="", aim="", between=""):
    print(f"| {what} | {value} | {between} | {ratio} | {aim} |")


def about(loads, failures):
    """Returns what says how far the figures are to be trusted."""
    told = f"Load average before each: {min(loads):.1f} to {max(loads):.1f}, on {os.cpu_count()} processors."
    return f"Failed: {', '.join(failures) or 'none'}. {told}"
