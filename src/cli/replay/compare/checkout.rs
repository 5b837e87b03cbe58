//! The scripts of a replay as they were at a commit, in a temporary folder.

use super::super::super::environment::Paths;
use super::super::super::{Exit, Failed};
use super::super::usage;
use base::untrusted::clean_line;
use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// The maximum size in bytes of a file to copy, except for files that `rows` lines read.
const LARGEST: u64 = 16 << 20;
/// The extensions of the files that a script's `rows` lines can load.
const ROWS: [&[u8]; 3] = [b".csv", b".json", b".jsonl"];
/// The maximum size in bytes of a file that `rows` lines read.
const LARGEST_ROWS: u64 = 256 << 20;

/// A temporary copy of the files of a commit.
pub(super) struct Checkout {
    /// The name of the revision, followed by the commit's id unless the name is already the id.
    pub(super) label: String,
    /// The path that the user entered for each script, by the path of its copy.
    pub(super) scripts: BTreeMap<PathBuf, PathBuf>,
    folder: TempDir,
    root: PathBuf,
}

/// Whether the scripts are in a repository that has this revision.
pub(super) fn exists(scripts: &[PathBuf], name: &str) -> bool {
    let root = scripts.first().map(|script| root(script));
    matches!(root, Some(Ok(root)) if commit(&root, name).is_ok())
}

impl Checkout {
    /// Copies the files of a commit from the repository that contains the scripts.
    pub(super) fn open(scripts: &[PathBuf], name: &str) -> Result<Checkout, Failed> {
        let Some(first) = scripts.first() else {
            return Err(usage(
                "A comparison of commits needs a script; name its file",
            ));
        };
        let root = root(first)?;
        let id = commit(&root, name)?;
        let folder = tempfile::tempdir().map_err(|error| not_copied(&error))?;
        copy(&root, &id, folder.path())?;
        let known = match id.starts_with(name) {
            true => name.to_string(),
            false => format!("{name} ({})", id.get(..9).unwrap_or(&id)),
        };
        let mut copies = BTreeMap::new();
        for script in scripts {
            let copy = folder.path().join(inside(&root, script)?);
            if !copy.is_file() {
                let script = clean_line(&script.to_string_lossy());
                return Err(usage(format!(
                    "The commit {} does not contain {script}; name a later commit",
                    clean_line(&known)
                )));
            }
            copies.insert(copy, script.clone());
        }
        Ok(Checkout {
            label: clean_line(&known),
            scripts: copies,
            folder,
            root,
        })
    }

    /// Returns the path that the user entered for the script whose copy is at `path`.
    pub(super) fn named(&self, path: &Path) -> String {
        let named = self.scripts.get(path).map_or(path, PathBuf::as_path);
        named.to_string_lossy().into_owned()
    }

    /// Removes the path of the temporary folder from a message.
    pub(super) fn without_folder(&self, message: &str) -> String {
        message.replace(&format!("{}/", self.folder.path().display()), "")
    }

    /// Returns the program's folders. If the folder with the writer's voices is in the repository,
    /// its copy from the commit is used instead.
    pub(super) fn paths(&self, paths: &Paths) -> Paths {
        let prompts = paths.prompts.canonicalize().ok();
        let inside = prompts
            .as_ref()
            .and_then(|it| it.strip_prefix(&self.root).ok());
        Paths {
            sessions: paths.sessions.clone(),
            models: paths.models.clone(),
            history: paths.history.clone(),
            lines: paths.lines.clone(),
            config: paths.config.clone(),
            prompts: match inside {
                Some(inside) => self.folder.path().join(inside),
                None => paths.prompts.clone(),
            },
        }
    }
}

/// Finds the root folder of the repository that contains a script.
fn root(script: &Path) -> Result<PathBuf, Failed> {
    let folder = folder(script);
    let found = git(folder, &["rev-parse", "--show-toplevel"], b"")?;
    let root = found.map(|bytes| PathBuf::from(String::from_utf8_lossy(&bytes).trim_end()));
    let root = root.and_then(|root| root.canonicalize().ok());
    root.ok_or_else(|| {
        usage(format!(
            "{} is not in a git repository, so no commit of it can be compared",
            clean_line(&script.to_string_lossy())
        ))
    })
}

fn folder(script: &Path) -> &Path {
    let folder = script.parent().filter(|it| !it.as_os_str().is_empty());
    folder.unwrap_or(Path::new("."))
}

/// Returns the path of a script relative to the root of its repository.
fn inside(root: &Path, script: &Path) -> Result<PathBuf, Failed> {
    let folder = folder(script).canonicalize().ok();
    let inside = folder.as_ref().and_then(|it| it.strip_prefix(root).ok());
    let path = inside.and_then(|inside| Some(inside.join(script.file_name()?)));
    path.ok_or_else(|| {
        usage(format!(
            "{} is not in the repository {}; compare commits of one repository at a time",
            clean_line(&script.to_string_lossy()),
            clean_line(&root.to_string_lossy())
        ))
    })
}

/// Returns the id of the commit that the revision `name` refers to.
fn commit(root: &Path, name: &str) -> Result<String, Failed> {
    let asked = format!("{name}^{{commit}}");
    let words = [
        "rev-parse",
        "--verify",
        "--quiet",
        "--end-of-options",
        &asked,
    ];
    let found = git(root, &words, b"")?.filter(|_| !name.is_empty());
    let id = found.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_string());
    id.ok_or_else(|| {
        usage(format!(
            "The repository {} has no revision {}; git log lists the commits",
            clean_line(&root.to_string_lossy()),
            clean_line(name)
        ))
    })
}

/// Copies the files of the commit `id` to the folder `to`, except for those that are too large for
/// a script to read. The repository stays unchanged.
fn copy(root: &Path, id: &str, to: &Path) -> Result<(), Failed> {
    let listed = git(root, &["ls-tree", "-r", "-l", "-z", "--full-tree", id], b"")?;
    let mut paths = Vec::new();
    let listed = listed.unwrap_or_default();
    for row in listed.split(|byte| *byte == 0) {
        let Some(tab) = row.iter().position(|byte| *byte == b'\t') else {
            continue;
        };
        let about = String::from_utf8_lossy(&row[..tab]);
        let size = about.split_whitespace().last();
        // A submodule has no size.
        let size = size.and_then(|size| size.parse::<u64>().ok());
        let path = &row[tab + 1..];
        let largest = match ROWS.iter().any(|ending| path.ends_with(ending)) {
            true => LARGEST_ROWS,
            false => LARGEST,
        };
        if size.is_some_and(|size| size <= largest) {
            paths.extend_from_slice(path);
            paths.push(0);
        }
    }
    // An index of its own leaves the repository's index as it is.
    let index = tempfile::tempdir().map_err(|error| not_copied(&error))?;
    let index = index.path().join("index");
    let prefix = format!("--prefix={}/", to.display());
    let words = ["checkout-index", "-z", "--stdin", "--quiet", &prefix];
    let read = with_index(root, &index, &["read-tree", id], b"")?;
    let copied = match read {
        Some(_) => with_index(root, &index, &words, &paths)?,
        None => None,
    };
    match copied {
        Some(_) => Ok(()),
        None => Err(not_copied(&"git refused")),
    }
}

fn not_copied(error: &dyn std::fmt::Display) -> Failed {
    let why = format!(
        "Cannot copy the files of the commit ({error}); check the folder for temporary files"
    );
    Failed::new(Exit::Engine, why)
}

/// Runs git in a folder and returns its output, or None if git failed.
fn git(folder: &Path, words: &[&str], input: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
    finish(command(folder, words), input)
}

fn with_index(
    folder: &Path,
    index: &Path,
    words: &[&str],
    input: &[u8],
) -> Result<Option<Vec<u8>>, Failed> {
    let mut command = command(folder, words);
    command.env("GIT_INDEX_FILE", index);
    finish(command, input)
}

fn command(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("git");
    command.arg("-C").arg(folder).args(words);
    // In a git hook, these variables name the repository of the hook.
    for name in ["GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"] {
        command.env_remove(name);
    }
    // Large files that the scripts do not read are not downloaded.
    command.env("GIT_LFS_SKIP_SMUDGE", "1");
    command
}

fn finish(mut command: Command, input: &[u8]) -> Result<Option<Vec<u8>>, Failed> {
    let failed = |error: std::io::Error| {
        usage(format!(
            "Cannot run git ({error}); install git to compare commits"
        ))
    };
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    let mut child = command.spawn().map_err(failed)?;
    if let Some(mut stdin) = child.stdin.take() {
        // git may end before it has read everything; its exit code then says so.
        let _ = stdin.write_all(input);
    }
    let output = child.wait_with_output().map_err(failed)?;
    Ok(output.status.success().then_some(output.stdout))
}
