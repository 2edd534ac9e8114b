#!/usr/bin/env bash
# Makes what a Consul cluster that trusts nobody needs: CA, certificates, gossip key, tokens, and the files of each host.
set -euo pipefail
umask 077 # all that is made here is secret or worthless without a secret

usage() {
    cat <<'END'
Usage: bootstrap.sh files DIR [--server|--worker|--lookup NAME=ADDRESS]...
       bootstrap.sh tokens DIR

files   Makes DIR/hosts/NAME for each Consul server, host of workers and host of a lookup service; install.sh takes the
        host's files from there. What DIR has already is kept, so that hosts are added by running it again with the new
        ones; a host that is named again keeps its secrets. Name all servers the first time. A host of workers and of a
        lookup service is named twice.
tokens  Makes the policies and tokens at the running servers, and brings policies up to date. Run it when the servers
        have started, and after hosts were added. CONSUL_HTTP_ADDR names a server; by default the first one is asked.

A DIR/tokens.toml of yours, with the callers of lookup services and workers (p2p tokens new), goes to their hosts.

DIR holds the keys of everything: keep it on the operator's machine, and hand out nothing but hosts/NAME.
Needs consul (CONSUL_BIN, or on the PATH) and, for tokens, curl.
END
}

fail() {
    echo "bootstrap.sh: $1" >&2
    exit 1
}

exec 3>&1
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
consul=$(command -v "${CONSUL_BIN:-consul}") || fail "no consul was found: install it, or name it in CONSUL_BIN."
parts=(worker lookup operator snapshot)

new_uuid() { cat /proc/sys/kernel/random/uuid; }

# Standard input becomes the file, whole or not at all; one that is right already stays as it is.
write() {
    cat >"$1.new"
    if cmp -s "$1.new" "$1"; then
        rm "$1.new"
    else
        mv "$1.new" "$1"
        echo "Wrote $1." >&3
    fi
}

keep_or_make_secret() {
    [ -s "$1" ] || new_uuid | write "$1"
}

# certificate KIND ADDRESS CERT KEY: a certificate that Consul's own tool signs. It is valid for a year.
certificate() {
    local kind=$1 address=$2 work
    [ ! -s "$3" ] || [ ! -s "$4" ] || return 0
    work=$(mktemp -d "$dir/.certificate.XXXXXX")
    (
        cd "$work"
        "$consul" tls cert create "-$kind" -ca="$dir/ca/ca.pem" -key="$dir/ca/ca-key.pem" \
            ${address:+-additional-ipaddress="$address"} >/dev/null
    ) || { rm -rf "$work"; fail "consul made no certificate for $address."; }
    write "$4" <"$(echo "$work"/*-key.pem)"
    rm "$work"/*-key.pem
    write "$3" <"$(echo "$work"/*.pem)"
    rm -rf "$work"
}

make_authority() {
    local work
    mkdir -p "$dir/ca" "$dir/tokens" "$dir/hosts"
    if [ ! -s "$dir/ca/ca.pem" ]; then
        work=$(mktemp -d "$dir/.ca.XXXXXX")
        (cd "$work" && "$consul" tls ca create >/dev/null)
        mv "$work/consul-agent-ca-key.pem" "$dir/ca/ca-key.pem"
        mv "$work/consul-agent-ca.pem" "$dir/ca/ca.pem"
        rmdir "$work"
    fi
    [ -s "$dir/gossip.key" ] || "$consul" keygen | write "$dir/gossip.key"
    for part in "${parts[@]}"; do
        keep_or_make_secret "$dir/tokens/$part"
    done
}

# The settings of one host that differ from host to host, or are secret.
host_hcl() {
    local name=$1 address=$2 kind=$3 servers
    servers=$(awk -F= '{ printf "%s\"%s\"", separator, $2; separator = ", " }' "$dir/servers")
    echo "# Settings of the host $name, made by bootstrap.sh; secret."
    echo "node_name  = \"$name\""
    echo "node_id    = \"$(cat "$dir/hosts/$name/node_id")\" # keeps its place where the agent loses its data"
    echo "bind_addr  = \"$address\""
    echo "retry_join = [$servers]"
    echo "encrypt    = \"$(cat "$dir/gossip.key")\""
    echo "acl { tokens { agent = \"$(cat "$dir/tokens/agent-$name")\" } }"
    if [ "$kind" = server ]; then
        echo "bootstrap_expect = $(wc -l <"$dir/servers" | tr -d ' ')"
        echo "addresses { https = \"127.0.0.1 $address\" } # the operator asks servers, with certificate and token"
    fi
}

# What requests without a token may do; install.sh takes this file for the agents that need it.
default_token_hcl() {
    echo "# The default token of the host $1, made by bootstrap.sh; secret. Consul before 1.10 removes a service that an"
    echo "# agent has lost (with its data, say) by this token alone."
    echo "acl { tokens { default = \"$(cat "$dir/tokens/agent-default-$1")\" } }"
}

make_host() {
    local kind=$1 name=${2%%=*} address=${2#*=} host
    host="$dir/hosts/$name"
    mkdir -p "$host/consul/tls"
    [ "$kind" = server ] || mkdir -p "$host/p2p"
    keep_or_make_secret "$host/node_id"
    keep_or_make_secret "$dir/tokens/agent-$name"
    keep_or_make_secret "$dir/tokens/agent-default-$name"
    certificate "$([ "$kind" = server ] && echo server || echo client)" "$address" "$host/consul/tls/agent.pem" "$host/consul/tls/agent-key.pem"
    write "$host/consul/tls/ca.pem" <"$dir/ca/ca.pem"
    host_hcl "$name" "$address" "$kind" | write "$host/consul/host.hcl"
    default_token_hcl "$name" | write "$host/consul/default-token.hcl"
    if [ "$kind" = server ]; then
        certificate cli "" "$host/consul/tls/cli.pem" "$host/consul/tls/cli-key.pem"
        write "$host/consul/snapshot.token" <"$dir/tokens/snapshot"
    else
        certificate cli "" "$host/p2p/client.pem" "$host/p2p/client-key.pem"
        write "$host/p2p/ca.pem" <"$dir/ca/ca.pem"
        write "$host/p2p/$kind.token" <"$dir/tokens/$kind"
        certificate client "$address" "$host/p2p/server.pem" "$host/p2p/server-key.pem"
        [ ! -s "$dir/tokens.toml" ] || write "$host/p2p/tokens.toml" <"$dir/tokens.toml"
    fi
}

check_host() {
    [[ ${1%%=*} =~ ^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$ ]] ||
        fail "'$1' is not NAME=ADDRESS: a name consists of small letters, digits and dashes."
    [[ $1 = *=* && ${1#*=} =~ ^[0-9a-fA-F.:]+$ ]] ||
        fail "'$1' is not NAME=ADDRESS: an address is an IP address, because certificates name it."
}

files() {
    local kinds=() hosts=() kind
    while [ $# -gt 0 ]; do
        kind=${1#--}
        case $1 in --server | --worker | --lookup) ;; *) usage >&2; exit 2 ;; esac
        [ $# -ge 2 ] || fail "$1 needs NAME=ADDRESS."
        check_host "$2"
        kinds+=("$kind") hosts+=("$2")
        shift 2
    done
    mkdir -p "$dir"
    chmod 700 "$dir"
    touch "$dir/servers"
    for i in "${!hosts[@]}"; do
        if [ "${kinds[$i]}" = server ] && ! grep -Fqx "${hosts[$i]}" "$dir/servers"; then
            echo "${hosts[$i]}" >>"$dir/servers"
        fi
    done
    [ -s "$dir/servers" ] || fail "name the servers first, with --server NAME=ADDRESS."
    make_authority
    for i in "${!hosts[@]}"; do
        make_host "${kinds[$i]}" "${hosts[$i]}"
    done
    certificate cli "" "$dir/operator.pem" "$dir/operator-key.pem"
    echo "The files of ${#hosts[@]} hosts are in $dir/hosts."
}

# ask METHOD PATH TOKEN_FILE [BODY]: the status on the last line, the answer before it. No secret is an argument of a
# command, where other users of this machine would see it.
ask() {
    local body="$work/body"
    printf 'X-Consul-Token: %s\n' "$(cat "$3")" >"$work/header"
    printf '%s' "${4:-}" >"$body"
    curl --silent --max-time 10 --cacert "$dir/ca/ca.pem" --cert "$dir/operator.pem" --key "$dir/operator-key.pem" \
        --request "$1" --header "@$work/header" --data "@$body" --write-out '\n%{http_code}' "$CONSUL_HTTP_ADDR$2" ||
        true
}

bootstrap_acls() {
    local answer
    [ ! -s "$dir/management.token" ] || return 0
    : >"$work/no-token"
    for _ in $(seq 60); do # servers that have just started elect a leader first
        answer=$(ask PUT /v1/acl/bootstrap "$work/no-token")
        case ${answer##*$'\n'} in
        200)
            sed -n 's/.*"SecretID":"\([^"]*\)".*/\1/p' <<<"$answer" | write "$dir/management.token"
            return
            ;;
        403) fail "the ACLs of this cluster were bootstrapped before, and $dir has no management.token: put it there." ;;
        esac
        sleep 0.5
    done
    fail "no Consul server with a leader answers at $CONSUL_HTTP_ADDR: start the servers, then run this again."
}

# make_policy NAME, with the rules on standard input
make_policy() {
    local name=$1 message
    cat >"$work/rules"
    message=$("$consul" acl policy create -name "$name" -rules "@$work/rules" 2>&1) ||
        message=$("$consul" acl policy update -name "$name" -no-merge -rules "@$work/rules" 2>&1) ||
        fail "Consul takes no policy $name: $message"
}

make_token() {
    local policy=$1 secret=$2 answer
    answer=$(ask GET /v1/acl/token/self "$secret")
    [ "${answer##*$'\n'}" != 200 ] || return 0
    answer=$(ask PUT /v1/acl/token "$dir/management.token" \
        "{\"SecretID\": \"$(cat "$secret")\", \"Description\": \"$policy\", \"Policies\": [{\"Name\": \"$policy\"}]}")
    [ "${answer##*$'\n'}" = 200 ] || fail "Consul makes no token for $policy: ${answer%$'\n'*}"
}

tokens() {
    local part name
    [ -s "$dir/servers" ] || fail "$dir holds no cluster: make it with 'bootstrap.sh files' first."
    command -v curl >/dev/null || fail "no curl was found: install it."
    work=$(mktemp -d "$dir/.work.XXXXXX")
    trap 'rm -rf "$work"' EXIT
    export CONSUL_HTTP_ADDR=${CONSUL_HTTP_ADDR:-https://$(head -1 "$dir/servers" | cut -d= -f2):8501}
    export CONSUL_CACERT=$dir/ca/ca.pem CONSUL_CLIENT_CERT=$dir/operator.pem CONSUL_CLIENT_KEY=$dir/operator-key.pem
    export CONSUL_HTTP_TOKEN_FILE=$dir/management.token
    bootstrap_acls
    for part in "${parts[@]}"; do
        make_policy "p2p-$part" <"$here/policies/$part.hcl"
        make_token "p2p-$part" "$dir/tokens/$part"
    done
    for host in "$dir"/hosts/*; do
        name=${host##*/}
        for part in agent agent-default; do
            [ -s "$dir/tokens/$part-$name" ] || continue # of a host whose files are older than the policy
            sed "s/\"NAME\"/\"$name\"/" "$here/policies/$part.hcl" | make_policy "p2p-$part-$name"
            make_token "p2p-$part-$name" "$dir/tokens/$part-$name"
        done
    done
    echo "Policies and tokens are up to date at $CONSUL_HTTP_ADDR."
}

command=${1:-}
[ $# -ge 2 ] || { usage >&2; exit 2; }
mkdir -p "$2" 2>/dev/null || fail "$2 cannot be made."
dir=$(cd "$2" && pwd)
shift 2
case $command in
files) files "$@" ;;
tokens) tokens ;;
*)
    usage >&2
    exit 2
    ;;
esac
