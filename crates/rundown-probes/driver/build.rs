//! Links the library as a driver.

fn main() {
    for argument in [
        "/DRIVER",
        "/SUBSYSTEM:NATIVE",
        "/ENTRY:DriverEntry",
        "/NODEFAULTLIB",
        "/NOIMPLIB",
    ] {
        println!("cargo:rustc-cdylib-link-arg={argument}");
    }
}
