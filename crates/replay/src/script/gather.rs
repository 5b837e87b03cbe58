//! Gathers the lines of a script and of the files that it includes, and divides them into cases.

use super::source::{self, SourceLine};
use crate::position::{Position, ScriptError};
use crate::words::{Rest, Variables};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// The maximum depth to which files may include each other.
const DEEPEST: usize = 16;
/// The maximum number of lines in a script and all the files that it includes, taken together.
const MOST_LINES: usize = 1_000_000;

/// A line, and the folder of its file. The names of files in the line are relative to this folder.
#[derive(Clone, Debug)]
pub(super) struct PlacedLine {
    pub(super) line: SourceLine,
    pub(super) folder: Rc<Path>,
}

/// The name and the lines of one case, not yet parsed.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The case's name: the part of the `case` line after the word `case`.
    pub(super) name: SourceLine,
    pub(super) lines: Vec<PlacedLine>,
}

/// The lines of a script and the files that it includes, divided into cases.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    /// The lines before the first case, which apply to every case.
    pub(super) shared: Vec<PlacedLine>,
    pub(super) blocks: Vec<Block>,
}

/// Gathers the lines of a script. `variables` contains the variables set with `--var`; the names of
/// included files may contain such variables.
pub(super) fn gather(path: &Path, variables: &Variables) -> Result<Gathered, ScriptError> {
    let mut gatherer = Gatherer {
        gathered: Gathered::default(),
        variables,
        open: Vec::new(),
        lines: 0,
    };
    gatherer.file(path, None)?;
    Ok(gatherer.gathered)
}

/// Gathers the lines of the file at `path`, which the `matrix include` line at `at` names. The file
/// must not contain cases, `matrix` lines or `rows` lines.
pub(super) fn included(
    path: &Path,
    at: &Position,
    variables: &Variables,
) -> Result<Vec<PlacedLine>, ScriptError> {
    let mut gatherer = Gatherer {
        gathered: Gathered::default(),
        variables,
        open: Vec::new(),
        lines: 0,
    };
    gatherer.file(path, Some(at))?;
    let Gathered { shared, blocks } = gatherer.gathered;
    if let Some(block) = blocks.first() {
        let why = "A file that matrix include names contains no cases; remove this line";
        return Err(ScriptError::new(&block.name.at, why));
    }
    for placed in &shared {
        let rest = Rest::new(&placed.line.text, placed.line.at.clone());
        if ["matrix", "rows"].contains(&rest.split().0) {
            let why = "A file that matrix include names has one value for each setting; write this line into the script";
            return Err(ScriptError::new(&rest.at, why));
        }
    }
    Ok(shared)
}

struct Gatherer<'a> {
    gathered: Gathered,
    variables: &'a Variables,
    /// The paths of the files that are being read. Each file is included by the preceding one.
    open: Vec<PathBuf>,
    lines: usize,
}

impl Gatherer<'_> {
    /// Reads a file. `at` is the position of the `include` line that names the file, or None for
    /// the script itself.
    fn file(&mut self, path: &Path, at: Option<&Position>) -> Result<(), ScriptError> {
        // Two names for one file are found too.
        let real = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
        if let Some(at) = at {
            if self.open.contains(&real) {
                let why = "The file includes itself; remove this line";
                return Err(ScriptError::new(at, why));
            }
            if self.open.len() >= DEEPEST {
                let why = format!("Files include each other more than {DEEPEST} levels deep");
                return Err(ScriptError::new(at, why));
            }
        }
        let lines = source::read(path, at)?;
        let folder: Rc<Path> = path.parent().unwrap_or(Path::new("")).into();
        self.open.push(real);
        for line in lines {
            self.lines += 1;
            if self.lines > MOST_LINES {
                let why = format!("The script has more than {MOST_LINES} lines; split it");
                return Err(ScriptError::new(&line.at, why));
            }
            self.line(line, &folder)?;
        }
        self.open.pop();
        Ok(())
    }

    fn line(&mut self, line: SourceLine, folder: &Rc<Path>) -> Result<(), ScriptError> {
        let rest = Rest::new(&line.text, line.at.clone());
        let (word, after) = rest.split();
        match word {
            "include" => {
                let name = after.one_text(self.variables)?;
                if name.is_empty() {
                    let why = "include takes the name of a script file";
                    return Err(ScriptError::new(&after.at, why));
                }
                self.file(&folder.join(name), Some(&after.at))
            }
            "case" => {
                let name = SourceLine {
                    at: after.at.clone(),
                    text: after.text.to_string(),
                };
                let lines = Vec::new();
                self.gathered.blocks.push(Block { name, lines });
                Ok(())
            }
            _ => {
                let blocks = self.gathered.blocks.last_mut();
                let lines = blocks.map_or(&mut self.gathered.shared, |block| &mut block.lines);
                let folder = folder.clone();
                lines.push(PlacedLine { line, folder });
                Ok(())
            }
        }
    }
}
