//! Makes of each file in `filters/` what the kernel runs, so that a mistake in a rule is an error of the build and no
//! process of Baton's parses, allocates or links anything to confine itself.

#[path = "build/compile.rs"]
mod compile;
#[path = "build/constants.rs"]
mod constants;
#[path = "build/rules.rs"]
mod rules;

use std::fmt::Write as _;
use std::path::Path;

use compile::Architecture;

/// The files of `filters/` that are whole filters; the others are included by them.
const FILTERS: [&str; 10] =
    ["agent", "bridge", "browser", "egress", "offline", "readonly", "session", "sessiond", "sweeper", "worker"];

fn main() {
    println!("cargo::rerun-if-changed=build");
    println!("cargo::rerun-if-changed=filters");
    if let Err(why) = run() {
        println!("cargo::error={why}");
    }
}

fn run() -> Result<(), String> {
    let target = std::env::var("CARGO_CFG_TARGET_ARCH").map_err(|err| err.to_string())?;
    let target = Architecture::named(&target).ok_or_else(|| format!("there are no filters for {target}"))?;
    let mut code = String::new();
    let mut say = |line: std::fmt::Arguments<'_>| code.write_fmt(line).map_err(|err| err.to_string());
    for name in FILTERS {
        let rules = rules::read(Path::new("filters"), name)?;
        for architecture in Architecture::ALL {
            let programs =
                compile::compile(&rules, architecture).map_err(|why| format!("filters/{name}.toml: {why}"))?;
            if architecture != target {
                continue;
            }
            say(format_args!(
                "/// `filters/{name}.toml`.\npub static {}: Filter = Filter::new({name:?}, &[\n",
                name.to_uppercase()
            ))?;
            for program in programs {
                say(format_args!("&["))?;
                for it in program {
                    say(format_args!("instruction({},{},{},{}),", it.code, it.jt, it.jf, it.k))?;
                }
                say(format_args!("],\n"))?;
            }
            let ends = compile::ends(&rules, architecture)?;
            say(format_args!("], &{:?});\n", ends.iter().collect::<Vec<_>>()))?;
        }
    }
    say(format_args!("/// Number and name of each call, a line each.\nstatic NAMES: &str = \"\\\n"))?;
    for (number, name) in target.calls() {
        say(format_args!("{number} {name}\\n\\\n"))?;
    }
    say(format_args!("\";\n"))?;
    let out = std::env::var("OUT_DIR").map_err(|err| err.to_string())?;
    std::fs::write(Path::new(&out).join("filters.rs"), code).map_err(|err| err.to_string())
}
