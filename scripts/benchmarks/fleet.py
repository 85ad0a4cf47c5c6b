"""Measures units: how soon they run elsewhere when their node dies, how soon a hundred of them run, and what it
costs when nothing happens.

  failover  a node is killed (`docker kill`) until its unit is active on another one, in a plain lab and in a
            fenced one; fleet itself took 10.1 s for the lease of its leader alone
  start     100 new units on 3 nodes until systemd says of all that they are active: by `lab unit start`, and by
            what `fleetctl start` asks for each unit, one unit after the other, at the same lab
  list      all of 1,000 units through the API, page by page
  idle      processor time of labd and etcd on each of 3 nodes with 300 units that sleep
  plan      placing 1,000 to 10,000 units on 1,000 machines, in memory
"""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import time

from .common import ROOT, Lab, about, head, row, run, say, timed

UNIT = "[Service]\nExecStart=/bin/sleep infinity\n"
OPTIONS = [{"section": "Service", "name": "ExecStart", "value": "/bin/sleep infinity"}]
LIMIT = 120
# What the client of old does between two looks.
POLL = 0.25


class Socket(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("fleet", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(str(self.path))


class Fleet:
    """The fleet of a lab, through ssh to one node."""

    def __init__(self, lab, node):
        self.path = lab.folder / f"{node}.sock"
        self.path.unlink(missing_ok=True)
        config = lab("ssh-config", "--path").strip()
        self.tunnel = subprocess.Popen(["ssh", "-F", config, "-N", "-L", f"{self.path}:/run/fleet.sock", node],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.connection = None
        until("the fleet answers", lambda: self.path.exists() and self.ask("GET", "machines")[0] == 200)

    def close(self):
        self.tunnel.kill()
        self.tunnel.wait()

    def ask(self, method, path, body=None):
        for _ in range(2):
            try:
                self.connection = self.connection or Socket(self.path)
                headers = {"Content-Type": "application/json"} if body else {}
                self.connection.request(method, f"/fleet/v1/{path}", body and json.dumps(body), headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (OSError, http.client.HTTPException):
                self.connection = None
        return 0, b""

    def read(self, path):
        status, body = self.ask("GET", path)
        return json.loads(body) if status == 200 else {}

    def list(self, what):
        found, token = [], ""
        while True:
            page = self.read(f"{what}?nextPageToken={token}")
            found += page.get("states" if what == "state" else what, [])
            token = page.get("nextPageToken", "")
            if not token:
                return found

    def active(self):
        return {state["name"]: state["machineID"] for state in self.list("state")
                if state.get("systemdActiveState") == "active"}

    def start(self, unit):
        """Asks what `fleetctl start` asks, in the same order and with the same pauses."""
        self.ask("GET", f"units/{unit}")
        self.ask("PUT", f"units/{unit}", {"name": unit, "options": OPTIONS})
        self.poll(lambda: self.read(f"units/{unit}").get("currentState") == "inactive")
        self.ask("GET", f"units/{unit}")
        self.ask("PUT", f"units/{unit}", {"name": unit, "desiredState": "launched"})
        self.poll(lambda: self.read(f"units/{unit}").get("currentState") == "launched")
        self.ask("GET", "machines")
        self.poll(lambda: self.read(f"state/{unit}").get("systemdActiveState") == "active")

    def poll(self, is_so):
        end = time.monotonic() + LIMIT
        time.sleep(POLL)
        while not is_so():
            if time.monotonic() > end:
                raise RuntimeError("a unit does not start")
            time.sleep(POLL)

    def clear(self):
        for unit in self.list("units"):
            self.ask("DELETE", f"units/{unit['name']}")
        until("all units are gone", lambda: not self.list("state"))


def until(what, is_so):
    end = time.monotonic() + LIMIT
    while not is_so():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {LIMIT} s: {what}")
        time.sleep(0.02)


def failover(lab, times, loads):
    """Kills the node that has the unit, and brings it back."""
    names = {node["id"]: node["name"] for node in with_fleet(lab, "core-01", lambda fleet: fleet.list("machines"))}
    victim_id = with_fleet(lab, "core-01", lambda fleet: fleet.active())["bench.service"]
    victim = names[victim_id]
    witness = next(name for name in sorted(names.values()) if name != victim)
    loads.append(os.getloadavg()[0])

    def measured(fleet):
        since = time.perf_counter()
        run("docker", "kill", f"lab-{lab.name}-{victim}")
        until("the unit runs elsewhere", lambda: fleet.active().get("bench.service", victim_id) != victim_id)
        return time.perf_counter() - since

    times.append(with_fleet(lab, witness, measured))
    lab.up()


def with_fleet(lab, node, work):
    fleet = Fleet(lab, node)
    try:
        return work(fleet)
    finally:
        fleet.close()


def hundred(lab, fleet, loads):
    """Starts 100 units both ways; returns how long each took."""
    loads.append(os.getloadavg()[0])
    (lab.folder / "many@.service").write_text(UNIT)
    names = [f"many@{number}.service" for number in range(100)]
    ours = timed(lambda: lab("unit", "start", *names))
    assert len(fleet.active()) >= 100
    fleet.clear()
    theirs = timed(lambda: [fleet.start(f"many@{number}.service") for number in range(100)])
    fleet.clear()
    return ours, theirs


def ticks(lab):
    """Returns the processor time of labd and etcd on each node, in seconds."""
    used = {}
    for container in lab.containers():
        for line in run("docker", "top", container["Id"], "-eo", "pid,comm").splitlines()[1:]:
            pid, name = line.split()[:2]
            if name in ("labd", "etcd"):
                fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
                used[container["Name"], name] = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    return used


def idle(lab, seconds):
    before = ticks(lab)
    time.sleep(seconds)
    after = ticks(lab)
    share = lambda wanted: [100 * (after[key] - before[key]) / seconds for key in before if key[1] == wanted]
    return share("labd"), share("etcd")


def many(fleet, count, state):
    for number in range(count):
        body = {"name": f"x@{number}.service", "options": OPTIONS, "desiredState": state}
        status, said = fleet.ask("PUT", f"units/x%40{number}.service", body)
        if status != 201:
            raise RuntimeError(f"a unit was refused: {status} {said!r}")


def measure(folder, programs, runs):
    plain = Lab(programs / "lab", folder, 3, "bench-fleet")
    fenced = Lab(programs / "lab", folder, 3, "bench-fenced", toml="[fleet]\nfence = true\n")
    times, loads, facts = {"plain": [], "fenced": []}, [], {}
    try:
        for name, lab in [("plain", plain), ("fenced", fenced)]:
            lab.up()
            (lab.folder / "bench.service").write_text(UNIT)
            lab("unit", "start", "bench.service")
            for number in range(runs):
                failover(lab, times[name], loads)
                say(f"run {number + 1}: {name} failover {times[name][-1]:.2f} s (load {loads[-1]:.1f})")
            if lab is fenced:
                lab.down()
        fleet = Fleet(plain, "core-01")
        fleet.clear()
        facts["hundred"] = [hundred(plain, fleet, loads) for _ in range(max(1, runs // 2))]
        many(fleet, 300, "launched")
        until("300 units are active", lambda: len(fleet.active()) == 300)
        facts["labd"], facts["etcd"] = idle(plain, 30)
        fleet.clear()
        many(fleet, 1000, "inactive")
        facts["list"] = [timed(lambda: fleet.list("units")) for _ in range(20)]
        fleet.close()
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        for lab in (plain, fenced):
            with contextlib.suppress(RuntimeError):
                lab.down()
    facts["plan"] = run("cargo", "run", "--quiet", "--release", "--locked", "--example", "bench-plan", cwd=ROOT)
    show(times, facts, loads)


def show(times, facts, loads):
    head()
    for name, what, aim in [("plain", "failover", "≤ 5 s"), ("fenced", "failover, fenced", "")]:
        values = times[name]
        row(what, f"{statistics.median(values):.2f} s", "", aim, f"{min(values):.2f}–{max(values):.2f}")
    ours, theirs = (statistics.median(values) for values in zip(*facts["hundred"]))
    row("100 units until active, `lab unit start`", f"{ours:.2f} s", f"{theirs / ours:.1f} × faster", "≥ 5 ×")
    row("100 units, one round of `fleetctl start` each", f"{theirs:.2f} s", "1")
    row("list of 1,000 units, 10 pages", f"{statistics.median(facts['list']) * 1000:.0f} ms")
    row("idle labd with 100 units a node, of a core", f"{max(facts['labd']):.2f} %", "", "≤ 0.5 % together", "highest of 3 nodes")
    row("idle etcd, of a core", f"{max(facts['etcd']):.2f} %", "", "", "highest of 3 nodes")
    for line in facts["plan"].splitlines():
        units, machines, milliseconds = line.split()
        row(f"plan of {int(units):,} units on {int(machines):,} machines", f"{milliseconds} ms", "",
            "≤ 100 ms" if units == "10000" else "")
    print(f"\nFailovers: {len(times['plain'])} each. {about(loads, [])}")
