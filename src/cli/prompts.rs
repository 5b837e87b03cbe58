//! `illumine prompts`: voices and templates.

use super::args::Prompts as Args;
use super::environment::Paths;
use super::{Exit, Failed, print};
use base::untrusted::clean;
use illumine::store::prompts::{PromptError, Prompts};

pub fn run(paths: &Paths, what: &Args) -> Result<Exit, Failed> {
    let prompts = Prompts::new(paths.prompts.clone());
    match what {
        Args::Show { name } => print(&clean(&prompts.text(name)?)),
        Args::List { json } => list(&prompts, *json),
    }
}

fn list(prompts: &Prompts, json: bool) -> Result<Exit, Failed> {
    let rows = prompts.list();
    if json {
        let rows = rows.iter().map(|row| {
            serde_json::json!({"name": row.name, "own": row.own, "title": row.title, "help": row.help, "variables": row.takes})
        });
        return print(&format!("{}\n", serde_json::Value::Array(rows.collect())));
    }
    let rows = rows.iter().map(|row| {
        let takes = match row.takes.is_empty() {
            true => String::new(),
            false => format!(" ({})", row.takes.join(", ")),
        };
        let own = if row.own { "*" } else { " " };
        format!("{own} {:<20} {}{takes}\n", row.name, clean(&row.help))
    });
    print(&rows.collect::<String>())
}

impl From<PromptError> for Failed {
    fn from(error: PromptError) -> Failed {
        Failed::new(Exit::Usage, error)
    }
}
