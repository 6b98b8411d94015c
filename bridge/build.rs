//! Refuses to build a bridge without the page that it carries.

use std::path::Path;

fn main() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../clients/web/dist");
    println!("cargo::rerun-if-changed={}", page.display());
    if !page.join("index.html").is_file() {
        println!("cargo::error=the page is not built: build it first with `cargo xtask web`");
    }
}
