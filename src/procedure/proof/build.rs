//! Do all nodes run the same? The operator's `build` command outranks the page.

use std::collections::BTreeSet;

use super::Look;
use crate::model::{NodeId, NodeRole, NodeState};
use crate::procedure::facts::Image;
use crate::procedure::{Member, NodeFacts, Objection, ObjectionKind};

impl Look<'_> {
    /// Of those that serve each must be known; of a worker what is known counts.
    pub(super) fn one_build(&mut self) {
        let there: Vec<(&Member, NodeFacts)> = self
            .members()
            .filter(|(_, record)| record.excluded.is_none())
            .map(|(member, record)| (member, self.node(&record.id)))
            .collect();
        let serves = |(member, _): &&(&Member, NodeFacts)| member.role == NodeRole::Request;
        let by_image = there.iter().filter(serves).all(|(_, node)| node.image.known().is_some());
        for (member, node) in &there {
            // One that is not ready is waited for, and tells then.
            if member.address.is_some() && node.state != NodeState::Ready {
                continue;
            }
            let by_page = member.role == NodeRole::Request && !by_image;
            if self.image_is_told(member, node) && by_page && node.build.is_none() {
                self.build_unknown(&node.id, "its page does not tell");
            }
        }
        let images = named(&there, |node| node.image.known());
        let pages = named(&there, |node| node.build.as_ref().filter(|_| !by_image));
        for builds in [&images, &pages] {
            if 1 < builds.iter().map(|(_, build)| build).collect::<BTreeSet<_>>().len() {
                return self.mixed(builds);
            }
        }
        let (builds, source) = if by_image { (images, "build command") } else { (pages, "page") };
        let all = there.iter().filter(serves).all(|(_, node)| node.state == NodeState::Ready);
        if let Some((_, build)) = builds.first().filter(|_| all) {
            self.standing.proven(format!("one build on all nodes: {build}"), source, None);
        }
    }

    fn mixed(&mut self, builds: &[(&NodeId, &String)]) {
        let each: Vec<String> = builds.iter().map(|(id, build)| format!("{id} {build}")).collect();
        let what = format!("the nodes run different builds: {}", each.join(", "));
        let remedy = "bring the others to the first one's version and restart them, or `exclude` \
                      them";
        self.object(Objection::new(ObjectionKind::MixedBuilds, what, remedy));
    }

    /// Where there is a command, it must have answered since the node came up. `false` where it is
    /// waited for, or failed.
    pub(super) fn image_is_told(&mut self, member: &Member, node: &NodeFacts) -> bool {
        match &node.image {
            Image::Untold if member.means.build => {
                self.standing.wait(format!("what {} runs (its build command)", node.id));
                false
            }
            Image::Unknown(why) => {
                self.build_unknown(&node.id, &format!("its build command: {why}"));
                false
            }
            Image::Untold | Image::Known(_) => true,
        }
    }

    fn build_unknown(&mut self, node: &NodeId, why: &str) {
        let what = format!("what {node} runs could not be found out ({why})");
        let remedy = "see yourself what it runs, then `waive` this with your reason; a `build` \
                      command that works proves it";
        self.object(Objection::new(ObjectionKind::BuildUnknown, what, remedy).of(node));
    }
}

/// What is known of each.
fn named<'a>(
    nodes: &'a [(&Member, NodeFacts)],
    build: impl Fn(&'a NodeFacts) -> Option<&'a String>,
) -> Vec<(&'a NodeId, &'a String)> {
    nodes.iter().filter_map(|(_, node)| Some((&node.id, build(node)?))).collect()
}
