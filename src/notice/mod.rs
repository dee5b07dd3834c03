//! What people get from the gateway itself: the notice while the bridge is raised or no node is
//! ready, and the few errors that are the gateway's to tell.
//!
//! Every form of the notice is made ready at the start: to send one costs no formatting.

mod answer;
mod error;
mod page;

use std::path::PathBuf;
use std::time::Duration;

pub use answer::{Answer, Form, Why};
pub use error::{OwnError, Side, own_error};
pub use page::PageError;

use crate::model::limits::NO_NODE_RETRY_AFTER;
use crate::nocobase::{Paths, RequestClass};
use answer::{json, text};
use page::Page;

/// What an operator may set about the notice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoticeSettings {
    /// A page of the operator's own, read once at the start; else the built-in one. The marks
    /// `{{why}}` (`raised` or `no_node`), `{{health}}`, `{{title}}` and `{{text}}` are filled in.
    pub page: Option<PathBuf>,
    /// When clients should come again while the bridge is raised; whole seconds.
    pub retry_after: Duration,
    /// What API clients are told while the bridge is raised.
    pub message: String,
    pub paths: Paths,
}

impl Default for NoticeSettings {
    fn default() -> Self {
        Self {
            page: None,
            retry_after: Duration::from_secs(10),
            message: "The application is under maintenance and will be back soon.".to_owned(),
            paths: Paths::default(),
        }
    }
}

/// Every form of the notice, ready to be sent.
#[derive(Clone, Debug)]
pub struct Notice {
    raised: Forms,
    no_node: Forms,
}

#[derive(Clone, Debug)]
struct Forms {
    html: Answer,
    json: Answer,
    text: Answer,
}

impl Notice {
    /// # Errors
    /// Where the operator's own page cannot be read or is no page.
    pub fn new(settings: &NoticeSettings) -> Result<Self, PageError> {
        let page = Page::load(settings.page.as_deref())?;
        let forms = |why: Why, retry_after: Duration, message: &str| Forms {
            html: page.answer(why, retry_after, &settings.paths),
            json: json(why, retry_after, message),
            text: text(retry_after, message),
        };
        Ok(Self {
            raised: forms(Why::Raised, settings.retry_after, &settings.message),
            no_node: forms(
                Why::NoNode,
                NO_NODE_RETRY_AFTER,
                "No node of the application is ready to answer.",
            ),
        })
    }

    /// The notice for a request of this class. To a HEAD request, the answer goes without its
    /// body and with the length of that body.
    pub fn answer(&self, why: Why, class: RequestClass) -> &Answer {
        let forms = match why {
            Why::Raised => &self.raised,
            Why::NoNode => &self.no_node,
        };
        match Form::of(class) {
            Form::Html => &forms.html,
            Form::Json => &forms.json,
            Form::Text => &forms.text,
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER};

    use super::*;

    fn notice() -> Notice {
        Notice::new(&NoticeSettings::default()).expect("the built-in page")
    }

    fn read(answer: &Answer) -> serde_json::Value {
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    #[test]
    fn every_notice_is_a_503_that_no_cache_keeps_and_that_says_when_to_come_again() {
        let notice = notice();
        for why in [Why::Raised, Why::NoNode] {
            for class in RequestClass::ALL {
                let answer = notice.answer(why, class);
                assert_eq!(answer.status.as_u16(), 503);
                assert_eq!(answer.header(&CACHE_CONTROL), Some("no-store"));
                let after = answer.header(&RETRY_AFTER).and_then(|after| after.parse::<u32>().ok());
                assert!(after.is_some_and(|after| 0 < after), "{why:?} {class:?}");
                assert!(answer.header(&CONTENT_TYPE).is_some());
                assert!(!answer.body.is_empty());
            }
        }
    }

    #[test]
    fn the_api_hears_of_maintenance_in_nocobases_own_shape() {
        let body = read(notice().answer(Why::Raised, RequestClass::Api));
        assert_eq!(
            body["error"],
            serde_json::json!({
                "status": 503,
                "maintaining": true,
                "message": NoticeSettings::default().message,
                "command": {"name": "upgrade"},
                "code": "APP_COMMANDING",
            })
        );
    }

    #[test]
    fn without_a_node_nobody_is_told_of_maintenance() {
        let notice = notice();
        let error = read(notice.answer(Why::NoNode, RequestClass::EventStream))["error"].clone();
        assert_eq!((&error["maintaining"], &error["code"]), (&false.into(), &"NO_NODE".into()));
        assert!(error.get("command").is_none());
        let page = String::from_utf8_lossy(&notice.answer(Why::NoNode, RequestClass::Page).body);
        assert!(page.contains(r#"data-why="no_node""#));
        assert!(!page.contains("<h1 id=\"title\">Back in a moment"));
    }

    #[test]
    fn only_navigations_get_html() {
        let notice = notice();
        for class in RequestClass::ALL {
            let kind = notice.answer(Why::Raised, class).header(&CONTENT_TYPE).unwrap_or_default();
            assert_eq!(kind.starts_with("text/html"), class == RequestClass::Page, "{class:?}");
        }
    }
}
