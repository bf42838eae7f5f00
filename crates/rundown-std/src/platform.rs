//! Platforms that are std's but for their processors and their memory.

/// Makes a type a platform that is [`Std`] but for its processors and its memory, which its other traits tell: `platform!(Machine)`, or with
/// parameters `platform!(Machine<N>; const N: u32)`.
///
/// ```
/// # use ex_rundown::Platform;
/// struct Machine;
/// rundown_std::platform!(Machine);
/// assert_eq!(Machine::current_irql(), ex_rundown::PASSIVE_LEVEL);
/// ```
#[macro_export]
macro_rules! platform {
    ($type:ty $(; $($parameters:tt)*)?) => {
        // SAFETY: all of it is std's.
        unsafe impl$(<$($parameters)*>)? $crate::ex_rundown::Platform for $type {
            type Event = <$crate::Std as $crate::ex_rundown::Platform>::Event;

            fn current_irql() -> $crate::ex_rundown::Irql {
                <$crate::Std as $crate::ex_rundown::Platform>::current_irql()
            }
            fn spin_cycles() -> u32 {
                <$crate::Std as $crate::ex_rundown::Platform>::spin_cycles()
            }
            fn unparked_processors() -> u16 {
                <$crate::Std as $crate::ex_rundown::Platform>::unparked_processors()
            }
            fn has_monitorx() -> bool {
                <$crate::Std as $crate::ex_rundown::Platform>::has_monitorx()
            }
            fn cycles_per_yield() -> u16 {
                <$crate::Std as $crate::ex_rundown::Platform>::cycles_per_yield()
            }
            fn timestamp() -> u64 {
                <$crate::Std as $crate::ex_rundown::Platform>::timestamp()
            }
            unsafe fn monitor(flag: &$crate::ex_rundown::AtomicU32) {
                // SAFETY: the caller's promise, handed on, here and below.
                unsafe { <$crate::Std as $crate::ex_rundown::Platform>::monitor(flag) };
            }
            unsafe fn monitor_wait(cycles: u32) {
                // SAFETY: as above.
                unsafe { <$crate::Std as $crate::ex_rundown::Platform>::monitor_wait(cycles) };
            }
            fn yield_processor() {
                <$crate::Std as $crate::ex_rundown::Platform>::yield_processor();
            }
            unsafe fn initialize_event(event: *mut Self::Event) {
                // SAFETY: as above.
                unsafe { <$crate::Std as $crate::ex_rundown::Platform>::initialize_event(event) };
            }
            unsafe fn set_event(event: *const Self::Event) {
                // SAFETY: as above.
                unsafe { <$crate::Std as $crate::ex_rundown::Platform>::set_event(event) };
            }
            unsafe fn wait_for_event(event: *const Self::Event, level: &$crate::ex_rundown::AtMostApcLevel) {
                // SAFETY: as above.
                unsafe { <$crate::Std as $crate::ex_rundown::Platform>::wait_for_event(event, level) };
            }
            fn misuse(misuse: $crate::ex_rundown::Misuse, word: usize) -> ! {
                <$crate::Std as $crate::ex_rundown::Platform>::misuse(misuse, word)
            }
        }
    };
}
