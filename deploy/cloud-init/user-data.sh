#!/usr/bin/env bash
# Prints the user data with which cloud-init makes a new machine a host of the fleet: it fetches an archive and installs.
set -euo pipefail

usage() {
    cat <<'END'
Usage: user-data.sh HOST_FILES URL SHA256 INSTALL_OPTION...

HOST_FILES   the host's keys and tokens, hosts/NAME of bootstrap.sh
URL, SHA256  where the machine fetches the archive that deploy/pack.sh made without keys, and its checksum
The options are those of install.sh, such as --role consul-client --role worker --worker 1.

What is printed holds the host's secrets. Clouds show user data to whoever may read the machine's metadata, on the
machine, too: allow metadata to root alone, and remove the user data when the machine is installed.
END
}

[ $# -ge 4 ] || { usage >&2; exit 2; }
host_files=$1 url=$2 sha256=$3
shift 3
[ -s "$host_files/consul/host.hcl" ] || { echo "user-data.sh: $host_files is no hosts/NAME of bootstrap.sh." >&2; exit 1; }

wheels=''
[[ " $* " != *" worker "* && " $* " != *" lookup "* ]] || wheels='--wheels wheels'

# What the machine runs; an error ends it, and cloud-init says so in /var/log/cloud-init-output.log.
script() {
    cat <<END
#!/bin/bash
set -euo pipefail
umask 077
cd /usr/local/src/p2p-serving
trap 'rm -rf host-files host-files.tar.gz archive' EXIT
curl --fail --silent --show-error --retry 20 --retry-delay 3 --retry-all-errors --output archive $(printf %q "$url")
echo $(printf %q "$sha256")'  archive' | sha256sum --check --quiet
tar -xaf archive
mkdir host-files
tar -xzf host-files.tar.gz -C host-files
./install.sh --host-files host-files --consul ./consul-binary $wheels$(printf ' %q' "$@")
END
}

cat <<END
#cloud-config
# Made by user-data.sh; holds secrets of one host.
package_update: true
packages: [ca-certificates, curl, python3-venv]
write_files:
  - path: /usr/local/src/p2p-serving/host-files.tar.gz
    owner: root:root
    permissions: "0600"
    encoding: b64
    content: $(tar --create --gzip --owner=root:0 --group=root:0 --directory="$host_files" . | base64 --wrap=0)
  - path: /usr/local/src/p2p-serving/install-host.sh
    owner: root:root
    permissions: "0700"
    encoding: b64
    content: $(script "$@" | base64 --wrap=0)
runcmd:
  - [/usr/local/src/p2p-serving/install-host.sh]
END
