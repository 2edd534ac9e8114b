#!/usr/bin/env bash
# consul-snapshot.sh FOLDER: saves a snapshot of Consul's state there, checks it, and keeps the last 48 (KEEP).
set -euo pipefail
umask 077

folder=$1
name=$folder/$(date -u +%Y-%m-%dT%H-%M-%S).snap
trap 'rm -f "$name.new"' EXIT

# Any server may answer, so that a snapshot is taken without a leader, too: that is when it may be needed.
consul snapshot save -stale "$name.new" >/dev/null
consul snapshot inspect "$name.new" >/dev/null
mv "$name.new" "$name"
echo "Saved $name."

find "$folder" -maxdepth 1 -name '*.snap' | sort -r | tail -n +$((${KEEP:-48} + 1)) | xargs -r rm -f
