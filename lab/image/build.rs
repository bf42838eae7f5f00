//! Hands the linker the layout of the kernel's image.

fn main() {
    let here = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR for build scripts");
    println!("cargo::rerun-if-changed=kernel.ld");
    println!("cargo::rustc-link-arg-bins=-T{here}/kernel.ld");
    // The target's default is a position-independent executable; QEMU's PVH loader relocates nothing.
    println!("cargo::rustc-link-arg-bins=--no-pie");
    // The linker drops functions that nothing calls and leaves their unwind entries at address 0. One entry below the
    // kernel's base, and an unwinder that indexes relative to it refuses the whole table (framehop does); here they lie above every
    // function.
    println!("cargo::rustc-link-arg-bins=-z");
    println!("cargo::rustc-link-arg-bins=dead-reloc-in-nonalloc=.debug_frame=0xffffffffff000000");
}
