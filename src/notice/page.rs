//! The page that a browser shows: the built-in one, or the operator's own.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::HeaderValue;
use http::header::CONTENT_SECURITY_POLICY;
use sha2::{Digest, Sha256};

use super::answer::{Answer, Form, Why, notice};
use crate::model::limits::NOTICE_PAGE_BYTES_MAX;
use crate::nocobase::Paths;

const BUILT_IN: &str = include_str!("../../static/notice.html");

/// Why the operator's page cannot be the notice.
#[derive(Debug, thiserror::Error)]
pub enum PageError {
    #[error(
        "cannot read the notice page {}: {source}; name an HTML file that the gateway's user may \
         read (notice.page), or leave it out for the built-in one", .path.display()
    )]
    Read { path: PathBuf, source: io::Error },
    #[error("the notice page {} is over {NOTICE_PAGE_BYTES_MAX} bytes; make it smaller", .path.display())]
    TooLarge { path: PathBuf },
    #[error("the notice page {} is not UTF-8; save it as UTF-8", .path.display())]
    NotText { path: PathBuf },
}

/// A page with its marks still in it.
pub(super) struct Page {
    html: String,
    /// Only of the built-in page we know what it needs.
    policy: Option<HeaderValue>,
}

impl Page {
    pub(super) fn load(path: Option<&Path>) -> Result<Self, PageError> {
        match path {
            Some(path) => Ok(Self { html: read(path)?, policy: None }),
            None => Ok(Self { html: BUILT_IN.to_owned(), policy: policy(BUILT_IN) }),
        }
    }

    pub(super) fn answer(&self, why: Why, retry_after: Duration, paths: &Paths) -> Answer {
        let (title, text) = words(why);
        let html = self
            .html
            .replace("{{why}}", why.as_str())
            .replace("{{health}}", &escape(&paths.health()))
            .replace("{{title}}", title)
            .replace("{{text}}", text);
        let answer = notice(Form::Html, retry_after, html);
        match &self.policy {
            Some(policy) => answer.with(CONTENT_SECURITY_POLICY, policy.clone()),
            None => answer,
        }
    }
}

/// For clients without script; with it, the page speaks their language.
const fn words(why: Why) -> (&'static str, &'static str) {
    match why {
        Why::Raised => (
            "Back in a moment",
            "We are carrying out maintenance. Your work is safe, and there is nothing you need to do.",
        ),
        Why::NoNode => (
            "Not reachable right now",
            "The application does not answer at the moment. There is nothing you need to do.",
        ),
    }
}

fn read(path: &Path) -> Result<String, PageError> {
    let failed = |source| PageError::Read { path: path.to_owned(), source };
    let mut bytes = vec![];
    let limit = NOTICE_PAGE_BYTES_MAX as u64 + 1;
    File::open(path).map_err(failed)?.take(limit).read_to_end(&mut bytes).map_err(failed)?;
    if NOTICE_PAGE_BYTES_MAX < bytes.len() {
        return Err(PageError::TooLarge { path: path.to_owned() });
    }
    String::from_utf8(bytes).map_err(|_| PageError::NotText { path: path.to_owned() })
}

/// Lets the page's own script and style run, and nothing that anybody might smuggle in.
fn policy(html: &str) -> Option<HeaderValue> {
    let hash = |open: &str, close: &str| {
        let (_, rest) = html.split_once(open)?;
        let (inside, _) = rest.split_once(close)?;
        Some(base64(&Sha256::digest(inside.as_bytes())))
    };
    let script = hash("<script>", "</script>")?;
    let style = hash("<style>", "</style>")?;
    let policy = format!(
        "default-src 'none'; script-src 'sha256-{script}'; style-src 'sha256-{style}'; \
         connect-src 'self'; base-uri 'none'; form-action 'none'"
    );
    HeaderValue::try_from(policy).ok()
}

/// RFC 4648, section 4, as policies want it.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn html(page: &Page, why: Why, paths: &Paths) -> String {
        let answer = page.answer(why, Duration::from_secs(10), paths);
        String::from_utf8(answer.body.to_vec()).expect("UTF-8")
    }

    #[test]
    fn base64_is_that_of_the_standard() {
        let pairs =
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")];
        for (plain, coded) in pairs {
            assert_eq!(base64(plain.as_bytes()), coded);
        }
        assert_eq!(base64(&[0xfb, 0xff]), "+/8=");
    }

    #[test]
    fn the_built_in_page_is_small_and_needs_nothing_from_elsewhere() {
        assert!(BUILT_IN.len() < 16 * 1024, "{}", BUILT_IN.len());
        for foreign in ["http:", "https:", "src=", "url(", "@import", " style=", "onclick"] {
            assert!(!BUILT_IN.contains(foreign), "{foreign}");
        }
        assert_eq!(BUILT_IN.matches("<script>").count(), 1);
        assert_eq!(BUILT_IN.matches("<style>").count(), 1);
    }

    #[test]
    fn the_policy_is_that_of_the_page_as_it_is_sent() {
        let page = Page::load(None).expect("built in");
        for why in [Why::Raised, Why::NoNode] {
            let sent = html(&page, why, &Paths::default());
            assert_eq!(policy(&sent), page.policy);
            assert!(page.policy.is_some());
            assert!(!sent.contains("{{"), "a mark is left");
        }
    }

    #[test]
    fn the_page_asks_for_health_where_the_application_lives_and_cannot_be_broken_out_of() {
        let page = Page::load(None).expect("built in");
        let paths = Paths { api: "/a\"><b>/api".into(), ..Paths::default() };
        let sent = html(&page, Why::Raised, &paths);
        assert!(sent.contains(r#"data-health="/a&quot;&gt;&lt;b&gt;/api/__health_check""#));
    }

    #[test]
    fn the_operators_page_is_sent_as_it_is_with_its_marks_filled() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("page.html");
        std::fs::write(&path, "<p>{{why}} {{health}}</p>").expect("a file");
        let page = Page::load(Some(&path)).expect("a page");
        let answer = page.answer(Why::NoNode, Duration::from_secs(1), &Paths::default());
        assert_eq!(answer.body, "<p>no_node /api/__health_check</p>");
        assert_eq!(answer.header(&CONTENT_SECURITY_POLICY), None);
    }

    #[test]
    fn a_page_that_is_missing_or_huge_or_no_text_is_refused_at_the_start() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("page.html");
        assert!(matches!(Page::load(Some(&path)), Err(PageError::Read { .. })));
        std::fs::write(&path, [0xff, 0xfe]).expect("a file");
        assert!(matches!(Page::load(Some(&path)), Err(PageError::NotText { .. })));
        std::fs::write(&path, vec![b'x'; NOTICE_PAGE_BYTES_MAX + 1]).expect("a file");
        assert!(matches!(Page::load(Some(&path)), Err(PageError::TooLarge { .. })));
    }
}
