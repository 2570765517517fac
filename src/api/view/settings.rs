//! Settings: the control that suits each, and one form for several. Some depend on each other, so that neither could be
//! set first.

use serde_json::{Map, Value, json};

use super::form::{Choice, Form, Input, InputKind};
use super::resource::{Place, link};
use super::sent::FormData;
use super::text::text;

/// A form with a control for each setting that can be set here; `None` if the visitor may not.
pub(super) fn form(place: &Place, collection: &Value, sent: Option<&FormData>) -> Option<Form> {
    link(collection, "actions", "set")?;
    let input = |setting: &Value| {
        let name = setting.get("id").map(text).unwrap_or_default();
        let value = sent.and_then(|data| data.get(&name)).map(str::to_owned);
        let mut input = Input {
            id: format!("set-{name}"),
            hint: hint(setting),
            kind: InputKind::Text,
            value: value.unwrap_or_else(|| current(setting)),
            unit: String::new(),
            choices: Vec::new(),
            required: false,
            name,
        };
        suit(&mut input, setting);
        input
    };
    let form = Form {
        title: "Change several at once".to_owned(),
        action: format!("{}?action=set", place.path),
        inputs: settable(collection).map(input).collect(),
        open: sent.is_some(),
        ..Form::default()
    };
    Some(form.button("Save all"))
}

/// What the form's data change of the settings as they are now; `None` if nothing.
pub(super) fn changes(data: &FormData, collection: &Value) -> Option<Value> {
    let change = |setting: &Value| {
        let name = text(setting.get("id")?);
        let value = data.get(&name)?.replace("\r\n", "\n");
        (value.trim() != current(setting).trim()).then(|| (name, Value::from(value)))
    };
    let values: Map<_, _> = settable(collection).filter_map(change).collect();
    (!values.is_empty()).then(|| json!({ "values": values }))
}

/// Gives the control of a setting's value the kind that its unit asks for.
pub(super) fn suit(input: &mut Input, setting: &Value) {
    match setting.get("unit").and_then(Value::as_str).unwrap_or_default() {
        "minutes" | "characters" | "tokens" => input.kind = InputKind::Number,
        "true/false" => {
            input.kind = InputKind::Choice;
            input.choices = ["true", "false"].into_iter().map(Choice::of).collect();
        }
        "PEM" => input.kind = InputKind::LongText,
        _ => {}
    }
}

/// What a setting's value is and means.
pub(super) fn hint(setting: &Value) -> String {
    let word = |name: &str| setting.get(name).map(text).unwrap_or_default();
    let default = word("default");
    let default = if default.len() > 80 || default.is_empty() { "what the server knows" } else { &default };
    format!("{}. In {}; empty for the default, {default}.", word("description"), word("unit"))
}

fn current(setting: &Value) -> String {
    setting.get("value").map(text).unwrap_or_default()
}

fn settable(collection: &Value) -> impl Iterator<Item = &Value> {
    let data = collection.get("data").and_then(Value::as_array).into_iter().flatten();
    data.filter(|setting| link(setting, "links", "update").is_some())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn collection() -> Value {
        let url = "https://gate/v3/settings";
        let setting = |name: &str, value: &str, unit: &str| {
            json!({
                "id": name, "value": value, "default": "960", "unit": unit, "description": "How long",
                "links": { "self": format!("{url}/{name}"), "update": format!("{url}/{name}") },
            })
        };
        let mut fixed = setting("fixed", "1", "minutes");
        fixed["links"] = json!({ "self": "https://gate/v3/settings/fixed" });
        json!({
            "type": "collection",
            "actions": { "set": format!("{url}?action=set") },
            "data": [
                setting("a-minutes", "960", "minutes"),
                setting("b", "true", "true/false"),
                setting("c", "one\ntwo\n", "PEM"),
                fixed,
            ],
        })
    }

    #[test]
    fn each_setting_that_can_be_set_has_the_control_of_its_unit() {
        let place = Place::of("/v3/settings");
        let shown = form(&place, &collection(), None).unwrap();
        let kinds: Vec<_> = shown.inputs.iter().map(|input| (input.name.as_str(), input.kind)).collect();
        let expected =
            [("a-minutes", InputKind::Number), ("b", InputKind::Choice), ("c", InputKind::LongText)];
        assert_eq!(kinds, expected);
        assert_eq!(shown.inputs[0].hint, "How long. In minutes; empty for the default, 960.");
        let mut for_others = collection();
        for_others["actions"] = json!({});
        assert!(form(&place, &for_others, None).is_none());
    }

    #[test]
    fn only_what_was_changed_is_set() {
        let changed = |text: &'static str| {
            changes(&FormData::parse(&Bytes::from_static(text.as_bytes())), &collection())
        };
        assert_eq!(changed("a-minutes=960&b=true&c=one%0D%0Atwo%0D%0A&fixed=2&other=3"), None);
        assert_eq!(changed(""), None);
        let several = changed("a-minutes=&b=false&c=one%0D%0Athree").unwrap();
        assert_eq!(several, json!({ "values": { "a-minutes": "", "b": "false", "c": "one\nthree" } }));
    }
}
