//! Pages made from what the API says, whatever it says.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Uri};
use serde_json::{Value, json};

use super::form::{Form, Given, InputKind, Purpose};
use super::page::{CollectionPage, ObjectPage, Visitor};
use super::resource::{Place, Refused};
use super::sent::FormData;
use super::{api_query, collection, object, wants_page};
use crate::api::schema;
use crate::api::{Api, Authentication};
use crate::authority::testing::House;

async fn visitor() -> Visitor {
    let house = House::new().await;
    let streams = crate::api::tests::streams();
    let api = Api { authority: house.authority.clone(), streams };
    let (mut parts, ()) = http::Request::new(()).into_parts();
    parts.extensions.insert(Authentication::Caller(house.root.clone()));
    Visitor::of(&api, &parts).await.unwrap()
}

async fn collection_page(path: &str, json: &Value) -> CollectionPage {
    let uri: Uri = path.parse().unwrap();
    let place = Place::of(uri.path());
    collection::page(&visitor().await, &place, json, &api_query(&uri), None, None)
}

async fn object_page(path: &str, json: &Value) -> ObjectPage {
    object::page(&visitor().await, &Place::of(path), json, None, None)
}

fn sent(text: &'static str) -> FormData {
    FormData::parse(&Bytes::from_static(text.as_bytes()))
}

#[test]
fn what_is_typed_becomes_what_the_api_takes() {
    let fields = schema::find("token").unwrap().fields;
    for (text, json) in [
        ("", json!({})),
        ("description=&ttl=&kind=&userId=", json!({})),
        ("description=a+b&ttl=0&ttl.unit=days", json!({ "description": "a b", "ttl": 0 })),
        ("ttl=2&ttl.unit=minutes", json!({ "ttl": 120_000 })),
        ("ttl=-1", json!({ "ttl": -1 })),
        ("kind=agent&lease=false&expired=true&token=x&nothing=1", json!({ "kind": "agent", "lease": false })),
    ] {
        assert_eq!(sent(text).to_json(Purpose::Create, fields, None).unwrap(), json, "{text}");
    }
    for text in ["ttl=soon", "ttl=1.5", "ttl=1&ttl.unit=years", "ttl=999999999999999999&ttl.unit=days"] {
        assert_eq!(
            sent(text).to_json(Purpose::Create, fields, None).unwrap_err().status(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "{text}"
        );
    }
}

#[test]
fn an_edit_sends_only_what_was_changed() {
    let user = json!({ "groups": ["dev", "ops"], "admin": false, "enabled": true });
    let fields = schema::find("user").unwrap().fields;
    for (text, json) in [
        ("groups=dev%0D%0Aops&admin=false&enabled=true", json!({})),
        ("groups=dev%0D%0A+ops+%0D%0A%0D%0A&enabled=false", json!({ "enabled": false })),
        ("groups=", json!({ "groups": [] })),
    ] {
        assert_eq!(sent(text).to_json(Purpose::Update, fields, Some(&user)).unwrap(), json, "{text}");
    }
    let setting = schema::find("setting").unwrap().fields;
    let same = sent("value=960").to_json(Purpose::Update, setting, Some(&json!({ "value": "960" })));
    assert_eq!(same.unwrap(), json!({ "value": "960" }), "a default can be set on purpose");
    let reset = sent("value=").to_json(Purpose::Update, setting, Some(&json!({ "value": "960" })));
    assert_eq!(reset.unwrap(), json!({ "value": "" }));
}

#[test]
fn a_form_shows_what_is_there_or_what_was_refused_but_never_a_password() {
    let fields = schema::find("token").unwrap().fields;
    let token = json!({ "description": "ci", "ttl": 7_776_000_000_u64, "enabled": true });
    let form = Form::of(Purpose::Update, "edit", fields, Given { data: None, object: Some(&token) }).unwrap();
    let shown = |form: &Form, name: &str| {
        let input = form.inputs.iter().find(|input| input.name == name).unwrap();
        (input.value.clone(), input.unit.clone())
    };
    assert_eq!(shown(&form, "ttl"), ("90".into(), "days".into()));
    assert_eq!(shown(&form, "description").0, "ci");
    assert!(!form.open);
    let data = sent("ttl=x&ttl.unit=hours&description=%3Cb%3E");
    let form =
        Form::of(Purpose::Update, "edit", fields, Given { data: Some(&data), object: Some(&token) }).unwrap();
    assert_eq!(shown(&form, "ttl"), ("x".into(), "hours".into()));
    assert_eq!(shown(&form, "description").0, "<b>");
    assert!(form.open);
    let user = schema::find("user").unwrap().fields;
    let data = sent("username=carol&password=correct+horse+battery");
    let form = Form::of(Purpose::Create, "create", user, Given { data: Some(&data), object: None }).unwrap();
    let password = form.inputs.iter().find(|input| input.kind == InputKind::Password).unwrap();
    assert_eq!(password.value, "");
}

#[tokio::test]
async fn a_collection_has_its_filters_its_order_and_its_pages() {
    let json = json!({
        "type": "collection",
        "resourceType": "token",
        "createTypes": { "token": "https://gate/v3/tokens" },
        "actions": { "shorten": "https://gate/v3/tokens?action=shorten" },
        "pagination": {
            "limit": 2,
            "total": 5,
            "first": "https://gate/v3/tokens?limit=2",
            "next": "https://gate/v3/tokens?limit=2&marker=abc",
        },
        "sort": {
            "name": "created",
            "order": "desc",
            "reverse": "https://gate/v3/tokens?sort=created&order=asc",
            "links": {
                "name": "https://gate/v3/tokens?sort=name",
                "created": "https://gate/v3/tokens?sort=created",
            },
        },
        "data": [{ "id": "token-bcdfg", "kind": "api-key", "userId": "user-bcdfg", "description": "<b>", "enabled": true,
            "links": { "self": "https://gate/v3/tokens/token-bcdfg" } }],
    });
    let page = collection_page("/v3/tokens?kind=api-key&limit=2&marker=x", &json).await;
    let head = |name: &str| page.columns.iter().find(|column| column.name == name).unwrap();
    assert_eq!((head("created").order, head("id").order), (Some("descending"), None));
    assert_eq!(head("created").href.as_deref(), Some("/v3/tokens?sort=created&order=asc"));
    assert_eq!(head("id").href.as_deref(), Some("/v3/tokens?sort=name"));
    assert_eq!(head("kind").href, None);
    let pages: Vec<_> = page.pages.iter().map(|page| page.href.as_str()).collect();
    assert_eq!(pages, ["/v3/tokens?limit=2", "/v3/tokens?limit=2&marker=abc"]);
    assert_eq!(page.total, Some(5));
    assert!(
        page.filtered && page.filters.iter().any(|input| input.name == "kind" && input.value == "api-key")
    );
    let bulk: Vec<_> = page.bulk.iter().map(|form| (form.method, form.action.as_str())).collect();
    assert_eq!(
        bulk,
        [
            (Some("DELETE"), "/v3/tokens?kind=api-key&dryRun=true"),
            (None, "/v3/tokens?kind=api-key&action=shorten&dryRun=true")
        ]
    );
    assert_eq!(page.rows[0][0].href.as_deref(), Some("/v3/tokens/token-bcdfg"));
    assert_eq!(page.rows[0][2].href.as_deref(), Some("/v3/users/user-bcdfg"));
    assert_eq!(page.forms.len(), 1);
    let page = collection_page("/v3/tokens", &json).await;
    assert!(!page.filtered && page.bulk.is_empty(), "without a filter nothing is done to all");
    assert_eq!(page.pages.len(), 1, "the first page has no way to the first page");
}

#[tokio::test]
async fn a_resource_offers_what_its_links_and_actions_say() {
    let url = "https://gate/v3/tokens/token-bcdfg";
    let bare = json!({ "type": "token", "id": "token-bcdfg", "links": { "self": url } });
    let page = object_page("/v3/tokens/token-bcdfg", &bare).await;
    assert!(page.forms.is_empty() && page.buttons.is_empty() && page.questions.is_empty());
    let full = json!({
        "type": "token",
        "id": "token-bcdfg",
        "enabled": true,
        "links": { "self": url, "update": url, "remove": url },
        "actions": { "disable": format!("{url}?action=disable"), "rotate": format!("{url}?action=rotate") },
    });
    let page = object_page("/v3/tokens/token-bcdfg", &full).await;
    let titles: Vec<_> = page.forms.iter().map(|form| form.title.as_str()).collect();
    assert_eq!(titles, ["Edit", "Rotate"]);
    assert_eq!(page.buttons[0].action, "/v3/tokens/token-bcdfg?action=disable");
    assert_eq!(page.questions[0].value, "delete");
    let mut current = full.clone();
    current["current"] = true.into();
    assert!(object_page("/v3/tokens/token-bcdfg", &current).await.questions.is_empty());
}

#[tokio::test]
async fn switching_a_feature_on_is_asked_first_and_only_while_it_is_off() {
    let url = "https://gate/v3/features/token-hashing";
    let mut feature = json!({
        "type": "feature",
        "id": "token-hashing",
        "value": false,
        "locked": false,
        "links": { "self": url, "update": url },
        "status": { "state": "hashing", "done": 3, "total": 10, "backup": "/b", "error": null },
    });
    let page = object_page("/v3/features/token-hashing", &feature).await;
    assert_eq!(page.questions[0].value, "switch");
    let progress = page.progress.unwrap();
    assert_eq!((progress.done, progress.total), (3, 10));
    feature["value"] = true.into();
    let place = Place::of("/v3/features/token-hashing");
    let answer = object::question(&visitor().await, &place, &feature, "switch", None);
    assert_eq!(answer.status(), StatusCode::SEE_OTHER);
    feature["value"] = false.into();
    let answer = object::question(&visitor().await, &place, &feature, "switch", None);
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_refused_form_is_open_and_the_others_are_not() {
    let url = "https://gate/v3/users/user-bcdfg";
    let user = json!({
        "type": "user",
        "id": "user-bcdfg",
        "links": { "self": url, "update": url },
        "actions": { "setpassword": format!("{url}?action=setpassword") },
    });
    let data = sent("newPassword=short");
    let refused = Refused {
        status: StatusCode::UNPROCESSABLE_ENTITY,
        message: "Too short.",
        data: &data,
        form: "setpassword",
    };
    let page = object::page(&visitor().await, &Place::of("/v3/users/user-bcdfg"), &user, None, Some(refused));
    let open: Vec<_> = page.forms.iter().map(|form| (form.title.as_str(), form.open)).collect();
    assert_eq!(open, [("Edit", false), ("Set the password", true)]);
}

#[test]
fn only_resources_are_pages() {
    let mut headers = HeaderMap::new();
    headers.insert("accept", "text/html".parse().unwrap());
    for (path, is_page) in [
        ("/v3", true),
        ("/v3/tokens", true),
        ("/v3/nothing", true),
        ("/v3/openapi.json", false),
        ("/v3/tokens?_format=json", false),
        ("/v3-public/authProviders", false),
        ("/ping", false),
    ] {
        assert_eq!(wants_page(&path.parse().unwrap(), &headers), is_page, "{path}");
    }
    headers.insert("accept", "text/html;q=x, application/json;q=2".parse().unwrap());
    assert!(wants_page(&"/v3".parse().unwrap(), &headers), "what can't be read counts as 1");
}
