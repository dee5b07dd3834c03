//! What NocoBase says and expects, as pure functions over text and values.

mod paths;
mod request;

pub use paths::Paths;
pub use request::RequestClass;
