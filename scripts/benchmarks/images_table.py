"""The table of `scripts/bench images`: each way of doing a thing beside the other ways."""

import statistics

from .common import about, head, row

# A cost that is lost in the spread of `lab up` is not told smaller than this.
LEAST = 0.25


class Table:
    def __init__(self, figures):
        self.figures = figures

    def middle(self, name):
        return statistics.median(self.figures[name])

    def show(self, what, name, aim="", against="", unit=None):
        """Shows a row; its ratio says how many times as much another way takes."""
        if name not in self.figures:
            return row(what, "failed", aim=aim)
        unit = unit or seconds
        values = self.figures[name]
        ratio = ""
        if against in self.figures:
            is_lost = unit is added and self.middle(name) < LEAST
            ratio = f"{self.middle(against) / (LEAST if is_lost else self.middle(name)):.1f} × less"
            ratio = f"at least {ratio}" if is_lost else ratio
        value = max(values) if unit is mebibytes else self.middle(name)
        row(what, unit(value), ratio, aim, between(values, unit))


def between(values, unit):
    # A peak is the highest that was seen; what lies below it says nothing.
    if len(values) < 2 or unit is mebibytes:
        return ""
    return f"{unit(min(values))} to {unit(max(values))}"


def seconds(value):
    return f"{value:.2f} s" if value >= 0.3 else f"{value * 1000:.0f} ms"


def added(value):
    return f"{value:+.2f} s"


def megabytes(value):
    return f"{value / 1e6:.0f} MB"


def mebibytes(value):
    return f"{value / 2**20:.1f} MiB"


def show(clock, runs):
    table = Table(clock.figures)
    head()
    saving(table)
    loading(table)
    repeating(table)
    memory(table)
    print(f"\nRuns: {runs}. {about(clock.loads, clock.failures)}")


def saving(table):
    table.show("save all: each \\| gzip", "save each")
    table.show("save all: all \\| zstd", "save all", against="save each")
    table.show("save all: `lab images build`", "save lab", "≥ 8 × less", "save each")
    table.show("floor: `docker save` of all, unread", "save floor", against="save each")
    table.show(f"floor: {megabytes(table.middle('bytes'))} written and synced", "disk floor", against="save each")
    table.show("disk: each \\| gzip", "disk each", unit=megabytes)
    table.show("disk: all \\| zstd", "disk all", against="disk each", unit=megabytes)
    table.show("disk: lab's store", "disk lab", "≥ 2 × less", "disk each", megabytes)


def loading(table):
    first = "first each"
    table.show("first load, 3 nodes: each \\| gzip, in turn", first)
    table.show("first load, 3 nodes: all \\| zstd, at once", "first all", against=first)
    table.show("first load, 3 nodes: lab, as streams", "first streams", "≥ 2.5 × less", first)
    table.show("first load, 3 nodes: added to `lab up`, layers being unpacked", "first making", "≥ 4 × less", first, added)
    table.show("first load, 3 nodes: added to `lab up`, layers unpacked before", "first shared 3", "≥ 50 × less", first, added)
    table.show("first load, 6 nodes: added to `lab up`, layers unpacked before", "first shared 6", "as for 3 nodes", unit=added)
    table.show("floor: dockerd loads one plain archive, 1 node", "first floor")


def repeating(table):
    again, change, whole = "again each", "change each", "whole change each"
    table.show("all there, per node: each \\| gzip", again)
    table.show("all there, per node: all \\| zstd", "again all", against=again)
    table.show("all there, per node: lab", "again lab", "≥ 50 × less", again)
    table.show("2.5 kB changed, load per node: gzip", change)
    table.show("2.5 kB changed, load per node: zstd", "change all", against=change)
    table.show("2.5 kB changed, load per node: lab", "change lab", "≥ 20 × less", change)
    table.show("2.5 kB changed, save and load on 3 nodes: gzip", whole)
    table.show("2.5 kB changed, save and load on 3 nodes: zstd", "whole change all", against=whole)
    table.show("2.5 kB changed, `lab reload-images`, 3 nodes", "whole change lab", "", whole)
    table.show("`lab reload-images`, nothing changed, 3 nodes", "idle lab", "≤ 300 ms")


def memory(table):
    table.show("most memory of `lab images build`", "memory build", "≤ 64 MiB", unit=mebibytes)
    table.show("most memory of `lab reload-images`", "memory reload", "≤ 64 MiB", unit=mebibytes)
    table.show("most memory of labd on a node that loads", "memory labd", "≤ 32 MiB", unit=mebibytes)
    table.show("most memory of labd that unpacks for all", "memory fill", "≤ 32 MiB", unit=mebibytes)
