"""Images as large as those that Mesos and Marathon came in, or smaller, of which nothing runs.

mesosphere/mesos, which master and slave were made from, had 504 MB in its version 0.22.1, nearly all that each of the two
had. Marathon's images were larger, 900 MB and more in later years; here it has 100 MB on top of Mesos. All are on the same
Debian as the stack's own image, so that no way has to store that twice. They stay in the engine as `lab-bench/...`.
"""

import hashlib

from .common import run, say
from .image_set import build, has, identity

BASE = "lab/debian:bookworm"
# Name, what it is made from, and how.
RECIPES = [
    # Many small files, as a distribution with Java and Python has them, and libraries, as Mesos has them.
    ("mesos", None, "RUN cp -a /usr /opt/some && cp -a /usr /opt/more && head -c 280000000 /dev/urandom > /opt/library"),
    ("mesos-master", "mesos", "RUN head -c 2500 /dev/urandom > /etc/master"),
    ("mesos-slave", "mesos", "RUN head -c 2500 /dev/urandom > /etc/slave"),
    ("marathon", "mesos", "RUN head -c 100000000 /dev/urandom > /opt/marathon"),
]
LABEL = "lab-bench.recipe"


def ensure():
    key = hashlib.sha256(repr((RECIPES, identity(BASE))).encode()).hexdigest()[:12]
    if not all(has(tag(short)) and recipe(short) == key for short, _, _ in RECIPES):
        remove()
        for short, parent, step in RECIPES:
            say(f"making {tag(short)}")
            build(tag(short), tag(parent) if parent else BASE, [step, f"LABEL {LABEL}={key}"])


def tag(short):
    return f"lab-bench/{short}:stand-in"


def images():
    """Returns the images that a lab gets, by the names that its file has for them."""
    return {short: tag(short) for short, parent, _ in RECIPES if parent}


def recipe(short):
    return run("docker", "image", "inspect", "--format", f'{{{{index .Config.Labels "{LABEL}"}}}}', tag(short)).strip()


def remove():
    for short, _, _ in reversed(RECIPES):
        run("docker", "rmi", tag(short), check=False)
