//! What kind of request this is, in NocoBase's terms.

/// The classes that notices, metrics and limits differ by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RequestClass {
    /// A navigation of a browser: HTML is wanted.
    Page,
    /// Under the API path.
    Api,
    /// A WebSocket handshake.
    WebSocket,
    /// A long-lived stream of events (`text/event-stream`, `/api/mcp`).
    EventStream,
    /// Anything else: scripts, styles, files.
    Asset,
}

impl RequestClass {
    pub const ALL: [Self; 5] =
        [Self::Page, Self::Api, Self::WebSocket, Self::EventStream, Self::Asset];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Page => "page",
            Self::Api => "api",
            Self::WebSocket => "websocket",
            Self::EventStream => "event_stream",
            Self::Asset => "asset",
        }
    }
}
