"""Measures `lab up` until ZooKeeper serves on three nodes, beside the way that was usual with CoreOS and Vagrant.

  lab       `lab up --nodes 3 --stack zookeeper` from nothing, with the images in the cache, and what each stage takes
  seed_way  archives loaded on every node in turn, units started with pauses, on nodes that lab booted all at once;
            and with nodes that are booted one after the other
  floor     what cannot be left out: nodes that boot with the image linked to, without any stack, and ZooKeeper itself,
            of which all three are started there at once, by hand

Both sides do the same work twice: with ZooKeeper's image alone, and with four images on every node, as many as that
way had. The other three are stand-ins that nothing runs: their sizes are those of Mesos and Marathon, or less.
"""

import contextlib
import json
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

from . import stack_table, stand_ins
from .common import ROOT, Clock, Lab, run, say
from .fleet import until
from .seed_way import SeedWay, Stack, bring_up

NODES = 3
FOLDER = ROOT / "services/zookeeper"
STACK = Stack(FOLDER, NODES)
ZOOKEEPER = STACK.images["zookeeper"]
ALL = [ZOOKEEPER, *stand_ins.images().values()]
# In the order in which they end.
STAGES = ["before", "nodes", "images", "machines", "units", "after"]
SERVER = ["docker", "run", "--rm", "--detach", "--pull", "never", "--name", "zookeeper", "--network", "host",
          "--env-file", "/etc/lab/env", "--volume", "zookeeper:/data", ZOOKEEPER]


def toml(images):
    return "".join(f'[images.{key}]\nengine = "{image}"\n' for key, image in images.items())


def timeline(lab, *words):
    """Runs lab, and returns its news with the second in which each came, and the second in which it ended."""
    since = time.perf_counter()
    child = subprocess.Popen([str(lab.program), "--lab", lab.name, "--progress", "json", *words], cwd=lab.folder, env=lab.env,
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    told, events = [], []
    for line in child.stderr:
        told.append(line)
        with contextlib.suppress(ValueError):
            events.append((time.perf_counter() - since, json.loads(line)))
    child.wait()
    if child.returncode:
        raise RuntimeError(f"`lab {' '.join(words)}` failed: {''.join(told)[-600:]}")
    return events, time.perf_counter() - since


def stage(event):
    """Returns the stage that a step belongs to, by what it says when it begins."""
    subject, text = event["subject"], event["text"]
    if subject.endswith(".service"):
        return "units"
    if subject == "units":
        return "machines"
    return "nodes" if subject.startswith("core-") and "images" not in text else "images"


def stages(events, end):
    """Returns how long after the stage before it each stage was done."""
    steps, done = {}, {"after": end}
    for second, event in events:
        if event["kind"] == "begun":
            steps[event["step"]] = stage(event)
            done.setdefault("before", second)
        elif event["kind"] == "done":
            done[steps[event["step"]]] = second
    taken, last = {}, 0
    for name in STAGES:
        # What was done beside an earlier stage took no time of its own.
        taken[name] = max(0, done.get(name, last) - last)
        last += taken[name]
    return taken


class Contestants:
    """Everybody that takes turns, each of which leaves nothing behind but the caches and archives."""

    def __init__(self, folder, programs, clock):
        self.folder, self.program, self.clock = folder, programs / "lab", clock
        self.labs = {name: self.lab(f"bench-stack-{name}", NODES) for name in ("one", "four", "plain", "linked")}
        # As the stack makes it: the engine may have another one of this name by now.
        self.labs["linked"].describe(f'[images.zookeeper]\nbuild = "{FOLDER}/image"\nname = "{ZOOKEEPER}"\n')
        self.singles = [self.lab(f"bench-stack-single-{number}", 1) for number in range(1, NODES + 1)]
        self.parts = {}

    def lab(self, name, count):
        lab = Lab(self.program, self.folder, count, name)
        lab.use_cache(self.folder / "cache")
        return lab

    def warm_up(self):
        """Has everything there that a first time makes: the base, images, layers that are unpacked."""
        say("making images, and what stays of a first `lab up`")
        self.labs["one"]("up", "--nodes", str(NODES), "--stack", "zookeeper")
        self.labs["one"].down()
        stand_ins.ensure()
        self.labs["four"].describe(toml(stand_ins.images()))
        self.labs["four"]("up", "--nodes", str(NODES), "--stack", "zookeeper")
        self.labs["four"].down()
        self.labs["linked"].up()
        self.labs["linked"].down()

    def warm(self, name, stack):
        """Times `lab up`, and returns the seconds of its stages; everything has to be there."""
        self.clock.settle()
        events, taken = timeline(self.labs[name], "up", "--nodes", str(NODES), "--stack", stack)
        say(f"lab {name}: {taken:.2f} s (load {self.clock.loads[-1]:.1f})")
        loaded = [event["text"] for _, event in events if event["kind"] == "done" and event["text"].startswith("loaded ")]
        if loaded:
            raise RuntimeError(f"nodes did not link to images: {'; '.join(loaded)}; {trouble(self.labs[name])}")
        return stages(events, taken)

    def ours(self, name, images):
        taken = self.warm(name, "zookeeper")
        self.check(self.labs[name], images)
        self.clock.note(f"lab {name}", sum(taken.values()))
        for part, seconds in taken.items():
            self.clock.note(f"lab {name} {part}", seconds)

    def check(self, lab, images):
        way = SeedWay(lab, STACK, self.folder / "archives")
        if not way.serves():
            raise RuntimeError("`lab up` ended, and the stack does not serve")
        for node in way.nodes:
            there = run("docker", "exec", node, "docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}").split()
            if not set(images) <= set(there):
                raise RuntimeError(f"{node} has other images than were wanted: {there}")

    def lab_one(self):
        self.ours("one", [ZOOKEEPER])

    def lab_four(self):
        self.ours("four", ALL)

    def seed(self, name, images):
        self.clock.settle()
        taken = bring_up(self.program, self.folder, NODES, FOLDER, self.folder / "archives", images, "bench-stack-seed")
        for part in ("load", "units", "whole"):
            self.clock.note(f"seed {name} {part}", taken[part])
        self.clock.note("boots at once", taken["boot"])
        self.parts[name] = taken["load"] + taken["units"]
        told = ", ".join(f"{part} {seconds:.2f} s" for part, seconds in taken.items())
        say(f"seed {name}: {told} (load {self.clock.loads[-1]:.1f})")

    def seed_one(self):
        self.seed("one", [ZOOKEEPER])

    def seed_four(self):
        self.seed("four", ALL)

    def boots_in_turn(self):
        self.parts["boots"] = self.clock.time("boots in turn", lambda: [lab.up() for lab in self.singles])

    def plain(self):
        self.clock.time("plain", self.labs["plain"].up)

    def linked(self):
        booting = sum(self.warm("linked", "none").values())
        way = SeedWay(self.labs["linked"], STACK, self.folder / "archives")
        way.tell()
        electing = self.clock.time("election", lambda: elect(way))
        self.clock.note("linked", booting)
        self.clock.note("floor", booting + electing)

    def down(self):
        for lab in [*self.labs.values(), *self.singles]:
            if list(lab.folder.glob(".lab/*")):
                lab.down()

    def round(self, number):
        self.parts = {}
        # What is compared closely stands together. Each round begins with another one, so that nobody is always the first.
        works = [self.seed_four, self.boots_in_turn, self.lab_one, self.linked, self.plain, self.lab_four, self.seed_one]
        turn = number % len(works)
        for work in works[turn:] + works[:turn]:
            try:
                self.clock.attempt(work.__name__.replace("_", " "), work)
            finally:
                self.down()
        if "boots" in self.parts:
            for name in ("one", "four"):
                if name in self.parts:
                    self.clock.note(f"seed {name} in turn", self.parts["boots"] + self.parts[name])


def trouble(lab):
    """Returns why nodes did not link to images, as far as they say."""
    logs = [run("docker", "logs", container["Id"], stderr=subprocess.STDOUT, stdout=subprocess.PIPE, capture_output=False)
            for container in lab.containers()]
    return " ".join(line for log in logs for line in log.splitlines() if line.startswith("labd: images"))


def elect(way):
    with ThreadPoolExecutor(NODES) as pool:
        list(pool.map(lambda node: run("docker", "exec", node, *SERVER), way.nodes))
    until("all servers have a mode", way.serves)


def measure(folder, programs, runs):
    clock = Clock()
    contestants = Contestants(folder, programs, clock)
    try:
        contestants.warm_up()
        for number in range(runs):
            say(f"run {number + 1} of {runs}")
            contestants.round(number)
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        contestants.down()
        contestants.labs["one"].forget_cache()
        signal.signal(signal.SIGINT, before)
    sizes = dict(zip(ALL, map(int, run("docker", "image", "inspect", "--format", "{{.Size}}", *ALL).split())))
    archives = sum(archive.stat().st_size for archive in (folder / "archives").iterdir())
    stack_table.show(clock, runs, sizes, archives)
