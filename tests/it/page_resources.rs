//! What administrators and owners do with each kind of resource, by its page.

use serde_json::{Value, json};

use crate::support::browser::Browser;
use crate::support::rig::Rig;
use crate::support::wire::Response;

/// A browser of the first administrator's.
async fn administrator(rig: &Rig) -> Browser<'_> {
    let password = std::fs::read_to_string(rig.gate.data_directory().join("admin-password")).unwrap();
    let mut browser = Browser::new(rig);
    browser.get("/ui/login").await;
    let response = browser.send("/ui/login", &[("username", "admin"), ("password", password.trim())]).await;
    assert_eq!(response.status, 303);
    rig.gate.keep_secret(browser.cookies["R_SESS"].split_once(':').unwrap().1);
    browser
}

fn sent_on(response: &Response) -> &str {
    assert_eq!(response.status, 303, "{}", response.text());
    response.header("location").unwrap()
}

#[tokio::test]
async fn settings_are_set_one_by_one_and_together_and_reset() {
    let rig = Rig::start().await;
    let mut browser = administrator(&rig).await;
    let max = "/v3/settings/auth-token-max-ttl-minutes";
    let value = async |name: &str| {
        let path = format!("/v3/settings/{name}");
        rig.api("GET", &path, rig.admin(), &Value::Null).await.json()["value"].as_str().unwrap().to_owned()
    };
    let page = browser.get(max).await.text();
    assert!(page.contains("name=\"value\" value=\"129600\" type=\"number\"") && page.contains("In minutes;"));
    let response = browser.send(max, &[("_method", "PUT"), ("value", "100000")]).await;
    assert_eq!(sent_on(&response), format!("{max}?_done=changed"));
    assert_eq!(value("auth-token-max-ttl-minutes").await, "100000");
    assert!(browser.get(&format!("{max}?_done=changed")).await.text().contains("Back to the default"));

    let page = browser.send(max, &[("_method", "PUT"), ("value", "60")]).await;
    assert_eq!(page.status, 422, "the default of kubeconfigs would be above it");
    assert!(page.text().contains("43200") && page.text().contains("value=\"60\""), "{}", page.text());
    let together = [
        ("auth-token-max-ttl-minutes", "60"),
        ("kubeconfig-default-token-ttl-minutes", "30"),
        ("password-min-length", "12"),
    ];
    let response = browser.send("/v3/settings?action=set", &together).await;
    assert_eq!(sent_on(&response), "/v3/settings?_done=done");
    assert_eq!(value("auth-token-max-ttl-minutes").await, "60");
    assert_eq!(value("kubeconfig-default-token-ttl-minutes").await, "30");
    let settings = rig.api("GET", "/v3/settings/password-min-length", rig.admin(), &Value::Null).await.json();
    assert_eq!(settings["source"], "default", "what was not changed is not set");
    let response = browser.send("/v3/settings?action=set", &together).await;
    assert_eq!(sent_on(&response), "/v3/settings?_done=unchanged");
    let page = browser.send("/v3/settings?action=set", &[("auth-token-max-ttl-minutes", "-1")]).await;
    assert_eq!(page.status, 422);
    assert!(page.text().contains("value=\"-1\"") && page.text().contains("<details class=\"panel\" open>"));

    let reset = browser.send(max, &[("_method", "PUT"), ("value", "")]).await;
    assert_eq!(sent_on(&reset), format!("{max}?_done=changed"));
    assert_eq!(value("auth-token-max-ttl-minutes").await, "129600");
}

#[tokio::test]
async fn users_are_made_changed_given_a_password_and_deleted() {
    let rig = Rig::start().await;
    let mut browser = administrator(&rig).await;
    let page =
        browser.send("/v3/users", &[("username", "carol"), ("password", "short"), ("groups", "dev")]).await;
    assert_eq!(page.status, 422);
    let text = page.text();
    assert!(text.contains("value=\"carol\"") && !text.contains("value=\"short\""), "{text}");
    let password = "carol's pässword is long";
    rig.gate.keep_secret(password);
    let made = [("username", "carol"), ("password", password), ("groups", "dev\r\nops"), ("enabled", "")];
    let made = browser.send("/v3/users", &made).await;
    let path = sent_on(&made).strip_suffix("?_done=created").unwrap().to_owned();
    let user = async || rig.api("GET", &path, rig.admin(), &Value::Null).await.json();
    assert_eq!(user().await["groups"], json!(["dev", "ops"]));
    let session = crate::support::rig::login(&rig.gate, "carol", password).await;

    let edited = browser.send(&path, &[("_method", "PUT"), ("groups", "dev"), ("enabled", "true")]).await;
    assert_eq!(sent_on(&edited), format!("{path}?_done=changed"));
    assert_eq!(user().await["groups"], json!(["dev"]));
    let edited = browser.send(&path, &[("_method", "PUT"), ("groups", "dev"), ("enabled", "true")]).await;
    assert_eq!(sent_on(&edited), format!("{path}?_done=unchanged"));

    let next = "the next pässword of carol";
    rig.gate.keep_secret(next);
    let set = [("newPassword", next), ("revokeTokens", "sessions")];
    let set = browser.send(&format!("{path}?action=setpassword"), &set).await;
    assert_eq!(sent_on(&set), format!("{path}?_done=done"));
    assert_eq!(rig.api("GET", "/v3/tokens", &session, &Value::Null).await.status, 401);
    let page = browser.get(&format!("{path}?_confirm=delete")).await.text();
    assert!(page.contains("All tokens of this user are deleted as well"));
    let deleted = browser.send(&path, &[("_method", "DELETE")]).await;
    assert_eq!(sent_on(&deleted), "/v3/users?_done=deleted");
    assert_eq!(browser.get(&path).await.status, 404);
}

#[tokio::test]
async fn a_token_is_switched_off_and_on_and_rotated() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = Browser::of(&rig, &alice).await;
    let (name, bearer) = rig.token(&alice.bearer, 3_600_000).await;
    let path = format!("/v3/tokens/{name}");
    let works = async || rig.api("GET", "/v3/tokens", &bearer, &Value::Null).await.status;
    let page = browser.get(&path).await.text();
    assert!(page.contains("action=disable") && page.contains("Rotate") && page.contains("1 hour"));
    let off = browser.send(&format!("{path}?action=disable"), &[]).await;
    assert_eq!(sent_on(&off), format!("{path}?_done=done"));
    assert_eq!(works().await, 401);
    browser.send(&format!("{path}?action=enable"), &[]).await;
    assert_eq!(works().await, 200);
    let shorter = [("_method", "PUT"), ("ttl", "30"), ("ttl.unit", "minutes"), ("description", "shorter")];
    assert_eq!(sent_on(&browser.send(&path, &shorter).await), format!("{path}?_done=changed"));
    let longer = [("_method", "PUT"), ("ttl", "2"), ("ttl.unit", "days")];
    let page = browser.send(&path, &longer).await;
    assert_eq!(page.status, 422, "{}", page.text());
    let rotated = browser.send(&format!("{path}?action=rotate"), &[("overlapSeconds", "60")]).await;
    assert_eq!(rotated.status, 201, "{}", rotated.text());
    let text = rotated.text();
    let key = text.split_once("<pre class=\"secret\">").unwrap().1.split_once('<').unwrap().0;
    rig.gate.keep_secret(key.split_once(':').unwrap().1);
    assert_eq!(rig.api("GET", "/v3/tokens", key, &Value::Null).await.status, 200);
}

#[tokio::test]
async fn all_that_match_a_filter_are_counted_first_and_then_deleted() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let bob = rig.account("bob", &[]).await;
    let mut browser = administrator(&rig).await;
    let filter = format!("/v3/tokens?userId={}&kind=api-key", alice.user_id);
    let page = browser.get(&format!("{filter}&expired=&limit=5&sort=created")).await;
    let text = page.text();
    assert!(text.contains(&alice.token_name) && !text.contains(&bob.token_name), "{text}");
    assert!(text.contains("Delete all that match"));
    let asked = browser.send(&format!("{filter}&dryRun=true"), &[("_method", "DELETE")]).await;
    assert_eq!(asked.status, 200, "{}", asked.text());
    assert!(asked.text().contains("1 token would be deleted.") && asked.text().contains(&alice.token_name));
    let works = async |bearer: &str| rig.api("GET", "/v3", bearer, &Value::Null).await.status;
    assert_eq!(works(&alice.bearer).await, 200, "asking deletes nothing");
    let done = browser.send(&filter, &[("_method", "DELETE")]).await;
    assert!(done.status == 200 && done.text().contains("1 token deleted."), "{}", done.text());
    assert_eq!((works(&alice.bearer).await, works(&bob.bearer).await), (401, 200));
    let page = browser.send("/v3/tokens", &[("_method", "DELETE")]).await;
    assert!(page.status >= 400, "without a filter nothing is deleted: {}", page.text());
    assert_eq!(works(&bob.bearer).await, 200);
}

#[tokio::test]
async fn a_list_is_sorted_and_paged_by_its_links() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    for _ in 0..4 {
        rig.token(&alice.bearer, 3_600_000).await;
    }
    let mut browser = Browser::of(&rig, &alice).await;
    let mut next = "/v3/tokens?kind=api-key&limit=2&sort=created&order=desc".to_owned();
    let mut names = Vec::new();
    for rows in [2, 2, 1] {
        let page = browser.get(&next).await;
        assert_eq!(page.status, 200, "{next}: {}", page.text());
        let text = page.text();
        assert!(text.contains("aria-sort=\"descending\""));
        let found: Vec<_> = text.split("<th scope=\"row\"><a href=\"/v3/tokens/").skip(1).collect();
        assert_eq!(found.len(), rows);
        names.extend(found.iter().map(|row| row.split('"').next().unwrap().to_owned()));
        let link = text.split("<li><a href=\"").find(|link| link.contains("Next page"));
        let Some(link) = link else { break };
        next = link.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&");
    }
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 5);
}

#[tokio::test]
async fn every_collection_and_its_resources_are_pages_for_whoever_may_see_them() {
    let rig = Rig::start().await;
    let alice = rig.account("alice", &[]).await;
    let mut browser = administrator(&rig).await;
    let root = rig.api("GET", "/v3", rig.admin(), &Value::Null).await.json();
    let links: Vec<_> = root["links"].as_object().unwrap().keys().cloned().collect();
    for name in links.iter().filter(|name| !["self", "root"].contains(&name.as_str())) {
        let path = format!("/v3/{name}");
        let list = rig.api("GET", &path, rig.admin(), &Value::Null).await;
        if list.status == 404 {
            continue;
        }
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text());
        for resource in list.json()["data"].as_array().unwrap() {
            // An audit event has no address of its own.
            let Some(url) = resource["links"]["self"].as_str() else { continue };
            let page = browser.get(url.strip_prefix("https://gate.example").unwrap()).await;
            assert_eq!(page.status, 200, "{path}: {}", page.text());
        }
    }
    let mut browser = Browser::of(&rig, &alice).await;
    for (path, status) in [("/v3/auditevents", 403), ("/v3/users", 403), ("/v3/settings", 200), ("/v3", 200)]
    {
        assert_eq!(browser.get(path).await.status, status, "{path}");
    }
    let page = browser.get("/v3/settings/auth-token-max-ttl-minutes").await.text();
    assert!(!page.contains("name=\"value\""), "whoever may not set it has no form for it");
}
