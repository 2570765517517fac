//! The types of the API as data.

use super::{Action, Field, Filter, Methods, Schema, clusters, fields};

/// What every schema begins with.
const PLAIN: Schema = Schema {
    id: "",
    root: "/v3",
    plural: "",
    description: "",
    fields: &[],
    resource_methods: Methods::NONE,
    collection_methods: Methods::NONE,
    resource_actions: &[],
    collection_actions: &[],
    filters: &[],
    sorts: &[],
};

/// Every type, the collections first.
pub(in crate::api) static SCHEMAS: &[&Schema] = &[
    &TOKEN,
    &USER,
    &SETTING,
    &FEATURE,
    &AUDIT_EVENT,
    &CLUSTER,
    &PROJECT,
    &ROTATE_INPUT,
    &BULK_RESULT,
    &OPEN_STREAMS,
    &OPEN_STREAM,
    &SET_PASSWORD_INPUT,
    &CHANGE_PASSWORD_INPUT,
    &SET_SETTINGS_INPUT,
    &FEATURE_STATUS,
    &CLUSTER_CREDENTIAL,
    &CLUSTER_ACCESS,
    &CLUSTER_TEST_OUTPUT,
    &CLUSTER_DELETION,
    &GENERATE_KUBECONFIG_INPUT,
    &GENERATE_KUBECONFIGS_INPUT,
    &GENERATE_KUBECONFIG_OUTPUT,
];

pub(in crate::api) static TOKEN: Schema = Schema {
    id: "token",
    root: "/v3",
    plural: "tokens",
    description: "What a program or a person presents instead of a password",
    fields: fields::TOKEN,
    resource_methods: Methods::of_everybody(&["GET", "PUT", "DELETE"]),
    collection_methods: Methods::of_everybody(&["GET", "POST", "DELETE"]),
    resource_actions: &[
        Action { output: Some("token"), ..act("enable") },
        Action { output: Some("token"), ..act("disable") },
        Action { input: Some("rotateInput"), output: Some("token"), ..act("rotate") },
        Action { output: Some("token"), ..act("renewLease") },
    ],
    collection_actions: &[
        act("logout"),
        Action { output: Some("bulkResult"), administrators: true, ..act("shorten") },
    ],
    filters: &[
        text("userId"),
        Filter { name: "kind", kind: "enum", options: fields::KINDS },
        text("clusterId"),
        flag("enabled"),
        flag("expired"),
        flag("neverExpires"),
        Filter { name: "lastUsedBefore", kind: "date", options: &[] },
        Filter { name: "exceedsMax", kind: "enum", options: &["true"] },
        text("nameContains"),
        flag("me"),
    ],
    sorts: &["name", "created", "expiresAt", "lastUsedAt"],
};

pub(in crate::api) static USER: Schema = Schema {
    id: "user",
    root: "/v3",
    plural: "users",
    description: "Somebody, or some program, that clusters know by name and groups",
    fields: fields::USER,
    resource_methods: Methods::new(&["GET"], &["GET", "PUT", "DELETE"]),
    collection_methods: Methods::new(&["GET"], &["GET", "POST"]),
    resource_actions: &[Action {
        input: Some("setPasswordInput"),
        output: Some("user"),
        administrators: true,
        ..act("setpassword")
    }],
    collection_actions: &[Action { input: Some("changePasswordInput"), ..act("changepassword") }],
    filters: &[text("username"), flag("enabled"), flag("admin"), flag("me")],
    sorts: &["username"],
};

pub(in crate::api) static SETTING: Schema = Schema {
    id: "setting",
    plural: "settings",
    description: "What an administrator decides for everybody",
    fields: fields::SETTING,
    resource_methods: Methods::new(&["GET"], &["GET", "PUT"]),
    collection_methods: Methods::of_everybody(&["GET"]),
    collection_actions: &[Action {
        input: Some("setSettingsInput"),
        output: Some("collection"),
        administrators: true,
        ..act("set")
    }],
    ..PLAIN
};

pub(in crate::api) static FEATURE: Schema = Schema {
    id: "feature",
    plural: "features",
    description: "What can be switched on",
    fields: fields::FEATURE,
    resource_methods: Methods::new(&["GET"], &["GET", "PUT"]),
    collection_methods: Methods::of_everybody(&["GET"]),
    ..PLAIN
};

pub(in crate::api) static AUDIT_EVENT: Schema = Schema {
    id: "auditEvent",
    plural: "auditevents",
    description: "Something that was done, or refused",
    fields: fields::AUDIT_EVENT,
    collection_methods: Methods::new(&[], &["GET"]),
    filters: &[
        text("action"),
        text("actor"),
        text("user"),
        text("token"),
        Filter { name: "since", kind: "date", options: &[] },
    ],
    sorts: &["created"],
    ..PLAIN
};

pub(in crate::api) static CLUSTER: Schema = Schema {
    id: "cluster",
    plural: "clusters",
    description: "A cluster behind this server",
    fields: clusters::CLUSTER,
    resource_methods: Methods::new(&["GET"], &["GET", "PUT", "DELETE"]),
    collection_methods: Methods::new(&["GET"], &["GET", "POST"]),
    resource_actions: &[
        Action {
            input: Some("generateKubeconfigInput"),
            output: Some("generateKubeConfigOutput"),
            ..act("generateKubeconfig")
        },
        Action { output: Some("clusterTestOutput"), administrators: true, ..act("test") },
    ],
    collection_actions: &[
        Action {
            input: Some("generateKubeconfigsInput"),
            output: Some("generateKubeConfigOutput"),
            ..act("generateKubeconfig")
        },
        Action {
            input: Some("cluster"),
            output: Some("clusterTestOutput"),
            administrators: true,
            ..act("test")
        },
    ],
    filters: &[
        text("name"),
        Filter { name: "source", kind: "enum", options: clusters::SOURCES },
        Filter { name: "state", kind: "enum", options: clusters::STATES },
        Filter { name: "usable", kind: "enum", options: &["true"] },
    ],
    ..PLAIN
};

pub(in crate::api) static PROJECT: Schema = Schema {
    id: "project",
    plural: "projects",
    description: "There are none: a kind of resource that clients of Rancher ask for",
    fields: &[
        fields::ID,
        fields::NAME,
        Field::new("clusterId", "reference[cluster]", "The cluster it is in"),
    ],
    resource_methods: Methods::of_everybody(&["GET"]),
    collection_methods: Methods::of_everybody(&["GET"]),
    ..PLAIN
};

pub(in crate::api) static ROTATE_INPUT: Schema =
    Schema { id: "rotateInput", description: "How a token is rotated", fields: fields::ROTATE, ..PLAIN };

pub(in crate::api) static BULK_RESULT: Schema =
    Schema { id: "bulkResult", description: "What was done to many tokens", fields: fields::BULK, ..PLAIN };

pub(in crate::api) static OPEN_STREAMS: Schema = Schema {
    id: "openStreams",
    description: "The requests that are open by a token's leave and would be cut with it",
    fields: fields::OPEN_STREAMS,
    ..PLAIN
};

pub(in crate::api) static OPEN_STREAM: Schema =
    Schema { id: "openStream", description: "One of them", fields: fields::OPEN_STREAM, ..PLAIN };

pub(in crate::api) static SET_PASSWORD_INPUT: Schema =
    Schema { id: "setPasswordInput", description: "A new password", fields: fields::SET_PASSWORD, ..PLAIN };

pub(in crate::api) static CHANGE_PASSWORD_INPUT: Schema = Schema {
    id: "changePasswordInput",
    description: "A new password of one's own",
    fields: fields::CHANGE_PASSWORD,
    ..PLAIN
};

pub(in crate::api) static SET_SETTINGS_INPUT: Schema = Schema {
    id: "setSettingsInput",
    description: "Several settings at once",
    fields: &[Field::new(
        "values",
        "map[string]",
        "Values by the name of the setting; empty for the default",
    )
    .create()
    .required()],
    ..PLAIN
};

pub(in crate::api) static FEATURE_STATUS: Schema = Schema {
    id: "featureStatus",
    description: "How far switching a feature on has come",
    fields: fields::FEATURE_STATUS,
    ..PLAIN
};

pub(in crate::api) static CLUSTER_CREDENTIAL: Schema = Schema {
    id: "clusterCredential",
    description: "What this server proves itself with to a cluster, in one of several ways",
    fields: clusters::CREDENTIAL,
    ..PLAIN
};

pub(in crate::api) static CLUSTER_ACCESS: Schema = Schema {
    id: "clusterAccess",
    description: "Who may use a cluster at all",
    fields: clusters::ACCESS,
    ..PLAIN
};

pub(in crate::api) static CLUSTER_TEST_OUTPUT: Schema = Schema {
    id: "clusterTestOutput",
    description: "Whether this server can use a cluster",
    fields: clusters::TEST_OUTPUT,
    ..PLAIN
};

pub(in crate::api) static CLUSTER_DELETION: Schema = Schema {
    id: "clusterDeletion",
    description: "What the deletion of a cluster would cut",
    fields: clusters::DELETION,
    ..PLAIN
};

pub(in crate::api) static GENERATE_KUBECONFIG_INPUT: Schema = Schema {
    id: "generateKubeconfigInput",
    description: "Which token goes into the kubeconfig",
    fields: clusters::KUBECONFIG_INPUT,
    ..PLAIN
};

pub(in crate::api) static GENERATE_KUBECONFIGS_INPUT: Schema = Schema {
    id: "generateKubeconfigsInput",
    description: "Which clusters are in the kubeconfig, and with which tokens",
    fields: clusters::KUBECONFIGS_INPUT,
    ..PLAIN
};

pub(in crate::api) static GENERATE_KUBECONFIG_OUTPUT: Schema = Schema {
    id: "generateKubeConfigOutput",
    description: "A kubeconfig",
    fields: &[
        Field::new("config", "string", "Its text, in YAML"),
        Field::new("tokenName", "reference[token]", "The token in it; the first of several").nullable(),
        Field::new("tokenNames", "array[string]", "The tokens in it"),
    ],
    ..PLAIN
};

/// Where one can log in; for everybody, so it stands in no list of schemas.
pub(in crate::api) static AUTH_PROVIDER: Schema = Schema {
    id: "authProvider",
    root: "/v3-public",
    plural: "authProviders",
    description: "Who knows users and their passwords",
    ..PLAIN
};

/// What the collection of schemas itself is.
pub(super) static SCHEMA: Schema = Schema {
    id: "schema",
    plural: "schemas",
    description: "What can be done with a type of resource",
    resource_methods: Methods::of_everybody(&["GET"]),
    collection_methods: Methods::of_everybody(&["GET"]),
    ..PLAIN
};

/// An action of anybody's that takes nothing and gives nothing.
const fn act(name: &'static str) -> Action {
    Action { name, input: None, output: None, administrators: false }
}

const fn text(name: &'static str) -> Filter {
    Filter { name, kind: "string", options: &[] }
}

const fn flag(name: &'static str) -> Filter {
    Filter { name, kind: "boolean", options: &[] }
}
