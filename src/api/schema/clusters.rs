//! The fields of clusters, and of what their actions take and give.

use super::Field;
use super::fields::{CREATED, ID};

/// Where clusters come from.
pub(super) const SOURCES: &[&str] = &["configured", "stored"];

/// How clusters can be.
pub(super) const STATES: &[&str] = &["active", "provisioning", "unavailable"];

pub(super) const CLUSTER: &[Field] = &[
    ID,
    Field::new("name", "string", "What it is called, here and as a context in kubeconfigs")
        .create()
        .update()
        .required()
        .at_most_long(63),
    Field::new("state", "enum", "Whether it can be used").one_of(STATES),
    Field::new("transitioningMessage", "string", "Why it can't be used; to administrators in full"),
    Field::new("source", "enum", "Who says that it is there: the server's configuration, or its store")
        .one_of(SOURCES),
    Field::new(
        "endpoints",
        "array[string]",
        "URLs of its apiservers; none with a kubeconfig, which has its own",
    )
    .create()
    .update(),
    Field::new(
        "caCert",
        "string",
        "Authorities that sign the apiservers' certificates, PEM; else the system's",
    )
    .create()
    .update()
    .nullable()
    .long(),
    Field::new(
        "tlsServerName",
        "string",
        "The name in the apiservers' certificates, if it is not that of the URL",
    )
    .create()
    .update()
    .nullable(),
    Field::new(
        "credential",
        "clusterCredential",
        "What this server proves itself with; shown by its kind alone",
    )
    .create()
    .update()
    .nullable(),
    Field::new("serviceAccounts", "enum", "What becomes of requests with its own service accounts' tokens")
        .create()
        .update()
        .one_of(&["impersonate", "passthrough", "deny"])
        .or("impersonate"),
    Field::new("access", "clusterAccess", "Who may use it at all; everybody unless given").create().update(),
    CREATED,
    Field::new("transitioning", "enum", "Whether it can't be used").one_of(&["no", "yes", "error"]),
];

pub(super) const CREDENTIAL: &[Field] = &[
    Field::new("kind", "string", "In which of the ways it was given"),
    secret("token", "A bearer token"),
    secret("clientCertificate", "A client certificate and its chain, PEM").long(),
    secret("clientKey", "The client certificate's key, PEM").long(),
    secret("kubeconfig", "The text of a kubeconfig with a token or a client certificate in it").long(),
    on_server("tokenFile", "A file with a bearer token"),
    on_server("clientCertificateFile", "A file with a client certificate and its chain, PEM"),
    on_server("clientKeyFile", "The file with the client certificate's key, PEM"),
    on_server("kubeconfigFile", "A kubeconfig, which may have an exec plugin"),
    Field::new("context", "string", "The context of the kubeconfig; its current one unless given")
        .create()
        .update()
        .nullable()
        .write_only(),
];

pub(super) const ACCESS: &[Field] = &[
    Field::new("everybody", "boolean", "Whether whoever is authenticated may use it")
        .create()
        .update()
        .or("true"),
    Field::new("users", "array[string]", "Users who may, by their names").create().update(),
    Field::new("groups", "array[string]", "Groups whose members may").create().update(),
];

pub(super) const TEST_OUTPUT: &[Field] = &[
    Field::new("usable", "boolean", "Whether this server can use it"),
    Field::new("problem", "enum", "What is wrong").nullable().one_of(PROBLEMS),
    Field::new("message", "string", "What was found"),
];

/// What can be wrong with a cluster.
const PROBLEMS: &[&str] =
    &["configuration", "credential", "name", "connection", "certificate", "refused", "rights"];

pub(super) const DELETION: &[Field] = &[
    Field::new("openStreams", "int", "Watches, logs, execs and the like that it cuts"),
    Field::new("scopedTokens", "int", "Tokens that are good for this cluster alone, and then for none"),
];

const SCOPED: Field =
    Field::new("clusterScoped", "boolean", "Whether the token is good for its cluster alone")
        .create()
        .or("false");

pub(super) const KUBECONFIG_INPUT: &[Field] = &[
    Field::new("reuse", "password", "A kubeconfig token to use again while half of its life is left")
        .create()
        .nullable()
        .write_only(),
    SCOPED,
];

pub(super) const KUBECONFIGS_INPUT: &[Field] = &[
    Field::new("clusters", "array[string]", "Ids or names; all that the caller may use unless given")
        .create(),
    Field::new("currentCluster", "string", "Whose context is the current one; the first unless given")
        .create()
        .nullable(),
    SCOPED,
    Field::new("reuse", "array[password]", "Kubeconfig tokens to use again while half of their life is left")
        .create()
        .write_only(),
];

/// Something that is sent and never shown again.
const fn secret(name: &'static str, description: &'static str) -> Field {
    Field::new(name, "password", description).create().update().nullable().write_only()
}

/// A file that is on the server.
const fn on_server(name: &'static str, description: &'static str) -> Field {
    Field::new(name, "string", description).create().update().nullable().write_only()
}
