//! The fields of each type, in the order in which people want to read them.

use super::Field;

/// The kinds of tokens.
pub(super) const KINDS: &[&str] = &[
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

pub(super) const ID: Field = Field::new("id", "string", "What it is called in paths");
pub(super) const NAME: Field = Field::new("name", "string", "What it is called");
pub(super) const CREATED: Field = Field::new("created", "date", "When it was made");

pub(super) const TOKEN: &[Field] = &[
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
        .create()
        .write_only(),
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
    Field::new("openStreams", "openStreams", "What is open by its leave; only where one token is asked for")
        .nullable(),
    Field::new("authProvider", "string", "Where its user comes from"),
    Field::new("userPrincipal", "string", "Its user, in the words of Rancher's clients"),
    Field::new("groupPrincipals", "array[string]", "Always null: a token has the groups of its user")
        .nullable(),
    Field::new("clusterId", "reference[cluster]", "The one cluster it is good for; for all unless given")
        .create()
        .nullable(),
    Field::new("creatorId", "reference[user]", "Always null").nullable(),
];

pub(super) const OPEN_STREAMS: &[Field] = &[
    Field::new("count", "int", "How many there are"),
    Field::new("byKind", "map[string]", "How many of each kind"),
    Field::new("streams", "array[openStream]", "Which; the hundred that are open longest"),
];

pub(super) const OPEN_STREAM: &[Field] = &[
    Field::new("kind", "string", "What it carries"),
    Field::new("clusterId", "reference[cluster]", "The cluster it goes to"),
    Field::new("client", "string", "The address it comes from"),
    Field::new("openedAt", "date", "Since when it is open"),
];

pub(super) const USER: &[Field] = &[
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

pub(super) const SETTING: &[Field] = &[
    ID,
    NAME,
    Field::new("value", "string", "What counts; empty to set it back to the default").update().required(),
    Field::new("default", "string", "What counts if nobody sets it"),
    Field::new("customized", "boolean", "Whether somebody has set it"),
    Field::new("source", "enum", "Where the value comes from").one_of(&["env", "db", "default"]),
    Field::new("unit", "string", "What its value counts, or is"),
    Field::new("description", "string", "What it decides"),
];

pub(super) const FEATURE: &[Field] = &[
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

pub(super) const FEATURE_STATUS: &[Field] = &[
    Field::new("state", "enum", "What is being done").one_of(&["off", "backup", "hashing", "vacuum", "on"]),
    Field::new("done", "int", "How much of it"),
    Field::new("total", "int", "Of how much"),
    Field::new("backup", "string", "The backup that was made first").nullable(),
    Field::new("error", "string", "Why it stopped").nullable(),
];

pub(super) const AUDIT_EVENT: &[Field] = &[
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

pub(super) const ROTATE: &[Field] = &[
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

pub(super) const BULK: &[Field] = &[
    Field::new("action", "string", "What was done"),
    Field::new("dryRun", "boolean", "Whether nothing was done, only counted"),
    Field::new("count", "int", "To how many tokens"),
    Field::new("names", "array[string]", "To which; the first hundred"),
    Field::new(
        "openStreams",
        "openStreams",
        "What would be cut with them; only of a deletion that is not done",
    )
    .nullable(),
];

const REVOKE: Field =
    Field::new("revokeTokens", "enum", "Which of the user's tokens end with the old password")
        .create()
        .nullable()
        .one_of(&["sessions", "all"]);

const NEW_PASSWORD: Field =
    Field::new("newPassword", "password", "The new password").create().required().write_only();

pub(super) const SET_PASSWORD: &[Field] = &[NEW_PASSWORD, REVOKE];

pub(super) const CHANGE_PASSWORD: &[Field] = &[
    Field::new("currentPassword", "password", "The password that is to be changed")
        .create()
        .required()
        .write_only(),
    NEW_PASSWORD,
    REVOKE,
];
