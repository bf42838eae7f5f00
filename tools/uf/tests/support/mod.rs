//! Listings of our own compiled functions, in `uf`'s format.

pub(crate) mod specimens;
pub(crate) mod writer;
