# shellcheck shell=bash
# Streams that end with their token, in kubectl's own words.

cut_streams() {
    local token watcher runner=''
    chapter "Streams end with their token"
    say "Alice gives a job a token of its own. With it the job watches pods, and runs a command in one if there are any:"
    as alice
    run 'TOKEN=$(portcullis token create --ttl 1h --description "for a job")'
    token=${TOKEN%%:*}
    # shellcheck disable=SC2016 # Shown as one would type it.
    show 'kubectl --token "$TOKEN" get pods --watch &'
    kubectl --token "$TOKEN" get pods --watch >watch.log 2>watch.err &
    watcher=$!
    if has_node; then
        # shellcheck disable=SC2016
        show 'kubectl --token "$TOKEN" exec deployment/web -- sh -c "while date +%T; do sleep 1; done" &'
        kubectl --token "$TOKEN" exec deployment/web -- sh -c "while date +%T; do sleep 1; done" >exec.log 2>exec.err &
        runner=$!
        wait_until "the command runs" test -s exec.log
    fi
    wait_until "the watch is open" has_watch "$token"
    say "That could go on for hours. But the token is deleted:"
    run "portcullis token delete $token"
    say "At that moment it is over, and kubectl says why. The watch:"
    last_words "$watcher" watch "$token"
    [[ -z $runner ]] || { say "The command:"; last_words "$runner" exec "$token"; }
}

# last_words PROCESS NAME TOKEN: waits for the end of a command and shows it; it has to name the token.
last_words() {
    local code=0
    wait "$1" || code=$?
    tail -n 2 "$2.log"
    tail -n 2 "$2.err"
    printf '(exit code %d)\n' "$code"
    grep -qF "$3" "$2.log" "$2.err" || die "$2 was to say that $3 is the reason"
}

# That the apiserver answers a watch with the token.
has_watch() { grep -F "\"portcullis.dev/token-name\":[\"$1\"]" "$audit_log" | grep ResponseStarted | grep -q '"verb":"watch"'; }
