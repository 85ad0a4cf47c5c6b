"""Measures `lab up` beside the least that the same nodes can cost, and beside Vagrant.

All contestants boot the same image with the same flags, and are done when all nodes answer:

  lab      `lab up` from nothing: keys, network, nodes, waiting
  floor    `docker network create`, then `docker run` of every node at once, as bare as can be
  vagrant  `vagrant up --provider=docker`, which waits for ssh only

The image has to be there: `lab up` makes it once.
"""

import json
import os
import shutil
import signal
import socket
import statistics
import threading
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor

from .common import Lab, about, die, head, row, run, say, timed

LABEL = "bench.floor"
NETWORK = "bench-floor"
LIMIT = 120
AIMS = {"lab3": "≤ 1.25 × floor", "lab8": "≤ 1.25 × floor", "vagrant3": "lab ≥ 4 × faster", "lab+1": "≤ floor's",
        "noop": "≤ 300 ms", "status": "≤ 150 ms", "help": "≤ 10 ms", "peak": "≤ 60 MiB", "labd": "≤ 15 MiB"}

# systemd tells when it has finished booting, which includes a dockerd that said it is ready; it can be asked
# only once it listens. The loop runs inside, as every `docker exec` costs more than the answer.
BOOTED = "until [ \"$(systemctl is-system-running --wait 2>/dev/null)\" = running ] && [ -S /run/docker.sock ]; do sleep 0.02; done"
# Nodes without a member of their own have a gateway to the members, which listens inside only.
ETCD = "until ETCDCTL_API=3 etcdctl endpoint health >/dev/null 2>&1; do sleep 0.02; done"

VAGRANTFILE = """
require "json"
Vagrant.configure("2") do |config|
  config.vm.guest = :linux
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.allow_hosts_modification = config.vm.allow_fstab_modification = false
  config.ssh.insert_key = false
  config.ssh.username = "core"
  config.ssh.private_key_path = File.join(__dir__, "key")
  JSON.parse(File.read(File.join(__dir__, "nodes.json"))).each do |name, node|
    config.vm.define name do |machine|
      machine.vm.provider :docker do |docker|
        docker.image, docker.name, docker.has_ssh = node["image"], name, true
        docker.create_args = node["flags"]
      end
    end
  end
end
"""


def wait_until(what, is_so):
    end = time.monotonic() + LIMIT
    while not is_so():
        if time.monotonic() > end:
            raise RuntimeError(f"no {what} after {LIMIT} s")
        time.sleep(0.01)


class Recipe:
    """What `lab` booted nodes with, to boot them again without it."""

    def __init__(self, lab):
        found = sorted(lab.containers(), key=lambda container: container["Name"])
        network = next(iter(found[0]["NetworkSettings"]["Networks"]))
        self.subnet = json.loads(run("docker", "network", "inspect", network))[0]["IPAM"]["Config"][0]["Subnet"]
        self.image = found[0]["Config"]["Image"]
        self.key = next(lab.folder.glob(".lab/*/id_ed25519")).read_bytes()
        self.nodes = {f"bench-floor-{lab.count}-{index}": container for index, container in enumerate(found, 1)}

    def address(self, name):
        return next(iter(self.nodes[name]["NetworkSettings"]["Networks"].values()))["IPAddress"]

    def flags(self, name):
        config, host = self.nodes[name]["Config"], self.nodes[name]["HostConfig"]
        flags = ["--hostname", config["Hostname"], "--label", LABEL, "--network", NETWORK, "--ip", self.address(name)]
        flags += ["--cgroupns", host["CgroupnsMode"] or "private"]
        flags += [] if host["ReadonlyPaths"] else ["--security-opt", "systempaths=unconfined"]
        for word, values in [("--cap-add", host["CapAdd"]), ("--security-opt", host["SecurityOpt"]),
                             ("--env", [text for text in config["Env"] if text.startswith(("LAB_", "container="))])]:
            flags += [part for value in values or [] for part in (word, value)]
        for mount in host["Mounts"] or []:
            text = f"type={mount['Type']},dst={mount['Target']}" + (",readonly" if mount.get("ReadOnly") else "")
            # A node's volume is its own; a folder of the host is the one that lab gave.
            text += f",src={mount['Source']}" if mount["Type"] == "bind" else ""
            flags += ["--mount", text]
        for target, options in (host["Tmpfs"] or {}).items():
            flags += ["--tmpfs", f"{target}:{options}" if options else target]
        return flags

    def network(self):
        run("docker", "network", "create", "--label", LABEL, "--subnet", self.subnet, NETWORK)

    def boot(self, name):
        run("docker", "run", "--detach", "--name", name, "--publish", "127.0.0.1::22", *self.flags(name), self.image)

    def answers(self, name):
        """Waits until the node's four services answer."""
        inside = threading.Thread(target=run, args=("docker", "exec", name, "sh", "-c", BOOTED))
        inside.start()
        wait_until(f"sshd on {name}", lambda: greets(self.address(name)))
        if not is_member(self.nodes[name]):
            inside.join()
            run("docker", "exec", name, "sh", "-c", ETCD)
        else:
            wait_until(f"etcd on {name}", lambda: is_healthy(self.address(name)))
        inside.join()

    def up(self):
        self.network()
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(lambda name: (self.boot(name), self.answers(name)), self.nodes))

    def vagrant_up(self, folder):
        folder.mkdir(exist_ok=True)
        nodes = {name: {"image": self.image, "flags": self.flags(name)} for name in self.nodes}
        (folder / "nodes.json").write_text(json.dumps(nodes))
        (folder / "Vagrantfile").write_text(VAGRANTFILE)
        (folder / "key").write_bytes(self.key)
        (folder / "key").chmod(0o600)
        shutil.rmtree(folder / ".vagrant", ignore_errors=True)
        self.network()
        env = {**os.environ, "VAGRANT_HOME": str(folder / "home"), "VAGRANT_CHECKPOINT_DISABLE": "1"}
        run("vagrant", "up", "--provider=docker", cwd=folder, env=env)


def is_member(container):
    seed = next(text for text in container["Config"]["Env"] if text.startswith("LAB_SEED="))
    config = json.loads(seed.removeprefix("LAB_SEED="))["config"]
    return any(node["name"] == config["node"] and node["is_etcd_member"] for node in config["nodes"])


def greets(address):
    try:
        with socket.create_connection((address, 22), timeout=1) as connection:
            return connection.recv(4) == b"SSH-"
    except OSError:
        return False


def is_healthy(address):
    try:
        with urllib.request.urlopen(f"http://{address}:2379/health", timeout=1) as answer:
            return b"true" in answer.read()
    except OSError:
        return False


def sweep():
    for kind, listing in [("rm -f -v", "ps -a"), ("network rm", "network ls")]:
        found = run("docker", *listing.split(), "-q", "--filter", f"label={LABEL}", check=False).split()
        if found:
            run("docker", *kind.split(), *found, check=False)


def look_at(lab, facts):
    containers = lab.containers()
    facts["noop"] = lab.typical(20, "up", "--nodes", str(lab.count)) * 1000
    facts["status"] = lab.typical(20, "status") * 1000
    facts["help"] = lab.typical(20, "--help") * 1000
    tops = [run("docker", "top", node["Id"], "-eo", "pid,rss,comm") for node in containers]
    sizes = [int(line.split()[1]) * 1024 for top in tops for line in top.splitlines() if line.split()[-1] == "labd"]
    facts["labd"] = statistics.median(sizes)
    facts["image"] = json.loads(run("docker", "image", "inspect", containers[0]["Image"]))[0]["Size"]
    facts["labd_file"] = (lab.program.parent / "labd").stat().st_size
    facts["analyze"] = run("docker", "exec", containers[0]["Id"], "systemd-analyze").splitlines()[0]


def measure(folder, programs, runs, wants_vagrant):
    labs = {count: Lab(programs / "lab", folder, count) for count in (3, 8)}
    facts, recipes, times, loads, failures = {}, {}, {}, [], []
    try:
        for count, lab in labs.items():
            lab.up()
            recipes[count] = Recipe(lab)
            if count == 3:
                look_at(lab, facts)
            lab.down()
        facts["peak"] = labs[8].peak_of_up()
        labs[8].down()
        contestants = {
            "lab3": (labs[3].up, labs[3].down), "floor3": (recipes[3].up, sweep),
            "lab8": (labs[8].up, labs[8].down), "floor8": (recipes[8].up, sweep),
        }
        if wants_vagrant:
            contestants["vagrant3"] = (lambda: recipes[3].vagrant_up(folder / "vagrant"), sweep)
        for number in range(runs):
            names = list(contestants)
            # Each round begins with another one: nobody always follows the same.
            for name in names[number % len(names):] + names[:number % len(names)]:
                up, down = contestants[name]
                loads.append(os.getloadavg()[0])
                try:
                    times.setdefault(name, []).append(timed(up))
                    say(f"run {number + 1}: {name} {times[name][-1]:.2f} s (load {loads[-1]:.1f})")
                except RuntimeError as error:
                    failures.append(name)
                    say(f"run {number + 1}: {name} failed, which is counted (load {loads[-1]:.1f}): {error}")
                down()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for lab in labs.values():
            lab.down()
        sweep()
    show(times, facts, loads, failures)


def show(times, facts, loads, failures):
    times = {name: values for name, values in times.items() if values}
    if not {"lab3", "lab8", "floor3", "floor8"} <= times.keys():
        die(f"no figure for each contestant; failed: {', '.join(failures)}")
    middle = {name: statistics.median(values) for name, values in times.items()}
    per_node = {who: (middle[f"{who}8"] - middle[f"{who}3"]) / 5 for who in ("lab", "floor")}
    spread = {name: f"{min(values):.2f}–{max(values):.2f}" for name, values in times.items()}

    head()
    for count in (3, 8):
        lab, floor = f"lab{count}", f"floor{count}"
        row(f"`lab up --nodes {count}`", f"{middle[lab]:.2f} s", f"{middle[lab] / middle[floor]:.2f} × floor", AIMS[lab], spread[lab])
        row(f"floor: `docker run`, {count} nodes", f"{middle[floor]:.2f} s", "1", "", spread[floor])
    if "vagrant3" in middle:
        ratio = f"lab is {middle['vagrant3'] / middle['lab3']:.1f} × faster"
        row("`vagrant up`, 3 nodes (ssh only)", f"{middle['vagrant3']:.2f} s", ratio, AIMS["vagrant3"], spread["vagrant3"])
    row("each further node, lab", f"{per_node['lab']:.2f} s", f"{per_node['lab'] / per_node['floor']:.2f} × floor", AIMS["lab+1"])
    row("each further node, floor", f"{per_node['floor']:.2f} s")
    for what, fact in [("`lab up` with nothing to do, 3 nodes", "noop"), ("`lab status`, 3 nodes", "status"), ("`lab --help`", "help")]:
        row(what, f"{facts[fact]:.0f} ms" if facts[fact] >= 10 else f"{facts[fact]:.1f} ms", "", AIMS[fact])
    row("most memory of `lab up --nodes 8`", f"{facts['peak'] / 2**20:.1f} MiB", "", AIMS["peak"])
    row("memory of labd on a node", f"{facts['labd'] / 2**20:.1f} MiB", "", AIMS["labd"])
    row("image that nodes boot from", f"{facts['image'] / 1e6:.0f} MB")
    row("labd, the file", f"{facts['labd_file'] / 1e6:.1f} MB")
    row("boot of one of 3 nodes, as systemd tells", facts["analyze"].removeprefix("Startup finished in "))
    print(f"\nRuns: {len(times['lab3'])}. {about(loads, failures)}")
