#!/usr/bin/env bash
# Packs what install.sh needs on a host into one archive: itself, settings and units, wheels, Consul's binary.
set -euo pipefail
umask 077

usage() {
    cat <<'END'
Usage: pack.sh ARCHIVE --consul FILE [--wheels DIR] [--host-files DIR]

Makes ARCHIVE (.tar, or .tar.gz), with install.sh, consul/, systemd/, consul-binary, wheels/ and host-files/. With
--host-files, hosts/NAME of bootstrap.sh, it is for that host alone and secret.
END
}

fail() {
    echo "pack.sh: $1" >&2
    exit 1
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
archive=${1:-}
if [ -z "$archive" ] || [[ $archive = --* ]]; then
    usage >&2
    exit 2
fi
shift

# add PATH NAME: PATH of this machine is NAME in the archive.
paths=() renames=()
add() {
    local path
    path=$(realpath -e "$1" 2>/dev/null) || fail "there is no $1."
    paths+=("${path#/}")
    renames+=("--transform=s,^${path#/},$2,")
}

while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || fail "$1 needs a value."
    case $1 in
    --consul) add "$2" consul-binary ;;
    --wheels) add "$2" wheels ;;
    --host-files) add "$2" host-files ;;
    *) usage >&2; exit 2 ;;
    esac
    shift 2
done
tar --create --auto-compress --file="$archive" --owner=root:0 --group=root:0 --mode=go= --dereference "${renames[@]}" \
    --directory="$here" install.sh consul systemd --directory=/ "${paths[@]}"
