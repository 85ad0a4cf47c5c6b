"""Measures how five images get from the engine to the nodes: with lab, and in the usual ways.

  each | gzip  `docker save` of each image through gzip, then `docker load` of all archives on each node in turn
  all | zstd   one `docker save` through zstd, then one `docker load` on all nodes at once
  lab          `lab images build`; then `lab up`, or `lab reload-images` on nodes that had no images before
  floors       `docker save` that nobody reads, the disk, and dockerd as it loads one plain archive

All load on nodes that a lab made from one image. Every first load is on new nodes, and is checked: each node
has to have each image with the layers that the engine has. The images are made from Debian packages, once.
"""

import os
import shutil
import signal
import statistics
import threading
from concurrent.futures import ThreadPoolExecutor

from . import image_set, images_table
from .common import Clock, Lab, die, most_memory, run, say, timed

NODES, MORE_NODES = 3, 6
# Of an `up` with images and one without, in turns.
PAIRS = 4
IDLE_CALLS = 10
# Where archives lie on a node that is to load them: how they got there is not counted.
ARCHIVES = "/root/archives"


class Nodes:
    """Nodes of a lab that run."""

    def __init__(self, lab):
        self.names = sorted(container["Name"].lstrip("/") for container in lab.containers())

    def do(self, node, *command):
        return run("docker", "exec", node, *command)

    def give(self, archives):
        for node in self.names:
            self.do(node, "mkdir", "-p", ARCHIVES)
            for archive in archives:
                run("docker", "cp", archive, f"{node}:{ARCHIVES}/{archive.name}")

    def load(self, node, archives):
        for archive in archives:
            self.do(node, "docker", "load", "--quiet", "--input", f"{ARCHIVES}/{archive.name}")

    def load_zstd(self, node, archive):
        shell(f"zstd -qdc '{archive}' | docker exec -i {node} docker load --quiet")

    def load_zstd_at_once(self, archive):
        with ThreadPoolExecutor(len(self.names)) as pool:
            list(pool.map(lambda node: self.load_zstd(node, archive), self.names))

    def check(self):
        wanted = image_set.layers()
        for node in self.names:
            if image_set.layers(("docker", "exec", node)) != wanted:
                raise RuntimeError(f"{node} has other images than the engine")

    def most_memory_of_labd(self):
        script = "for p in /proc/[0-9]*; do [ \"$(cat $p/comm)\" = labd ] && grep VmHWM $p/status; done; true"
        told = "".join(self.do(node, "sh", "-c", script) for node in self.names)
        return max((int(line.split()[1]) * 1024 for line in told.splitlines()), default=0)


class HelperWatch:
    """Looks how much memory the labd has that unpacks images for all nodes, while it does."""

    def __init__(self, store):
        self.store, self.peak, self.ended = store, 0, threading.Event()
        self.thread = threading.Thread(target=self.look)

    def look(self):
        process = ""
        while not self.ended.wait(0.02 if process else 0.2):
            if not process:
                found = run("docker", "ps", "-q", "--filter", f"label=lab.store={self.store}", check=False).split()
                process = run("docker", "inspect", "--format", "{{.State.Pid}}", *found[:1], check=False).strip() if found else ""
            else:
                self.peak = max(self.peak, most_memory(process))

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()


def shell(script):
    run("bash", "-o", "pipefail", "-c", script)


class Round:
    """All contestants, once, with a cache of their own."""

    def __init__(self, folder, programs, clock, number):
        self.folder, self.clock, self.number = folder / f"round-{number}", clock, number
        self.folder.mkdir()
        self.raw = folder / "all.tar"
        self.each = [self.folder / f"{short}.tar.gz" for short in image_set.SHORTS]
        self.zstd = self.folder / "all.tar.zst"
        self.labs = {}
        for kind, toml in [("plain", ""), ("full", image_set.TOML)]:
            for count in (NODES, MORE_NODES):
                self.labs[kind, count] = Lab(programs / "lab", self.folder, count, f"bench-{kind}-{count}", toml)
        for lab in self.labs.values():
            lab.use_cache(self.folder / "cache")
        self.plain, self.full = self.labs["plain", NODES], self.labs["full", NODES]

    def run(self):
        image_set.restore()
        saves = [self.save_each, self.save_all, self.save_lab, self.floor_of_saving]
        loads = [self.load_each, self.load_all, self.load_streams, self.load_shared, self.floor_of_loading]
        for works in (saves, loads):
            # Each round begins with another one: nobody always follows the same.
            turn = self.number % len(works)
            for work in works[turn:] + works[:turn]:
                image_set.restore()
                self.clock.attempt(work.__name__.replace("_", " "), work)
                for lab in self.labs.values():
                    lab.down()

    def end(self):
        for lab in self.labs.values():
            lab.down()
        self.full.forget_cache()
        shutil.rmtree(self.folder, ignore_errors=True)

    def save_each(self):
        def save():
            for name, archive in zip(image_set.NAMES, self.each):
                shell(f"docker save {name} | gzip > '{archive}'")
        self.clock.time("save each", save)
        self.clock.note("disk each", sum(archive.stat().st_size for archive in self.each))

    def save_all(self):
        self.clock.time("save all", lambda: shell(f"docker save {' '.join(image_set.NAMES)} | zstd -q -3 -T0 -o '{self.zstd}'"))
        self.clock.note("disk all", self.zstd.stat().st_size)

    def save_lab(self):
        peaks = []
        self.clock.time("save lab", lambda: peaks.append(self.full.watched("images", "build")[0]))
        self.clock.note("memory build", peaks[0])
        blobs = run("du", "--summarize", "--bytes", self.folder / "cache/lab/store/blobs")
        self.clock.note("disk lab", int(blobs.split()[0]))

    def floor_of_saving(self):
        self.clock.time("save floor", lambda: shell(f"docker save {' '.join(image_set.NAMES)} > /dev/null"))
        copy = self.folder / "copy"
        self.clock.time("disk floor", lambda: run("dd", f"if={self.raw}", f"of={copy}", "bs=1M", "conv=fdatasync"))
        copy.unlink()

    def new_nodes(self):
        self.plain.describe("")
        self.plain.up()
        return Nodes(self.plain)

    def load_each(self):
        nodes = self.new_nodes()
        first = nodes.names[0]
        nodes.give(self.each)
        self.clock.time("first each", lambda: [nodes.load(node, self.each) for node in nodes.names])
        nodes.check()
        self.clock.time("again each", lambda: nodes.load(first, self.each))
        image_set.change()
        archive = self.folder / "changed.tar.gz"
        saving = self.clock.time("save change each", lambda: shell(f"docker save {image_set.ZOOKEEPER} | gzip > '{archive}'"))
        nodes.give([archive])
        loading = [self.clock.time("change each", lambda: nodes.load(node, [archive])) for node in nodes.names]
        nodes.check()
        self.clock.note("whole change each", saving + sum(loading))

    def load_all(self):
        nodes = self.new_nodes()
        self.clock.time("first all", lambda: nodes.load_zstd_at_once(self.zstd))
        nodes.check()
        self.clock.time("again all", lambda: nodes.load_zstd(nodes.names[0], self.zstd))
        image_set.change()
        archive = self.folder / "changed.tar.zst"
        saving = self.clock.time("save change all", lambda: shell(f"docker save {image_set.ZOOKEEPER} | zstd -q -3 -T0 -o '{archive}'"))
        self.clock.time("change all", lambda: nodes.load_zstd(nodes.names[0], archive))
        loading = self.clock.time("change rest", lambda: [nodes.load_zstd(node, archive) for node in nodes.names[1:]])
        nodes.check()
        self.clock.note("whole change all", saving + self.clock.figures["change all"][-1] + loading)

    def load_streams(self):
        """Nodes that were made without images have nothing to link to: they load, as machines elsewhere would."""
        nodes = self.new_nodes()
        self.plain.describe(image_set.TOML)
        self.reload("first streams", "first streams per node")
        nodes.check()
        self.reload("idle watched", "again lab")
        for _ in range(IDLE_CALLS):
            self.clock.note("idle lab", timed(lambda: self.plain("reload-images")))
        image_set.change()
        self.reload("whole change lab", "change lab")
        nodes.check()
        self.clock.note("memory labd", nodes.most_memory_of_labd())

    def reload(self, name, per_node):
        told = []
        self.clock.time(name, lambda: told.extend(self.plain.watched("reload-images")))
        peak, events = told
        self.clock.note("memory reload", peak)
        for event in events:
            # A node is done when it says what it was given.
            if event["kind"] == "done" and event["text"].startswith(("loaded ", "has all images")):
                self.clock.note(per_node, event["elapsed_ms"] / 1000)

    def load_shared(self):
        """Nodes that are made with images find them unpacked; what that adds to `lab up` is what it costs."""
        with HelperWatch(self.folder / "cache/lab/store") as helper:
            making = self.clock.time("up making", self.full.up)
        self.clock.note("memory fill", helper.peak)
        Nodes(self.full).check()
        self.full.down()
        for count in (NODES, MORE_NODES):
            for pair in range(PAIRS):
                self.compare_ups(count, ["plain", "full"] if pair % 2 else ["full", "plain"])
        usual = statistics.median(self.clock.figures[f"up plain {NODES}"][-PAIRS:])
        self.clock.note("first making", making - usual)

    def compare_ups(self, count, kinds):
        taken = {}
        for kind in kinds:
            lab = self.labs[kind, count]
            taken[kind] = self.clock.time(f"up {kind} {count}", lab.up)
            lab.down()
        self.clock.note(f"first shared {count}", taken["full"] - taken["plain"])

    def floor_of_loading(self):
        nodes = self.new_nodes()
        nodes.names = nodes.names[:1]
        nodes.give([self.raw])
        self.clock.time("first floor", lambda: nodes.load(nodes.names[0], [self.raw]))


def measure(folder, programs, runs):
    if not shutil.which("zstd"):
        die("no zstd: `scripts/setup --bench` installs it")
    clock = Clock()
    try:
        image_set.ensure()
        # What everybody reads is in memory from here on; the plain archive is what the floors work on.
        run("docker", "save", "--output", folder / "all.tar", *image_set.NAMES)
        for number in range(runs):
            say(f"run {number + 1} of {runs}")
            turn = Round(folder, programs, clock, number)
            try:
                turn.run()
            finally:
                before = signal.signal(signal.SIGINT, signal.SIG_IGN)
                turn.end()
                signal.signal(signal.SIGINT, before)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        image_set.end()
    clock.note("bytes", (folder / "all.tar").stat().st_size)
    images_table.show(clock, runs)
