"""Measures `lab up` with Vagrant beside plain `vagrant up` of the same machines.

  docker      Vagrant's docker provider, 3 nodes. Plain Vagrant gets the very Vagrantfile, nodes file and network
              of the lab; it is done when ssh answers, lab when all nodes serve.
  virtualbox  Vagrant's own virtualbox provider over the stand-in of the tests, whose machines are containers and
              whose operations take as long as they are told: 10 s an import, 1 s a clone, 3 s a start. Plain Vagrant
              gets the Vagrantfile that people write: it imports each machine, one after the other.
  status      `lab status` beside `vagrant status`, of three machines.

VirtualBox itself is not run: what these figures say is what waiting for each other costs.
"""

import json
import os
import pathlib
import shutil
import statistics

from .common import ROOT, Lab, about, die, head, row, run, say, timed

NODES = 3
DELAYS = "import=10,clonevm=1,startvm=3"
BOX = "lab-test/vm"
AIMS = {"docker": "≤ 1.2 × plain", "virtualbox": "≥ 4 × faster", "status": "≤ 300 ms"}

PLAIN = """
Vagrant.configure("2") do |config|
  config.vm.box = "lab-test/vm"
  config.vm.box_check_update = false
  config.vm.synced_folder ".", "/vagrant", disabled: true
  config.vm.provider(:virtualbox) { |vb| vb.check_guest_additions = false }
  (1..3).each { |index| config.vm.define("plain-#{index}") { |machine| machine.vm.guest = :linux } }
end
"""


class Vagrant(Lab):
    """A lab whose nodes Vagrant makes."""

    def __init__(self, program, folder, below, env, toml):
        super().__init__(program, folder, NODES, f"bench-{below}", toml)
        self.below = below
        self.env = {**self.env, **env, "VAGRANT_CHECKPOINT_DISABLE": "1"}

    def up(self):
        self("up", "--nodes", str(NODES), "--vagrant-provider", self.below)

    @property
    def vagrant(self):
        return self.folder / ".lab" / self.name / "vagrant"


class Plain:
    """Plain Vagrant in a folder of its own."""

    def __init__(self, folder, env):
        self.folder, self.env = folder, {**os.environ, **env, "VAGRANT_CHECKPOINT_DISABLE": "1"}
        folder.mkdir()

    def __call__(self, *words, check=True):
        return run("vagrant", *words, cwd=self.folder, env=self.env, check=check)

    def down(self):
        self("destroy", "--force", check=False)
        shutil.rmtree(self.folder / ".vagrant", ignore_errors=True)


class PlainDocker(Plain):
    """The same machines as those of a lab, in the same network, which is made anew."""

    def __init__(self, folder, lab):
        super().__init__(folder, {})
        self.name = lab.name
        network = json.loads(run("docker", "network", "inspect", f"lab-{lab.name}"))[0]
        self.subnet = network["IPAM"]["Config"][0]["Subnet"]
        for name in ("Vagrantfile", "nodes.json"):
            shutil.copy(lab.vagrant / name, folder)
        # The keys and the seeds are gone with the lab.
        for name in ("id_ed25519", "vagrant/seeds"):
            source, target = lab.folder / ".lab" / lab.name / name, folder / pathlib.Path(name).name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, target)
        nodes = (folder / "nodes.json").read_text()
        nodes = nodes.replace(str(lab.vagrant / "seeds"), str(folder / "seeds"))
        (folder / "nodes.json").write_text(nodes.replace(str(lab.folder / ".lab" / lab.name / "id_ed25519"), str(folder / "id_ed25519")))

    def up(self):
        run("docker", "network", "create", "--subnet", self.subnet, f"lab-{self.name}")
        self("up", "--no-provision")

    def down(self):
        super().down()
        run("docker", "network", "rm", f"lab-{self.name}", check=False)
        volumes = run("docker", "volume", "ls", "--quiet", "--filter", f"label=lab.name={self.name}").split()
        if volumes:
            run("docker", "volume", "rm", *volumes, check=False)


def standin(folder):
    """Builds the stand-in and its box, and returns what makes Vagrant use them."""
    say("building the stand-in for VirtualBox and its box")
    built = run("cargo", "build", "--release", "--locked", "--features", "e2e", "--bin", "vboxmanage-standin",
                "--message-format=json", cwd=ROOT)
    programs = (json.loads(line).get("executable") for line in built.splitlines() if line.startswith("{"))
    program = next(path for path in programs if path and path.endswith("vboxmanage-standin"))
    (folder / "bin").mkdir()
    (folder / "bin/VBoxManage").symlink_to(program)
    home = folder / "home"
    run(ROOT / "tests/standin/box/build", folder / "box", env={**os.environ, "VAGRANT_HOME": str(home)})
    return {"VAGRANT_HOME": str(home), "PATH": f"{folder / 'bin'}:{os.environ['PATH']}", "STANDIN_DIR": str(folder / "standin"),
            "STANDIN_IMAGE": BOX, "STANDIN_PREFIX": "bench-vb-", "STANDIN_DELAYS": DELAYS}


def sweep_machines():
    left = run("docker", "ps", "--all", "--quiet", "--filter", "label=lab.standin=bench-vb-").split()
    if left:
        run("docker", "rm", "--force", "--volumes", *left, check=False)
    for network in run("docker", "network", "ls", "--format", "{{.Name}}").split():
        if network.startswith("bench-vb-"):
            run("docker", "network", "rm", network, check=False)


def measure(folder, programs, runs):
    if not shutil.which("vagrant"):
        die("no vagrant: `scripts/setup --bench` installs it")
    env = standin(folder)
    docker = Vagrant(programs / "lab", folder, "docker", {}, "")
    machines = Vagrant(programs / "lab", folder, "virtualbox", env, f'[vagrant]\nbox = "{BOX}"\nbox_version = "1.0.0"\n')
    plain = Plain(folder / "plain", env)
    (plain.folder / "Vagrantfile").write_text(PLAIN)
    facts, times, loads, failures = {}, {}, [], []
    plain_docker = None
    try:
        docker.up()
        facts["status"] = docker.typical(5, "status") * 1000
        facts["vagrant status"] = statistics.median(
            timed(lambda: run("vagrant", "status", cwd=docker.vagrant)) for _ in range(3)) * 1000
        plain_docker = PlainDocker(folder / "plain-docker", docker)
        docker.down()
        # The first makes the master that all later machines are clones of.
        facts["cold"] = timed(machines.up)
        facts["status of machines"] = machines.typical(5, "status") * 1000
        machines.down()
        contestants = {
            "docker": (docker.up, docker.down), "plain docker": (plain_docker.up, plain_docker.down),
            "virtualbox": (machines.up, machines.down), "plain virtualbox": (lambda: plain("up"), plain.down),
        }
        for number in range(runs):
            names = list(contestants)
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
        for lab in (docker, machines, plain, plain_docker):
            if lab:
                lab.down()
        sweep_machines()
    show(times, facts, loads, failures, runs)


def show(times, facts, loads, failures, runs):
    times = {name: values for name, values in times.items() if values}
    if len(times) < 4:
        die(f"no figure for each contestant; failed: {', '.join(failures)}")
    middle = {name: statistics.median(values) for name, values in times.items()}
    spread = {name: f"{min(values):.2f}–{max(values):.2f}" for name, values in times.items()}
    head()
    row(f"`lab up`, docker, {NODES} nodes", f"{middle['docker']:.2f} s", f"{middle['docker'] / middle['plain docker']:.2f} × plain",
        AIMS["docker"], spread["docker"])
    row("`vagrant up` of the same machines", f"{middle['plain docker']:.2f} s", "1", "", spread["plain docker"])
    row(f"`lab up`, VirtualBox over the stand-in, {NODES} nodes", f"{middle['virtualbox']:.2f} s",
        f"{middle['plain virtualbox'] / middle['virtualbox']:.1f} × faster", AIMS["virtualbox"], spread["virtualbox"])
    row("the same, the first with its box", f"{facts['cold']:.2f} s", f"{middle['plain virtualbox'] / facts['cold']:.1f} × faster")
    row("`vagrant up` of three such machines", f"{middle['plain virtualbox']:.2f} s", "1", "", spread["plain virtualbox"])
    row("`lab status`, docker", f"{facts['status']:.0f} ms", "", AIMS["status"])
    row("`lab status`, VirtualBox over the stand-in", f"{facts['status of machines']:.0f} ms", "", AIMS["status"])
    row("`vagrant status`", f"{facts['vagrant status']:.0f} ms")
    print(f"\nRuns: {runs}. {about(loads, failures)}")
