//! What the process was started with, as data, and the paths that follow from it.

use std::path::PathBuf;

/// Who runs the program, and the folders that the system gave that user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment {
    /// The effective user id; 0 is root.
    pub uid: u32,
    /// `HOME`
    pub home: Option<PathBuf>,
    /// `XDG_STATE_HOME`
    pub xdg_state_home: Option<PathBuf>,
    /// `XDG_RUNTIME_DIR`
    pub xdg_runtime_dir: Option<PathBuf>,
    /// `STATE_DIRECTORY`, as systemd sets it for a service; the first of them.
    pub state_directory: Option<PathBuf>,
    /// `RUNTIME_DIRECTORY`, likewise.
    pub runtime_directory: Option<PathBuf>,
}

impl Environment {
    /// Where the journal lies unless the configuration says otherwise.
    pub fn state_dir(&self) -> PathBuf {
        if let Some(folder) = absolute(self.state_directory.as_ref()) {
            return folder;
        }
        if self.uid == 0 {
            return "/var/lib/drawspan".into();
        }
        let state = absolute(self.xdg_state_home.as_ref());
        let home = || Some(absolute(self.home.as_ref())?.join(".local/state"));
        match state.or_else(home) {
            Some(state) => state.join("drawspan"),
            None => self.temporary().join("state"),
        }
    }

    /// The control socket unless the configuration or `--control` says otherwise: the same for the
    /// gateway and for the verbs that talk to it.
    pub fn control_path(&self) -> PathBuf {
        if let Some(folder) = absolute(self.runtime_directory.as_ref()) {
            return folder.join("control.sock");
        }
        if self.uid == 0 {
            return "/run/drawspan/control.sock".into();
        }
        match absolute(self.xdg_runtime_dir.as_ref()) {
            Some(runtime) => runtime.join("drawspan/control.sock"),
            None => self.temporary().join("control.sock"),
        }
    }

    fn temporary(&self) -> PathBuf {
        format!("/tmp/drawspan-{}", self.uid).into()
    }
}

/// A relative path in these variables is to be ignored (XDG Base Directory Specification).
fn absolute(path: Option<&PathBuf>) -> Option<PathBuf> {
    path.filter(|path| path.is_absolute()).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(uid: u32, home: &str, state: &str, runtime: &str) -> Environment {
        let path = |text: &str| (!text.is_empty()).then(|| PathBuf::from(text));
        let (xdg_state_home, xdg_runtime_dir) = (path(state), path(runtime));
        let home = path(home);
        Environment { uid, home, xdg_state_home, xdg_runtime_dir, ..Environment::default() }
    }

    #[test]
    fn root_uses_the_folders_of_the_system() {
        let root = environment(0, "/home/r", "/home/r/state", "/run/user/0");
        assert_eq!(root.state_dir(), PathBuf::from("/var/lib/drawspan"));
        assert_eq!(root.control_path(), PathBuf::from("/run/drawspan/control.sock"));
    }

    #[test]
    fn a_user_uses_the_folders_of_the_session() {
        let user = environment(1000, "/home/u", "/s", "/run/user/1000");
        assert_eq!(user.state_dir(), PathBuf::from("/s/drawspan"));
        assert_eq!(user.control_path(), PathBuf::from("/run/user/1000/drawspan/control.sock"));
        let plain = environment(1000, "/home/u", "relative", "");
        assert_eq!(plain.state_dir(), PathBuf::from("/home/u/.local/state/drawspan"));
        assert_eq!(plain.control_path(), PathBuf::from("/tmp/drawspan-1000/control.sock"));
    }

    #[test]
    fn a_service_uses_the_folders_that_its_unit_has_made() {
        for uid in [0, 1000] {
            let service = Environment {
                state_directory: Some("/var/lib/bridge".into()),
                runtime_directory: Some("/run/bridge".into()),
                ..environment(uid, "/home/u", "/s", "/run/user/1000")
            };
            assert_eq!(service.state_dir(), PathBuf::from("/var/lib/bridge"));
            assert_eq!(service.control_path(), PathBuf::from("/run/bridge/control.sock"));
        }
    }

    #[test]
    fn a_user_without_folders_uses_the_temporary_one() {
        let bare = environment(1000, "", "", "relative");
        assert_eq!(bare.state_dir(), PathBuf::from("/tmp/drawspan-1000/state"));
        assert_eq!(bare.control_path(), PathBuf::from("/tmp/drawspan-1000/control.sock"));
    }
}
