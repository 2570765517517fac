//! Making tokens: what is asked for becomes a [`Plan`] by policy, and a plan a record and a key.

use std::fmt::Write as _;

use super::audit::Act;
use super::error::MAX_DESCRIPTION_BYTES;
use super::rights::check_kind;
use super::{Authority, AuthorityError, Caller};
use crate::clock::{self, UnixMillis};
use crate::identity::{ClusterId, UserId};
use crate::setting::Settings;
use crate::store::{Insertion, StoreError, Write};
use crate::token::ttl::{self, Clamp, Granted, TtlLimits};
use crate::token::{Bearer, KeyHash, TokenKey, TokenKind, TokenName, TokenRecord, Ttl};

/// A token that was just made, with the one copy of its key there will ever be.
#[derive(Debug)]
pub struct Issued {
    /// What is stored.
    pub record: TokenRecord,
    /// What the client presents.
    pub bearer: Bearer,
    /// That it lives shorter than was asked for.
    pub clamped: Option<Clamp>,
    /// Whether it is one that the client had already.
    pub reused: bool,
}

/// A token, as somebody asks for it.
#[derive(Debug, Clone)]
pub struct NewToken {
    /// What it is for.
    pub kind: TokenKind,
    /// For whom; `None` is the caller.
    pub owner: Option<UserId>,
    /// How long it is to live, in milliseconds; 0 is for ever, `None` is as long as its kind does.
    pub ttl: Option<i64>,
    /// Free text.
    pub description: String,
    /// Whether it ends unless its owner renews its lease, see [`LEASE_MILLIS`].
    pub lease: bool,
    /// The one cluster it is to be good for; `None` is every one, and our own API.
    pub cluster: Option<ClusterId>,
}

/// A token that is about to be made. Whoever makes a plan has made sure that its owner is entitled to it.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) kind: TokenKind,
    pub(super) owner: UserId,
    pub(super) description: String,
    pub(super) granted: Granted,
    pub(super) lease: bool,
    pub(super) cluster: Option<ClusterId>,
    pub(super) quota: Option<u64>,
    pub(super) created_at: UnixMillis,
}

/// What a new token is to the store.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// One more.
    New,
    /// The successor of this one, which ends then.
    SuccessorOf(TokenName, UnixMillis),
}

impl Default for NewToken {
    /// An API key of the caller's that lives as long as any may.
    fn default() -> Self {
        let (kind, description) = (TokenKind::ApiKey, String::new());
        Self { kind, owner: None, ttl: None, description, lease: false, cluster: None }
    }
}

impl Authority {
    /// Makes a token of a kind that the caller may make for its owner, with a life by policy.
    pub async fn create_token(&self, caller: &Caller, new: NewToken) -> Result<Issued, AuthorityError> {
        let owner = new.owner.clone().unwrap_or_else(|| caller.id.clone());
        let act = Act::by(caller, "token.create").on_user(&owner);
        let issued = self.try_create(caller, new, owner, &act).await;
        self.judged(&act, issued).await
    }

    async fn try_create(
        &self,
        caller: &Caller,
        new: NewToken,
        owner: UserId,
        act: &Act,
    ) -> Result<Issued, AuthorityError> {
        let administrator = self.check_maker(caller).await?.administrator;
        let for_self = owner == caller.id;
        check_kind(new.kind, administrator, for_self, new.lease)?;
        if !for_self && self.store.user(&owner).await?.is_none() {
            return Err(AuthorityError::UnknownOwner);
        }
        if let Some(cluster) = &new.cluster {
            check_scoped_kind(new.kind)?;
            self.check_scope(cluster)?;
        }
        let settings = self.settings();
        let granted = ttl::grant(new.kind, new.ttl, &limits(&settings))?;
        let plan = Plan::new(new.kind, owner, new.description, granted, &settings)?;
        self.issue(act, Plan { lease: new.lease, cluster: new.cluster, ..plan }, Place::New).await
    }

    /// Makes what `plan` says.
    pub(super) async fn issue(&self, act: &Act, plan: Plan, place: Place) -> Result<Issued, AuthorityError> {
        let (kind, owner) = (plan.kind, plan.owner.clone());
        self.issue_named(act, plan, place, || Ok(TokenName::generate(kind, &owner)?)).await
    }

    /// Five random letters collide now and then: a taken name is replaced by a new one, with a new key.
    async fn issue_named(
        &self,
        act: &Act,
        plan: Plan,
        place: Place,
        mut name: impl FnMut() -> Result<TokenName, AuthorityError>,
    ) -> Result<Issued, AuthorityError> {
        for _ in 0..NAME_ATTEMPTS {
            let key = TokenKey::generate()?;
            let record = plan.record(name()?, &key)?;
            let insertion = Insertion { record: record.clone(), key: Some(key.clone()), quota: plan.quota };
            let message = plan.describe(&place, &record);
            let (write, subject) = place.write(insertion);
            let act = act.clone().on_token(&subject);
            let act = match &plan.cluster {
                Some(cluster) => act.on_cluster(cluster),
                None => act,
            };
            match self.commit(write, act, message).await {
                Ok(committed) if !committed.changed() => return Err(AuthorityError::NotFound),
                Ok(_) => {
                    let bearer = Bearer { name: record.name.clone(), key };
                    return Ok(Issued { record, bearer, clamped: plan.granted.clamped, reused: false });
                }
                Err(StoreError::Exists) => {}
                Err(StoreError::UnknownUser) => return Err(AuthorityError::UnknownOwner),
                Err(error) => return Err(error.into()),
            }
        }
        Err(AuthorityError::NoRandomness)
    }
}

impl Plan {
    pub(super) fn new(
        kind: TokenKind,
        owner: UserId,
        description: String,
        granted: Granted,
        settings: &Settings,
    ) -> Result<Self, AuthorityError> {
        check_description(&description)?;
        // Sessions end by themselves, and a quota that they could fill would lock a user out of logging in.
        let quota = settings.token_quota().filter(|_| kind != TokenKind::Session).map(u64::from);
        let created_at = clock::now();
        Ok(Self { kind, owner, description, granted, lease: false, cluster: None, quota, created_at })
    }

    fn record(&self, name: TokenName, key: &TokenKey) -> Result<TokenRecord, AuthorityError> {
        Ok(TokenRecord {
            name,
            user_id: self.owner.clone(),
            kind: self.kind,
            description: self.description.clone(),
            created_at: self.created_at,
            ttl: self.granted.ttl,
            enabled: true,
            hash: KeyHash::sha256(key)?,
            last_used: None,
            lease_until: self.lease.then(|| self.created_at.plus(LEASE_MILLIS)),
            replaced_by: None,
            cluster: self.cluster.clone(),
        })
    }

    fn describe(&self, place: &Place, record: &TokenRecord) -> String {
        let mut message = match place {
            Place::New => format!("{}, {}", self.kind.as_str(), life(self.granted.ttl)),
            Place::SuccessorOf(_, ends_at) => {
                format!("ends at {ends_at}, replaced by {}, {}", record.name, life(self.granted.ttl))
            }
        };
        if let Some(clamp) = self.granted.clamped {
            // Writing to a text can't fail.
            let _ = write!(message, ", cut from \"{}\"", life(clamp.asked));
        }
        if self.lease {
            message.push_str(", on a lease");
        }
        if let Some(cluster) = &self.cluster {
            let _ = write!(message, ", for cluster {cluster} alone");
        }
        message
    }
}

impl Place {
    /// The write, and the token that its event names.
    fn write(&self, insertion: Insertion) -> (Write, TokenName) {
        let name = insertion.record.name.clone();
        let insertion = Box::new(insertion);
        match self {
            Self::New => (Write::InsertToken(insertion), name),
            Self::SuccessorOf(old, ends_at) => {
                let (old, ends_at) = (old.clone(), *ends_at);
                (Write::RotateToken { old: old.clone(), successor: insertion, ends_at }, old)
            }
        }
    }
}

/// Our own metrics are no cluster's.
fn check_scoped_kind(kind: TokenKind) -> Result<(), AuthorityError> {
    if kind == TokenKind::Telemetry { Err(AuthorityError::NoScope(kind)) } else { Ok(()) }
}

/// What the settings say of lifetimes.
pub(super) fn limits(settings: &Settings) -> TtlLimits {
    TtlLimits {
        max: Ttl(settings.token_max_ttl().millis()),
        session: Ttl(settings.session_ttl().millis()),
        kubeconfig: Ttl(settings.kubeconfig_ttl().millis()),
    }
}

pub(super) fn check_description(description: &str) -> Result<(), AuthorityError> {
    if description.len() > MAX_DESCRIPTION_BYTES {
        return Err(AuthorityError::DescriptionTooLong);
    }
    Ok(())
}

/// A lifetime, for the audit log.
pub(super) fn life(ttl: Ttl) -> String {
    if ttl == Ttl(0) { "never expires".to_owned() } else { format!("ttl {} ms", ttl.0) }
}

/// How long a lease lasts from its beginning and from each renewal: the command that holds it renews it thrice in that.
pub const LEASE_MILLIS: u64 = clock::MINUTE;

/// Names tried before giving up. With a million tokens of one kind the eighth fails once in 10⁹ times.
const NAME_ATTEMPTS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::testing::House;

    #[tokio::test]
    async fn a_taken_name_is_replaced_and_its_owner_keeps_the_token() {
        let house = House::new().await;
        let taken = house.token_of(&house.root.id).await;
        let mut names =
            vec![TokenName::try_from("token-bbbbb").unwrap(), taken.name.clone(), taken.name.clone()];
        let granted = Granted { ttl: Ttl(0), clamped: None };
        let plan = || {
            let (owner, settings) = (house.alice.id.clone(), house.authority.settings());
            Plan::new(TokenKind::ApiKey, owner, String::new(), granted, &settings).unwrap()
        };
        let next = || names.pop().ok_or(AuthorityError::NoRandomness);
        let act = Act::of_server("test");
        let issued = house.authority.issue_named(&act, plan(), Place::New, next).await.unwrap();
        assert_eq!(issued.record.name.as_str(), "token-bbbbb");
        assert_eq!(house.store.token(&taken.name).await.unwrap().unwrap().user_id, house.root.id);
        let again = || Ok(taken.name.clone());
        let exhausted = house.authority.issue_named(&act, plan(), Place::New, again).await;
        assert!(matches!(exhausted, Err(AuthorityError::NoRandomness)));
    }
}
