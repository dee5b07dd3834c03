//! NocoBase's JSON about maintenance, with its members in NocoBase's order.

use serde::Serialize;

#[derive(Serialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    status: u16,
    maintaining: bool,
    message: &'a str,
    command: Name<'a>,
    code: &'a str,
}

/// Body of a 503 while a command runs.
pub(super) fn commanding_error(command: &str, message: &str) -> String {
    let command = Name { name: command };
    let code = "APP_COMMANDING";
    let error = ErrorBody { status: 503, maintaining: true, message, command, code };
    text(&Wrapped { error })
}

/// Body about an application that nobody knows.
pub(super) fn application_error(status: u16, message: &str, code: &str) -> String {
    #[derive(Serialize)]
    struct Body<'a> {
        status: u16,
        message: &'a str,
        maintaining: bool,
        code: &'a str,
    }
    text(&Wrapped { error: Body { status, message, maintaining: true, code } })
}

/// Body of an error of the application itself.
pub(super) fn errors(message: &str, code: Option<&str>) -> String {
    #[derive(Serialize)]
    struct Item<'a> {
        message: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<&'a str>,
    }
    #[derive(Serialize)]
    struct Errors<'a> {
        errors: [Item<'a>; 1],
    }
    text(&Errors { errors: [Item { message, code }] })
}

/// WebSocket frame while a command runs.
pub(super) fn commanding_frame(command: &str, message: &str) -> String {
    #[derive(Serialize)]
    struct Payload<'a> {
        message: &'a str,
        command: Name<'a>,
        code: &'a str,
    }
    let command = Name { name: command };
    frame(&Payload { message, command, code: "APP_COMMANDING" })
}

/// Whether open tabs are asked to load the page anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refresh {
    Asked,
    NotAsked,
}

/// WebSocket frame about the application's state.
pub(super) fn state_frame(code: &str, message: &str, refresh: Refresh) -> String {
    #[derive(Serialize)]
    struct Payload<'a> {
        message: &'a str,
        code: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        refresh: Option<bool>,
    }
    frame(&Payload { message, code, refresh: (refresh == Refresh::Asked).then_some(true) })
}

#[derive(Serialize)]
struct Wrapped<T> {
    error: T,
}

fn frame(payload: &impl Serialize) -> String {
    #[derive(Serialize)]
    struct Frame<'a, T> {
        r#type: &'a str,
        payload: &'a T,
    }
    text(&Frame { r#type: "maintaining", payload })
}

fn text(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("structs of strings and numbers always serialise")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_are_byte_for_byte_those_of_nocobase() {
        assert_eq!(
            commanding_error("start", "load plugin [ai], 49/77"),
            r#"{"error":{"status":503,"maintaining":true,"message":"load plugin [ai], 49/77","command":{"name":"start"},"code":"APP_COMMANDING"}}"#
        );
        assert_eq!(
            commanding_frame("pm.enable", "enabling plugin embed"),
            r#"{"type":"maintaining","payload":{"message":"enabling plugin embed","command":{"name":"pm.enable"},"code":"APP_COMMANDING"}}"#
        );
        assert_eq!(
            state_frame("APP_RUNNING", "application main is running", Refresh::Asked),
            r#"{"type":"maintaining","payload":{"message":"application main is running","code":"APP_RUNNING","refresh":true}}"#
        );
    }
}
