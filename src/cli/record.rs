//! `illumine sessions record`: turns a session into a replay script with goldens.

use super::args::Record as Args;
use super::{Exit, Failed, note, output, print};
use base::untrusted::clean_line;
use illumine::store::Sessions;
use illumine::store::files;
use replay::golden::Goldens;
use std::path::{Path, PathBuf};
use story::sentence::count_noun;

pub fn run(sessions: &Sessions, args: &Args) -> Result<Exit, Failed> {
    let found = sessions.read(&args.name)?;
    let settings = found.settings.unwrap_or_default();
    let recording = replay::record::record(&args.name, &found.story, &settings);
    let first = recording.remarks.first().map(String::as_str);
    if recording.goldens.is_empty() {
        let why = first.unwrap_or("The session has no generated passage");
        let why = format!("Nothing can be recorded: {why}");
        return Err(Failed::new(Exit::Usage, why.trim_end_matches('.')));
    }
    let path = match &args.output {
        Some(path) => path.clone(),
        None => PathBuf::from(format!("{}.illum", args.name)),
    };
    let written = files::write_file(&path, recording.script.as_bytes(), args.force);
    written.map_err(output::not_written)?;
    let goldens = Goldens::of(&path, true);
    for (name, text) in &recording.goldens {
        let written = goldens.write(name, text);
        written.map_err(|why| Failed::new(Exit::Usage, why))?;
    }
    recording.remarks.iter().for_each(|remark| note(remark));
    print_written(&path, recording.goldens.len())
}

fn print_written(path: &Path, goldens: usize) -> Result<Exit, Failed> {
    let path = clean_line(&path.to_string_lossy());
    print(&format!(
        "Wrote {path} with {}; run it with: illumine replay {path}\n",
        count_noun(goldens, "golden")
    ))
}
