//! Tests that the content of a file determines its kind, and that the error for an unsupported kind
//! names the kind.

use super::*;
use std::io::Write;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in files {
        out.start_file(*name, SimpleFileOptions::default()).unwrap();
        out.write_all(content).unwrap();
    }
    out.finish().unwrap().into_inner()
}

use std::io::Cursor;

const JPEG: &[u8] = b"\xff\xd8\xff\xe0\x00\x10JFIF\0not pixels\xff\xd9";

#[test]
fn an_archive_behind_a_picture_is_the_card() {
    let card = br#"{"spec":"chara_card_v3","data":{"name":"Ida","description":"Rows."}}"#;
    let archive = zipped(&[("card.json", card), ("assets/icon.png", b"pixels")]);
    let behind = [JPEG, &archive].concat();
    // Some programs count offsets in the archive from the beginning of the picture.
    let mut shifted = behind.clone();
    let central = shifted
        .windows(4)
        .rposition(|it| it == b"PK\x01\x02")
        .unwrap();
    let first = shifted
        .windows(4)
        .position(|it| it == b"PK\x01\x02")
        .unwrap();
    let end = shifted
        .windows(4)
        .rposition(|it| it == b"PK\x05\x06")
        .unwrap();
    let moved = |bytes: &mut Vec<u8>, at: usize| {
        let old = u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        bytes[at..at + 4].copy_from_slice(&(old + JPEG.len() as u32).to_le_bytes());
    };
    for at in [first + 42, central + 42, end + 16] {
        moved(&mut shifted, at);
    }
    for bytes in [archive, behind, shifted] {
        let Import::Card { card, file, .. } = parsed(&bytes) else {
            panic!("no card");
        };
        assert_eq!(card.name(), "Ida");
        assert_eq!(file.unwrap().0, "charx");
    }
    assert!(refusal(JPEG).contains("a JPEG image that holds no card"));
}

#[test]
fn a_damaged_newer_card_gives_way_to_the_older() {
    let older = br#"{"spec":"chara_card_v2","data":{"name":"Ida","description":"Rows."}}"#;
    for newer in [
        &b"{\"spec\": \"chara_card_v3\", \"data\": {\"na"[..],
        b"\xff\xff",
        b"{}",
    ] {
        let picture = png::replace_cards(&png::blank_picture(4, 4), older, newer).unwrap();
        let Import::Card { card, .. } = parsed(&picture) else {
            panic!("no card");
        };
        assert_eq!(card.name(), "Ida");
        assert!(notices(&picture).contains("newer card in the picture is damaged"));
    }
    let none = png::replace_cards(&png::blank_picture(4, 4), b"{\"na", b"!").unwrap();
    assert!(refusal(&none).contains("damaged"));
}

#[test]
fn a_card_without_a_name_is_called_as_its_file() {
    for name in [json!(null), json!(""), json!("\u{200b}\u{2060}")] {
        let card = json!({"spec": "chara_card_v2",
            "data": {"name": name, "description": "{{char}} rows.", "first_mes": "Hm."}});
        let bytes = serde_json::to_vec(&card).unwrap();
        assert!(notices(&bytes).contains("has no name, so it is called file"));
        assert_eq!(story(&bytes).frame().memory, "file rows.");
    }
}

#[test]
fn what_is_not_read_is_refused_by_its_name() {
    let docx = zipped(&[("word/document.xml", b"<w/>"), ("[Content_Types].xml", b"")]);
    let epub = zipped(&[
        ("mimetype", b"application/epub+zip"),
        ("META-INF/container.xml", b""),
    ]);
    let odt = zipped(&[("mimetype", b"x"), ("content.xml", b"")]);
    let other = zipped(&[("a.txt", b"x")]);
    let risum = [&[111, 0, 3, 0, 0, 0][..], b"abc\0"].concat();
    let cases: [(&[u8], &str); 22] = [
        (&docx, "Word document (.docx)"),
        (&epub, "an e-book (.epub)"),
        (&odt, "OpenDocument text (.odt)"),
        (&other, "an archive without a card.json"),
        (&risum, "a Risu module (.risum)"),
        (b"%PDF-1.7", "a PDF document"),
        (b"{\\rtf1 Fog.}", "an RTF document"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "a WebP image"),
        (b"GIF89a", "a GIF image"),
        (b"\x1f\x8b\x08\0", "a compressed file"),
        (b"<!DOCTYPE html><p>Fog", "an HTML page"),
        (
            br#"{"temp": 0.7, "top_p": 0.9, "rep_pen": 1.1}"#,
            "a Tavern preset",
        ),
        (br#"{"prompts": [], "prompt_order": []}"#, "a Tavern preset"),
        (
            br#"{"name": "Alpaca", "input_sequence": "x"}"#,
            "a Tavern template",
        ),
        (
            br#"{"char_name": "Ida", "char_persona": "Rows."}"#,
            "text-generation-webui",
        ),
        (
            br#"{"spec": "chara_card_v9", "data": {}}"#,
            "a card of an unknown version",
        ),
        (
            br#"[{"findRegex": "a", "replaceString": "b"}]"#,
            "a Tavern regex script",
        ),
        (
            b"{\"messages\": []}\n{\"messages\": []}\n",
            "a list of messages",
        ),
        (
            br#"[{"role": "user", "content": "Fog."}]"#,
            "a list of messages",
        ),
        (
            br#"{"name": "Fog", "prompt": [{"type": "user", "content": "Fog."}], "temperature": 1,
                "top_p": 1, "endpointAPI": 0, "memoryTokens": {"text": ""}}"#,
            "a mikupad session",
        ),
        (
            br#"{"spec": "chara_card_v2", "data": {"name": "", "description": "", "scenario": "Fog."}}"#,
            "card is blank",
        ),
        (b"fog\0\0\x01", "neither text"),
    ];
    for (bytes, part) in cases {
        let said = refusal(bytes);
        assert!(said.contains(part), "{said}");
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fog.naidata");
    std::fs::write(&path, b"\x9a\xfe\x01").unwrap();
    let said = load_file(&path).unwrap_err().to_string();
    assert!(said.contains("a NovelAI .naidata file"), "{said}");
}

#[test]
fn a_journal_is_no_story_of_another_program() {
    let first = r#"{"v":1,"kind":"session","name":"fog","build":"0","began":""}"#;
    let second = r#"{"v":1,"kind":"node","id":0,"author":"user","text":"Fog."}"#;
    for journal in [
        format!("{first}\n{second}\n"),
        format!("\u{feff}{second}\n"),
        format!("<<<<<<< HEAD\n{first}\n=======\n{second}\n>>>>>>> other\n"),
    ] {
        let said = refusal(journal.as_bytes());
        assert!(said.contains("sessions import FILE") && said.contains("sessions conflicts"));
    }
    let chat = br#"{"name": "Ida", "is_user": true, "mes": "Fog.", "v": 1, "kind": "x"}"#;
    assert_eq!(tale(chat).nodes.len(), 1);
}

#[test]
fn half_a_character_costs_no_file() {
    let half = "\\ud83d";
    let card = format!(
        r#"{{"spec": "chara_card_v2", "data": {{"name": "Ida", "description": "Rows{half}.",
        "character_book": {{"entries": [{{"keys": ["oar"], "content": "An {half}oar."}}]}}}}}}"#
    );
    let chat = format!(r#"{{"name": "Ida", "is_user": true, "mes": "Fog{half}."}}"#);
    let kobold = format!(r#"{{"prompt": "Fog{half}.", "actions": []}}"#);
    let info = format!(r#"{{"entries": {{"0": {{"key": ["oar"], "content": "{half}"}}}}}}"#);
    let picture = png::replace_cards(&png::blank_picture(4, 4), card.as_bytes(), card.as_bytes());
    assert_eq!(story(card.as_bytes()).frame().memory, "Rows\u{fffd}.");
    assert_eq!(tale(chat.as_bytes()).nodes[0].text, "Fog\u{fffd}.");
    assert_eq!(tale(kobold.as_bytes()).nodes[0].text, "Fog\u{fffd}.");
    assert_eq!(book(info.as_bytes()).entries[0].content, "\u{fffd}");
    for file in [card.as_bytes(), &picture.unwrap()] {
        assert!(notices(file).contains("2 characters cut in half"));
    }
    assert!(notices(chat.as_bytes()).contains("1 character cut in half"));
}

#[test]
fn a_text_in_brackets_is_a_text_and_torn_json_is_not() {
    for text in [
        "{Fog came.}",
        "[Fog came.]",
        "[[Fog]] came.",
        "[\"Fog,\" she said.]",
        "{ }x",
    ] {
        assert_eq!(
            parsed(text.as_bytes()),
            Import::Text(text.to_string()),
            "{text}"
        );
    }
    for torn in [
        "{\"name\": \"Ida",
        "[{\"key\": \"oar\"",
        "{\"a\": 1 \"b\"}",
        "[{\"a\" \"b\"}]",
        "{",
    ] {
        assert!(
            refusal(torn.as_bytes()).contains("not valid JSON"),
            "{torn}"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("fog.txt");
    std::fs::write(&path, "[1]").unwrap();
    assert!(matches!(load_file(&path).unwrap().content, Import::Text(_)));
}

#[test]
fn every_encoding_is_read_and_a_name_that_is_no_unicode() {
    let utf16 = |text: &str| -> Vec<u8> {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xff, 0xfe].into_iter().chain(units).collect()
    };
    assert_eq!(
        parsed(&utf16("Fög\r\ncame.")),
        Import::Text("Fög\ncame.".to_string())
    );
    assert_eq!(
        parsed(b"Fog\rcame.\r"),
        Import::Text("Fog\ncame.".to_string())
    );
    let card = r#"{"spec":"chara_card_v2","data":{"name":"Ida","description":"a\r\nb\rc"}}"#;
    for bytes in [utf16(card), format!("\u{feff}{card}").into_bytes()] {
        let Import::Card { card, .. } = parsed(&bytes) else {
            panic!("no card");
        };
        assert_eq!(card.memory(), "a\nb\nc");
    }
    assert!(refusal(b"F\xf6g came.").contains("save it as UTF-8"));
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::ffi::OsStrExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder
            .path()
            .join(std::ffi::OsStr::from_bytes(b"f\xf6g.txt"));
        std::fs::write(&path, "Fog.").unwrap();
        assert_eq!(
            load_file(&path).unwrap().content,
            Import::Text("Fog.".to_string())
        );
    }
}
