# The roles lookup and worker of install.sh, which reads this file and has the functions that it calls.
# shellcheck shell=bash disable=SC2154 # $here, $host_files, $units and the options are install.sh's

check_p2p() {
    local role
    for role in lookup worker; do
        has_role $role || continue
        [ -s "${host_files:+$host_files/p2p/$role.token}" ] || [ -s "$etc/consul/$role.token" ] ||
            fail "there is no $role.token in ${host_files:-$etc}: make the host's files with bootstrap.sh files --$role."
    done
    check_files consul ca.pem client.pem client-key.pem
    check_files tls ${tls:+server.pem server-key.pem}
    [ -z "$tokens" ] || [ -s "$etc/tokens.toml" ] || [ -s "$host_files/p2p/tokens.toml" ] ||
        fail "there is no tokens.toml in $host_files/p2p: put it beside hosts, then run bootstrap.sh."
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

# protection_lines: the variables of access.env that --tls, --tokens and --tickets stand for.
protection_lines() {
    [ -z "$tls" ] || printf '%s\n' "P2P_TLS_CERT=$etc/tls/server.pem" "P2P_TLS_KEY=$etc/tls/server-key.pem"
    [ -z "$tokens" ] || echo "P2P_TOKENS=$etc/tokens.toml"
    [ -z "$tickets" ] || printf '%s\n' P2P_TICKET_KEYS=/var/lib/p2p-serving/ticket-keys P2P_WORKER_REQUIRE_TICKET=true
}

# check_files FOLDER FILE...: the files are among those of the host, or were installed before, into a folder of $etc.
check_files() {
    local folder=$1 name where=${host_files:+$host_files/p2p}
    where=${where:-$etc/$1}
    shift
    for name in "$@"; do
        [ -s "${host_files:+$host_files/p2p/$name}" ] || [ -s "$etc/$folder/$name" ] ||
            fail "there is no $name in $where: $remake."
    done
}

# A token that Consul does not know is refused before anything of the role is installed, where the agent can be asked.
check_token() {
    local role
    systemctl --quiet is-active consul.service || return 0
    for role in lookup worker; do
        has_role $role && [ -s "${host_files:+$host_files/p2p/$role.token}" ] || continue
        for _ in 1 2 3 4; do # an agent that has just joined asks its servers first
            [[ $(ask_for_token "$role") == *"ACL not found"* ]] || continue 2
            sleep 1
        done
        fail "Consul does not know the token in $host_files/p2p/$role.token: run bootstrap.sh tokens."
    done
}

# What Consul says of the token of a role.
ask_for_token() {
    CONSUL_HTTP_ADDR=https://127.0.0.1:8501 CONSUL_CACERT=$host_files/p2p/ca.pem \
        CONSUL_CLIENT_CERT=$host_files/p2p/client.pem CONSUL_CLIENT_KEY=$host_files/p2p/client-key.pem \
        CONSUL_HTTP_TOKEN_FILE=$host_files/p2p/$1.token /usr/local/bin/consul acl token read -self 2>&1 || true
}

# The services read changed certificates and tokens themselves, so only new variables are a reason to restart them.
# A variable that is there already stays, with the operator's value.
protect() {
    local line name
    if [ -n "$host_files" ]; then
        for name in server.pem server-key.pem; do
            [ ! -e "$host_files/p2p/$name" ] || put 640 p2p-serving "$host_files/p2p/$name" "$etc/tls/$name" || true
        done
        [ ! -e "$host_files/p2p/tokens.toml" ] ||
            put 640 p2p-serving "$host_files/p2p/tokens.toml" "$etc/tokens.toml" || true
    fi
    cat "$([ -e $etc/access.env ] && echo $etc/access.env || echo "$here/systemd/access.env")" >"$work/access.env"
    while read -r line; do
        grep -q "^${line%%=*}=" "$work/access.env" || echo "$line" >>"$work/access.env"
    done < <(protection_lines)
    put 640 p2p-serving "$work/access.env" $etc/access.env
}

install_p2p() {
    local renewed='' name
    check_token
    add_user p2p-serving
    install -d -m 750 -o root -g p2p-serving $etc $etc/consul
    if [ -n "$host_files" ]; then
        for name in ca.pem client.pem client-key.pem lookup.token worker.token; do
            [ -e "$host_files/p2p/$name" ] || continue
            put 640 p2p-serving "$host_files/p2p/$name" "$etc/consul/$name" && renewed=yes
        done
    fi
    put_settings 640 p2p-serving "$here/systemd/consul.env" $etc/consul.env
    protect && renewed=yes
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
    local renewed=$4 started file
    put 644 root "$here/systemd/$1" "$units/$1" && renewed=yes
    started=$(systemctl show --property ActiveEnterTimestamp --value "$2")
    for file in "$3" $etc/access.env; do
        [ -z "$started" ] || [ "$(stat -c %Y "$file")" -le "$(date -d "$started" +%s)" ] || renewed=yes
    done
    run_unit "$2" "$renewed"
}
