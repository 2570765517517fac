//! The description agrees with what is served.

use std::collections::BTreeSet;

use axum::body::Body;
use axum::extract::Request;
use http::Method;
use serde_json::Value;

use super::{ask, send};
use crate::api::Caller;
use crate::api::schema::SCHEMAS;
use crate::authority::testing::House;

async fn description(house: &House) -> Value {
    let answer = ask(house, None, Method::GET, "/v3/openapi.json", "").await;
    assert_eq!(answer.headers["content-type"], "application/json");
    answer.json()
}

#[tokio::test]
async fn what_is_described_is_served_and_answers_with_a_described_status() {
    let house = House::new().await;
    let description = description(&house).await;
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let method = Method::try_from(method.to_ascii_uppercase().as_str()).unwrap();
            let path = path.replace("{id}", "x");
            // Each in a house of its own: one of them logs its caller out.
            let house = House::new().await;
            for caller in [None, Some(&house.alice), Some(&house.root)] {
                // A token of its own for each request, as some of them end it.
                let caller = match caller {
                    Some(user) => Some(Caller { token: house.token_of(&user.id).await.name, ..user.clone() }),
                    None => None,
                };
                let answer = ask(&house, caller.as_ref(), method.clone(), &path, "").await;
                let status = answer.status.as_u16().to_string();
                assert!(
                    operation["responses"].get(&status).is_some(),
                    "{method} {path}: {status} is not described"
                );
                let is_free = operation["security"].as_array().is_some_and(Vec::is_empty);
                assert_eq!(caller.is_none() && !is_free, status == "401", "{method} {path}");
            }
            if operation.get("requestBody").is_some() {
                let mut request = Request::builder().method(&method).uri(&path);
                request = request.header("content-type", "text/plain");
                let answer = send(&house, Some(&house.root), request.body(Body::from("x")).unwrap()).await;
                assert_eq!(answer.status, 415, "{method} {path}");
            }
        }
    }
}

#[tokio::test]
async fn schemas_and_description_know_the_same_fields() {
    let house = House::new().await;
    let description = description(&house).await;
    for (id, name) in [
        ("token", "Token"),
        ("user", "User"),
        ("cluster", "Cluster"),
        ("setting", "Setting"),
        ("feature", "Feature"),
        ("featureStatus", "FeatureStatus"),
        ("auditEvent", "AuditEvent"),
        ("bulkResult", "BulkResult"),
        ("openStreams", "OpenStreams"),
        ("openStream", "OpenStream"),
        ("generateKubeConfigOutput", "GenerateKubeConfigOutput"),
    ] {
        let schema = SCHEMAS.iter().find(|schema| schema.id == id).unwrap();
        let readable = schema.fields.iter().filter(|field| !field.write_only);
        let fields: BTreeSet<&str> = readable.map(|field| field.name).collect();
        let properties = description["components"]["schemas"][name]["properties"].as_object().unwrap();
        let properties: BTreeSet<&str> = properties.keys().map(String::as_str).collect();
        let of_every_resource = BTreeSet::from(["type", "baseType", "links", "actions", "createdTS"]);
        assert_eq!(fields, properties.difference(&of_every_resource).copied().collect(), "{id}");
    }
}
