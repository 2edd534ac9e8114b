#!/usr/bin/env bash
# Installs roles on a Debian or Ubuntu host: Consul server, Consul client, lookup service, workers.
set -euo pipefail

usage() {
    cat <<'END'
Usage: install.sh --role ROLE [--role ROLE]... [options]
       install.sh --uninstall [--purge]

Roles: consul-server, consul-client, lookup, worker. Run it again to change or upgrade a host: what is right already
stays as it is, and only what has changed is restarted. Configuration in /etc/p2p-serving/*.env is yours and is kept.

  --host-files DIR   the host's keys and tokens: hosts/NAME of deploy/consul/bootstrap.sh; needed the first time
  --consul FILE      Consul's binary [default: the consul on the PATH]
  --wheels DIR       wheels of `make dist`, and of what they need where the package index is not to be used
  --offline          use no package index: DIR has everything
  --version VERSION  from the package index, where there are no --wheels
  --extras LIST      what workers need beside the base [default: worker,onnx,openvino]
  --worker NAME      an instance p2p-worker@NAME; may be repeated [default: 1]
  --tls              lookup service and workers speak HTTPS with the certificate of the host's files
  --tokens           ... answer only the callers of tokens.toml of the host's files
  --tickets          workers answer only requests with a ticket of the lookup service
  --python FILE      Python 3.11 or newer [default: python3]
  --uninstall        remove programs and units; configuration, state and users stay
  --purge            ... and those, too
END
}

fail() {
    echo "install.sh: $1" >&2
    exit 1
}

umask 022 # the services read what is installed
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=deploy/consul/install.bash
. "$here/consul/install.bash"
# shellcheck source=deploy/systemd/install.bash
. "$here/systemd/install.bash"
remake='bootstrap.sh files makes it for the host'
opt=/opt/p2p-serving
etc=/etc/p2p-serving
units=/etc/systemd/system
roles=() workers=() host_files='' consul='' wheels='' offline='' version='' extras='worker,onnx,openvino' python=python3
tls='' tokens='' tickets='' uninstall='' purge='' changed=''

has_role() { [[ " ${roles[*]} " == *" $1 "* ]]; }
has_consul() { has_role consul-server || has_role consul-client; }
has_p2p() { has_role lookup || has_role worker; }

read_arguments() {
    while [ $# -gt 0 ]; do
        [[ $1 != --*=* ]] || set -- "${1%%=*}" "${1#*=}" "${@:2}"
        case $1 in
        --offline) offline=yes ;;
        --tls) tls=yes ;;
        --tokens) tokens=yes ;;
        --tickets) tickets=yes ;;
        --uninstall) uninstall=yes ;;
        --purge) purge=yes ;;
        --help | -h) usage; exit ;;
        --role | --host-files | --consul | --wheels | --version | --extras | --worker | --python)
            [ $# -ge 2 ] || fail "$1 needs a value."
            case $1 in
            --role)
                case $2 in consul-server | consul-client | lookup | worker) ;; *) fail "there is no role $2." ;; esac
                roles+=("$2")
                ;;
            --worker)
                [[ $2 =~ ^[A-Za-z0-9][A-Za-z0-9-]*$ ]] ||
                    fail "$2 is no name for a worker: use letters, digits and dashes."
                workers+=("$2")
                ;;
            --host-files) host_files=$2 ;;
            --consul) consul=$2 ;;
            --wheels) wheels=$2 ;;
            --version) version=$2 ;;
            --extras) extras=$2 ;;
            --python) python=$2 ;;
            esac
            shift
            ;;
        *) usage >&2; exit 2 ;;
        esac
        shift
    done
    [ ${#workers[@]} -gt 0 ] || workers=(1)
    [ -n "$uninstall" ] || [ ${#roles[@]} -gt 0 ] || { usage >&2; exit 2; }
}

# ---- Before anything is changed ----

check_host() {
    [ "$(id -u)" = 0 ] || fail "it has to be run by root."
    [ -d /run/systemd/system ] || fail "this host does not run systemd."
    command -v apt-get >/dev/null || fail "this is neither Debian nor Ubuntu."
    exec 9>/run/p2p-serving-install.lock
    flock -n 9 || fail "it is running already."
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
}

apt_install() {
    { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "$@"; } \
        >"$work/log" 2>&1 || fail "apt does not install $*: $(grep '^E:' "$work/log" | tail -1)"
}

# ---- Changes, each of which is made where it is needed alone ----

note() {
    changed=yes
    echo "$1"
}

add_user() {
    id "$1" >/dev/null 2>&1 && return
    useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin "$1"
    note "Added the user $1."
}

# put MODE GROUP SOURCE TARGET: the target is the same as the source; in one step, so that nobody reads half of it.
put() {
    local mode=$1 group=$2 source=$3 target=$4
    if cmp -s "$source" "$target" && [ "$(stat -c '%a %G' "$target")" = "$mode $group" ]; then
        return 1
    fi
    install -D -m "$mode" -o root -g "$group" "$source" "$target.new" ||
        fail "$target cannot be written: is the disk full?"
    mv "$target.new" "$target" || fail "$target cannot be replaced."
    note "Wrote $target."
}

# The same for a file whose content is the operator's from then on.
put_settings() {
    [ -e "$4" ] || put "$@"
    chmod "$1" "$4"
    chgrp "$2" "$4"
}

# run_unit UNIT RENEWED: it is enabled and runs, anew where RENEWED says so. Where it does not start, all is as before.
run_unit() {
    local unit=$1 reason
    [ -z "$changed" ] || systemctl daemon-reload
    if systemctl --quiet is-active "$unit" && systemctl --quiet is-enabled "$unit" && [ -z "$2" ]; then
        return
    fi
    systemctl --quiet enable "$unit" 2>/dev/null
    if ! systemctl --quiet restart "$unit" 2>/dev/null; then
        reason=$(journalctl --unit "$unit" --output cat --lines 50 2>/dev/null | grep -iE 'error' | tail -1 || true)
        if [[ $unit == p2p-* && -n ${previous:-} && ${previous:-} != "$environment" ]]; then
            ln -sfn "$previous" "$opt/current"
            systemctl --quiet restart "$unit" 2>/dev/null || true
            fail "$unit did not start, so $previous is used again: ${reason:-see journalctl --unit $unit}"
        fi
        systemctl --quiet disable --now "$unit" 2>/dev/null || true
        fail "$unit did not start, so it is disabled: ${reason:-see journalctl --unit $unit}"
    fi
    note "Started $unit."
}

# Workers leave the rotation through Consul's agent, so the agent stops last.
remove() {
    local unit
    for unit in $(systemctl list-units --all --plain --no-legend 'p2p-worker@*' | cut -d' ' -f1) p2p-registry.service \
        consul-snapshot.timer consul.service; do
        systemctl --quiet disable --now "$unit" 2>/dev/null || true
    done
    rm -f $units/p2p-registry.service $units/p2p-worker@.service $units/consul.service $units/consul-snapshot.{service,timer}
    systemctl daemon-reload
    [ ! -L /usr/local/bin/p2p ] || rm -f /usr/local/bin/p2p
    rm -rf $opt /usr/local/lib/p2p-serving
    if [ -n "$purge" ]; then
        rm -rf $etc /etc/consul.d /var/lib/p2p-serving /var/cache/p2p-serving /var/lib/consul /var/lib/consul-snapshots
        rm -f /usr/local/bin/consul /var/lib/systemd/timers/stamp-consul-snapshot.timer
        for user in p2p-serving consul; do
            ! id $user >/dev/null 2>&1 || userdel $user
        done
    fi
    echo "Removed${purge:+, with configuration and state}."
}

read_arguments "$@"
check_host
if [ -n "$uninstall" ]; then
    remove
    exit
fi
! has_consul || check_consul
! has_p2p || check_p2p
! has_p2p || install_environment # first, because it needs most time and space, and changes nothing else
! has_consul || install_consul
! has_p2p || install_p2p
[ -n "$changed" ] || echo "Nothing to change."
