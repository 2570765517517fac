//! Schemas: what generic clients and the pages' forms are made from.

use http::Method;
use serde_json::Value;

use super::ask;
use crate::api::schema::SCHEMAS;
use crate::authority::testing::House;

#[tokio::test]
async fn a_schema_says_what_its_caller_can_do() {
    let house = House::new().await;
    let of_root = ask(&house, Some(&house.root), Method::GET, "/v3/schemas/user", "").await.json();
    let of_alice = ask(&house, Some(&house.alice), Method::GET, "/v3/schemas/user", "").await.json();
    assert_eq!(of_root["collectionMethods"], serde_json::json!(["GET", "POST"]));
    assert_eq!(of_alice["collectionMethods"], serde_json::json!(["GET"]));
    assert_eq!(of_root["resourceActions"]["setpassword"]["input"], "setPasswordInput");
    assert_eq!(of_alice["resourceActions"], serde_json::json!({}));
    let username = &of_root["resourceFields"]["username"];
    assert_eq!((&username["required"], &username["update"]), (&Value::Bool(true), &Value::Bool(false)));
    assert_eq!(of_root["links"]["collection"], "https://gate.example.org/v3/users");
    for (caller, status) in [(&house.root, 200), (&house.alice, 404)] {
        let answer = ask(&house, Some(caller), Method::GET, "/v3/schemas/auditEvent", "").await;
        assert_eq!(answer.status.as_u16(), status);
    }
    assert_eq!(ask(&house, Some(&house.root), Method::GET, "/v3/schemas/x", "").await.refusal().0, 404);
}

#[test]
fn whatever_a_schema_refers_to_is_there() {
    let known = |id: &str| SCHEMAS.iter().any(|schema| schema.id == id);
    for schema in SCHEMAS {
        for action in schema.resource_actions.iter().chain(schema.collection_actions) {
            assert!(action.input.is_none_or(known), "{} {}", schema.id, action.name);
            assert!(
                action.output.is_none_or(|id| id == "collection" || known(id)),
                "{} {}",
                schema.id,
                action.name
            );
        }
        for field in schema.fields {
            let plain = [
                "string",
                "password",
                "int",
                "boolean",
                "date",
                "enum",
                "array[string]",
                "array[password]",
                "map[string]",
            ];
            let listed = field.kind.strip_prefix("reference[").or(field.kind.strip_prefix("array["));
            let referred = listed.and_then(|id| id.strip_suffix(']'));
            assert!(
                plain.contains(&field.kind) || known(referred.unwrap_or(field.kind)),
                "{}.{}",
                schema.id,
                field.name
            );
            assert_eq!(field.kind == "enum", !field.options.is_empty(), "{}.{}", schema.id, field.name);
            assert!(!field.description.is_empty() && !field.description.ends_with('.'));
        }
    }
}
