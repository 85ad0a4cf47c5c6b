# shellcheck shell=bash
# Running dockerd by hand, where no systemd does it. Sourced by scripts/engine, as root.

docker_pid=/var/run/docker.pid
own_pid=/run/lab-engine.pid
log=/var/log/lab-engine.log

pid_in() { cat "$1" 2>/dev/null || true; }

# Whether PID is a live NAME with WORDS on its command line. A zombie has no command line; what
# runs inside a node looks the same from here, but lives in a PID namespace of its own.
runs() { # PID NAME [WORDS]
    [[ -n $1 && $(pid_in "/proc/$1/comm") == "$2" ]] || return 1
    [[ $(readlink "/proc/$1/ns/pid") == "$(readlink /proc/self/ns/pid)" ]] || return 1
    tr '\0' ' ' 2>/dev/null <"/proc/$1/cmdline" | grep -qF -- "${3:-$2}"
}

end() { # PID NAME SECONDS
    local until=$((SECONDS + $3))
    kill "$1" 2>/dev/null || true
    while runs "$1" "$2"; do
        ((SECONDS < until)) || return 1
        sleep 0.2
    done
}

# With what a killed dockerd left behind, the next one refuses to start or waits in vain. Of
# mounts, bridges and its own sockets it takes care itself.
clean() {
    local state=/var/run/docker/containerd system=/run/containerd/containerd.sock pid status=0
    for pid in $(pgrep -x containerd); do
        if runs "$pid" containerd $state; then end "$pid" containerd 5 || kill -KILL "$pid"; fi
    done
    rm -f $docker_pid $state/containerd.pid
    # Any socket here is taken for a containerd that runs; 7 says that nobody listens.
    if [[ -S $system ]]; then
        curl -s --max-time 5 --unix-socket $system http://localhost/ >/dev/null 2>&1 || status=$?
        ((status != 7)) || rm -f $system
    fi
}

mount_cgroups() {
    local name
    if mountpoint -q /sys/fs/cgroup; then return; fi
    if mount -t cgroup2 cgroup2 /sys/fs/cgroup 2>/dev/null; then
        if grep -qw memory /sys/fs/cgroup/cgroup.controllers; then return; fi
        umount /sys/fs/cgroup # this kernel's controllers are those of version 1
    fi
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    awk '!/^#/ && $4 == 1 { print $1 }' /proc/cgroups | while read -r name; do
        mkdir "/sys/fs/cgroup/$name"
        mount -t cgroup -o "$name" cgroup "/sys/fs/cgroup/$name" || rmdir "/sys/fs/cgroup/$name"
    done
}

# Keeps nothing of the caller's: no terminal, no pipe whose reader waits for its end, no lock.
launch() {
    local fd
    if [[ -e $log ]]; then mv -f $log $log.1; fi
    (
        cd /
        for fd in "/proc/$BASHPID/fd"/*; do
            fd=${fd##*/}
            if ((fd > 2)); then exec {fd}>&-; fi
        done
        exec setsid dockerd </dev/null >$log 2>&1
    ) &
    child=$!
    echo "$child" >$own_pid
}
