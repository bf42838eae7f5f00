//! A run-down wait of this driver's own, whole or with one defect.

use crate::Specimen;
use crate::nt::*;
use core::ffi::c_void;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};

pub(crate) const SPECIMENS: &[(&str, Specimen)] = &[
    ("run-down", || unsafe { generations(20_000, Mutant::None) }),
    ("run-down-load-store", || unsafe {
        generations(10_000, Mutant::LoadStore)
    }),
    ("run-down-released-too-often", released_too_often),
    ("run-down-without-event", || unsafe {
        generations(200_000, Mutant::ForgetsEvent)
    }),
];

#[derive(Clone, Copy, PartialEq)]
enum Mutant {
    None,
    /// The releaser's test-and-clear is a load and a store.
    LoadStore,
    /// The releaser never sets the event.
    ForgetsEvent,
}

#[repr(C)]
struct Block {
    count: AtomicU64,
    event: Event,
    flag: AtomicU32,
    upper: AtomicU32,
}

static WORD: AtomicU64 = AtomicU64::new(0);
static TURN: AtomicU64 = AtomicU64::new(0);
static DEFECT: AtomicU32 = AtomicU32::new(0);

unsafe fn release(word: &AtomicU64) {
    let mut value = word.load(SeqCst);
    while value & 1 == 0 {
        match word.compare_exchange(value, value - 2, SeqCst, SeqCst) {
            Ok(_) => return,
            Err(now) => value = now,
        }
    }
    let block = (value & !1) as *mut Block;
    unsafe {
        if (*block).count.fetch_sub(1, SeqCst) != 1 {
            return;
        }
        let flag = &(*block).flag;
        let was = if DEFECT.load(SeqCst) == Mutant::LoadStore as u32 {
            let was = flag.load(SeqCst);
            flag.store(was & !1, core::sync::atomic::Ordering::Relaxed);
            was
        } else {
            flag.fetch_and(!1, SeqCst)
        };
        if was & 1 == 0 && DEFECT.load(SeqCst) != Mutant::ForgetsEvent as u32 {
            KeSetEvent(&raw mut (*block).event, 0, 0);
        }
    }
}

unsafe fn wait(word: &AtomicU64) {
    let mut value = match word.compare_exchange(0, 1, SeqCst, SeqCst) {
        Ok(_) | Err(1) => return,
        Err(value) => value,
    };
    let mut block = Block {
        count: AtomicU64::new(0),
        event: Event([0; 3]),
        flag: AtomicU32::new(1),
        upper: AtomicU32::new(0),
    };
    let named = (&raw mut block) as u64 | 1;
    loop {
        block.count.store(value >> 1, SeqCst);
        match word.compare_exchange(value, named, SeqCst, SeqCst) {
            Ok(_) => break,
            Err(now) => value = now,
        }
    }
    if value >> 1 == 0 {
        return;
    }
    for _ in 0..75 {
        if block.flag.load(SeqCst) & 1 == 0 {
            return;
        }
        core::hint::spin_loop();
    }
    unsafe {
        KeInitializeEvent(&raw mut block.event, 1, 0);
        if block.flag.fetch_and(!1, SeqCst) & 1 != 0 {
            KeWaitForSingleObject((&raw mut block.event).cast(), 0, 0, 0, core::ptr::null());
        }
    }
}

unsafe extern "system" fn releaser(_context: *mut c_void) {
    let mut generation = 1;
    loop {
        let turn = TURN.load(SeqCst);
        if turn == u64::MAX {
            return;
        }
        if turn == generation {
            generation += 1;
            unsafe { release(&WORD) };
        } else {
            unsafe { ZwYieldExecution() };
        }
    }
}

unsafe fn generations(count: u64, defect: Mutant) -> i32 {
    DEFECT.store(defect as u32, SeqCst);
    unsafe {
        let thread = start(releaser, core::ptr::null_mut());
        for generation in 1..=count {
            WORD.store(2, SeqCst);
            TURN.store(generation, SeqCst);
            wait(&WORD);
        }
        TURN.store(u64::MAX, SeqCst);
        join(thread);
    }
    0
}

unsafe extern "system" fn waiter(_context: *mut c_void) {
    unsafe { wait(&WORD) };
}

/// Three references are given back at once where two were taken: nobody brings the count to 0.
unsafe fn released_too_often() -> i32 {
    unsafe {
        WORD.store(4, SeqCst);
        let thread = start(waiter, core::ptr::null_mut());
        while WORD.load(SeqCst) & 1 == 0 {
            ZwYieldExecution();
        }
        let block = (WORD.load(SeqCst) & !1) as *mut Block;
        (*block).count.fetch_sub(3, SeqCst);
        join(thread);
    }
    0
}
