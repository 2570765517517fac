//! Every page there is, as people see it who are logged in, and what their forms are answered.

use std::collections::{BTreeSet, VecDeque};

use super::everywhere::{Watch, seen};
use crate::support::browser::Browser;
use crate::support::canary::Place;
use crate::support::rig::Rig;

/// Where the links begin that lead to all others, and what only forms lead to.
const ENTRANCES: [&str; 16] = [
    "/v3",
    "/v1",
    "/ui/password",
    "/v3/tokens",
    "/v3/users",
    "/v3/settings",
    "/v3/auditevents",
    "/v3/features/token-hashing",
    "/v3/clusters/local",
    "/v3/projects",
    "/v3/schemas/token",
    "/v3/tokens?limit=2",
    "/v3/tokens?_confirm=delete&expired=true",
    "/v3/users?username=planted-canary-alice",
    "/v3/tokens/no-such-token",
    "/v3/auditevents?actor=nonsense&limit=5",
];

/// Lists have links to themselves in every order.
const MOST_PAGES: usize = 80;

impl Watch {
    pub(super) async fn walk_pages(&mut self) {
        let changed = "canary-by-page-horse-battery";
        self.rig.gate.keep_secret(changed);
        let (rig, pages, forms) = (&self.rig, &mut self.pages, &mut self.forms);
        wrong_login(rig, pages, forms).await;
        for (username, password) in
            [(&*self.account.username, &*self.account.password), ("admin", &self.first_password)]
        {
            let mut browser = log_in(rig, username, password).await;
            forms.push(browser.cookies["CSRF"].clone());
            let token = make_token(&mut browser, rig, pages).await;
            let mut entrances: Vec<String> = ENTRANCES.map(str::to_owned).into();
            entrances.extend([token.clone(), format!("{token}?_confirm=delete")]);
            let count = crawl(&mut browser, pages, entrances).await;
            assert!(count > 20, "{count} pages");
            let gone = browser.send(&token, &[("_method", "DELETE")]).await;
            pages.saw("deletion", seen(&gone));
            if username != "admin" {
                change_password(&mut browser, pages, [password, changed]).await;
            }
            // A session's cookie that is good no more.
            let cookies = browser.cookies.clone();
            assert_eq!(browser.send("/ui/logout", &[]).await.status, 303);
            browser.cookies = cookies;
            pages.saw("an ended session", seen(&browser.get("/v3/tokens").await));
        }
        changed.clone_into(&mut self.account.password);
    }
}

async fn wrong_login(rig: &Rig, pages: &mut Place, forms: &mut Vec<String>) {
    let guess = "canary-guess-by-page-0123456789";
    rig.gate.keep_secret(guess);
    let mut browser = Browser::new(rig);
    pages.saw("/ui/login", browser.get("/ui/login").await.body);
    let page = browser.send("/ui/login", &[("username", "nobody-known"), ("password", guess)]).await;
    assert_eq!(page.status, 401);
    pages.saw("a refused login", seen(&page));
    forms.push(browser.cookies["CSRF"].clone());
}

async fn log_in<'a>(rig: &'a Rig, username: &str, password: &str) -> Browser<'a> {
    let mut browser = Browser::new(rig);
    browser.get("/ui/login").await;
    let answer = browser.send("/ui/login", &[("username", username), ("password", password)]).await;
    assert_eq!(answer.status, 303, "{}", answer.text());
    rig.gate.keep_secret(browser.cookies["R_SESS"].split_once(':').unwrap().1);
    browser
}

/// A token by the form; the page that shows its key, once, is the one that is not searched.
async fn make_token(browser: &mut Browser<'_>, rig: &Rig, pages: &mut Place) -> String {
    let refused = browser.send("/v3/tokens", &[("ttl", "no number"), ("ttl.unit", "hours")]).await;
    assert_eq!(refused.status, 422);
    pages.saw("a refused token", seen(&refused));
    let made = browser
        .send("/v3/tokens", &[("description", "by page"), ("ttl", "2"), ("ttl.unit", "hours")])
        .await
        .text();
    let shown = made.split_once("<pre class=\"secret\">").unwrap().1.split_once('<').unwrap().0;
    let (name, key) = shown.split_once(':').unwrap();
    rig.gate.keep_secret(key);
    format!("/v3/tokens/{name}")
}

async fn change_password(browser: &mut Browser<'_>, pages: &mut Place, [old, new]: [&str; 2]) {
    for (fields, status) in [([new, new, new], 422), ([old, new, old], 422), ([old, new, new], 303)] {
        let fields = std::iter::zip(["currentPassword", "newPassword", "again"], fields);
        let page = browser.send("/ui/password", &fields.collect::<Vec<_>>()).await;
        assert_eq!(page.status, status, "{}", page.text());
        pages.saw("a changed password", seen(&page));
    }
}

/// Follows all links of ours and says how many pages they lead to.
async fn crawl(browser: &mut Browser<'_>, pages: &mut Place, entrances: Vec<String>) -> usize {
    let mut known: BTreeSet<String> = entrances.iter().cloned().collect();
    let mut queue = VecDeque::from(entrances);
    while let Some(path) = queue.pop_front() {
        let page = browser.get(&path).await;
        pages.saw(&*path, seen(&page));
        for link in links(&page.text()) {
            if known.len() < MOST_PAGES && known.insert(link.clone()) {
                queue.push_back(link);
            }
        }
    }
    known.len()
}

fn links(page: &str) -> Vec<String> {
    let values = page.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next());
    let own = values.filter(|link| link.starts_with("/v") || link.starts_with("/ui"));
    own.map(|link| link.replace("&amp;", "&").replace("&#38;", "&")).collect()
}
