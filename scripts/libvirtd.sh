# shellcheck shell=bash
# A libvirt of our own: its settings, machines and sockets are in one folder, and nothing of it is left on the host.
# Sourced by scripts/test-vm, as root and in a mount namespace of its own.

libvirt_pids=()

# Has every path of libvirt lead into FOLDER, for this namespace only.
own_libvirt_paths() { # FOLDER
    local path
    mount --make-rprivate /
    for path in /etc/libvirt /run/libvirt /var/lib/libvirt /var/cache/libvirt /var/log/libvirt; do
        mkdir -p "$path" "$1$path"
        mount --bind "$1$path" "$path"
    done
    mkdir -p /var/lib/libvirt/images
}

write_libvirt_settings() {
    cat >/etc/libvirt/libvirtd.conf <<'END'
unix_sock_rw_perms = "0700"
auth_unix_ro = "none"
auth_unix_rw = "none"
END
    # As inside a container: without an init system, namespaces and all of the cgroups.
    cat >/etc/libvirt/qemu.conf <<'END'
user = "root"
group = "root"
security_driver = "none"
cgroup_controllers = [ ]
namespaces = [ ]
remember_owner = 0
stdio_handler = "file"
max_core = 0
END
}

start_libvirt() { # LOG
    local until=$((SECONDS + 30))
    setsid libvirtd -f /etc/libvirt/libvirtd.conf -p /run/libvirt/libvirtd.pid </dev/null >"$1" 2>&1 &
    libvirt_pids+=($!)
    until virsh -c qemu:///system version >/dev/null 2>&1; do
        kill -0 "${libvirt_pids[-1]}" 2>/dev/null || die "libvirtd died; see $1"
        ((SECONDS < until)) || die "libvirtd does not answer within 30 s; see $1"
        sleep 0.2
    done
}

# Ends machines, networks and the daemon. Bridges and firewall rules are the host's, so the networks must go in order.
stop_libvirt() {
    local name pid until
    for name in $(virsh -c qemu:///system list --name 2>/dev/null); do virsh -c qemu:///system destroy "$name" >/dev/null 2>&1 || true; done
    for name in $(virsh -c qemu:///system net-list --name 2>/dev/null); do virsh -c qemu:///system net-destroy "$name" >/dev/null 2>&1 || true; done
    for pid in "${libvirt_pids[@]}"; do
        kill "$pid" 2>/dev/null || continue
        until=$((SECONDS + 10))
        while kill -0 "$pid" 2>/dev/null && ((SECONDS < until)); do sleep 0.2; done
        kill -KILL "$pid" 2>/dev/null || true
    done
    libvirt_pids=()
}
