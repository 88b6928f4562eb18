//! A machine config without its secrets: what may be shown to whoever may look at the machine.
//!
//! Works on the text's tables and not on the types, so that a field of a newer schema is shown and a key is not. What
//! is secret is told by its name; the test beside the issuer of configs holds every secret of a cluster against it.

/// Keys of a config whose values are secret.
const SECRET_KEYS: [&str; 4] = ["key", "secret", "encryption-key", "service-account-key"];
/// What stands in their place.
const LEFT_OUT: &str = "(left out)";

/// Replaces every secret by a word.
pub fn redact(table: &mut toml::Table) {
    for (key, value) in table.iter_mut() {
        match value {
            toml::Value::String(text) if SECRET_KEYS.contains(&key.as_str()) => LEFT_OUT.clone_into(text),
            other => within(other),
        }
    }
}

fn within(value: &mut toml::Value) {
    match value {
        toml::Value::Table(inner) => redact(inner),
        toml::Value::Array(list) => list.iter_mut().for_each(within),
        _ => {}
    }
}

/// The text of a payload without its secrets.
///
/// # Errors
/// The text is no TOML.
pub fn redacted(payload: &str) -> Result<String, toml::de::Error> {
    let mut table: toml::Table = payload.parse()?;
    redact(&mut table);
    Ok(table.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_left_out_however_deep_it_lies() {
        let text = "key = \"s3cret\"\nname = \"w1\"\n[a.b]\nsecret = \"s3cret\"\n[[list]]\nencryption-key = \"s3cret\"\n";
        let shown = redacted(text).unwrap();
        assert!(!shown.contains("s3cret") && shown.contains("w1"), "{shown}");
        assert_eq!(shown.matches(LEFT_OUT).count(), 3);
    }
}
