//! The types of the API as data.

use super::{Action, Field, Filter, Methods, Schema};

/// What every schema begins with.
const PLAIN: Schema = Schema {
    id: "",
    plural: "",
    description: "",
    fields: &[],
    resource_methods: Methods::NONE,
    collection_methods: Methods::NONE,
    resource_actions: &[],
    collection_actions: &[],
    filters: &[],
};

/// Every type, the collections first.
pub(in crate::api) const SCHEMAS: &[Schema] = &[
    Schema {
        id: "token",
        plural: "tokens",
        description: "What a program or a person presents instead of a password",
        fields: TOKEN,
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
            Filter { name: "kind", kind: "enum", options: KINDS },
            flag("enabled"),
            flag("expired"),
            flag("neverExpires"),
            Filter { name: "lastUsedBefore", kind: "date", options: &[] },
            flag("exceedsMax"),
            flag("me"),
        ],
    },
    Schema {
        id: "user",
        plural: "users",
        description: "Somebody, or some program, that clusters know by name and groups",
        fields: USER,
        resource_methods: Methods::new(&["GET"], &["GET", "PUT", "DELETE"]),
        collection_methods: Methods::new(&["GET"], &["GET", "POST"]),
        resource_actions: &[Action {
            input: Some("setPasswordInput"),
            output: Some("user"),
            administrators: true,
            ..act("setpassword")
        }],
        collection_actions: &[Action { input: Some("changePasswordInput"), ..act("changepassword") }],
        filters: &[text("username"), flag("enabled"), flag("me")],
    },
    Schema {
        id: "setting",
        plural: "settings",
        description: "What an administrator decides for everybody",
        fields: SETTING,
        resource_methods: Methods::new(&["GET"], &["GET", "PUT"]),
        collection_methods: Methods::of_everybody(&["GET"]),
        collection_actions: &[Action {
            input: Some("setSettingsInput"),
            output: Some("collection"),
            administrators: true,
            ..act("set")
        }],
        ..PLAIN
    },
    Schema {
        id: "feature",
        plural: "features",
        description: "What can be switched on",
        fields: FEATURE,
        resource_methods: Methods::new(&["GET"], &["GET", "PUT"]),
        collection_methods: Methods::of_everybody(&["GET"]),
        ..PLAIN
    },
    Schema {
        id: "auditEvent",
        plural: "auditevents",
        description: "Something that was done, or refused",
        fields: AUDIT_EVENT,
        resource_methods: Methods::new(&[], &["GET"]),
        collection_methods: Methods::new(&[], &["GET"]),
        filters: &[text("action"), text("actor")],
        ..PLAIN
    },
    Schema {
        id: "cluster",
        plural: "clusters",
        description: "A cluster behind this server",
        fields: &[ID, NAME, Field::new("state", "string", "active")],
        resource_methods: Methods::of_everybody(&["GET"]),
        collection_methods: Methods::of_everybody(&["GET"]),
        resource_actions: &[Action {
            input: Some("generateKubeconfigInput"),
            output: Some("generateKubeConfigOutput"),
            ..act("generateKubeconfig")
        }],
        filters: &[text("name")],
        ..PLAIN
    },
    Schema {
        id: "project",
        plural: "projects",
        description: "There are none: a kind of resource that clients of Rancher ask for",
        fields: &[ID, NAME, Field::new("clusterId", "reference[cluster]", "The cluster it is in")],
        resource_methods: Methods::of_everybody(&["GET"]),
        collection_methods: Methods::of_everybody(&["GET"]),
        ..PLAIN
    },
    Schema { id: "rotateInput", description: "How a token is rotated", fields: ROTATE, ..PLAIN },
    Schema { id: "bulkResult", description: "What was done to many tokens", fields: BULK, ..PLAIN },
    Schema { id: "setPasswordInput", description: "A new password", fields: SET_PASSWORD, ..PLAIN },
    Schema {
        id: "changePasswordInput",
        description: "A new password of one's own",
        fields: CHANGE_PASSWORD,
        ..PLAIN
    },
    Schema {
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
    },
    Schema {
        id: "featureStatus",
        description: "How far switching a feature on has come",
        fields: FEATURE_STATUS,
        ..PLAIN
    },
    Schema {
        id: "generateKubeconfigInput",
        description: "Which token goes into the kubeconfig",
        fields: &[Field::new(
            "reuse",
            "password",
            "A kubeconfig token to use again while half of its life is left",
        )
        .create()
        .nullable()
        .write_only()],
        ..PLAIN
    },
    Schema {
        id: "generateKubeConfigOutput",
        description: "A kubeconfig",
        fields: &[
            Field::new("config", "string", "Its text, in YAML"),
            Field::new("tokenName", "reference[token]", "The token in it").nullable(),
        ],
        ..PLAIN
    },
];

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

/// The kinds of tokens.
const KINDS: &[&str] = &[
    "session",
    "api-key",
    "kubeconfig",
    "kubectl-shell",
    "agent",
    "compose-token",
    "helm-token",
    "telemetry",
    "drain-node",
];

/// The kinds that are made on purpose: a session is what a login makes.
const MADE_KINDS: &[&str] = &[
    "api-key",
    "kubeconfig",
    "kubectl-shell",
    "agent",
    "compose-token",
    "helm-token",
    "telemetry",
    "drain-node",
];

const ID: Field = Field::new("id", "string", "What it is called in paths");
const NAME: Field = Field::new("name", "string", "What it is called");
const CREATED: Field = Field::new("created", "date", "When it was made");

const TOKEN: &[Field] = &[
    ID,
    NAME,
    Field::new("kind", "enum", "What it is for").create().one_of(MADE_KINDS).or("api-key"),
    Field::new("userId", "reference[user]", "Whose it is; the caller's unless given").create().nullable(),
    Field::new("description", "string", "Free text").create().update().at_most_long(1024),
    Field::new(
        "ttl",
        "int",
        "How long it lives, in milliseconds from its creation; 0 is for ever. It can be shortened",
    )
    .create()
    .update()
    .nullable()
    .at_least(0),
    Field::new("enabled", "boolean", "False while it is switched off").update().or("true"),
    Field::new("lease", "boolean", "Whether it is deleted a minute after its maker stops renewing its lease")
        .create(),
    Field::new("token", "string", "Name and key, as they are presented; shown once, when it is made"),
    CREATED,
    Field::new("expiresAt", "date", "When it ends; empty if it never does"),
    Field::new("expired", "boolean", "Whether it has ended"),
    Field::new("current", "boolean", "Whether this request came with it"),
    Field::new("isDerived", "boolean", "False for the session of a login"),
    Field::new("lastUsedAt", "date", "When it was last used").nullable(),
    Field::new("lastUsedAddress", "string", "From where it was last used").nullable(),
    Field::new("lastUsedUserAgent", "string", "By which program it was last used").nullable(),
    Field::new("leaseUntil", "date", "When it is deleted unless its lease is renewed").nullable(),
    Field::new("replacedBy", "reference[token]", "The token that was made to take its place").nullable(),
    Field::new("authProvider", "string", "Where its user comes from"),
    Field::new("userPrincipal", "string", "Its user, in the words of Rancher's clients"),
    Field::new("groupPrincipals", "array[string]", "Always null: a token has the groups of its user")
        .nullable(),
    Field::new("clusterId", "reference[cluster]", "Always null: a token is good for every cluster")
        .nullable(),
    Field::new("creatorId", "reference[user]", "Always null").nullable(),
];

const USER: &[Field] = &[
    ID,
    Field::new("username", "string", "What the user logs in with, and what clusters know the user by")
        .create()
        .required(),
    Field::new("password", "password", "Without one the user can't log in").create().write_only().nullable(),
    Field::new("groups", "array[string]", "The groups clusters know the user to be in").create().update(),
    Field::new("admin", "boolean", "Whether the user may manage users, settings and everybody's tokens")
        .create()
        .update()
        .or("false"),
    Field::new("enabled", "boolean", "False while the user and all of the user's tokens are switched off")
        .create()
        .update()
        .or("true"),
    Field::new("me", "boolean", "Whether this is the caller"),
    NAME,
    Field::new("principalIds", "array[string]", "The user, in the words of Rancher's clients"),
    Field::new("uuid", "string", "The same as the id"),
    CREATED,
    Field::new("creatorId", "reference[user]", "Always null").nullable(),
];

const SETTING: &[Field] = &[
    ID,
    NAME,
    Field::new("value", "string", "What counts; empty to set it back to the default").update().required(),
    Field::new("default", "string", "What counts if nobody sets it"),
    Field::new("customized", "boolean", "Whether somebody has set it"),
    Field::new("source", "enum", "Where the value comes from").one_of(&["env", "db", "default"]),
    Field::new("unit", "string", "What a number counts").nullable(),
    Field::new("description", "string", "What it decides"),
];

const FEATURE: &[Field] = &[
    ID,
    NAME,
    Field::new("value", "boolean", "Whether it is on. This one can't be switched off again")
        .update()
        .required(),
    Field::new("default", "boolean", "Whether it is on where it was never decided"),
    Field::new("locked", "boolean", "Whether it can't be changed any more"),
    Field::new("description", "string", "What it does"),
    Field::new("status", "featureStatus", "How far switching it on has come"),
];

const FEATURE_STATUS: &[Field] = &[
    Field::new("state", "enum", "What is being done").one_of(&["off", "backup", "hashing", "vacuum", "on"]),
    Field::new("done", "int", "How much of it"),
    Field::new("total", "int", "Of how much"),
    Field::new("backup", "string", "The backup that was made first").nullable(),
    Field::new("error", "string", "Why it stopped").nullable(),
];

const AUDIT_EVENT: &[Field] = &[
    ID,
    CREATED,
    Field::new("action", "string", "What was done"),
    Field::new("actor", "reference[user]", "Who did it").nullable(),
    Field::new("token", "reference[token]", "The token it was done to").nullable(),
    Field::new("user", "reference[user]", "The user it was done to").nullable(),
    Field::new("client", "string", "The address it came from").nullable(),
    Field::new("outcome", "string", "Whether it was done or refused"),
    Field::new("message", "string", "What happened"),
];

const ROTATE: &[Field] = &[
    Field::new("overlapSeconds", "int", "How long the old token stays good").create().nullable().at_least(0),
    Field::new(
        "ttl",
        "int",
        "How long the new one lives, in milliseconds; as long as the old one unless given",
    )
    .create()
    .nullable()
    .at_least(0),
    Field::new("description", "string", "Free text; the old one's unless given")
        .create()
        .nullable()
        .at_most_long(1024),
];

const BULK: &[Field] = &[
    Field::new("action", "string", "What was done"),
    Field::new("dryRun", "boolean", "Whether nothing was done, only counted"),
    Field::new("count", "int", "To how many tokens"),
    Field::new("names", "array[string]", "To which; the first hundred"),
];

const REVOKE: Field =
    Field::new("revokeTokens", "enum", "Which of the user's tokens end with the old password")
        .create()
        .nullable()
        .one_of(&["sessions", "all"]);

const NEW_PASSWORD: Field =
    Field::new("newPassword", "password", "The new password").create().required().write_only();

const SET_PASSWORD: &[Field] = &[NEW_PASSWORD, REVOKE];

const CHANGE_PASSWORD: &[Field] = &[
    Field::new("currentPassword", "password", "The password that is to be changed")
        .create()
        .required()
        .write_only(),
    NEW_PASSWORD,
    REVOKE,
];
