//! NocoBase's error JSON, as its browser client and its API clients know it.

use serde_json::Value;

/// Does the answer say that the application is under maintenance? The classic client opens its
/// dialog for that, with a title by the command, and keeps it until the WebSocket says otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintaining<'a> {
    Yes {
        /// `upgrade`, `restart`, `start`, ...
        command: &'a str,
    },
    No,
}

/// The body of a 503 in NocoBase's shape.
pub fn notice_json(code: &str, message: &str, maintaining: Maintaining<'_>) -> Vec<u8> {
    let quoted = |text: &str| Value::from(text).to_string();
    let (maintaining, command) = match maintaining {
        Maintaining::Yes { command } => {
            (true, format!(r#""command":{{"name":{}}},"#, quoted(command)))
        }
        Maintaining::No => (false, String::new()),
    };
    let (code, message) = (quoted(code), quoted(message));
    let error = format!(
        r#""status":503,"maintaining":{maintaining},"message":{message},{command}"code":{code}"#
    );
    format!(r#"{{"error":{{{error}}}}}"#).into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: Vec<u8>) -> String {
        String::from_utf8(body).expect("JSON is UTF-8")
    }

    #[test]
    fn a_notice_reads_as_nocobase_writes_it() {
        let body = notice_json("APP_COMMANDING", "step 2", Maintaining::Yes { command: "upgrade" });
        assert_eq!(
            text(body),
            r#"{"error":{"status":503,"maintaining":true,"message":"step 2","command":{"name":"upgrade"},"code":"APP_COMMANDING"}}"#
        );
    }

    #[test]
    fn an_answer_for_no_node_opens_no_dialog_and_escapes_its_text() {
        let body = notice_json("NO_NODE", "no \"node\"\n", Maintaining::No);
        assert_eq!(
            text(body),
            r#"{"error":{"status":503,"maintaining":false,"message":"no \"node\"\n","code":"NO_NODE"}}"#
        );
    }
}
