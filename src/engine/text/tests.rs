//! Tests passages with a small backend whose model is a list of words. The backend also serves as
//! the example of a text backend.

use super::*;
use crate::engine::backend::{Answer, Backend};
use base::progress::{Cancelled, Observer};
use std::cell::RefCell;
use story::context::{Context, ContextPart, PartKind};
use story::message::{Capabilities, ContextReport, FailureKind, LengthGoal, Overflow, Truncation};
use story::{Event, ModelInfo, Sampling, Status};

/// The number of words that the source accepts. A test can make the source report another number.
const HOLDS: usize = 100;

/// A source that writes prepared texts, with words as tokens.
struct Words {
    /// The pieces of text to write for each request. The last text is used for all further requests
    /// too.
    texts: Vec<Vec<&'static str>>,
    about: ModelInfo,
    memory: Memory,
    asked: Vec<(String, u64)>,
}

impl TextSource for Words {
    type Error = Failure;

    fn context(&self) -> usize {
        self.about.context
    }

    fn count(&self, text: &str) -> Result<usize, Failure> {
        Ok(text.split_whitespace().count())
    }

    fn memory(&self) -> &Memory {
        &self.memory
    }

    fn stream(&mut self, ask: &TextAsk<'_>, writing: &mut Writing<'_, '_>) -> Result<End, Failure> {
        let Prompt::Text(prompt) = &ask.prompt else {
            return Err(Failure::engine("this source takes plain text"));
        };
        self.asked.push((prompt.clone(), ask.seed));
        if prompt.split_whitespace().count() > HOLDS {
            return Err(Failure::new("too long", FailureKind::Overflow));
        }
        let pieces = self.texts[(self.asked.len() - 1).min(self.texts.len() - 1)].clone();
        for piece in pieces {
            if piece == "(broken)" {
                return Err(Failure::engine("the pipe broke"));
            }
            if writing.is_cancelled() || !writing.text(piece, Some(1)) {
                return Ok(End::Stopped);
            }
        }
        Ok(End::Complete)
    }

    fn adapts(&mut self, refusal: &Refusal<'_, Failure>, _: &dyn Listener) -> bool {
        self.about.context = self.about.context * 3 / 4;
        refusal.error.fault == FailureKind::Overflow
    }
}

impl Backend for Words {
    fn about(&self) -> &ModelInfo {
        &self.about
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            explain: true,
            exact_token_counts: true,
            ..Capabilities::default()
        }
    }

    fn write(&mut self, request: &TextRequest, listener: &dyn Listener) -> Answer {
        write(self, request, listener)
    }

    fn explain(&mut self, request: &TextRequest) -> Result<ContextReport, Failure> {
        explain(self, request)
    }

    fn context_start(&self, request: &TextRequest) -> Result<Option<(NodeId, usize)>, Failure> {
        context_start(self, request)
    }

    fn count_tokens(&self, text: &str) -> Result<usize, Failure> {
        self.count(text)
    }
}

/// A listener that records events, and cancels after `stop_after` pieces.
#[derive(Default)]
struct Heard {
    events: RefCell<Vec<Event>>,
    stop_after: Option<usize>,
}

impl Heard {
    fn text(&self) -> Vec<String> {
        let events = self.events.borrow();
        let piece = |event: &Event| match event {
            Event::Piece { text, .. } => Some(text.clone()),
            _ => None,
        };
        events.iter().filter_map(piece).collect()
    }

    /// The recorded reports of what did not fit into the prompt.
    fn cuts(&self) -> Vec<Truncation> {
        let events = self.events.borrow();
        let cut = |event: &Event| match event {
            Event::Prefill { cut, .. } if *cut != Truncation::default() => Some(cut.clone()),
            _ => None,
        };
        events.iter().filter_map(cut).collect()
    }
}

impl Observer for Heard {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> Result<(), Cancelled> {
        match self
            .stop_after
            .is_some_and(|most| self.text().len() >= most)
        {
            true => Err(Cancelled),
            false => Ok(()),
        }
    }
}

impl Listener for Heard {
    fn tell(&self, event: Event) -> bool {
        self.events.borrow_mut().push(event);
        true
    }
}

fn words(texts: &[&[&'static str]]) -> Words {
    Words {
        texts: texts.iter().map(|pieces| pieces.to_vec()).collect(),
        about: ModelInfo {
            name: "words".to_string(),
            // A real backend hashes what identifies its model.
            sha256: "words".to_string(),
            context: HOLDS,
            ..ModelInfo::default()
        },
        memory: Memory::default(),
        asked: Vec::new(),
    }
}

fn request(text: &str) -> TextRequest {
    let story = PartKind::Story { node: 0, from: 0 };
    TextRequest {
        node: 1,
        context: Context::Prose {
            parts: vec![ContextPart::plain(story, text)],
            after: String::new(),
        },
        sampling: Sampling {
            max_tokens: 20,
            ..Sampling::default()
        },
        seed: 7,
        overflow: Overflow::Crop,
        goal: LengthGoal::Exact,
        bans: Vec::new(),
        heal: true,
        begin: Vec::new(),
        retrieval: None,
    }
}

fn written(source: &mut Words, request: &TextRequest) -> (Answer, Heard) {
    let heard = Heard::default();
    (source.write(request, &heard), heard)
}

fn status(answer: Answer) -> Status {
    answer.unwrap().0
}

#[test]
fn a_passage_ends_with_the_models_turn_a_stop_string_or_the_length_goal() {
    let pieces: &[&str] = &[" A gull", " called.", " TH", "E END", " of it"];
    let (answer, heard) = written(&mut words(&[pieces]), &request("Dawn."));
    assert_eq!(status(answer), Status::Complete);
    assert_eq!(heard.text().concat(), " A gull called. THE END of it");
    let mut asked = request("Dawn.");
    asked.sampling.stop = vec![" THE END".to_string()];
    let (answer, heard) = written(&mut words(&[pieces]), &asked);
    assert_eq!(status(answer), Status::StopString);
    assert_eq!(heard.text().concat(), " A gull called.");
    asked.goal = LengthGoal::Sentence;
    let (answer, heard) = written(&mut words(&[&[" One. Two", " three."]]), &asked);
    assert_eq!(status(answer), Status::Length);
    assert_eq!(heard.text().concat(), " One.");
}

#[test]
fn other_words_are_requested_in_place_of_a_banned_phrase() {
    let mut asked = request("Dawn.");
    asked.bans = vec![sampler::Ban::parse("icy wind").unwrap()];
    let mut source = words(&[&[" An", " icy", " wind", " blew."], &[" A gull called."]]);
    let (answer, heard) = written(&mut source, &asked);
    assert_eq!(status(answer), Status::Complete);
    assert_eq!(heard.text().concat(), " An A gull called.");
    let prompts = [("Dawn.".to_string(), 7), ("Dawn. An".to_string(), 8)];
    assert_eq!(source.asked, prompts);
    let rewound = heard.events.borrow();
    assert!(
        rewound
            .iter()
            .any(|event| matches!(event, Event::Rewound { .. }))
    );
}

#[test]
fn what_did_not_fit_is_told_once_even_if_a_prompt_is_refused() {
    let long = "word ".repeat(150);
    let (answer, heard) = written(&mut words(&[&[" End."]]), &request(&long));
    let (_, stats) = answer.unwrap();
    let cuts = heard.cuts();
    assert_eq!(cuts.len(), 1);
    assert!(
        cuts[0].dropped >= 70 && cuts[0].begins.is_some(),
        "{cuts:?}"
    );
    assert_eq!(stats.begins, cuts[0].begins);
    // The source holds fewer words than it says.
    let mut source = words(&[&[" End."]]);
    source.about.context = 400;
    let (answer, heard) = written(&mut source, &request(&"word ".repeat(300)));
    assert_eq!(status(answer), Status::Complete);
    assert!(source.asked.len() > 1);
    assert_eq!(heard.text().concat(), "End.");
    assert_eq!(heard.cuts().len(), 1);
    assert!(heard.cuts()[0].dropped >= 200, "{:?}", heard.cuts());
}

#[test]
fn a_cancelled_passage_keeps_its_text() {
    let heard = Heard {
        stop_after: Some(1),
        ..Heard::default()
    };
    let mut source = words(&[&[" One", " two", " three"]]);
    let answer = source.write(&request("Dawn."), &heard);
    assert_eq!(
        (status(answer), heard.text()),
        (Status::Stopped, vec![" One".to_string()])
    );
}

#[test]
fn an_error_interrupts_a_passage_and_fails_one_without_text() {
    let (answer, heard) = written(&mut words(&[&[" One", "(broken)"]]), &request("Dawn."));
    assert_eq!(status(answer), Status::Interrupted);
    assert_eq!(heard.text().concat(), " One");
    let warned = Event::Warned("the pipe broke".to_string());
    assert!(heard.events.borrow().contains(&warned));
    let (answer, _) = written(&mut words(&[&["(broken)"]]), &request("Dawn."));
    assert_eq!(answer.unwrap_err().why, "the pipe broke");
}
