//! Recognizes files that cannot be imported, so that the error can name the kind of file.

use serde_json::{Map, Value};

/// A known kind of file from which nothing can be imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The name of the kind with an article, for example "a PDF document".
    pub what: &'static str,
    pub instead: &'static str,
}

const AS_TEXT: &str = "save it as plain text (.txt) and import that";
const UNPACK: &str = "unpack it and import the files in it";
const NO_CARD: &str = "use the original file, since copies often lose the card";
const NO_STORY: &str = "it holds settings, and no story, card or lore";

/// One row for each binary format: the first bytes of a file, the name of the format, and advice
/// for the writer.
const SIGNATURES: &[(&[u8], &str, &str)] = &[
    (b"%PDF", "a PDF document", AS_TEXT),
    (b"{\\rtf", "an RTF document", AS_TEXT),
    (b"\xd0\xcf\x11\xe0", "an old Word document (.doc)", AS_TEXT),
    (b"\xff\xd8\xff", "a JPEG image that holds no card", NO_CARD),
    (b"GIF8", "a GIF image, which holds no card", NO_CARD),
    (b"\x1f\x8b", "a compressed file (.gz)", UNPACK),
    (b"7z\xbc\xaf", "a 7-Zip archive", UNPACK),
    (b"Rar!\x1a", "a RAR archive", UNPACK),
    (b"\x28\xb5\x2f\xfd", "a compressed file (.zst)", UNPACK),
    (b"\xfd7zXZ", "a compressed file (.xz)", UNPACK),
    (b"GGUF", "a model (GGUF)", "load it with --model or /model"),
    (
        b"SQLite format 3",
        "a database (SQLite)",
        "export a card, a chat or a lorebook from its program",
    ),
];

/// One row for each kind of file that the extension identifies: the extension, the name of the
/// kind, and advice for the writer.
const ENDINGS: &[(&str, &str, &str)] = &[
    (
        "naidata",
        "a NovelAI .naidata file",
        "export the story as .story or as plain text, the lorebook as .lorebook",
    ),
    (
        "risum",
        "a Risu module (.risum)",
        "export its lorebook in Risu as JSON",
    ),
    ("risup", "a Risu preset (.risup)", NO_STORY),
    ("risupreset", "a Risu preset (.risupreset)", NO_STORY),
    ("doc", "a Word document (.doc)", AS_TEXT),
    ("mobi", "an e-book (.mobi)", AS_TEXT),
    ("azw3", "an e-book (.azw3)", AS_TEXT),
];

fn foreign(row: &(&str, &'static str, &'static str)) -> Foreign {
    Foreign {
        what: row.1,
        instead: row.2,
    }
}

/// Determines the kind of a binary file from its first bytes; None if the kind is unknown.
pub fn of_bytes(bytes: &[u8]) -> Option<Foreign> {
    let risu = |length: &[u8]| {
        let length = u32::from_le_bytes([length[0], length[1], length[2], length[3]]) as usize;
        (1..=bytes.len()).contains(&length)
    };
    let row = match bytes {
        [
            b'R',
            b'I',
            b'F',
            b'F',
            _,
            _,
            _,
            _,
            b'W',
            b'E',
            b'B',
            b'P',
            ..,
        ] => (
            "",
            "a WebP image, whose card cannot be read",
            "save the card as PNG or JSON in its program",
        ),
        [_, _, _, _, b'f', b't', b'y', b'p', ..] => {
            ("", "an AVIF image or a video, which holds no card", NO_CARD)
        }
        [111, 0, length @ ..] if length.len() >= 4 && risu(length) => ENDINGS[1],
        _ if bytes.get(60..68) == Some(b"BOOKMOBI") => ENDINGS[5],
        _ => {
            let known = SIGNATURES.iter().find(|row| bytes.starts_with(row.0))?;
            ("", known.1, known.2)
        }
    };
    Some(foreign(&row))
}

/// Determines the kind of a file from its extension alone; None if the extension is unknown.
pub fn of_ending(ending: &str) -> Option<Foreign> {
    ENDINGS.iter().find(|row| row.0 == ending).map(foreign)
}

/// Recognizes a text as an HTML page or an XML document; None for any other text.
pub fn of_text(text: &str) -> Option<Foreign> {
    let begins = |tag: &str| {
        let head = text.trim_start().get(..tag.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(tag))
    };
    let instead = "copy its text into a .txt file and import that";
    let what = match (begins("<!doctype html") || begins("<html"), begins("<?xml")) {
        (true, _) => "an HTML page",
        (_, true) => "an XML document",
        _ => return None,
    };
    Some(Foreign { what, instead })
}

/// Determines the kind of a zip archive from the names of the files in the archive.
pub fn of_archive(names: &[String]) -> Option<Foreign> {
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    let what = match () {
        () if has("word/document.xml") => "a Word document (.docx)",
        () if has("META-INF/container.xml") => "an e-book (.epub)",
        () if has("content.xml") => "an OpenDocument text (.odt)",
        () if has("xl/workbook.xml") => "a spreadsheet (.xlsx)",
        () => return None,
    };
    Some(Foreign {
        what,
        instead: AS_TEXT,
    })
}

/// Determines the kind of a JSON object that another program wrote; None if the kind is unknown.
pub fn of_json(file: &Map<String, Value>) -> Option<Foreign> {
    let has = |key: &str| file.get(key).is_some_and(|value| !value.is_null());
    let any = |keys: &[&str]| keys.iter().any(|key| has(key));
    let samplers = [
        "temp",
        "temperature",
        "top_p",
        "top_k",
        "rep_pen",
        "repetition_penalty",
        "min_p",
    ];
    if any(&["memoryTokens", "authorNoteTokens", "endpointAPI"]) {
        return Some(Foreign {
            what: "a mikupad session",
            instead: "copy its text into a .txt file and import that",
        });
    }
    let what = match () {
        () if has("prompts") && has("prompt_order") => "a Tavern preset (of prompts)",
        () if any(&["power_user", "world_info_settings", "oai_settings"]) => {
            "SillyTavern's own settings"
        }
        () if any(&["story_string", "input_sequence", "chat_start"]) => {
            "a Tavern template (of context or instructions)"
        }
        () if any(&["findRegex", "replaceString"]) => "a Tavern regex script",
        () if any(&["qrList", "quickReplySlots"]) => "a set of Tavern quick replies",
        () if has("main_text_color") => "a Tavern theme",
        () if any(&["presetVersion", "promptTemplate", "botPresets"]) => {
            "a preset of NovelAI or Risu"
        }
        () if samplers.iter().filter(|key| has(key)).count() > 1 => {
            "a Tavern preset (of sampling settings)"
        }
        () => return of_stories(file),
    };
    Some(Foreign {
        what,
        instead: NO_STORY,
    })
}

/// Determines the kind of a JSON object that contains a card or a chat in an unsupported format;
/// None if the kind is unknown.
fn of_stories(file: &Map<String, Value>) -> Option<Foreign> {
    let has = |key: &str| file.get(key).is_some_and(|value| !value.is_null());
    let (what, instead) = match () {
        () if has("char_name") || has("char_persona") => (
            "a character of text-generation-webui",
            "save it as a character card (V2) with a card editor",
        ),
        () if has("data_visible") || (has("internal") && has("visible")) => (
            "a chat of text-generation-webui",
            "import it in SillyTavern and export the chat there",
        ),
        () if has("histories") => (
            "a chat of Character.AI",
            "import it in SillyTavern and export the chat there",
        ),
        () if file.get("messages").is_some_and(Value::is_array)
            || (has("role") && has("content")) =>
        {
            (
                "a list of messages (OpenAI's format), used for training",
                "export the chat as SillyTavern's (.jsonl) or as text",
            )
        }
        () if has("spec") => (
            "a card of an unknown version",
            "save it as version 2 or 3 in its program",
        ),
        () => return None,
    };
    Some(Foreign { what, instead })
}
