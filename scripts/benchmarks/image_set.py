"""Five images as clusters have them: from Debian packages, with a base and a Java runtime in common.

They are made once and stay in the engine as `lab-bench/...`, twelve layers in all, until their recipe changes.
"""

import hashlib
import json
import os
import pathlib
import tempfile

from .common import die, run, say

SUITE = "bookworm"
INSTALL = ("RUN apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends {} "
           "&& apt-get clean && rm -rf /var/lib/apt/lists/* /var/log/*.log /var/log/apt")
# Name, what it is made from, and how; a folder `files` has what nothing can compress, `file` is one of 2.5 kB.
RECIPES = [
    ("jre", "base", [INSTALL.format("default-jre-headless")]),
    ("zk-body", "jre", [INSTALL.format("zookeeper")]),
    ("zk", "zk-body", ["COPY file /etc/zookeeper/conf/lab.cfg"]),
    ("app", "jre", [INSTALL.format("curl ca-certificates"), "COPY files /srv/app"]),
    ("haproxy", "base", [INSTALL.format("haproxy"), "COPY file /etc/haproxy/lab.cfg"]),
    ("registry", "base", [INSTALL.format("docker-registry"), "COPY file /etc/docker/registry/lab.yml"]),
    ("etcd", "base", [INSTALL.format("etcd-server etcd-client"), "COPY file /etc/default/lab"]),
]
FILES, FILE_SIZE = 40, 1_050_000
KEY = hashlib.sha256(repr((SUITE, RECIPES, FILES, FILE_SIZE)).encode()).hexdigest()[:12]


def name(short):
    return f"lab-bench/{short}:{'run' if short == 'zk' else KEY}"


ZOOKEEPER, UNCHANGED = name("zk"), f"lab-bench/zk:{KEY}"
SHORTS = ["zk", "app", "haproxy", "registry", "etcd"]
NAMES = [name(short) for short in SHORTS]
TOML = "".join(f'[images.{short}]\nengine = "{name(short)}"\n' for short in SHORTS)


def has(image):
    return bool(run("docker", "image", "ls", "-q", image).strip())


def ensure():
    """Makes what is missing of the set, and puts every image back to what it was at first."""
    if not has(name("base")):
        # Images on another base would share nothing with it.
        remove()
        make_base()
    for short, parent, steps in RECIPES:
        tag = f"lab-bench/{short}:{KEY}"
        if not has(tag):
            say(f"making {tag}")
            build(tag, f"lab-bench/{parent}:{KEY}", steps)
    run("docker", "tag", UNCHANGED, ZOOKEEPER)


def make_base():
    say("making the base of the images from Debian packages")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        # The sources of this host, if it is this Debian: it may use a mirror of its own.
        sources = [path for path in ("/etc/apt/sources.list", "/etc/apt/sources.list.d/debian.sources")
                   if os.path.exists(path) and SUITE in pathlib.Path(path).read_text()]
        try:
            run("mmdebstrap", "--variant=minbase", SUITE, f"{folder}/base.tar", *sources)
        except FileNotFoundError:
            die("no mmdebstrap: `scripts/setup --bench` installs it")
        run("docker", "import", "--change", 'CMD ["sh"]', f"{folder}/base.tar", name("base"))


def build(tag, parent, steps):
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        context = pathlib.Path(folder)
        (context / "Dockerfile").write_text("\n".join([f"FROM {parent}", *steps]))
        (context / "file").write_text(os.urandom(1250).hex())
        (context / "files").mkdir()
        if any("COPY files " in step for step in steps):
            for number in range(FILES):
                (context / f"files/{number}").write_bytes(os.urandom(FILE_SIZE))
        # The older builder takes a base that only the engine knows, and asks no registry about it.
        run("docker", "build", "--quiet", "--network", "host", "--tag", tag, folder,
            env={**os.environ, "DOCKER_BUILDKIT": "0"})


def change():
    """Rebuilds ZooKeeper's image, of which the small top layer is another one now."""
    drop(ZOOKEEPER, lambda: build(ZOOKEEPER, name("zk-body"), next(steps for short, _, steps in RECIPES if short == "zk")))


def restore():
    drop(ZOOKEEPER, lambda: run("docker", "tag", UNCHANGED, ZOOKEEPER))


def drop(tag, replace):
    """Replaces what a tag means, and removes the image that has no name any more."""
    before = identity(tag)
    replace()
    if before not in (identity(tag), identity(UNCHANGED)):
        run("docker", "rmi", before, check=False)


def identity(image):
    return run("docker", "image", "inspect", "--format", "{{.Id}}", image).strip()


def layers(command=()):
    """Returns the layers of each image, here or where the command leads; engines differ in what an Id is."""
    told = run(*command, "docker", "image", "inspect", *NAMES)
    return {tag: image["RootFS"]["Layers"] for image in json.loads(told) for tag in image["RepoTags"] if tag in NAMES}


def end():
    """Removes what a run made of the set."""
    if has(ZOOKEEPER):
        restore()
        run("docker", "rmi", ZOOKEEPER, check=False)


def remove():
    found = run("docker", "image", "ls", "--format", "{{.Repository}}:{{.Tag}}", "lab-bench/*").split()
    if found:
        run("docker", "rmi", *found, check=False)
