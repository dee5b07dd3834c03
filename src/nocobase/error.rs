//! NocoBase's error JSON, as its browser client and its API clients know it.

use serde::Serialize;

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

#[derive(Serialize)]
struct Body<'a> {
    error: Error<'a>,
}

#[derive(Serialize)]
struct Error<'a> {
    status: u16,
    maintaining: bool,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Command<'a>>,
    code: &'a str,
}

#[derive(Serialize)]
struct Command<'a> {
    name: &'a str,
}

/// The body of a 503 in NocoBase's shape.
pub fn notice_json(code: &str, message: &str, maintaining: Maintaining<'_>) -> Vec<u8> {
    let command = match maintaining {
        Maintaining::Yes { command } => Some(Command { name: command }),
        Maintaining::No => None,
    };
    let error = Error { status: 503, maintaining: command.is_some(), message, command, code };
    // Text and numbers alone: there is nothing in it that could fail to serialise.
    serde_json::to_vec(&Body { error }).unwrap_or_default()
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
