//! What NocoBase says and expects.
