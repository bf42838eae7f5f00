//! Interrupt request levels, and the note that one was low enough to block.

use core::marker::PhantomData;

use crate::Platform;

/// An interrupt request level (`KIRQL`).
///
/// ```
/// # use ex_rundown::{APC_LEVEL, DISPATCH_LEVEL, Irql, PASSIVE_LEVEL};
/// let levels: [Irql; 3] = [PASSIVE_LEVEL, APC_LEVEL, DISPATCH_LEVEL];
/// assert!(levels.is_sorted());
/// ```
pub type Irql = u8;

/// `PASSIVE_LEVEL`: threads run here.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # type Nt = rundown_std::Std;
/// # use ex_rundown::{PASSIVE_LEVEL, Platform};
/// assert_eq!(Nt::current_irql(), PASSIVE_LEVEL);
/// ```
pub const PASSIVE_LEVEL: Irql = 0;
/// `APC_LEVEL`: asynchronous procedure calls are off; blocking is still allowed.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # use ex_rundown::{APC_LEVEL, AtMostApcLevel};
/// # use rundown_std::{Settings, Std};
/// let at_apc_level = Settings { irql: APC_LEVEL, ..Settings::DEFAULT };
/// assert!(at_apc_level.with(AtMostApcLevel::check::<Std>).is_some());
/// ```
pub const APC_LEVEL: Irql = 1;
/// `DISPATCH_LEVEL`: the scheduler is off, so nothing may block.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # use ex_rundown::{AtMostApcLevel, DISPATCH_LEVEL};
/// # use rundown_std::{Settings, Std};
/// let at_dispatch_level = Settings { irql: DISPATCH_LEVEL, ..Settings::DEFAULT };
/// assert!(at_dispatch_level.with(AtMostApcLevel::check::<Std>).is_none());
/// ```
pub const DISPATCH_LEVEL: Irql = 2;

/// Says that this thread was at or below `APC_LEVEL`, where a thread may block, when it was made.
///
/// It is a reminder by the type system and no proof. It is neither `Send` nor `Copy`, since the fact holds for the thread that
/// checked it; and what raises the IRQL should borrow it mutably for as long, so that this one cannot be used
/// meanwhile. But a thread can check twice and keep the second, and code that raises the IRQL need not ask for one. Whoever takes
/// one and would do damage otherwise asks it [in debug builds](Self::debug_check), or reads the IRQL again.
///
/// ```
/// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
/// # use ex_rundown::AtMostApcLevel;
/// # type Nt = rundown_std::Std;
/// fn block(_level: &AtMostApcLevel) {}
///
/// let level = AtMostApcLevel::check::<Nt>().expect("this thread may block");
/// block(&level);
/// ```
#[derive(Debug)]
pub struct AtMostApcLevel {
    this_thread: PhantomData<*mut ()>,
}

impl AtMostApcLevel {
    /// Takes the caller's word for it, as a framework callback with `WdfExecutionLevelPassive` can give it.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Safety
    /// This thread runs at or below `APC_LEVEL` for as long as this lives, but for stretches that borrow it mutably.
    ///
    /// ```
    /// # use ex_rundown::AtMostApcLevel;
    /// // SAFETY: this callback runs at PASSIVE_LEVEL.
    /// let level = unsafe { AtMostApcLevel::assume() };
    /// ```
    #[must_use]
    pub const unsafe fn assume() -> Self {
        Self {
            this_thread: PhantomData,
        }
    }

    /// Reads the IRQL; `None` when it is too high.
    ///
    /// # IRQL
    /// Any.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::AtMostApcLevel;
    /// # type Nt = rundown_std::Std;
    /// assert!(AtMostApcLevel::check::<Nt>().is_some());
    /// ```
    #[inline]
    #[must_use]
    pub fn check<P: Platform>() -> Option<Self> {
        (P::current_irql() < DISPATCH_LEVEL).then_some(Self {
            this_thread: PhantomData,
        })
    }

    /// Reads the IRQL again, in debug builds.
    ///
    /// # IRQL
    /// `<= APC_LEVEL`.
    ///
    /// # Panics
    /// In debug builds, when the IRQL was raised since this was made.
    ///
    /// ```
    /// # mod rundown_std { include!(concat!(env!("CARGO_MANIFEST_DIR"), "/doc/std.rs")); }
    /// # use ex_rundown::{AtMostApcLevel, DISPATCH_LEVEL};
    /// # use rundown_std::{Settings, Std};
    /// let level = AtMostApcLevel::check::<Std>().expect("this thread may block");
    /// level.debug_check::<Std>();
    /// # #[cfg(debug_assertions)]
    /// # {
    /// let raised = Settings { irql: DISPATCH_LEVEL, ..Settings::DEFAULT };
    /// assert!(std::panic::catch_unwind(move || raised.with(|| level.debug_check::<Std>())).is_err());
    /// # }
    /// ```
    #[inline]
    pub fn debug_check<P: Platform>(&self) {
        debug_assert!(
            P::current_irql() < DISPATCH_LEVEL,
            "the IRQL was raised since it was checked"
        );
    }
}
