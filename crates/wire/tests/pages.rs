//! The specification says what the code has: each message of the agent connection with its fields, numbers and types.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test"
)]

use std::collections::BTreeSet;

/// `Hello.version string 1`, for each field.
type Fields = BTreeSet<String>;

const PAGE: &str = include_str!("../../../docs/spec/8-interfaces.md");
const CODE: &str = include_str!("../src/message.rs");

/// From the block of proto3 in the page.
fn of_page() -> Fields {
    let block = PAGE.split("```proto\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let bare: Vec<&str> = block.lines().map(|line| line.split("//").next().unwrap()).collect();
    let mut fields = Fields::new();
    for message in bare.join(" ").split("message ").skip(1) {
        let (name, body) = message.split_once('{').unwrap();
        let body = body.replace("oneof what {", "").replace('}', "");
        for field in body.split(';').map(str::trim).filter(|field| !field.is_empty()) {
            let (declared, number) = field.split_once('=').unwrap();
            let (kind, field) = declared.trim().rsplit_once(' ').unwrap();
            fields.insert(format!("{}.{field} {kind} {}", name.trim(), number.trim()));
        }
    }
    fields
}

/// From the attributes in the code: a struct's fields, and the variants of what a message is one of.
fn of_code() -> Fields {
    let (mut fields, mut message, mut pending) = (Fields::new(), String::new(), None);
    for line in CODE.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("pub struct ").and_then(|rest| rest.strip_suffix(" {")) {
            name.clone_into(&mut message);
        } else if let Some(attribute) = line.strip_prefix("#[prost(").and_then(|rest| rest.strip_suffix(")]"))
        {
            pending = (!attribute.starts_with("oneof")).then_some(attribute);
        } else if let Some(attribute) = pending.take() {
            let (kind, number) = kind_of(attribute);
            let field = line.strip_prefix("pub ").unwrap_or(line).trim_end_matches(',');
            let (name, held) = field.split_once(": ").or_else(|| field.split_once('(')).unwrap();
            let kind = if kind.ends_with("message") { kind.replace("message", inner(held)) } else { kind };
            fields.insert(format!("{message}.{} {kind} {number}", name.to_lowercase()));
        }
    }
    fields
}

/// `repeated string` and `4`, of `string, repeated, tag = "4"`.
fn kind_of(attribute: &str) -> (String, String) {
    let number = attribute.split("tag = \"").nth(1).unwrap().trim_end_matches('"').to_owned();
    let kind = attribute.split([',', ' ']).next().unwrap().trim_end_matches(" = \"vec\"");
    let repeated = if attribute.contains("repeated") { "repeated " } else { "" };
    (format!("{repeated}{kind}"), number)
}

/// The message in `Vec<Clear>`, `Option<Target>` or `Hello)`.
fn inner(held: &str) -> &str {
    held.split('<').next_back().unwrap().trim_end_matches(['>', ')'])
}

#[test]
fn the_page_has_every_message_of_the_agent_connection_field_by_field() {
    let (page, code) = (of_page(), of_code());
    assert!(code.contains("Hello.name fixed64 7") && code.contains("FromAgent.hello Hello 1"), "{code:#?}");
    let (only_page, only_code): (Vec<_>, Vec<_>) =
        (page.difference(&code).collect(), code.difference(&page).collect());
    assert!(only_page.is_empty() && only_code.is_empty(), "page: {only_page:#?}, code: {only_code:#?}");
}
