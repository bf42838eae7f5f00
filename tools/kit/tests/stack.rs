//! How deep a driver goes: small ones in C, with frames whose sizes are known, and LLVM's own reader of unwind data.

mod common;

use std::{
    fs,
    path::Path,
    process::Command,
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

use rundown_kit::{
    stack::{self, Assumptions, Chain, LIMIT},
    sysroot::Llvm,
};

use common::{Fixture, link};

/// Of the kit's own functions, which are in each driver: this one calls what it displaced, the framework's.
const UNLOAD: &str = "Unload";
const NOWHERE: fn(&str) -> bool = |_| false;
const NONE: Assumptions<'_> = Assumptions {
    callbacks: &[],
    pointers: &[(UNLOAD, NOWHERE)],
    circles: &[],
};

/// What each of the drivers begins with: `FxDriverEntry`, which is the kit's, calls `DriverEntry`.
const BEGINNING: &str = r#"
typedef long NTSTATUS;
typedef unsigned long long u64;
unsigned long DbgPrint(const char *, ...);
extern void *(**WdfFunctions_01031)(u64, u64);
volatile int Zero;
/* Keeps a frame of so many bytes, and a call from being the last thing done. */
#define FRAME(bytes) volatile char Frame[bytes]; Frame[0] = 0; __asm__ volatile("" : : "r"(Frame) : "memory")
#define AFTER return Frame[0]
#define APART __attribute__((noinline)) static
"#;

/// A driver with these functions and the statements of its `DriverEntry`.
fn driver(functions: &str, entry: &str) -> Fixture {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let source =
        format!("{BEGINNING}{functions}\nNTSTATUS DriverEntry(void *Driver, void *Path) {{ {entry} }}\n");
    link(&format!("stack{}", NUMBER.fetch_add(1, Relaxed)), &source, &[])
}

fn chains(driver: &Fixture, assumptions: &Assumptions<'_>) -> Result<Vec<Chain>, String> {
    stack::chains_of(&driver.image, &driver.symbols, assumptions)
}

/// The names in the deepest chain from `entry`.
fn names<'a>(chains: &'a [Chain], entry: &str) -> Vec<&'a str> {
    let chain = chains.iter().find(|chain| chain.steps[0].0 == entry);
    let chain = chain.unwrap_or_else(|| panic!("{entry} is no entry"));
    chain.steps.iter().map(|(name, _)| name.as_str()).collect()
}

#[track_caller]
fn assert_about(bytes: u32, least: u32) {
    assert!(
        (least..least + 128).contains(&bytes),
        "{bytes}, not about {least}"
    );
}

#[test]
fn the_deepest_chain_is_named_and_summed() {
    let driver = driver(
        "APART int Deeper(void) { FRAME(2000); DbgPrint(\"\"); AFTER; }
         APART int Deep(void) { FRAME(3000); Deeper(); AFTER; }
         APART int Shallow(void) { FRAME(4000); DbgPrint(\"\"); AFTER; }",
        "FRAME(100); Shallow(); Deep(); AFTER;",
    );
    let chains = chains(&driver, &NONE).unwrap();
    let [first, second, third, fourth, thunk] = &chains[0].steps[..] else {
        panic!("{}", chains[0]);
    };
    assert_eq!(
        [first, second, third, fourth].map(|(name, _)| name.as_str()),
        ["FxDriverEntry", "DriverEntry", "Deep", "Deeper"]
    );
    assert_about(second.1, 100);
    assert_about(third.1, 3000);
    assert_about(fourth.1, 2000);
    assert_eq!(
        *thunk,
        ("the jump to DbgPrint".to_owned(), 8),
        "the return address"
    );
    assert_eq!(
        chains[0].bytes(),
        chains[0].steps.iter().map(|(_, bytes)| bytes).sum()
    );
    assert!(chains[0].to_string().contains(" Deeper"), "{}", chains[0]);
    assert!(chains[0].bytes() <= LIMIT);
}

#[test]
fn a_frame_of_pages_is_too_deep() {
    // Its prologue calls __chkstk, and its size takes 32 bits in the unwind data where it is half a megabyte.
    for size in [13_000, 600_000] {
        let driver = driver(
            &format!("APART int Big(void) {{ FRAME({size}); DbgPrint(\"\"); AFTER; }}"),
            "return Big() + 1;",
        );
        let chains = chains(&driver, &NONE).unwrap();
        assert!(chains[0].bytes() > LIMIT);
        let big = chains[0].steps.iter().find(|(name, _)| name == "Big");
        assert_about(big.unwrap().1, size);
    }
}

/// Sums what `llvm-readobj` says that prologues push and allocate.
fn frames_by_llvm(name: &str, image: &[u8]) -> Vec<u32> {
    let file = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join(name)
        .with_extension("sys");
    fs::write(&file, image).unwrap();
    let output = Command::new(Llvm::find().unwrap().program("llvm-readobj"))
        .arg("--unwind")
        .arg(&file)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut frames = Vec::new();
    for line in text.lines().map(str::trim) {
        let taken = match line.split_once("size=") {
            Some((code, size)) if code.contains(": ALLOC_") => size.parse().unwrap(),
            _ if line.contains(": PUSH_NONVOL") => 8,
            _ => 0,
        };
        if line.starts_with("StartAddress:") {
            frames.push(8);
        } else if let Some(frame) = frames.last_mut() {
            *frame += taken;
        }
    }
    frames
}

#[test]
fn frames_are_what_llvm_reads() {
    let driver = driver(
        "APART int Small(int a, int b, int c, int d) { FRAME(8); DbgPrint(\"%d%d%d%d\", a, b, c, d); AFTER; }
         APART int Middle(int a, int b, int c, int d) { FRAME(500); Small(b, c, d, a); DbgPrint(\"%d\", a + b); AFTER; }
         APART int Large(int a, int b) { FRAME(70000); Middle(a, b, a, b); DbgPrint(\"%d\", a + b); AFTER; }
         APART int Largest(int a) { FRAME(700000); Large(a, Zero); DbgPrint(\"%d\", a); AFTER; }",
        "return Largest(Zero) + 1;",
    );
    let chains = chains(&driver, &NONE).unwrap();
    let ours: Vec<u32> = chains[0].steps.iter().map(|(_, bytes)| *bytes).collect();
    let theirs = frames_by_llvm("frames_by_llvm", &driver.image);
    assert!(theirs.len() >= 6, "{theirs:?}");
    // The last is an import's jump, which has no unwind data.
    for frame in &ours[..ours.len() - 1] {
        assert!(
            theirs.contains(frame),
            "{frame} is not among {theirs:?}\n{}",
            chains[0]
        );
    }
    assert!(ours.len() >= 6, "{}", chains[0]);
}

#[test]
fn a_call_at_the_end_is_no_deeper() {
    let driver = driver(
        "APART int End(int x) { FRAME(1000); DbgPrint(\"%d\", x); AFTER; }
         APART int Begin(int x) { { FRAME(2000); DbgPrint(\"%d\", Frame[Zero]); } __attribute__((musttail)) return End(x); }",
        "return Begin(Zero) + 1;",
    );
    let chains = chains(&driver, &NONE).unwrap();
    assert_eq!(names(&chains, "FxDriverEntry")[1..3], ["DriverEntry", "Begin"]);
    let without_end = chains[0].bytes();
    assert!((2000..2000 + 512).contains(&without_end), "{}", chains[0]);
}

#[test]
fn an_aligned_frame_may_lose_bytes() {
    let driver = driver(
        "APART int Aligned(void) { _Alignas(256) volatile char Frame[1024]; Frame[0] = 0; DbgPrint(\"%p\", Frame); AFTER; }",
        "return Aligned() + 1;",
    );
    let chains = chains(&driver, &NONE).unwrap();
    let aligned = chains[0]
        .steps
        .iter()
        .find(|(name, _)| name == "Aligned")
        .unwrap()
        .1;
    let by_unwinding = frames_by_llvm("aligned", &driver.image);
    assert!(
        by_unwinding.iter().any(|frame| aligned == frame + 256 - 16),
        "{aligned}, {by_unwinding:?}"
    );
}

#[test]
fn a_frame_of_a_size_that_only_the_run_knows_is_refused() {
    let driver = driver(
        "APART int Varies(int n) { volatile char *p = __builtin_alloca(n); p[0] = 0; DbgPrint(\"%p\", p); return p[0]; }",
        "return Varies(Zero) + 1;",
    );
    let error = chains(&driver, &NONE).unwrap_err();
    assert!(error.contains("Varies: the instruction at"), "{error}");
}

const CIRCLE: &str = "APART int Odd(int n);
     APART int Even(int n) { FRAME(500); if (n == 0) return 1; int r = Odd(n - 1); DbgPrint(\"%d\", r); return r + Frame[0]; }
     APART int Odd(int n) { FRAME(700); if (n == 0) return 0; int r = Even(n - 1); DbgPrint(\"%d\", r); return r + Frame[0]; }";

#[test]
fn a_circle_is_refused_by_name_or_counted() {
    let driver = driver(CIRCLE, "return Even(Zero) + 1;");
    let error = chains(&driver, &NONE).unwrap_err();
    assert!(
        error.contains("in a circle:\n") && error.contains("Even") && error.contains("Odd"),
        "{error}"
    );

    let depth = |times| {
        let circles = [("Odd", times)];
        let assumptions = Assumptions {
            circles: &circles,
            ..NONE
        };
        chains(&driver, &assumptions).unwrap()[0].bytes()
    };
    assert_about(depth(1), 1200 + 200);
    let more = depth(4) - depth(1);
    assert!((3 * 1200..3 * 1600).contains(&more), "{more}");
    // One that is not in the circle does not bound it.
    let circles = [("Neither", 1)];
    let assumptions = Assumptions {
        circles: &circles,
        ..NONE
    };
    assert!(chains(&driver, &assumptions).unwrap_err().contains("in a circle"));
}

#[test]
fn a_function_that_calls_itself_is_a_circle() {
    let driver = driver(
        "APART int Self(int n) { FRAME(100); if (n == 0) return 0; int r = Self(n - 1); DbgPrint(\"%d\", r); AFTER; }",
        "return Self(Zero) + 1;",
    );
    assert!(
        chains(&driver, &NONE)
            .unwrap_err()
            .contains("in a circle:\n  Self")
    );
}

const POINTERS: &str = "
     static int Taken(int x) { FRAME(3000); DbgPrint(\"%d\", x); AFTER; }
     static int Other(int x) { FRAME(1000); DbgPrint(\"%d\", x); AFTER; }
     int (*volatile Pointers[])(int) = { Taken, Other };
     APART int Caller(int n) { FRAME(200); Pointers[n](n); AFTER; }";

#[test]
fn an_unknown_pointer_goes_wherever_an_address_is_taken() {
    let driver = driver(POINTERS, "return Caller(Zero) + 1;");
    let deepest = chains(&driver, &NONE).unwrap();
    assert_eq!(names(&deepest, "FxDriverEntry")[2..4], ["Caller", "Taken"]);
    // By an assumption to some of them.
    let assumptions = Assumptions {
        pointers: &[(UNLOAD, NOWHERE), ("Caller", |name| name == "Other")],
        ..NONE
    };
    let fewer = chains(&driver, &assumptions).unwrap();
    assert_eq!(names(&fewer, "FxDriverEntry")[2..4], ["Caller", "Other"]);
    // Windows can call both.
    names(&fewer, "Taken");
    names(&fewer, "Other");
}

#[test]
fn the_code_tells_whom_it_calls_through_a_pointer() {
    let driver = driver(
        "APART int Chosen(int x) { FRAME(800); DbgPrint(\"%d\", x); AFTER; }
         static int Callback(int x) { FRAME(3000); DbgPrint(\"%d\", x); AFTER; }
         int (*volatile Pointer)(int) = Callback;
         /* Two ways to one call of the framework's routine with the index 91, and a switch before it. */
         APART int Enqueues(u64 x) {
             FRAME(100);
             switch (x) {
             case 0: x = 31; DbgPrint(\"a\"); break;
             case 1: x = 22; DbgPrint(\"b\", x); break;
             case 2: x = 99; DbgPrint(\"c\", x, x); break;
             case 3: x = 17; DbgPrint(\"d\", x, 1); break;
             case 4: x = 65; Chosen(5); break;
             default: WdfFunctions_01031[91](1, x); return Frame[1];
             }
             WdfFunctions_01031[91](x, 2);
             AFTER;
         }",
        "return Enqueues(Zero) + 1;",
    );
    let alone = chains(&driver, &NONE).unwrap();
    // Not to Callback, whose address is taken: the framework's table is not one of the driver's pointers.
    assert_eq!(names(&alone, "FxDriverEntry")[2..4], ["Enqueues", "Chosen"]);
    let callbacks = [("WdfDeviceEnqueueRequest", "Callback")];
    let assumptions = Assumptions {
        callbacks: &callbacks,
        ..NONE
    };
    let with = chains(&driver, &assumptions).unwrap();
    assert_eq!(names(&with, "FxDriverEntry")[2..4], ["Enqueues", "Callback"]);
    // Another routine is not that one, and an import can call back as well.
    for (routine, calls) in [("WdfDeviceGetDefaultQueue", false), ("DbgPrint", true)] {
        let callbacks = [(routine, "Chosen")];
        let assumptions = Assumptions {
            callbacks: &callbacks,
            circles: &[("Chosen", 1)],
            ..NONE
        };
        let deepest = chains(&driver, &assumptions).unwrap();
        let chain = deepest
            .iter()
            .find(|chain| chain.steps[0].0 == "Callback")
            .unwrap();
        assert_about(chain.bytes(), if calls { 3800 } else { 3000 });
    }
}

#[test]
fn a_callback_that_is_not_there_is_an_error() {
    let driver = driver(CIRCLE, "return Zero;");
    let callbacks = [("DbgPrint", "Renamed")];
    let assumptions = Assumptions {
        callbacks: &callbacks,
        ..NONE
    };
    assert!(
        chains(&driver, &assumptions)
            .unwrap_err()
            .contains("no function Renamed")
    );
}
