//! What an application says of itself without a login: its version row, its enabled plugins.

use serde_json::Value;

/// Longest version that counts as one.
const VERSION_BYTES_MAX: usize = 64;
/// Longest name of a plugin: that of an npm package.
const PLUGIN_BYTES_MAX: usize = 214;

/// The version row of the database, from the body of an `app:getInfo`. It is the same on all
/// nodes, whatever code they run. `None` where the body names none.
pub fn version_of(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    name(body.get("data")?.get("version")?, VERSION_BYTES_MAX)
}

/// The names in the body of a `pm:listEnabled`, sorted, each once. `None` where it is something
/// else, was cut off, or holds an entry without a name: part of a list is no list.
pub fn plugins_of(body: &[u8]) -> Option<Vec<String>> {
    let body: Value = serde_json::from_slice(body).ok()?;
    let plugins = body.get("data")?.as_array()?.iter();
    let names = plugins.map(|plugin| name(plugin.get("name")?, PLUGIN_BYTES_MAX));
    let mut names = names.collect::<Option<Vec<_>>>()?;
    names.sort_unstable();
    names.dedup();
    Some(names)
}

/// A word of others that fits into records and on a terminal.
fn name(value: &Value, bytes_max: usize) -> Option<String> {
    let text = value.as_str()?.trim();
    let legal = !text.is_empty() && text.len() <= bytes_max && !text.contains(char::is_control);
    legal.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_version_is_the_row_that_get_info_shows() {
        let info = br#"{"data":{"database":{"dialect":"postgres"},"version":"2.2.15"}}"#;
        assert_eq!(version_of(info).as_deref(), Some("2.2.15"));
        let long = format!(r#"{{"data":{{"version":"{}"}}}}"#, "1".repeat(65));
        for other in [
            "",
            "<!DOCTYPE html>",
            "{}",
            r#"{"data":{}}"#,
            r#"{"data":{"version":7}}"#,
            r#"{"data":{"version":""}}"#,
            r#"{"data":{"version":"2\u001b[2J"}}"#,
            &long,
        ] {
            assert_eq!(version_of(other.as_bytes()), None, "{other}");
        }
    }

    #[test]
    fn plugins_are_sorted_and_each_is_there_once() {
        let list = br#"{"data":[{"name":"users","options":null},{"name":"acl"},{"name":"users"}]}"#;
        assert_eq!(plugins_of(list), Some(vec!["acl".to_owned(), "users".to_owned()]));
        assert_eq!(plugins_of(br#"{"data":[]}"#), Some(Vec::new()));
    }

    #[test]
    fn part_of_a_list_of_plugins_is_no_list() {
        let list = r#"{"data":[{"name":"acl"},{"name":"users"}]}"#;
        for end in 0..list.len() {
            assert_eq!(plugins_of(&list.as_bytes()[..end]), None, "{end}");
        }
        assert_eq!(plugins_of(br#"{"data":[{"name":"acl"},{"packageName":"x"}]}"#), None);
        assert_eq!(plugins_of(br#"{"data":[{"name":"acl"},{"name":""}]}"#), None);
        assert_eq!(plugins_of(br#"{"data":{"acl":true}}"#), None);
    }

    proptest! {
        #[test]
        fn no_body_makes_them_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            version_of(&body);
            plugins_of(&body);
        }
    }
}
