//! Parameters that are dispatcher objects.

use crate::bug::{self, code};
use crate::ke::object::{Header, Kind};
use crate::ke::thread;

/// The object at `address`, which must be initialised and of one of these kinds.
pub(super) fn object(address: *const Header, kinds: &[Kind]) -> &'static Header {
    // SAFETY: the DDI asks for a dispatcher object that stays until the call, or the wait, is over.
    let header = unsafe { Header::at(address) };
    if !header.kind().is_some_and(|kind| kinds.contains(&kind)) {
        // SAFETY: read above already.
        let word = unsafe { address.cast::<u64>().read_volatile() };
        bug::bugcheck(
            code::BAD_DISPATCHER_OBJECT,
            [address as u64, word, 0, 0],
            format_args!(
                "{} is given {address:p}, which is no initialised object of its kind, or a damaged one",
                thread::current()
                    .inside()
                    .map_or("a routine", |export| export.name)
            ),
        );
    }
    header
}
