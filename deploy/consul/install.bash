# The roles consul-server and consul-client of install.sh, which reads this file and has the functions that it calls.
# shellcheck shell=bash disable=SC2154 # $here, $host_files, $units are install.sh's

check_consul() {
    local other=server name
    has_role consul-server && other=client
    [ ! -e /etc/consul.d/$other.hcl ] || fail "this host is a Consul $other: first remove that with --uninstall --purge."
    consul=$(command -v "${consul:-consul}") ||
        fail "no consul was found: install it, or name its binary with --consul."
    consul_version=$("$consul" version 2>/dev/null | sed -n '1s/^Consul v\([0-9]*\)\.\([0-9]*\).*/\1 \2/p') || true
    [ -n "$consul_version" ] || fail "$consul is no Consul that runs here."
    [ "${consul_version% *}" -gt 1 ] || [ "${consul_version#* }" -ge 8 ] || fail "Consul 1.8 or newer is needed, and $consul is ${consul_version/ /.}."
    if [ -n "$host_files" ]; then
        [ -s "$host_files/consul/host.hcl" ] ||
            fail "$host_files is no hosts/NAME of bootstrap.sh: it has no consul/host.hcl."
        for name in ca agent agent-key; do
            [ -s "$host_files/consul/tls/$name.pem" ] || fail "there is no consul/tls/$name.pem in $host_files: $remake."
        done
        if has_role consul-server; then
            [ -s "$host_files/consul/snapshot.token" ] || fail "$host_files belongs to no Consul server."
        fi
    else
        [ -s /etc/consul.d/host.hcl ] || fail "name the host's keys with --host-files, which bootstrap.sh makes."
    fi
}

# What differs between versions of Consul has a folder for each version from which it holds.
consul_settings() {
    local name=$1 newest="$here/consul/$1" folder minor
    for folder in "$here"/consul/from-1.*; do
        minor=${folder##*.}
        [ "${consul_version% *}" -gt 1 ] || [ "${consul_version#* }" -ge "$minor" ] || continue
        [ ! -e "$folder/$name" ] || newest=$folder/$name
    done
    [ -e "$newest" ] && echo "$newest"
}

# Consul before 1.10 removes services that an agent has lost by its default token alone; newer ones need none.
needs_default_token() {
    [ "${consul_version% *}" -eq 1 ] && [ "${consul_version#* }" -lt 10 ]
}

install_consul() {
    local name source reason renewed='' kind=client
    has_role consul-server && kind=server
    add_user consul
    install -d -m 750 -o root -g consul /etc/consul.d /etc/consul.d/tls
    [ "$consul" = /usr/local/bin/consul ] || ! put 755 root "$consul" /usr/local/bin/consul || renewed=yes
    for name in consul.hcl $kind.hcl tls.hcl ports.hcl; do
        source=$(consul_settings "$name") || continue
        put 640 consul "$source" "/etc/consul.d/$name" && renewed=yes
    done
    if [ -n "$host_files" ]; then
        while read -r name; do
            [ "$name" != default-token.hcl ] || needs_default_token || continue
            put 640 consul "$host_files/consul/$name" "/etc/consul.d/$name" && renewed=yes
        done < <(cd "$host_files/consul" && find . -type f -printf '%P\n' | sort)
    fi
    if [ -e /etc/consul.d/default-token.hcl ] && ! needs_default_token; then
        rm /etc/consul.d/default-token.hcl
        renewed=yes
    fi
    put 644 root "$here/consul/consul.service" "$units/consul.service" && renewed=yes
    if [ $kind = server ]; then
        put 755 root "$here/consul/consul-snapshot.sh" /usr/local/lib/p2p-serving/consul-snapshot.sh || true
        put 644 root "$here/consul/consul-snapshot.service" "$units/consul-snapshot.service" || true
        put 644 root "$here/consul/consul-snapshot.timer" "$units/consul-snapshot.timer" || true
    fi
    # Consul compares its limits with those of the process; the unit raises them.
    reason=$(ulimit -Sn "$(ulimit -Hn)" && /usr/local/bin/consul validate -quiet /etc/consul.d 2>&1) ||
        fail "Consul refuses the settings in /etc/consul.d: $(tail -1 <<<"$reason")"
    run_unit consul.service "$renewed"
    [ $kind = client ] || run_unit consul-snapshot.timer ''
}
