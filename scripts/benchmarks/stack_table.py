"""The table of `scripts/bench stack`: `lab up` and its stages, the usual way, and what cannot be left out."""

import statistics

from .common import about, head, row

STAGES = [("before", "until the first node is being made"), ("nodes", "nodes made and booted"), ("images", "images looked at"),
          ("machines", "machines joined"), ("units", "units sent and started, until all serve"), ("after", "what it prints")]


class Table:
    def __init__(self, figures):
        self.figures = figures

    def middle(self, name):
        return statistics.median(self.figures[name])

    def show(self, what, name, aim="", tell=None, of=""):
        """Shows a row; `tell` says its ratio, and gets how many times as much it took as `of`."""
        if name not in self.figures:
            return row(what, "failed", aim=aim)
        values = self.figures[name]
        ratio = tell.format(self.middle(name) / self.middle(of)) if tell and of in self.figures else ""
        row(what, seconds(self.middle(name)), ratio, aim, f"{min(values):.2f}–{max(values):.2f}" if len(values) > 1 else "")


def seconds(value):
    return f"{value:.2f} s"


def show(clock, runs, sizes, archives):
    table = Table(clock.figures)
    head()
    table.show("`lab up --nodes 3 --stack zookeeper`", "lab one", "≤ 1.3 × floor", "{:.2f} × floor", "floor")
    for stage, what in STAGES:
        table.show(f"– {what}", f"lab one {stage}")
    floor(table)
    table.show("the same with four images on every node", "lab four")
    faster, aim = "lab is {:.1f} × faster", "lab ≥ 10 × faster"
    for name, what in [("one", "ZooKeeper's archive alone"), ("four", "four archives")]:
        table.show(f"usual way, {what}, nodes at once", f"seed {name} whole", aim, faster, f"lab {name}")
        table.show(f"usual way, {what}, node after node", f"seed {name} in turn", aim, faster, f"lab {name}")
        table.show("– archives loaded", f"seed {name} load")
        table.show("– units started with pauses, until all serve", f"seed {name} units")
    table.show("– nodes booted at once", "boots at once")
    table.show("– nodes booted one after the other", "boots in turn")
    images = ", ".join(f"{image} {size / 1e6:.0f} MB" for image, size in sizes.items())
    print(f"\nImages: {images}; archives: {archives / 1e6:.0f} MB.\nRuns: {runs}. {about(clock.loads, clock.failures)}")


def floor(table):
    table.show("floor: nodes with the image, and ZooKeeper by hand", "floor", tell="1", of="floor")
    table.show("– `lab up --nodes 3 --stack none`, no images", "plain")
    if {"linked", "plain"} <= table.figures.keys():
        row("– what the image adds to that", f"{table.middle('linked') - table.middle('plain'):+.2f} s")
    table.show("– three ZooKeepers, from `docker run` until all have a mode", "election")
