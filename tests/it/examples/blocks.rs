//! The code blocks of the Markdown files in the repository.

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// A code block.
pub struct Block {
    /// The path of the Markdown file in the repository.
    pub guide: String,
    /// The word after the fence; `sh` for an indented block.
    pub kind: String,
    pub text: String,
}

/// The repository's folder.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns all code blocks, in the order of the files' names.
pub fn guides() -> &'static [Block] {
    static BLOCKS: OnceLock<Vec<Block>> = OnceLock::new();
    BLOCKS.get_or_init(|| {
        let mut files = Vec::new();
        collect(root(), &mut files);
        files.sort();
        files.iter().flat_map(|file| blocks(file)).collect()
    })
}

/// Collects the Markdown files in a folder and its subfolders. The templates in prompts/ are left
/// out, because they are Markdown in name only.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let template = folder.ends_with("prompts") && name != "README.md";
        if path.is_dir() && !path.is_symlink() && !name.starts_with('.') && name != "target" {
            collect(&path, files);
        } else if name.ends_with(".md") && !template {
            files.push(path);
        }
    }
}

fn blocks(file: &Path) -> Vec<Block> {
    let text = fs::read_to_string(file).unwrap();
    let guide = file.strip_prefix(root()).unwrap().to_str().unwrap();
    let (mut found, mut inside) = (Vec::new(), false);
    for event in Parser::new(&text) {
        match event {
            Event::Start(Tag::CodeBlock(kind)) => {
                inside = true;
                found.push(Block {
                    guide: guide.to_string(),
                    kind: match kind {
                        CodeBlockKind::Indented => "sh".to_string(),
                        CodeBlockKind::Fenced(word) => word.to_string(),
                    },
                    text: String::new(),
                });
            }
            Event::Text(part) if inside => {
                if let Some(block) = found.last_mut() {
                    block.text += &part;
                }
            }
            Event::End(TagEnd::CodeBlock) => inside = false,
            _ => {}
        }
    }
    found
}

impl Block {
    /// Returns the shell commands of a block. In a `console` block, each command begins with `$`
    /// and is returned with the output that follows it.
    pub fn commands(&self) -> Vec<(String, Option<String>)> {
        let mut commands: Vec<(String, Option<String>)> = Vec::new();
        match self.kind.as_str() {
            "sh" => {
                let text = self.text.replace("\\\n", " ");
                let lines = text.lines().map(str::trim);
                let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
                commands.extend(lines.map(|line| (line.to_string(), None)));
            }
            "console" => {
                for line in self.text.lines() {
                    match (line.strip_prefix("$ "), commands.last_mut()) {
                        (Some(command), _) => {
                            commands.push((command.to_string(), Some(String::new())));
                        }
                        (None, Some((_, Some(printed)))) => *printed += &format!("{line}\n"),
                        (None, _) => panic!("{}: no command prints {line:?}", self.guide),
                    }
                }
            }
            _ => {}
        }
        commands
    }

    /// If the block contains the commands of a session, returns them without the remarks that
    /// follow two spaces.
    pub fn session_lines(&self) -> Vec<&str> {
        match self.is_session() {
            true => {
                let lines = self.text.lines();
                let lines = lines.filter_map(|line| line.split("  ").next());
                lines.filter(|line| !line.is_empty()).collect()
            }
            false => Vec::new(),
        }
    }

    /// If the block is a replay script, returns the extension for its file name.
    pub fn script_ending(&self) -> Option<&'static str> {
        match self.kind.as_str() {
            "" if self.text.starts_with("illumine-replay ") => Some("illum"),
            "json" if self.text.starts_with("{\"illumine-replay\"") => Some("json"),
            _ => None,
        }
    }

    fn is_session(&self) -> bool {
        self.kind.is_empty() && self.text.starts_with('/')
    }

    /// Whether the tests can run the block, or know that it is not an example.
    pub fn is_known(&self) -> bool {
        let kinds = ["sh", "console", "toml", "text"];
        let cassette = self.kind == "json" && self.text.starts_with("{\"illumine-cassette\"");
        kinds.contains(&self.kind.as_str())
            || self.is_session()
            || self.script_ending().is_some()
            || cassette
    }
}
