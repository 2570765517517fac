# shellcheck shell=bash
# The life of tokens: how long, in whose view, and how they are kept.

set_lifetimes() {
    chapter "How long a token lives"
    say "Administrators bound it, for everybody and at once. What does not go together is refused; set together, it does:"
    as admin
    run "portcullis setting list"
    refused "portcullis setting set auth-token-max-ttl-minutes=1440" "43200"
    run "portcullis setting set auth-token-max-ttl-minutes=1440 kubeconfig-default-token-ttl-minutes=720"
    say "Who asks for more gets what there is, and is told so:"
    as alice
    # shellcheck disable=SC2016
    run 'TOKEN=$(portcullis token create --ttl 400d --description "for long" 2>warning); cat warning'
    grep -q '^warning: ' warning || die "a shortened life was to be told"
    quietly portcullis token delete "${TOKEN%%:*}"
    say "Settings are not for everybody:"
    refused "portcullis setting reset auth-token-max-ttl-minutes" "403"
    as admin
    run "portcullis setting reset auth-token-max-ttl-minutes kubeconfig-default-token-ttl-minutes"
}

# The page that a browser gets for what the command line has shown. The browser is that of the tests.
show_page() {
    chapter "The same in a browser"
    if [[ -z $web_tools ]]; then
        say "No browser here, so there is no picture of it."
        return
    fi
    picture=$target/demo-tokens.png
    say "Alice opens $GATE/v3/tokens and logs in. What she sees then is kept as
$picture."
    PYTHONDONTWRITEBYTECODE=1 quietly \
        "$web_tools/python" "$here/picture.py" "$GATE/v3/tokens" alice alice/password "$picture"
}

hash_keys() {
    local key
    chapter "Keys become hashes"
    say "This server was told to begin with keys in clear, as one that takes over from elsewhere has to. Who can read its store
can use every token:"
    as alice
    run 'TOKEN=$(portcullis token create --ttl 1h --description "made in clear")'
    key=${TOKEN#*:}
    as operator
    run "cat data/portcullis.db* | grep --text --count --fixed-strings ${key:0:20}"
    say "An administrator ends that, once and for all:"
    as admin
    run "portcullis feature enable token-hashing --yes"
    say "The key is in no file of the server any more, and alice has noticed nothing:"
    as operator
    run "cat data/portcullis.db* | grep --text --count --fixed-strings ${key:0:20}" 1
    as alice
    # shellcheck disable=SC2016
    run 'kubectl --token "$TOKEN" get deployments'
    say "There is no way back:"
    as admin
    refused "portcullis feature disable token-hashing" "422"
}
