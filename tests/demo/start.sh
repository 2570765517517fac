# shellcheck shell=bash
# What the demo stands on: the programs, a cluster, and Portcullis with an account of its own in it.

work='' web_tools='' cluster_pid='' cluster_input='' gate_pid='' no_node=''
image=portcullis.test/busybox:1

check_prerequisites() {
    local missing=()
    command -v cargo >/dev/null || missing+=("cargo: Rust $(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml) or newer, from https://rustup.rs")
    command -v cc >/dev/null || missing+=("cc: a C compiler, for SQLite and the cryptography (Debian: apt-get install gcc libc6-dev)")
    if [[ -z ${KUBEBUILDER_ASSETS:-} ]]; then
        command -v go >/dev/null || missing+=("go: $(sed -n 's/^go /Go /p' tests/controlplane/go.mod) or newer, from https://go.dev/dl")
    fi
    ((${#missing[@]} == 0)) && return
    printf 'demo: missing: %s\n' "${missing[@]}" >&2
    exit 1
}

build() {
    chapter "Building"
    say "Portcullis and the program that runs a cluster for it:"
    cargo build --locked --bin portcullis --example controlplane
    # Before HOME is another one: what they need is kept below it.
    web_tools=$(tests/web/tools) || web_tools=''
    target=$(cargo metadata --locked --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
}

start_cluster() {
    local facts
    chapter "A cluster"
    say "etcd, kube-apiserver, controllers, scheduler and a node, all real. The first time they are compiled, which takes
ten minutes and more; after that they are there in seconds."
    work=$(mktemp -d "${TMPDIR:-/tmp}/portcullis-demo.XXXXXX")
    # Of its own process group, so that a Ctrl-C reaches us alone and we stop things in order.
    set -m
    coproc CLUSTER { exec "$target/debug/examples/controlplane" --json; }
    set +m
    # Kept, because Bash forgets the array when the process is gone.
    cluster_pid=$CLUSTER_PID cluster_input=${CLUSTER[1]}
    read -r facts <&"${CLUSTER[0]}" || die "the cluster did not start, for the reason given above"
    cluster_kubeconfig=$(fact kubeconfig "$facts")
    audit_log=$(fact audit_log "$facts")
    no_node=$(fact no_node "$facts")
    mkdir "$work/bin"
    ln -s "$(fact kubectl "$facts")" "$work/bin/kubectl"
    ln -s "$target/debug/portcullis" "$work/bin/portcullis"
    export PATH=$work/bin:$PATH HOME=$work
    # From here on all is on this machine.
    unset HTTP_PROXY HTTPS_PROXY ALL_PROXY http_proxy https_proxy all_proxy
    cd "$work"
    has_node || [[ ${CI:-} != true ]] || die "pods are a part of the demo: $no_node"
    as cluster-admin
    run "kubectl get nodes"
}

# fact NAME TEXT: a field of a line of JSON whose texts have nothing to unescape.
fact() { sed -n 's/.*"'"$1"'":"\([^"]*\)".*/\1/p' <<<"$2"; }

has_node() { [[ -z $no_node ]]; }

start_gate() {
    local server
    chapter "Portcullis before it"
    say "It gets an account that may do one thing: say for whom a request is."
    as cluster-admin
    cp "$root/deploy/rbac.yaml" .
    run "kubectl apply -f rbac.yaml"
    mkdir gate
    (umask 077 && kubectl create token portcullis --namespace portcullis --duration 24h >gate/token)
    server=$(kubectl config view --output jsonpath='{.clusters[0].cluster.server}')
    kubectl config view --raw --flatten --output jsonpath='{.clusters[0].cluster.certificate-authority-data}' |
        base64 -d >gate/ca.crt
    gate_kubeconfig "$server" >gate/kubeconfig
    as operator
    show "PORTCULLIS_TOKEN_HASHING=false portcullis serve --kubeconfig gate/kubeconfig --data-dir data &"
    (
        # Not ours to hold open: it is what tells the cluster that we are there.
        exec {cluster_input}>&-
        export PORTCULLIS_TOKEN_HASHING=false
        exec portcullis serve --kubeconfig gate/kubeconfig --data-dir data \
            --listen 127.0.0.1:0 --admin-listen 127.0.0.1:0 >gate.log 2>gate.err
    ) &
    gate_pid=$!
    wait_until "Portcullis listens" gate_listens
    GATE=https://$(fact listen "$(<data/endpoints.json)")
    admin_address=$(fact admin "$(<data/endpoints.json)")
    export GATE
    wait_until "Portcullis is ready" gate_is_ready
    say "It is ready: it listens at $GATE, has its own certificate, and the cluster takes its credential."
}

# The token is named, not copied: whoever renews the file renews what Portcullis sends.
gate_kubeconfig() {
    cat <<KUBECONFIG
apiVersion: v1
kind: Config
current-context: cluster
clusters:
- {name: cluster, cluster: {server: "$1", certificate-authority: "$work/gate/ca.crt"}}
contexts:
- {name: cluster, context: {cluster: cluster, user: portcullis}}
users:
- {name: portcullis, user: {tokenFile: "$work/gate/token"}}
KUBECONFIG
}

gate_listens() {
    kill -0 "$gate_pid" 2>/dev/null || die "Portcullis ended: $(<gate.err)"
    [[ -s data/endpoints.json ]]
}

gate_is_ready() {
    local connection status
    kill -0 "$gate_pid" 2>/dev/null || die "Portcullis ended: $(<gate.err)"
    exec {connection}<>"/dev/tcp/${admin_address%:*}/${admin_address##*:}"
    printf 'GET /readyz HTTP/1.0\r\n\r\n' >&"$connection"
    read -r _ status _ <&"$connection"
    exec {connection}>&-
    [[ $status == 200 ]]
}

# Runs however the demo ends. Whatever it started stops in order, and what it wrote goes.
clean_up() {
    local code=$? job
    trap - EXIT
    # Once more would only leave things behind.
    trap '' INT TERM
    for job in $(jobs -p); do
        [[ $job == "$cluster_pid" || $job == "$gate_pid" ]] || kill "$job" 2>/dev/null || true
    done
    if [[ -n $gate_pid ]]; then
        ((code == 0 || code == 130)) || tail -n 5 "$work/gate.err" >&2 || true
        kill "$gate_pid" 2>/dev/null || true
        wait "$gate_pid" 2>/dev/null || true
    fi
    if [[ -n $cluster_pid ]]; then
        [[ -z $cluster_input ]] || exec {cluster_input}>&-
        wait "$cluster_pid" 2>/dev/null || true
    fi
    cd /
    [[ -z $work ]] || rm -rf "$work"
    exit "$code"
}
