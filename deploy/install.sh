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
opt=/opt/p2p-serving
etc=/etc/p2p-serving
units=/etc/systemd/system
roles=() workers=() host_files='' consul='' wheels='' offline='' version='' extras='worker,onnx,openvino' python=python3
uninstall='' purge='' changed=''

has_role() { [[ " ${roles[*]} " == *" $1 "* ]]; }
has_consul() { has_role consul-server || has_role consul-client; }
has_p2p() { has_role lookup || has_role worker; }

read_arguments() {
    while [ $# -gt 0 ]; do
        [[ $1 != --*=* ]] || set -- "${1%%=*}" "${1#*=}" "${@:2}"
        case $1 in
        --offline) offline=yes ;;
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

check_p2p() {
    local role
    for role in lookup worker; do
        has_role $role || continue
        [ -s "${host_files:+$host_files/p2p/$role.token}" ] || [ -s "$etc/consul/$role.token" ] ||
            fail "there is no $role.token in ${host_files:-$etc}: make the host's files with bootstrap.sh files --$role."
    done
    command -v "$python" >/dev/null || apt_install python3
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
        fail "$("$python" --version) is too old: name Python 3.11 or newer with --python."
    "$python" -c 'import ensurepip, venv' 2>/dev/null || apt_install "$(basename "$python")-venv"
    if [ -n "$wheels" ]; then
        [ "$(find "$wheels" -maxdepth 1 -name 'p2p_serving-*.whl' 2>/dev/null | wc -l)" = 1 ] ||
            fail "$wheels does not hold one wheel of p2p-serving: make it with make dist."
        version=$(basename "$wheels"/p2p_serving-*.whl | cut -d- -f2)
    fi
    [ -n "$version" ] || fail "say what to install, with --wheels or --version."
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

# The environment of one version: its folder is named after what is installed into it, and made once.
install_environment() {
    local what spec reason options=(--quiet --disable-pip-version-check --no-input --root-user-action=ignore)
    spec=
    if has_role worker || [ -e "$units/p2p-worker@.service" ]; then
        spec="[$extras]"
    fi
    what=$("$python" --version; echo "$spec"; [ -z "$wheels" ] || sha256sum <(cat "$wheels"/p2p_serving*.whl))
    environment=$opt/versions/$version-$(sha256sum <<<"$what" | cut -c1-12)
    [ -e "$environment/complete" ] && return
    [ -z "$wheels" ] || options+=(--find-links "$wheels")
    [ -z "$offline" ] || options+=(--no-index)
    rm -rf "$environment"
    if ! {
        mkdir -p "$opt/versions" && "$python" -m venv "$environment" &&
            "$environment/bin/pip" install "${options[@]}" "p2p-serving$spec==$version" &&
            "$environment/bin/p2p" --version && touch "$environment/complete"
    } >"$work/log" 2>&1; then
        reason=$(grep -E 'rror:' "$work/log" | tail -1)
        [ "$(df --output=avail --block-size=1M "$opt" | tail -1)" -ge 50 ] || reason="the disk of $opt is full."
        rm -rf "$environment"
        rmdir --ignore-fail-on-non-empty --parents "$opt/versions" 2>/dev/null || true
        fail "p2p-serving $version was not installed: $reason"
    fi
    note "Installed p2p-serving $version into $environment."
}

use_environment() {
    previous=$(readlink "$opt/current" || true)
    [ "$previous" != "$environment" ] || return 1
    ln -sfn "$environment" "$opt/current.new"
    mv -T "$opt/current.new" "$opt/current"
    ln -sfn "$opt/current/bin/p2p" /usr/local/bin/p2p
    note "The units use $environment from now on."
}

# The same for a file whose content is the operator's from then on.
put_settings() {
    [ -e "$4" ] || put "$@"
    chmod "$1" "$4"
    chgrp "$2" "$4"
}

install_p2p() {
    local renewed='' role name
    add_user p2p-serving
    install -d -m 750 -o root -g p2p-serving $etc $etc/consul
    if [ -n "$host_files" ]; then
        for name in ca.pem client.pem client-key.pem lookup.token worker.token; do
            [ -e "$host_files/p2p/$name" ] || continue
            put 640 p2p-serving "$host_files/p2p/$name" "$etc/consul/$name" && renewed=yes
        done
    fi
    put_settings 640 p2p-serving "$here/systemd/consul.env" $etc/consul.env
    use_environment && renewed=yes
    if has_role lookup; then
        put_settings 640 p2p-serving "$here/systemd/registry.env" $etc/registry.env
        install_unit p2p-registry.service p2p-registry.service $etc/registry.env "$renewed"
    fi
    if has_role worker; then
        for name in "${workers[@]}"; do
            put_settings 640 p2p-serving "$here/systemd/worker.env" "$etc/worker-$name.env"
            install_unit p2p-worker@.service "p2p-worker@$name.service" "$etc/worker-$name.env" "$renewed"
        done
    fi
    find $opt/versions -mindepth 1 -maxdepth 1 ! -path "$environment" ! -path "${previous:-$environment}" -exec rm -rf {} +
}

# install_unit FILE UNIT ENVIRONMENT_FILE RENEWED: a unit is restarted, too, when its settings are newer than its start.
install_unit() {
    local renewed=$4 started
    put 644 root "$here/systemd/$1" "$units/$1" && renewed=yes
    started=$(systemctl show --property ActiveEnterTimestamp --value "$2")
    if [ -n "$started" ] && [ "$(stat -c %Y "$3")" -gt "$(date -d "$started" +%s)" ]; then
        renewed=yes
    fi
    run_unit "$2" "$renewed"
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
