# shellcheck shell=bash
# How the demo speaks: chapters, remarks, and commands that are shown before they run.

bold='' dim='' green='' plain=''
if [[ -t 1 && -z ${NO_COLOR:-} && ${TERM:-dumb} != dumb ]]; then
    bold=$'\e[1m' dim=$'\e[36m' green=$'\e[32m' plain=$'\e[0m'
fi
who=''

chapter() { printf '\n%s── %s %s\n' "$bold" "$*" "──$plain"; }
say() { printf '\n%s%s%s\n' "$dim" "$*" "$plain"; }
die() {
    printf 'demo: %s\n' "$*" >&2
    exit 1
}

# as WHO: whose commands follow. Each has an own profile of Portcullis, and the cluster's administrator an own kubeconfig.
as() {
    who=$1
    mkdir -p "$work/$who"
    export PORTCULLIS_HOME=$work/$who/profile
    case $who in
        cluster-admin) export KUBECONFIG=$cluster_kubeconfig ;;
        alice) export KUBECONFIG=$work/alice/kubeconfig ;;
        *) export KUBECONFIG=/dev/null ;;
    esac
}

show() { printf '%s%s$%s %s%s%s\n' "$green" "$who" "$plain" "$bold" "$*" "$plain"; }

# run COMMAND [CODE]: shows it and runs it. It has to end with CODE if that is given, and the code is shown then.
run() {
    local code=0
    show "$1"
    # As in a shell one types into: `| head` is no failure.
    set +o pipefail
    eval "$1" || code=$?
    set -o pipefail
    [[ ${2:-0} == "$code" ]] || die "this was to end with ${2:-0} and ended with $code"
    ((code == 0)) || printf '(exit code %d)\n' "$code"
}

# refused COMMAND [TEXT]: shows it and runs it; it has to fail, and to say TEXT.
refused() {
    local output code=0
    show "$1"
    output=$(eval "$1" 2>&1) || code=$?
    printf '%s\n(exit code %d)\n' "$output" "$code"
    ((code)) || die "this was to be refused and was not"
    [[ $output == *"${2:-Forbidden}"* ]] || die "this was to be refused with ${2:-Forbidden}"
}

# quietly COMMAND…: runs what would only distract, and shows its output if it fails.
quietly() {
    local output
    output=$("$@" 2>&1) || die "$*: $output"
}

same() {
    cmp -s "$1" "$2" || die "$1 and $2 differ"
}

# wait_until WHAT COMMAND…: for states that are not announced, only asked for.
wait_until() {
    local what=$1 deadline=$((SECONDS + 60))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || die "waited a minute until $what"
        sleep 0.1
    done
}

# A watch that ends when it has shown what it was to show.
watch_scaling() {
    local watcher
    show "kubectl get pods --watch &"
    kubectl get pods --watch >watch.log 2>&1 &
    watcher=$!
    wait_until "the watch shows the pod that is there" test -s watch.log
    show "kubectl scale deployment/web --replicas=2"
    quietly kubectl scale deployment/web --replicas=2
    wait_until "the watch shows the new pod run" shows_second_pod
    kill "$watcher" 2>/dev/null || true
    wait "$watcher" 2>/dev/null || true
    cat watch.log
}

shows_second_pod() { [[ $(grep -E ' 1/1 +Running ' watch.log | cut -d' ' -f1 | sort -u | wc -l) -ge 2 ]]; }

# Forwards a port of a pod and asks once through it.
forward_port() {
    local forwarder port connection
    show "kubectl port-forward pod/$1 :8080 &"
    : >forward.log
    kubectl port-forward "pod/$1" :8080 >forward.log 2>&1 &
    forwarder=$!
    wait_until "the port is forwarded" grep -q Forwarding forward.log
    head -n 1 forward.log
    port=$(sed -n '1s/.*127\.0\.0\.1:\([0-9]*\) .*/\1/p' forward.log)
    show "GET http://127.0.0.1:$port/"
    exec {connection}<>"/dev/tcp/127.0.0.1/$port"
    printf 'GET / HTTP/1.0\r\n\r\n' >&"$connection"
    tail -n 1 <&"$connection"
    exec {connection}>&-
    kill "$forwarder" 2>/dev/null || true
    wait "$forwarder" 2>/dev/null || true
}

# The requests of a token that the apiserver has answered, one a line.
audit_lines() {
    { grep -F "\"portcullis.dev/token-name\":[\"$1\"]" "$audit_log" || true; } | sed -E \
        's/.*"requestURI":"([^"]*)","verb":"([^"]*)".*"impersonatedUser":\{"username":"([^"]*)".*"portcullis.dev\/token-name":\["([^"]*)"\].*"code":([0-9]*).*/user=\3 token=\4 \2 \1 → \5/'
}

count_arrivals() { arrivals=$(audit_lines "$1" | wc -l); }

# Nothing has arrived since they were counted. A request of ours that comes later stands in the log by then.
arrived_nothing() {
    local mark=after-$1 now
    KUBECONFIG=$cluster_kubeconfig quietly kubectl get --raw "/version?$mark"
    wait_until "the audit log is written" grep -qF "$mark" "$audit_log"
    now=$(audit_lines "$1" | wc -l)
    ((now == arrivals && arrivals > 0)) || die "$((now - arrivals)) refused requests arrived at the apiserver"
    say "The cluster has not heard of it: requests with this token in the apiserver's audit log before: $arrivals, now: $now."
}
