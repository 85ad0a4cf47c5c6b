"""Brings up a stack on nodes that run, in the way that was usual with CoreOS and Vagrant.

  save   one archive for each image, by `docker save`, unless the file is there
  load   every archive on every node: one archive after the other, one node after the other
  units  all that is known is destroyed, templates are submitted, then pauses of five seconds: one before the first
         unit starts, one before what belongs to the next service

Only the way is theirs. Images, units and what counts as serving are those of the stack in `services/`, so that both
sides do the same work. Everything that is left open is decided in their favour:

  - The nodes were booted by a plain `lab up --stack none`, all at once, and not one after the other. That is counted by
    itself, as `boot`; their whole is `boot` + `load` + `units`.
  - Archives are read from this host's memory and sent through a pipe, and not over NFS.
  - Metadata and /etc/lab/env are what they were told at boot, and are not counted.
  - `units` ends when the last member serves, and not with the last pause.

By itself: `cd scripts && python3 -m benchmarks.seed_way --programs FOLDER [--stack services/zookeeper] [--runs N]`
"""

import argparse
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import tempfile
import time
import tomllib
import urllib.request

from .common import ROOT, Lab, about, check_host, die, head, row, run, say, timed
from .fleet import Fleet, until

PAUSE = 5
MOST_MEMBERS = 5


def words(text):
    """Returns the lines of a unit file as fleet's API takes them."""
    options, section = [], ""
    for line in text.replace("\\\n", " ").splitlines():
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            section = line[1:-1]
        elif line and line[0] not in "#;":
            name, _, value = line.partition("=")
            options.append({"section": section, "name": name.strip(), "value": value.strip()})
    return options


class Stack:
    """What `stack.toml` says, as far as it is needed here, for a lab of `count` nodes."""

    def __init__(self, folder, count):
        self.folder, self.count = folder, count
        self.told = tomllib.loads((folder / "stack.toml").read_text())
        self.roles, self.units = self.told.get("roles", {}), self.told.get("units", [])
        self.images = {key: image.get("name") or image.get("pull") or f"{key}:latest"
                       for key, image in self.told.get("images", {}).items()}

    def members(self, role):
        wanted = self.roles[role]["nodes"]
        if wanted == "odd":
            return min(self.count - (self.count + 1) % 2, MOST_MEMBERS)
        return self.count if wanted == "all" else int(wanted)

    def instances(self, unit):
        name = unit["name"].removesuffix(".service")
        if not name.endswith("@"):
            return [f"{name}.service"]
        count = unit.get("instances") or self.members(unit["role"])
        return [f"{name}{number}.service" for number in range(1, count + 1)]

    def text(self, unit):
        return (self.folder / f"{unit['name'].removesuffix('.service')}.service").read_text()

    def services(self):
        """Returns the units in groups: a sidekick starts with its service, everything else after a pause."""
        groups = []
        for unit in self.units:
            if groups and "MachineOf=" in self.text(unit):
                groups[-1].append(unit)
            else:
                groups.append([unit])
        return groups

    def metadata(self):
        """Returns the lab.toml that tells nodes from the start what the stack would tell them."""
        told = {}
        for role, table in self.roles.items():
            for number in range(1, self.members(role) + 1):
                told.setdefault(f"core-{number:02}", {}).update(table.get("metadata") or {role: "true"})
        lines = [f"{node} = {{ {', '.join(f'{key} = {value!r}' for key, value in pairs.items())} }}" for node, pairs in told.items()]
        return "[metadata]\n" + "\n".join(lines) + "\n"

    def env(self, number, addresses):
        """Returns what /etc/lab/env of a node has because of the stack."""
        told = {f"LAB_IMAGE_{name(key)}": image for key, image in self.images.items()}
        for role, table in self.roles.items():
            members = range(1, self.members(role) + 1)
            here = [addresses[member - 1] for member in members]
            values = {"MEMBERS": ",".join(f"core-{member:02}" for member in members), "ADDRESSES": ",".join(here),
                      "NUMBERS": ",".join(map(str, members)), "COUNT": len(here), "QUORUM": len(here) // 2 + 1,
                      "NUMBER": number if number in members else 0}
            if "port" in table:
                values["HOSTS"] = ",".join(f"{address}:{table['port']}" for address in here)
            told |= {f"LAB_{name(role)}_{key}": value for key, value in values.items()}
        told |= self.told.get("env", {})
        return "".join(f"{key}={value}\n" for key, value in told.items())

    def checks(self):
        """Returns for each check that talks over the network how many nodes have to pass it."""
        return [(unit["check"], self.count if "Global=true" in self.text(unit) else len(self.instances(unit)))
                for unit in self.units if "port" in unit.get("check", {})]


def name(key):
    return "".join(letter if letter.isalnum() else "_" for letter in key.upper())


def passes(address, check):
    try:
        if "http" in check:
            with urllib.request.urlopen(f"http://{address}:{check['port']}{check['http']}", timeout=2) as page:
                return check.get("answer", "").encode() in page.read()
        with socket.create_connection((address, check["port"]), timeout=2) as connection:
            if "send" not in check:
                return True
            connection.sendall(f"{check['send']}\n".encode())
            answer = b""
            while part := connection.recv(4096):
                answer += part
                if check.get("answer", "").encode() in answer:
                    return True
    except OSError:
        pass
    return False


class SeedWay:
    """The nodes of a lab that run, and a folder for archives."""

    def __init__(self, lab, stack, archives, images=()):
        self.lab, self.stack, self.archives = lab, stack, archives
        self.images = list(images) or list(stack.images.values())
        self.nodes = sorted(container["Name"].lstrip("/") for container in lab.containers())
        found = {container["Name"].lstrip("/"): next(iter(container["NetworkSettings"]["Networks"].values()))["IPAddress"]
                 for container in lab.containers()}
        self.addresses = [found[node] for node in self.nodes]
        archives.mkdir(parents=True, exist_ok=True)

    def archive(self, image):
        return self.archives / f"{image.replace('/', '_').replace(':', '_')}.tar"

    def tell(self):
        for number, node in enumerate(self.nodes, 1):
            run("docker", "exec", "-i", node, "sh", "-c", "cat >> /etc/lab/env",
                input=self.stack.env(number, self.addresses), stdin=None)

    def save(self):
        for image in self.images:
            if not self.archive(image).exists():
                run("docker", "save", "--output", self.archive(image), image)

    def load(self):
        for node in self.nodes:
            for image in self.images:
                with open(self.archive(image), "rb") as archive:
                    run("docker", "exec", "-i", node, "docker", "load", "--quiet", stdin=archive)

    def start(self):
        # Theirs is run on the node that came last.
        fleet = Fleet(self.lab, f"core-{len(self.nodes):02}")
        try:
            self.submit(fleet)
            for group in self.stack.services():
                time.sleep(PAUSE)
                for unit in group:
                    for instance in self.stack.instances(unit):
                        launch(fleet, instance, words(self.stack.text(unit)))
            try:
                until("the stack serves", self.serves)
            except RuntimeError as error:
                passed = [address for address in self.addresses if all(passes(address, check) for check, _ in self.stack.checks())]
                raise RuntimeError(f"{error}; serving: {passed}; active: {fleet.active()}") from error
        finally:
            fleet.close()

    def submit(self, fleet):
        for unit in self.stack.units:
            file = f"{unit['name'].removesuffix('.service')}.service"
            for known in {*self.stack.instances(unit), file}:
                fleet.ask("DELETE", f"units/{known}")
            if "@" in file:
                fleet.ask("PUT", f"units/{file}", {"name": file, "options": words(self.stack.text(unit))})

    def serves(self):
        return all(sum(passes(address, check) for address in self.addresses) >= count for check, count in self.stack.checks())


def launch(fleet, unit, options):
    """Asks what `fleetctl start` asked in those days: until the unit is launched, whatever systemd says of it."""
    fleet.ask("GET", f"units/{unit}")
    status, answer = fleet.ask("PUT", f"units/{unit}", {"name": unit, "options": options})
    if status >= 300:
        raise RuntimeError(f"{unit} is not taken: {answer.decode()[:200]}")
    if {"section": "X-Fleet", "name": "Global", "value": "true"} in options:
        # It did not wait for what runs everywhere.
        fleet.ask("PUT", f"units/{unit}", {"name": unit, "desiredState": "launched"})
        return
    fleet.poll(lambda: fleet.read(f"units/{unit}").get("currentState") == "inactive")
    fleet.ask("PUT", f"units/{unit}", {"name": unit, "desiredState": "launched"})
    fleet.poll(lambda: fleet.read(f"units/{unit}").get("currentState") == "launched")


def bring_up(program, folder, count, stack_folder, archives, images=(), name="bench-seed-way"):
    """Does all of it once, on a lab of its own that is gone afterwards; returns the seconds of each part."""
    stack, taken = Stack(stack_folder, count), {}
    lab = Lab(program, folder, count, name, stack.metadata())
    try:
        taken["boot"] = timed(lab.up)
        way = SeedWay(lab, stack, archives, images)
        way.tell()
        for part, work in [("save", way.save), ("load", way.load), ("units", way.start)]:
            taken[part] = timed(work)
    finally:
        before = signal.signal(signal.SIGINT, signal.SIG_IGN)
        lab.down()
        subprocess.run(["rm", "-rf", lab.folder], check=True)
        signal.signal(signal.SIGINT, before)
    taken["whole"] = taken["boot"] + taken["load"] + taken["units"]
    return taken


def main():
    parser = argparse.ArgumentParser(prog="benchmarks.seed_way", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--stack", type=pathlib.Path, default=ROOT / "services/zookeeper", metavar="FOLDER", help="the stack (services/zookeeper)")
    parser.add_argument("--runs", type=int, default=3, metavar="N", help="how often (3)")
    parser.add_argument("--nodes", type=int, default=3, metavar="N", help="how many nodes (3)")
    parser.add_argument("--image", action="append", default=[], metavar="NAME", help="load these images instead of the stack's; may be repeated")
    parser.add_argument("--programs", metavar="FOLDER", help="where lab and labd are; built if not given")
    parser.add_argument("--name", default="bench-seed-way", metavar="NAME", help="name of the lab (bench-seed-way)")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: exit(143))
    times, loads = {}, []
    try:
        program = check_host(args.programs) / "lab"
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            folder = pathlib.Path(folder)
            for number in range(max(1, args.runs)):
                taken = bring_up(program, folder, args.nodes, args.stack.resolve(), folder / "archives", args.image, args.name)
                loads.append(os.getloadavg()[0])
                for part, seconds in taken.items():
                    times.setdefault(part, []).append(seconds)
                say(f"run {number + 1}: " + ", ".join(f"{part} {seconds:.2f} s" for part, seconds in taken.items()))
            size = sum(archive.stat().st_size for archive in (folder / "archives").iterdir())
    except RuntimeError as error:
        die(error)
    head()
    for part, what in [("boot", f"`lab up`, {args.nodes} nodes, all at once"), ("save", "`docker save`, the first time"),
                       ("load", "`docker load`, node after node"), ("units", "units with pauses, until all serve"),
                       ("whole", "boot + load + units")]:
        # Archives are saved once.
        values = times[part][:1] if part == "save" else times[part]
        row(what, f"{statistics.median(values):.2f} s", between=f"{min(values):.2f}–{max(values):.2f}")
    print(f"\nArchives: {size / 1e6:.0f} MB. {about(loads, [])}")


if __name__ == "__main__":
    main()
