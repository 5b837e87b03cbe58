//! Opens a text in the writer's own editor and reads the edited text.
//!
//! This module does not depend on stories or on the screen. The caller must restore the terminal
//! before the editor starts.

use base::decode::decode;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The reason why a text could not be edited.
#[derive(Debug, thiserror::Error)]
pub enum EditorError {
    #[error("No editor is set; set VISUAL or EDITOR, for example EDITOR=nano")]
    None,
    #[error("Cannot run the editor ({0}); set VISUAL or EDITOR to another one")]
    Run(String),
    #[error("The editor exited with an error; the text is unchanged")]
    Failed,
    #[error("Cannot read the editor's file ({0}); the text is unchanged")]
    Read(String),
}

/// The writer's editor, and the folder for its temporary files.
#[derive(Clone, Debug)]
pub struct Editor {
    /// The command that starts the editor, possibly with arguments.
    pub command: String,
    pub folder: PathBuf,
}

impl Editor {
    /// Opens `text` in the editor and returns the edited text.
    pub fn edit(&self, text: &str) -> Result<String, EditorError> {
        let mut words = self.command.split_whitespace();
        let program = words.next().ok_or(EditorError::None)?;
        let file = Draft::new(&self.folder, text);
        let file = file.map_err(|error| EditorError::Run(error.to_string()))?;
        run(program, words, &file, text)
    }
}

fn run<'a>(
    program: &str,
    words: impl Iterator<Item = &'a str>,
    file: &Draft,
    text: &str,
) -> Result<String, EditorError> {
    let status = Command::new(program).args(words).arg(&file.0).status();
    let status = status.map_err(|error| EditorError::Run(format!("{program}: {error}")))?;
    if !status.success() {
        return Err(EditorError::Failed);
    }
    let mut bytes = Vec::new();
    let read = fs::File::open(&file.0).and_then(|mut file| file.read_to_end(&mut bytes));
    read.map_err(|error| EditorError::Read(error.to_string()))?;
    let edited = decode(bytes).map_err(|error| EditorError::Read(format!("it {error}")))?;
    // Editors add a final line break; it is removed if the text had none.
    Ok(match text.ends_with('\n') {
        true => edited,
        false => edited.strip_suffix('\n').unwrap_or(&edited).to_string(),
    })
}

/// A temporary file that only its owner can read.
struct Draft(PathBuf);

impl Draft {
    fn new(folder: &Path, text: &str) -> std::io::Result<Draft> {
        let mut number = std::process::id();
        loop {
            let path = folder.join(format!("illumine-{number}.txt"));
            match Draft::create(&path, text) {
                Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                    number = number.wrapping_add(1);
                }
                made => return made.map(|()| Draft(path)),
            }
        }
    }

    fn create(path: &Path, text: &str) -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)?.write_all(text.as_bytes())
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edit(command: &str, text: &str) -> Result<String, EditorError> {
        let folder = tempfile::tempdir().unwrap();
        let editor = Editor {
            command: command.to_string(),
            folder: folder.path().to_path_buf(),
        };
        editor.edit(text)
    }

    #[test]
    fn what_the_editor_writes_comes_back() {
        assert_eq!(
            edit("sed -i s/red/blue/", "a red lamp").unwrap(),
            "a blue lamp"
        );
        assert_eq!(edit("true", "line\n").unwrap(), "line\n");
        let marks = "sed -i 1s/^/\u{feff}/";
        assert_eq!(edit(marks, "a red lamp").unwrap(), "a red lamp");
    }

    #[test]
    fn an_editor_that_fails_or_is_not_there_is_said() {
        assert!(matches!(edit("false", "x"), Err(EditorError::Failed)));
        assert!(matches!(
            edit("no-such-editor", "x"),
            Err(EditorError::Run(_))
        ));
        assert!(matches!(edit(" ", "x"), Err(EditorError::None)));
    }
}
