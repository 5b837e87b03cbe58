//! Finds the captions of the user's own pictures in a table, in a text file beside each picture, or
//! in the picture's file name.
//!
//! The text of captions is untrusted: control characters are replaced and lengths are bounded.

use super::DataError;
use super::csv::{Record, records};
use super::emoji::captions_of_name;
use base::untrusted::clean_line;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The possible names of a folder's caption table; the first that exists is used.
pub const CAPTION_FILES: [&str; 2] = ["captions.csv", "metadata.csv"];
/// The style of pictures that are not in a subfolder.
pub const DEFAULT_STYLE: &str = "own";

/// The maximum length of a caption in characters.
const MAX_CHARS: usize = 500;
/// The maximum length of a style's name in characters.
const MAX_STYLE_CHARS: usize = 40;
/// The maximum number of captions per picture.
const MAX_CAPTIONS: usize = 32;
/// The maximum number of bytes read from a text file.
const MAX_TEXT_BYTES: u64 = 1 << 16;
/// The maximum number of bytes read from a table.
const MAX_TABLE_BYTES: u64 = 1 << 28;
/// Words that show that a file's name was chosen by a camera or a program.
const CAMERA_NAMES: [&str; 10] = [
    "img",
    "dsc",
    "dscf",
    "dscn",
    "pxl",
    "image",
    "photo",
    "picture",
    "screenshot",
    "untitled",
];

/// A caption table: the captions and style of each picture, by file name. The separator in file
/// names is `/`.
#[derive(Debug, Default)]
pub struct CaptionTable {
    /// The table's file name; empty if the folder has no table.
    pub name: &'static str,
    pub rows: BTreeMap<String, CaptionRow>,
}

/// A picture's captions and style, from one or more rows of a table.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CaptionRow {
    pub captions: Vec<String>,
    pub style: Option<String>,
}

impl CaptionTable {
    /// Loads the caption table of a folder, or returns an empty table if the folder has none.
    pub fn read(folder: &Path) -> Result<CaptionTable, DataError> {
        let found = CAPTION_FILES
            .iter()
            .find(|name| folder.join(name).is_file());
        let Some(name) = found else {
            return Ok(CaptionTable::default());
        };
        let path = folder.join(name);
        let bytes = read_prefix(&path, MAX_TABLE_BYTES)
            .map_err(|why| DataError::Disk(path.clone(), why))?;
        let unsound = |why: String| DataError::Captions(path.clone(), why);
        if bytes.len() as u64 == MAX_TABLE_BYTES {
            return Err(unsound(format!(
                "it is larger than {} MB",
                MAX_TABLE_BYTES >> 20
            )));
        }
        let records = records(&decode(&bytes)).map_err(|why| unsound(why.to_string()))?;
        let rows = rows(&records).map_err(unsound)?;
        Ok(CaptionTable { name, rows })
    }
}

/// Returns the rows of a table by file name. The first record contains the names of the columns.
fn rows(records: &[Record]) -> Result<BTreeMap<String, CaptionRow>, String> {
    let (header, records) = records.split_first().ok_or("it is empty")?;
    let column = |name: &str| {
        let mut columns = header.fields.iter();
        columns.position(|own| own.trim().eq_ignore_ascii_case(name))
    };
    let missing = |name: &str| format!("its first line has no column {name}");
    let file = column("file_name").ok_or_else(|| missing("file_name"))?;
    let text = column("text").ok_or_else(|| missing("text"))?;
    let styles = column("style");
    let mut rows: BTreeMap<String, CaptionRow> = BTreeMap::new();
    for Record { fields, .. } in records {
        let name = fields[file].trim().replace('\\', "/");
        let row = rows
            .entry(name.trim_start_matches("./").into())
            .or_default();
        add(&mut row.captions, &fields[text]);
        let style = styles.and_then(|at| style_name(&fields[at]));
        row.style = row.style.take().or(style);
    }
    Ok(rows)
}

/// Returns the captions in the text file beside a picture, which has one caption per line. Returns
/// no captions if there is no text file.
pub fn from_text_file(picture: &Path) -> Vec<String> {
    let bytes = read_prefix(&picture.with_extension("txt"), MAX_TEXT_BYTES).unwrap_or_default();
    let mut captions = Vec::new();
    decode(&bytes)
        .lines()
        .for_each(|line| add(&mut captions, line));
    captions
}

/// Returns the captions derived from a picture's file name: `red_dragon-2` becomes "red dragon" and
/// "a red dragon". Returns no captions if the name is a number or was chosen by a camera.
pub fn from_file_name(stem: &str) -> Vec<String> {
    let separator = |c: char| !(c.is_alphanumeric() || c == '\'' || c == '’');
    let mut words: Vec<&str> = stem
        .split(separator)
        .filter(|word| !word.is_empty())
        .collect();
    // A trailing number only distinguishes pictures of the same subject.
    while let Some(last) = words.pop() {
        let plain = last.trim_end_matches(|c: char| c.is_ascii_digit());
        if !plain.is_empty() {
            words.push(plain);
            break;
        }
    }
    let says = |word: &&str| {
        let nameless = CAMERA_NAMES
            .iter()
            .any(|name| word.eq_ignore_ascii_case(name));
        !nameless && word.chars().any(char::is_alphabetic)
    };
    let mut name = Vec::new();
    if words.iter().any(says) {
        add(&mut name, &words.join(" "));
    }
    name.first()
        .map_or_else(Vec::new, |name| captions_of_name(name))
}

/// Normalizes the name of a style to one line in lower case. Returns None if the name is empty or
/// `any`; `any` leaves the choice of style to the model.
pub fn style_name(name: &str) -> Option<String> {
    let name = normalized(name, MAX_STYLE_CHARS).to_lowercase();
    (!name.is_empty() && name != "any").then_some(name)
}

/// Adds a caption, unless it is empty or a duplicate.
fn add(captions: &mut Vec<String>, caption: &str) {
    let caption = normalized(caption, MAX_CHARS);
    let says = caption.chars().any(char::is_alphanumeric);
    if says && captions.len() < MAX_CAPTIONS && !captions.contains(&caption) {
        captions.push(caption);
    }
}

/// Puts a text on one line with single spaces, and limits its length.
fn normalized(text: &str, longest: usize) -> String {
    let line = clean_line(text);
    let words: Vec<&str> = line.split_whitespace().collect();
    let short: String = words.join(" ").chars().take(longest).collect();
    short.trim_end().to_string()
}

/// Reads at most the first `bytes` bytes of a file.
fn read_prefix(path: &Path, bytes: u64) -> std::io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(bytes).read_to_end(&mut head)?;
    Ok(head)
}

/// Decodes a text as UTF-8, or as Latin-1 if it is not valid UTF-8. In Latin-1, each byte is a code
/// point.
fn decode(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.trim_start_matches('\u{feff}').to_string(),
        // The size limit may have cut a character in two.
        Err(cut) if cut.error_len().is_none() => {
            String::from_utf8_lossy(&bytes[..cut.valid_up_to()]).into_owned()
        }
        Err(_) => bytes.iter().map(|byte| char::from(*byte)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_caption_without_its_number() {
        assert_eq!(
            from_file_name("red_dragon-2"),
            ["red dragon", "a red dragon"]
        );
        assert_eq!(from_file_name("Owl (3)"), ["Owl", "an Owl"]);
        assert_eq!(from_file_name("owl2")[0], "owl");
        assert_eq!(
            from_file_name("the knight's horse")[0],
            "the knight's horse"
        );
        assert_eq!(from_file_name("château")[0], "château");
        for nothing in ["0001", "IMG_20260401", "dsc-0042", "___", "photo 7", ""] {
            assert_eq!(from_file_name(nothing), [""; 0], "{nothing}");
        }
    }

    #[test]
    fn a_table_may_have_its_columns_in_any_order_and_several_rows_for_a_picture() {
        let folder = tempfile::tempdir().unwrap();
        let table = "Style,file_name,text,licence\n\
                     Ink,a/owl.png,an owl,x\n,a\\owl.png,\"an owl, awake\",x\n,./fox.png,  ,x\n";
        std::fs::write(folder.path().join("metadata.csv"), table).unwrap();
        let table = CaptionTable::read(folder.path()).unwrap();
        assert_eq!(table.name, "metadata.csv");
        let owl = &table.rows["a/owl.png"];
        assert_eq!(owl.captions, ["an owl", "an owl, awake"]);
        assert_eq!(owl.style.as_deref(), Some("ink"));
        assert_eq!(table.rows["fox.png"], CaptionRow::default());
    }

    #[test]
    fn a_table_that_cannot_be_used_is_said_in_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let why = |table: &str| {
            std::fs::write(folder.path().join("captions.csv"), table).unwrap();
            CaptionTable::read(folder.path()).unwrap_err().to_string()
        };
        assert!(why("").contains("it is empty"));
        assert!(why("file_name;text\na.png;a fox\n").contains("no column file_name"));
        assert!(why("file_name,caption\n").contains("no column text"));
        assert!(why("file_name,text\na.png,a fox, red\n").contains("line 2"));
    }

    #[test]
    fn text_of_unknown_origin_is_cleaned_and_bounded() {
        let folder = tempfile::tempdir().unwrap();
        let picture = folder.path().join("fox.png");
        assert_eq!(from_text_file(&picture), [""; 0]);
        let text = "\u{feff}a\tred  fox\r\n\n a red fox \n\u{1b}[2J bold\n...\n";
        std::fs::write(folder.path().join("fox.txt"), text).unwrap();
        assert_eq!(from_text_file(&picture), ["a red fox", "␛[2J bold"]);
        std::fs::write(folder.path().join("fox.txt"), b"ch\xe2teau").unwrap();
        assert_eq!(from_text_file(&picture), ["château"]);
        std::fs::write(folder.path().join("fox.txt"), "é".repeat(100_000)).unwrap();
        assert_eq!(from_text_file(&picture)[0].chars().count(), MAX_CHARS);
        let lines: String = (0..100).map(|n| format!("caption {n}\n")).collect();
        std::fs::write(folder.path().join("fox.txt"), lines).unwrap();
        assert_eq!(from_text_file(&picture).len(), MAX_CAPTIONS);
        assert_eq!(style_name("any"), None);
        assert_eq!(style_name(" Old\nINK "), Some("old ink".into()));
    }
}
