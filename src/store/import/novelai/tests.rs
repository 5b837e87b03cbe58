use super::*;

/// Writes MessagePack in the same form as msgpackr: with all text in one bundle at the end, with
/// records, and with classes as extensions.
#[derive(Default)]
struct Writer {
    body: Vec<u8>,
    narrow: String,
    wide: String,
}

impl Writer {
    fn text(&mut self, text: &str) {
        let length = text.encode_utf16().count() as u8;
        let latin = text.chars().all(|c| (c as u32) < 256);
        self.body.push(0xc1);
        match latin {
            true => self.body.extend([0xcc, length]),
            false => self
                .body
                .extend([0xd0, (length as i8).wrapping_neg() as u8]),
        }
        *(if latin {
            &mut self.narrow
        } else {
            &mut self.wide
        }) += text;
    }

    fn record(&mut self, id: u8, keys: &[&str]) {
        self.body
            .extend([0xd4, b'r', 0x40 + id, 0x90 + keys.len() as u8]);
        keys.iter().for_each(|key| self.text(key));
    }

    fn section(&mut self, id: u8, text: &str) {
        self.body.push(id);
        match self.body.windows(3).any(|it| it == [0xd4, b'r', 0x41]) {
            true => self.body.push(0x41),
            false => self.record(1, &["type", "text"]),
        }
        self.body.push(1);
        self.text(text);
    }

    fn finish(self) -> Vec<u8> {
        let mut out = vec![0xd4, 20, 0, 0xd6, b'b'];
        out.extend((self.body.len() as u32 + 4).to_be_bytes());
        out.extend(&self.body);
        for text in [&self.wide, &self.narrow] {
            out.extend([0xda, (text.len() >> 8) as u8, text.len() as u8]);
            out.extend(text.as_bytes());
        }
        out
    }
}

/// Returns a document with three sections out of order. Its pending changes modify one section, add
/// one section and remove one section.
fn document() -> Vec<u8> {
    let mut out = Writer::default();
    out.record(0, &["sections", "order", "dirtySections"]);
    out.body.push(0x83);
    out.section(11, "It stayed.");
    out.section(12, "Nobody saw.");
    out.section(10, "Fog 霧 came.");
    out.body.extend([0x93, 10, 11, 12, 0x83]);
    out.body.push(11);
    out.record(2, &["type", "diff"]);
    out.body.extend([1, 0xd4, 41, 0]);
    out.record(3, &["text"]);
    out.body.extend([0xd4, 40, 0]);
    out.record(4, &["parts"]);
    out.body.push(0x91);
    out.record(5, &["from", "delete", "insert"]);
    out.body.push(3);
    out.text("stayed");
    out.text("lifted");
    out.body.push(13);
    out.record(6, &["type", "section", "after"]);
    out.body.extend([0, 0x41, 1]);
    out.text("She rowed.");
    out.body.push(10);
    out.body.push(12);
    out.record(7, &["type"]);
    out.body.push(2);
    out.finish()
}

fn container(document: &[u8]) -> Map<String, Value> {
    let file = serde_json::json!({"storyContainerVersion": 1, "content":
        {"document": BASE64_STANDARD.encode(document)}});
    file.as_object().cloned().unwrap()
}

#[test]
fn a_document_is_read_in_its_order_with_the_changes_not_yet_merged() {
    let (tale, notices) = parse_story(&container(&document()), "fog").unwrap();
    let text: String = tale.nodes.iter().map(|node| node.text.as_str()).collect();
    assert_eq!(text, "Fog 霧 came.\nShe rowed.\nIt lifted.");
    assert!(notices.is_empty());
}

#[test]
fn a_damaged_document_is_refused_and_never_hangs() {
    let whole = document();
    for cut in 0..whole.len() {
        assert!(
            parse_story(&container(&whole[..cut]), "fog").is_err(),
            "cut at {cut}"
        );
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x55;
        let _ = parse_story(&container(&flipped), "fog");
    }
    let nested = [vec![0x91; 1_000_000], vec![0xdd, 0xff, 0xff, 0xff, 0xff]].concat();
    assert!(msgpackr::decode(&nested).is_none());
    assert!(msgpackr::decode(&[0xdd, 0xff, 0xff, 0xff, 0xff, 1]).is_none());
}

#[test]
fn a_story_without_fragments_has_its_words_beside_them() {
    let said = |story: Value| {
        let file = serde_json::json!({"storyContainerVersion": 1, "content":
            {"story": story, "context": [{"text": "A quay."}]}});
        let (tale, _) = parse_story(file.as_object().unwrap(), "fog").unwrap();
        let texts: Vec<String> = tale.nodes.into_iter().map(|node| node.text).collect();
        texts
    };
    let words = "Fog came.\r\nNobody rowed.";
    for story in [
        serde_json::json!({"text": words}),
        serde_json::json!({"text": words, "fragments": []}),
        serde_json::json!({"text": words, "fragments": [{"data": "", "origin": "user"}]}),
        serde_json::json!({"text": words, "fragments": null, "datablocks": [{}]}),
    ] {
        assert_eq!(said(story), ["Fog came.\nNobody rowed."]);
    }
    let both = serde_json::json!({"text": words, "fragments": [{"data": "Fog.", "origin": "ai"}]});
    assert_eq!(said(both), ["Fog."]);
    assert!(said(serde_json::json!({"text": " "})).is_empty());
}
