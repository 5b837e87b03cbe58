//! `illumine sessions`: what is on disk.

use super::args::Sessions as Args;
use super::environment::Paths;
use super::{Exit, Failed, print};
use illumine::store::Sessions;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

pub fn run(paths: &Paths, what: &Args) -> Result<Exit, Failed> {
    let Args::List { sessions, json } = what;
    let root = sessions.as_ref().unwrap_or(&paths.sessions);
    let listed = Sessions::new(root).list()?;
    let changed = |at| {
        OffsetDateTime::from(at)
            .format(&Rfc3339)
            .unwrap_or_default()
    };
    if *json {
        let rows = listed.iter().map(|one| {
            serde_json::json!({"name": one.name, "bytes": one.bytes, "changed": changed(one.changed)})
        });
        return print(&format!("{}\n", serde_json::Value::Array(rows.collect())));
    }
    let rows = listed.iter().map(|one| {
        let changed = changed(one.changed);
        let changed = changed.get(..16).unwrap_or(&changed).replace('T', " ");
        format!("{changed}  {:>9}  {}\n", one.bytes, one.name)
    });
    print(&rows.collect::<String>())
}
