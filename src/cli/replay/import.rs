//! Implements `illumine replay import`, which makes a script from another program's tests.

use super::super::{Exit, Failed, complain, output, print};
use base::untrusted::clean_line;
use illumine::store::files;
use std::path::Path;
use story::sentence::count_noun;

pub(super) fn run(file: &Path, to: Option<&Path>, force: bool) -> Result<Exit, Failed> {
    let imported = replay::import::import(file);
    let imported = imported.map_err(|why| Failed::new(Exit::Usage, why))?;
    for omission in &imported.omitted {
        complain(&omission.to_string());
    }
    let Some(path) = to else {
        return print(&imported.script);
    };
    files::write_file(path, imported.script.as_bytes(), force).map_err(output::not_written)?;
    let name = clean_line(&path.to_string_lossy());
    print(&format!(
        "Wrote {name} with {} and {}; run it with: illumine replay {name}\n",
        count_noun(imported.cases, "case"),
        count_noun(imported.expectations, "expectation")
    ))
}
