//! Where an application lives: its `APP_PUBLIC_PATH` moves the pages, the API and the WebSocket.

/// The three prefixes that probes, notice, guards and tunnels decide by. Each begins with `/`
/// and, the root aside, does not end with one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// `APP_PUBLIC_PATH`: pages and assets.
    pub public: String,
    /// `API_BASE_PATH`: the JSON API.
    pub api: String,
    /// `WS_PATH`: the WebSocket.
    pub ws: String,
}

impl Default for Paths {
    fn default() -> Self {
        Self { public: "/".into(), api: "/api".into(), ws: "/ws".into() }
    }
}

impl Paths {
    /// What of `path` follows the API prefix, where it lies under it: `/api/app:getInfo` gives
    /// `/app:getInfo`, `/apis` gives nothing.
    pub fn under_api<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(self.api.trim_end_matches('/'))?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }

    pub fn health(&self) -> String {
        format!("{}/__health_check", self.api.trim_end_matches('/'))
    }

    pub fn app_info(&self) -> String {
        format!("{}/app:getInfo", self.api.trim_end_matches('/'))
    }

    pub fn enabled_plugins(&self) -> String {
        format!("{}/pm:listEnabled", self.api.trim_end_matches('/'))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_api_is_a_folder_not_a_prefix_of_letters() {
        let paths = Paths::default();
        assert_eq!(paths.under_api("/api/app:getInfo"), Some("/app:getInfo"));
        assert_eq!(paths.under_api("/api"), Some(""));
        assert_eq!(paths.under_api("/apis"), None);
        assert_eq!(paths.under_api("/admin"), None);
    }
}
