use rundown_kit::{driver::*, toolchain::*};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let root = std::env::current_dir().unwrap();
    let route = match a.get(1).map(String::as_str) { Some("debian") => Some(Route::Debian), Some("installed") => Some(Route::Installed), _ => None };
    let profile = if a.iter().any(|x| x == "dev") { Profile::Dev } else { Profile::Release };
    let t = Toolchain::choose(route).unwrap_or_else(|e| panic!("{e}"));
    println!("{t}");
    let mut w = Workspace::new(&root);
    if let Some(d) = a.iter().find_map(|x| x.strip_prefix("target=")) { w = w.with_target(&root.join(d)); }
    let start = std::time::Instant::now();
    if a.iter().any(|x| x == "clippy") { clippy(&w, &t, profile).unwrap_or_else(|e| panic!("{e}")); }
    else { println!("{:?}", build(&w, &t, profile).unwrap_or_else(|e| panic!("{e}"))); }
    println!("{:?}", start.elapsed());
}
