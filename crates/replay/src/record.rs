//! Turns a session into a script. The script contains the lines that lead to the session's current
//! story, and expects a golden for each generated passage. It also sets the seeds, so that the same
//! model writes the same passages again.

use crate::script::HEADER;
use base::untrusted::clean_line;
use story::context::{ContextExtras, build_context};
use story::frame::Frame;
use story::goal::LengthGoal;
use story::sampling::SETTINGS;
use story::{Author, Mode, Passage, Provenance, Sampling, Settings, Status, Story};

/// The script made from a session, with its goldens.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Recording {
    pub script: String,
    /// The name and text of each golden that the script expects.
    pub goldens: Vec<(String, String)>,
    /// Sentences that say what could not be recorded.
    pub remarks: Vec<String>,
}

/// Writes the script, and tracks the state that a replay would be in after the lines written so
/// far.
struct Recorder<'a> {
    story: &'a Story,
    settings: &'a Settings,
    recording: Recording,
    /// The memory and the author's note that the recorded lines have set so far.
    frame: Frame,
    sampling: Sampling,
    mode: Mode,
    /// The id that the next passage will have in the replay.
    next: u64,
}

/// Turns a session into a script. `name` is the name of the session.
pub fn record(name: &str, story: &Story, settings: &Settings) -> Recording {
    let path = story.path();
    let first = path.iter().find_map(|passage| passage.provenance.as_ref());
    let mode = first.map_or(settings.mode, |how| how.mode);
    let mut recorder = Recorder {
        story,
        settings,
        frame: Frame::default(),
        recording: Recording::default(),
        sampling: match mode {
            Mode::Prose => Sampling::default(),
            Mode::Chat => Sampling::chat(),
        },
        mode,
        next: 0,
    };
    recorder.header(name, first);
    if let Err(why) = recorder.passages(&path) {
        let why = format!("The rest of the story is not recorded, because {why}.");
        recorder.remark(why);
    }
    recorder.recording
}

impl Recorder<'_> {
    fn line(&mut self, line: &str) {
        self.recording.script += line;
        self.recording.script.push('\n');
    }

    fn remark(&mut self, remark: String) {
        self.line(&format!("# {}", clean_line(&remark)));
        self.recording.remarks.push(remark);
    }

    fn header(&mut self, name: &str, first: Option<&Provenance>) {
        let settings = self.settings;
        self.line(HEADER);
        self.line(&format!(
            "# Recorded from the session {}.",
            clean_line(name)
        ));
        if let Some(how) = first {
            let maker = &how.maker;
            let written = format!(
                "# Written by {} (SHA-256 {}) on {}.",
                maker.model, maker.model_sha256, maker.backend
            );
            self.line(&clean_line(&written));
        }
        if !settings.model.is_empty() {
            self.line(&format!("model {}", quoted(&settings.model)));
        }
        if self.mode == Mode::Chat {
            self.line("mode chat");
        }
        if !settings.system.is_empty() {
            self.line(&format!("system {}", quoted(&settings.system)));
        }
        let wanted = first
            .map_or(&settings.sampling, |how| &how.sampling)
            .clone();
        for (name, value) in self.changes(&wanted) {
            self.line(&format!("set {name} {}", quoted(&value)));
        }
        self.line("");
    }

    /// Writes the lines that set the memory and the author's note as they were when the model wrote
    /// a passage. Returns an error if a script cannot reproduce them.
    fn set_frame(&mut self, passage: &Passage, how: &Provenance) -> Result<(), String> {
        let whole = self.story.frame();
        let frame = |memory: bool, note: bool| {
            let mut frame = Frame::default();
            if memory {
                frame.memory.clone_from(&whole.memory);
            }
            if note {
                frame.note.clone_from(&whole.note);
            }
            frame
        };
        let settings = Settings {
            mode: how.mode,
            sampling: how.sampling.clone(),
            ..self.settings.clone()
        };
        let path = self.story.path_at(passage.place());
        let extras = ContextExtras {
            instruct: how.instruct.as_deref(),
            ..ContextExtras::default()
        };
        let fits = |frame: &Frame| {
            let context = build_context(&settings, frame, &path, &extras);
            how.context_digest.is_empty() || context.digest() == how.context_digest
        };
        let known = std::iter::once(self.frame.clone());
        let variants = [(true, true), (false, false), (true, false), (false, true)];
        let variants = variants.map(|(memory, note)| frame(memory, note));
        let Some(frame) = known.chain(variants).find(fits) else {
            return Err(format!(
                "the model read something with passage {} that a script cannot set: an earlier memory or note, a voice, a character, lore or a summary",
                passage.id
            ));
        };
        let or_none = |text: &str| match text.is_empty() {
            true => "none".to_string(),
            false => text.to_string(),
        };
        if frame.memory != self.frame.memory {
            self.line(&typed(&format!("/memory {}", or_none(&frame.memory))));
        }
        if frame.note != self.frame.note {
            let depth = match frame.note.text.is_empty() {
                true => String::new(),
                false => format!(" depth={}", frame.note.depth),
            };
            self.line(&typed(&format!(
                "/note {}{depth}",
                or_none(&frame.note.text)
            )));
        }
        self.frame = frame;
        Ok(())
    }

    /// Changes the recorder's settings to `wanted`, except for the seed. Returns the name and new
    /// value of each setting that changed.
    fn changes(&mut self, wanted: &Sampling) -> Vec<(&'static str, String)> {
        let wanted = Sampling {
            seed: self.sampling.seed,
            ..wanted.clone()
        };
        let rows = SETTINGS.iter();
        let changed = rows.filter(|row| row.get(&self.sampling) != row.get(&wanted));
        let changed = changed.map(|row| (row.name, row.get(&wanted))).collect();
        self.sampling = wanted;
        changed
    }

    /// Records the passages of a path. Stops with an error at the first passage that a script
    /// cannot reproduce, for example because the passage was edited.
    fn passages(&mut self, path: &[Passage]) -> Result<(), String> {
        let mut passages = path.iter().peekable();
        let mut last: Option<&Passage> = None;
        while let Some(passage) = passages.next() {
            let whole = passage.text.len() == passage.node.text.len();
            if passage.edited || passage.continues_previous() || !whole {
                return Err(format!("passage {} was edited or cut", passage.id));
            }
            if passage.author == Author::Model {
                let line = line_of(passage, last)?;
                self.generated(passage, &line)?;
            } else {
                let Some(answer) = passages.next() else {
                    return Err(format!("no passage follows your passage {}", passage.id));
                };
                if answer.author != Author::Model || answer.continues_previous() {
                    return Err(format!(
                        "no generated passage follows passage {}",
                        passage.id
                    ));
                }
                self.next += 1;
                let text = own_words(passage, last);
                self.generated(answer, &typed(&text))?;
                last = Some(answer);
                continue;
            }
            last = Some(passage);
        }
        Ok(())
    }

    /// Records a generated passage. `line` is the line of the script that generates the passage.
    fn generated(&mut self, passage: &Passage, line: &str) -> Result<(), String> {
        let id = passage.id;
        let how = passage.provenance.as_ref();
        let how = how.ok_or_else(|| format!("passage {id} was imported"))?;
        match passage.status {
            Status::Complete | Status::Length | Status::StopString => {}
            Status::Whole
            | Status::Running
            | Status::ContextFull
            | Status::Stopped
            | Status::Failed
            | Status::Interrupted => {
                return Err(format!("passage {id} did not end by itself"));
            }
        }
        if !how.begin.is_empty() || how.mode != self.mode {
            return Err(format!(
                "passage {id} begins with a word that you chose, or the mode changed"
            ));
        }
        self.set_frame(passage, how)?;
        for (name, value) in self.changes(&how.sampling) {
            self.line(&typed(&format!("/set {name} {value}")));
        }
        let seed = sampler::rng::underive(how.seed, self.next);
        if self.sampling.seed != Some(seed) {
            self.sampling.seed = Some(seed);
            self.line(&format!("/set seed {seed}"));
        }
        self.next += 1;
        self.line(line);
        let name = format!("passage-{:02}", self.recording.goldens.len() + 1);
        self.line(&format!("expect golden {name}"));
        self.line("");
        let text = passage.text.to_string();
        self.recording.goldens.push((name, text));
        Ok(())
    }
}

/// Returns the line that generates a passage directly after another generated passage.
fn line_of(passage: &Passage, last: Option<&Passage>) -> Result<String, String> {
    let how = passage.provenance.as_ref();
    let how = how.ok_or_else(|| format!("passage {} was imported", passage.id))?;
    if last.is_none() {
        return Err(format!(
            "passage {} begins the story without a line of yours",
            passage.id
        ));
    }
    if let Some(instruct) = &how.instruct {
        return Ok(typed(&format!("/instruct {instruct}")));
    }
    Ok(match &how.goal {
        LengthGoal::Exact | LengthGoal::Near => ">".to_string(),
        LengthGoal::Sentence => "/continue sent".to_string(),
        LengthGoal::Paragraph => "/continue para".to_string(),
        LengthGoal::Until(words) => typed(&format!("/continue \"{words}\"")),
    })
}

/// Returns the text of a passage as the writer typed it, without the space that was added to join
/// it to the preceding text.
fn own_words(passage: &Passage, last: Option<&Passage>) -> String {
    let text = passage.text;
    let apart = last.is_some_and(|last| !last.text.ends_with(char::is_whitespace));
    let joined = text.strip_prefix(' ').filter(|rest| {
        apart && !passage.turn && rest.starts_with(|c: char| c.is_ascii_alphanumeric())
    });
    let text = joined.unwrap_or(text);
    match text.starts_with('/') {
        true => format!("/{text}"),
        false => text.to_string(),
    }
}

/// Returns the line of a script that types this text or command. Each line break in the text begins
/// a continuation line.
fn typed(text: &str) -> String {
    let text = text.replace("{{", "\\{{").replace('\n', "\\\n");
    match text.starts_with('/') && !text.starts_with("//") {
        true => text,
        false => format!("> {text}"),
    }
}

/// Returns a value as a single word of a script, in quotes if necessary.
fn quoted(value: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.:/+".contains(c);
    match !value.is_empty() && value.chars().all(plain) {
        true => value.to_string(),
        false => serde_json::Value::from(value.replace("{{", "\\{{")).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{self, Step};
    use std::collections::BTreeMap;
    use story::record::HeadMove;
    use story::record::StepKind;
    use story::{Node, Record};

    fn story(nodes: Vec<Node>) -> Story {
        let mut story = Story::default();
        for node in nodes {
            let to = Some(node.id);
            story.apply(&Record::Node(node)).unwrap();
            let why = StepKind::Write;
            story.apply(&Record::Head(HeadMove { to, why })).unwrap();
        }
        story
    }

    fn node(id: u64, author: Author, text: &str) -> Node {
        let how = Provenance {
            seed: sampler::rng::derive(9, id),
            sampling: Sampling {
                temperature: if id < 3 { 0.5 } else { 0.7 },
                ..Sampling::default()
            },
            ..Provenance::default()
        };
        Node {
            id,
            parent: id.checked_sub(1),
            author,
            text: text.to_string(),
            status: match author {
                Author::Model => Status::Length,
                Author::User | Author::Prompt => Status::Whole,
            },
            provenance: (author == Author::Model).then_some(how),
            ..Node::default()
        }
    }

    #[test]
    fn a_recorded_session_is_a_script_with_the_seeds_of_its_passages() {
        let story = story(vec![
            node(0, Author::User, "A {{lamp}}"),
            node(1, Author::Model, " burned."),
            node(2, Author::Model, " And"),
            node(3, Author::User, " then\n/this"),
            node(4, Author::Model, " ended."),
        ]);
        let recording = record("night", &story, &Settings::default());
        assert_eq!(recording.remarks, [""; 0]);
        let texts: Vec<&str> = recording
            .goldens
            .iter()
            .map(|(_, text)| text.as_str())
            .collect();
        assert_eq!(texts, [" burned.", " And", " ended."]);
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("night.illum");
        std::fs::write(&path, &recording.script).unwrap();
        let script = script::load(&path, &BTreeMap::new()).unwrap();
        let lines: Vec<String> = script.cases[0]
            .steps
            .iter()
            .filter_map(|step| match step {
                Step::Line { text, .. } => Some(text.clone()),
                Step::Expect(_) => None,
            })
            .collect();
        let expected = [
            "/set seed 9",
            "A {{lamp}}",
            "",
            "/set temperature 0.7",
            "then\n/this",
        ];
        assert_eq!(lines, expected);
        let temperature = ("temperature".to_string(), "0.5".to_string());
        assert_eq!(script.cases[0].settings.sampling, [temperature]);
    }

    #[test]
    fn a_passage_written_with_texts_that_a_script_cannot_set_is_not_recorded() {
        let mut answer = node(1, Author::Model, " b");
        answer.provenance.as_mut().unwrap().context_digest = "0".repeat(16);
        let nodes = vec![node(0, Author::User, "A"), answer];
        let recording = record("x", &story(nodes), &Settings::default());
        assert!(recording.goldens.is_empty());
        let remark = &recording.remarks[0];
        assert!(remark.contains("a script cannot set"), "{remark}");
    }

    #[test]
    fn what_cannot_be_replayed_is_said() {
        let cut = Node {
            edited: true,
            ..node(2, Author::User, "mine")
        };
        let nodes = vec![
            node(0, Author::User, "A"),
            node(1, Author::Model, " b"),
            cut,
        ];
        let recording = record("x", &story(nodes), &Settings::default());
        assert_eq!(recording.goldens.len(), 1);
        assert!(
            recording.remarks[0].contains("passage 2 was edited"),
            "{recording:?}"
        );
    }
}
