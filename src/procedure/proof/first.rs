//! Does the first node run what it should: version, build, plugins?

use super::Look;
use crate::procedure::{Kind, NodeFacts, Objection, ObjectionKind, Road};

impl Look<'_> {
    /// Version, build and plugins of the first node are those that they should be.
    pub(super) fn first_is_right(&mut self) {
        if self.procedure.road == Road::Abort {
            return;
        }
        let first = self.node(&self.procedure.first);
        let begin = &self.procedure.begin;
        match (self.procedure.kind(), self.procedure.road) {
            (Kind::Upgrade, Road::Forward | Road::Abort) => {
                self.version_is(begin.to.as_deref(), &first);
                self.something_changed(&first);
                self.plugins_kept(&first);
            }
            (Kind::Upgrade, Road::Back) => {
                self.version_is(begin.before.version.as_deref(), &first);
                self.build_of_before(&first);
                self.plugins_kept(&first);
            }
            (Kind::FirstStart, _) => match &first.plugins {
                Some(plugins) if !plugins.is_empty() => {
                    let what = format!("{} plugins are enabled", plugins.len());
                    self.standing.proven(what, "pm:listEnabled", first.taken);
                }
                Some(_) | None => self.standing.wait("its plugins are installed and enabled"),
            },
            (Kind::Maintenance, _) => self.plugins_now(&first),
        }
    }

    fn version_is(&mut self, wanted: Option<&str>, first: &NodeFacts) {
        match (wanted, &first.version) {
            (Some(wanted), Some(found)) if wanted == found => {
                let what = format!("the database names version {found}");
                self.standing.proven(what, "app:getInfo", first.taken);
            }
            (Some(wanted), Some(found)) => {
                let what = format!("the database names version {found}, not {wanted}");
                let remedy = self.by_hand_or(
                    "see which version the node runs, and restart it with the right one; or \
                     `rollback`",
                    "see which version the node runs; `retry`, or `rollback`",
                );
                self.object(Objection::new(ObjectionKind::WrongVersion, what, remedy));
            }
            (Some(wanted), None) => self.standing.wait(format!("the version row ({wanted})")),
            (None, found) => {
                if let Some(found) = found {
                    let what = format!("the database names version {found}");
                    self.standing.proven(what, "app:getInfo", first.taken);
                }
            }
        }
    }

    /// What the first node ran before and runs now, and who says so: the operator's command outranks
    /// the page. `None` where the command is waited for.
    fn builds<'a>(&mut self, first: &'a NodeFacts) -> Option<(&'a String, &'a String, &'static str)>
    where
        Self: 'a,
    {
        let procedure = self.procedure;
        let before = &procedure.begin.before;
        if let (Some(was), Some(member)) = (&before.image, procedure.begin.member(&first.id)) {
            if let Some(is) = first.image.known() {
                return Some((was, is, "build command"));
            }
            if !self.image_is_told(member, first) {
                return None;
            }
        }
        Some((before.build.as_ref()?, first.build.as_ref()?, "page"))
    }

    fn something_changed(&mut self, first: &NodeFacts) {
        let Some((was, is, source)) = self.builds(first) else { return };
        if was != is {
            let what = format!("build {is} (before: {was})");
            return self.standing.proven(what, source, first.taken);
        }
        let what = format!("{} runs the same build as before ({is})", first.id);
        let remedy = self.by_hand_or(
            "see whether the update really changed the version, and restart the node; or \
                     `rollback`, or `waive` this with your reason",
            "see whether the update really changed the version; `retry`, `rollback`, or \
                     `waive` this with your reason",
        );
        self.object(Objection::new(ObjectionKind::NothingChanged, what, remedy));
    }

    fn build_of_before(&mut self, first: &NodeFacts) {
        let Some((was, is, source)) = self.builds(first) else { return };
        if was == is {
            let what = format!("the build of before: {is}");
            return self.standing.proven(what, source, first.taken);
        }
        let what = format!("{} runs {is}, and ran {was} before the upgrade", first.id);
        let remedy = self.by_hand_or(
            "put the old version in place, and restart the node",
            "put the old version in place, then `retry`",
        );
        self.object(Objection::new(ObjectionKind::WrongBuild, what, remedy));
    }

    fn plugins_kept(&mut self, first: &NodeFacts) {
        let (Some(before), Some(now)) = (&self.procedure.begin.before.plugins, &first.plugins)
        else {
            return;
        };
        let lost: Vec<&str> =
            before.iter().filter(|name| !now.contains(name)).map(String::as_str).collect();
        if lost.is_empty() {
            let what = format!("all {} plugins of before are enabled", before.len());
            return self.standing.proven(what, "pm:listEnabled", first.taken);
        }
        let what = format!("plugins that were enabled before are not now: {}", lost.join(", "));
        let remedy = "see whether the new version dropped them on purpose; then `waive` this with \
                      your reason, else `rollback`";
        self.object(Objection::new(ObjectionKind::PluginsLost, what, remedy));
    }

    /// In-app work: what it changed, for whoever verifies.
    fn plugins_now(&mut self, first: &NodeFacts) {
        let (Some(before), Some(now)) = (&self.procedure.begin.before.plugins, &first.plugins)
        else {
            return;
        };
        let new = now.iter().filter(|name| !before.contains(name)).map(|name| format!("+{name}"));
        let gone = before.iter().filter(|name| !now.contains(name)).map(|name| format!("-{name}"));
        let all: Vec<String> = new.chain(gone).collect();
        let changed = if all.is_empty() { "none changed".to_owned() } else { all.join(" ") };
        let what = format!("plugins enabled: {} (before {}): {changed}", now.len(), before.len());
        self.standing.proven(what, "pm:listEnabled", first.taken);
    }
}
