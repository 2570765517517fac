//! Settings through the authority.

use super::*;
use crate::authority::Policy;
use crate::authority::testing::policy;
use crate::setting::{Minutes, Setting, SettingError, Source, Values};

type Changes<'a> = &'a [(Setting, &'a str)];

fn set(pairs: &[(Setting, &str)]) -> Vec<(Setting, Option<String>)> {
    pairs.iter().map(|(setting, value)| (*setting, Some((*value).to_owned()))).collect()
}

#[tokio::test]
async fn a_setting_holds_for_everybody_when_its_change_is_acknowledged_and_after_a_restart() {
    let house = House::new().await;
    let elsewhere = house.authority.live_settings();
    let changes = set(&[(Setting::PasswordMinLength, "20"), (Setting::ServerUrl, "https://gate:8443/")]);
    let settings = house.authority.set_settings(&house.root, changes).await.unwrap();
    assert_eq!((settings.password_min_length(), settings.server_url()), (20, "https://gate:8443"));
    assert_eq!(settings.source(Setting::PasswordMinLength), Source::Store);
    assert_eq!(elsewhere.current(), settings);
    let short = house.authority.set_password(&house.root, &house.alice.id, Secret::new(PASSWORD), None);
    assert!(short.await.is_ok(), "twenty-one characters");
    let short = Secret::new("nineteen characters");
    let refused = house.authority.set_password(&house.root, &house.alice.id, short, None).await;
    assert!(matches!(refused, Err(AuthorityError::Password(_))), "{refused:?}");

    let again = open(&house.store, policy()).await;
    assert_eq!(again.settings(), settings);
    let reset = vec![(Setting::PasswordMinLength, None), (Setting::ServerUrl, Some(String::new()))];
    let settings = house.authority.set_settings(&house.root, reset).await.unwrap();
    assert_eq!(
        (settings.password_min_length(), settings.server_url()),
        (12, "https://gate.example.org:8443")
    );
    assert_eq!(settings.source(Setting::ServerUrl), Source::Default);
}

#[tokio::test]
async fn kubeconfigs_stay_within_the_maximum_unless_both_are_set_together() {
    let house = House::new().await;
    let authority = &house.authority;
    let max = |value| (Setting::TokenMaxTtl, value);
    let kubeconfig = |value| (Setting::KubeconfigTtl, value);
    let refusals: [(Changes, &str, &str); 4] = [
        (&[kubeconfig("129601")], "(129601)", "(129600)"),
        (&[kubeconfig("0")], "(0)", "(129600)"),
        (&[max("43199")], "(43200)", "(43199)"),
        (&[max("60"), kubeconfig("61")], "(61)", "(60)"),
    ];
    for (changes, kubeconfig, max) in refusals {
        let refused = authority.set_settings(&house.root, set(changes)).await.unwrap_err();
        let text = refused.to_string();
        assert!(matches!(refused, AuthorityError::Setting(SettingError::KubeconfigExceedsMax { .. })));
        assert!(text.contains(kubeconfig) && text.contains(max), "{text}");
    }
    let untouched = authority.settings();
    assert_eq!((untouched.token_max_ttl(), untouched.kubeconfig_ttl()), (Minutes(129_600), Minutes(43_200)));

    let together = set(&[max("60"), kubeconfig("60")]);
    let settings = authority.set_settings(&house.root, together).await.unwrap();
    assert_eq!((settings.token_max_ttl(), settings.kubeconfig_ttl()), (Minutes(60), Minutes(60)));
    let reset = authority.set_settings(&house.root, vec![(Setting::KubeconfigTtl, None)]).await;
    assert!(matches!(reset, Err(AuthorityError::Setting(_))), "its default is beyond the maximum of now");
    authority.set_settings(&house.root, set(&[max("0")])).await.unwrap();
    authority.set_settings(&house.root, set(&[kubeconfig("0")])).await.unwrap();
}

#[tokio::test]
async fn of_several_settings_all_are_set_or_none() {
    let house = House::new().await;
    let changes = set(&[(Setting::SessionTtl, "10"), (Setting::TokenQuota, "many")]);
    let refused = house.authority.set_settings(&house.root, changes).await;
    assert!(matches!(refused, Err(AuthorityError::Setting(SettingError::Invalid { .. }))));
    assert_eq!(house.authority.settings().session_ttl(), Minutes(960));
}

#[tokio::test]
async fn what_the_environment_says_wins_and_stays() {
    let house = House::new().await;
    let stored = set(&[(Setting::TokenMaxTtl, "50000"), (Setting::TokenQuota, "7")]);
    house.authority.set_settings(&house.root, stored).await.unwrap();
    let environment = Values::from([(Setting::TokenMaxTtl, "60".to_owned())]);
    let authority = open(&house.store, Policy { environment, ..Policy::default() }).await;
    let settings = authority.settings();
    assert_eq!((settings.token_max_ttl(), settings.source(Setting::TokenMaxTtl)), (Minutes(60), Source::Env));
    assert_eq!(settings.token_quota(), Some(7));
    for value in [Some("90".to_owned()), None] {
        let refused = authority.set_settings(&house.root, vec![(Setting::TokenMaxTtl, value)]).await;
        assert!(matches!(refused, Err(AuthorityError::SettingFixed(Setting::TokenMaxTtl))), "{refused:?}");
    }
    // The stored life of kubeconfigs is beyond the maximum now: that one rules, and other settings can be set.
    authority.set_settings(&house.root, set(&[(Setting::TokenQuota, "8")])).await.unwrap();
    let issued = authority.kubeconfig_token(&house.alice, &[], None).await.unwrap();
    assert_eq!((issued.record.ttl.0, issued.clamped), (3_600_000, None));
}
