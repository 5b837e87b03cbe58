//! A passage in progress: samples tokens from logits, and sends the text that is final.
//!
//! Text is held back while it may still become something that must not appear: a stop sequence or a
//! banned phrase. When a banned phrase appears, the KV cache is rewound to the position before the
//! first token of the phrase. That token is made less likely, and another token is sampled for the
//! position from the same logits.

mod backtrack;

use super::heal::Healing;
use super::loaded::Loaded;
use super::prompt::Prompt;
use crate::engine::backend::{Failure, Listener};
use crate::engine::length::{goal_met_before, may_end, most_tokens, overlap};
use base::untrusted::clean;
use llm::tokenizer::Decoder;
use llm::{Logits, ModelError};
use sampler::Sampler;
use sampler::ban::Bans;
use sampler::dry::SequenceBreakers;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use story::message::{LengthGoal, PassageStats, TextRequest};
use story::{Event, Status};

/// The maximum length in bytes of `Passage::before`.
const LOOK_BACK: usize = 512;

pub struct Passage {
    request: Rc<TextRequest>,
    sampler: Sampler,
    decoder: Decoder,
    bans: Bans,
    healing: Healing,
    /// The number of tokens of the prompt.
    base: usize,
    /// The tokens of the prompt, followed by all generated tokens.
    all: Vec<u32>,
    /// The generated tokens that have not been sent yet.
    held: Vec<Token>,
    /// The number of generated tokens that have been sent.
    sent: usize,
    /// The text of the tokens in `held`.
    text: String,
    /// The end of the text that has been sent, which is needed to check whether the passage meets
    /// its length goal.
    before: String,
    /// The number of healed bytes that generated tokens have not spelled again yet. These bytes are
    /// not sent.
    unsaid: usize,
    request_healed: usize,
    said_anything: bool,
    /// For each position in the passage, the tokens that are made less likely there, and by how
    /// much their logits are lowered.
    blocked: HashMap<usize, Vec<(u32, f32)>>,
    /// The banned phrases that may stay in the passage after all. Each phrase is stored as the
    /// position of its first token in the passage and the index of its ban.
    let_through: HashSet<(usize, usize)>,
}

/// A generated token that has not been sent yet and can therefore still be withdrawn.
struct Token {
    id: u32,
    /// The byte offset in [`Passage::text`] at which the token's text ends.
    end: usize,
    /// Whether the text up to the end of this token consists of whole characters.
    whole: bool,
    before: Option<Before>,
}

/// The logits, sampler and decoder before a token was sampled. They are stored only if phrases are
/// banned.
type Before = Box<(Vec<f32>, Sampler, Decoder)>;

struct Drawn {
    id: u32,
    before: Option<Before>,
}

/// What the caller has to do after a token was sampled.
pub enum Step {
    /// Evaluate this token, and sample the next token from the resulting logits.
    Feed(u32),
    /// Generation was rewound to an earlier token. Sample that token again, from these logits.
    Again(Vec<f32>),
    Over(Status),
}

enum Looked {
    On,
    /// Generation was rewound to the start of a banned phrase. Sample the token there again, from
    /// these logits.
    Back(Vec<f32>),
    Over(Status),
}

impl Passage {
    pub fn new(
        loaded: &mut Loaded,
        request: Rc<TextRequest>,
        prompt: &Prompt,
    ) -> Result<Passage, Failure> {
        let bans = Bans::new(&request.bans);
        let bans = bans.map_err(|error| Failure::engine(error.to_string()))?;
        Ok(Passage {
            sampler: sampler(loaded, &request, &prompt.ids),
            base: prompt.ids.len(),
            all: prompt.ids.clone(),
            request,
            decoder: Decoder::default(),
            bans,
            unsaid: prompt.healing.bytes,
            request_healed: prompt.healing.bytes,
            healing: prompt.healing.clone(),
            held: Vec::new(),
            sent: 0,
            text: String::new(),
            before: String::new(),
            said_anything: false,
            blocked: HashMap::new(),
            let_through: HashSet::new(),
        })
    }

    /// Generates tokens until the passage ends. Returns the reason why it ended.
    pub fn write(
        &mut self,
        loaded: &mut Loaded,
        mut logits: Vec<f32>,
        stats: &mut PassageStats,
        listener: &dyn Listener,
    ) -> Result<Status, Failure> {
        let stopped = || listener.is_cancelled();
        loop {
            let id = match self.step(loaded, &logits, stats, listener)? {
                Step::Over(status) => return Ok(status),
                Step::Again(again) => {
                    logits = again;
                    continue;
                }
                Step::Feed(id) => id,
            };
            match loaded.forward(&[id], self.rows(), &stopped)? {
                Some(rows) if !stopped() => logits = rows,
                _ => return Ok(self.finish(Status::Stopped, listener)),
            }
        }
    }

    /// Returns which logits the passage needs for the next token: only the k highest, if the
    /// sampler needs no more.
    fn rows(&self) -> Logits {
        let plain = self.bans.is_empty() && self.healing.is_over();
        match self.sampler.sufficient_top_k().filter(|_| plain) {
            Some(count) => Logits::TopK(count),
            None => Logits::Last,
        }
    }

    /// Samples one token and sends the text that has become final.
    pub fn step(
        &mut self,
        loaded: &mut Loaded,
        logits: &[f32],
        stats: &mut PassageStats,
        listener: &dyn Listener,
    ) -> Result<Step, Failure> {
        let written = self.written();
        stats.new_tokens = written;
        if written >= self.most() {
            return Ok(Step::Over(self.finish(Status::Length, listener)));
        }
        let drawn = self.draw(loaded, logits)?;
        if loaded.tokenizer.ends_generation(drawn.id) {
            stats.new_tokens = written + 1;
            return Ok(Step::Over(self.finish(Status::Complete, listener)));
        }
        if self.goal_met_before(loaded, drawn.id) {
            return Ok(Step::Over(self.finish(Status::Length, listener)));
        }
        let id = drawn.id;
        self.take(loaded, drawn);
        stats.new_tokens = self.written();
        match self.look(loaded, listener)? {
            Looked::Over(status) => return Ok(Step::Over(status)),
            Looked::Back(again) => return Ok(Step::Again(again)),
            Looked::On => {}
        }
        // The newest token has not been evaluated yet.
        if self.all.len() > loaded.model.context() {
            return Ok(Step::Over(self.finish(Status::ContextFull, listener)));
        }
        match self.written() >= self.most() {
            true => Ok(Step::Over(self.finish(Status::Length, listener))),
            false => Ok(Step::Feed(id)),
        }
    }

    /// The tokens of the prompt and of the passage.
    pub fn tokens(&self) -> &[u32] {
        &self.all
    }

    fn written(&self) -> usize {
        self.sent + self.held.len()
    }

    /// The maximum number of tokens that the length goal allows.
    fn most(&self) -> usize {
        most_tokens(&self.request)
    }

    /// Samples the next token. The first token of a passage cannot be an end token, since an empty
    /// passage is useless.
    fn draw(&mut self, loaded: &Loaded, logits: &[f32]) -> Result<Drawn, Failure> {
        let before = (!self.bans.is_empty())
            .then(|| Box::new((logits.to_vec(), self.sampler.clone(), self.decoder.clone())));
        let at = self.written();
        let mut logits = std::borrow::Cow::Borrowed(logits);
        if at == 0 {
            for id in loaded.tokenizer.end_ids() {
                lower(logits.to_mut(), id, f32::INFINITY);
            }
        }
        if !self.healing.is_over() {
            self.healing.allow(&loaded.tokenizer, logits.to_mut());
        }
        for (id, by) in self.blocked.get(&at).into_iter().flatten() {
            lower(logits.to_mut(), *id, *by);
        }
        let choice = self.sampler.sample_with(&logits);
        if choice.kept == 0 {
            let broken = "the model returned no usable logits".to_string();
            return Err(ModelError::Compute(broken).into());
        }
        let begun = self.request.begin.get(at).copied();
        let id = begun.unwrap_or(choice.token);
        Ok(Drawn { id, before })
    }

    fn take(&mut self, loaded: &Loaded, drawn: Drawn) {
        let Drawn { id, before } = drawn;
        self.sampler.accept(id);
        self.all.push(id);
        let bytes = loaded.tokenizer.bytes(id);
        self.healing.spell(bytes);
        let piece = self.decoder.push(bytes);
        let piece = clean(&piece);
        let unsaid = self.unsaid.min(piece.len());
        self.unsaid -= unsaid;
        self.text.push_str(piece.get(unsaid..).unwrap_or_default());
        self.held.push(Token {
            id,
            end: self.text.len(),
            whole: !self.decoder.is_mid_character(),
            before,
        });
    }

    /// Whether the passage should end before the sampled token `id`, because it already meets its
    /// length goal.
    fn goal_met_before(&self, loaded: &Loaded, id: u32) -> bool {
        let written = self.written();
        if !may_end(&self.request, written) {
            return false;
        }
        let piece = self.decoder.clone().push(loaded.tokenizer.bytes(id));
        let said = [self.before.as_str(), &self.text].concat();
        if piece.is_empty() || (self.text.trim().is_empty() && !self.said_anything) {
            return false;
        }
        goal_met_before(&self.request, written, &said, &piece)
    }

    /// Sends the text that has become final. If a banned phrase has appeared, rewinds to its first
    /// token instead.
    fn look(&mut self, loaded: &mut Loaded, listener: &dyn Listener) -> Result<Looked, Failure> {
        if let Some((at, ban)) = self.banned() {
            return self.go_back(loaded, at, ban, listener);
        }
        let stops = self.request.sampling.stop.iter();
        let stops = stops.filter(|stop| !stop.is_empty());
        let met = stops
            .clone()
            .filter_map(|stop| self.text.find(stop.as_str()));
        if let Some(at) = met.min() {
            self.cut(at);
            return Ok(Looked::Over(self.finish(Status::StopString, listener)));
        }
        if let LengthGoal::Until(words) = &self.request.goal {
            let said = [self.before.as_str(), &self.text].concat();
            if let Some(at) = said.find(words.as_str()).filter(|_| !words.is_empty()) {
                self.cut((at + words.len()).saturating_sub(self.before.len()));
                return Ok(Looked::Over(self.finish(Status::Length, listener)));
            }
        }
        let begun = stops.filter_map(|stop| overlap(&self.text, stop)).min();
        let certain = begun.unwrap_or(self.text.len());
        let certain = certain.min(self.bans.uncertain_from(&self.text));
        match self.release(certain, listener) {
            true => Ok(Looked::On),
            false => Ok(Looked::Over(Status::Stopped)),
        }
    }

    /// Truncates the text at the byte offset `at`, and removes the tokens that start at or after
    /// this offset.
    fn cut(&mut self, at: usize) {
        let begun = |(index, _): &(usize, &Token)| {
            index
                .checked_sub(1)
                .map_or(0, |before| self.held[before].end)
                < at
        };
        let kept = self.held.iter().enumerate().take_while(begun).count();
        self.held.truncate(kept);
        self.text.truncate(at);
    }

    /// Sends the text that has not been sent yet, and returns `status`.
    pub fn finish(&mut self, status: Status, listener: &dyn Listener) -> Status {
        let text = std::mem::take(&mut self.text);
        let tokens = std::mem::take(&mut self.held);
        self.send(text, &tokens, listener);
        status
    }

    /// Sends the tokens that end at or before the byte offset `certain` and complete a character.
    /// Returns false if the listener no longer receives events.
    fn release(&mut self, certain: usize, listener: &dyn Listener) -> bool {
        let ready = |token: &Token| token.whole && token.end <= certain;
        let Some(last) = self.held.iter().rposition(ready) else {
            return true;
        };
        let tokens: Vec<Token> = self.held.drain(..=last).collect();
        let end = tokens[last].end;
        let rest = self.text.split_off(end);
        let text = std::mem::replace(&mut self.text, rest);
        for token in &mut self.held {
            token.end -= end;
        }
        self.send(text, &tokens, listener)
    }

    fn send(&mut self, text: String, tokens: &[Token], listener: &dyn Listener) -> bool {
        if text.is_empty() && tokens.is_empty() {
            return true;
        }
        let healed = match self.sent {
            0 => self.request_healed - self.unsaid,
            _ => 0,
        };
        self.sent += tokens.len();
        self.said_anything |= !text.trim().is_empty();
        self.before.push_str(&text);
        let mut from = self.before.len().saturating_sub(LOOK_BACK);
        while !self.before.is_char_boundary(from) {
            from += 1;
        }
        self.before.drain(..from);
        listener.tell(Event::Piece {
            node: self.request.node,
            text,
            ids: tokens.iter().map(|token| token.id).collect(),
            healed,
        })
    }
}

fn lower(logits: &mut [f32], id: u32, by: f32) {
    if let Some(logit) = logits.get_mut(id as usize) {
        *logit -= by;
    }
}

/// Creates the sampler of a passage. The sampler has accepted the tokens of the prompt, so that its
/// penalties take them into account.
pub fn sampler(loaded: &mut Loaded, request: &TextRequest, prompt: &[u32]) -> Sampler {
    let sampling = &request.sampling;
    let breakers = match sampling.dry_multiplier > 0.0 {
        true => loaded.breakers(&sampling.dry_sequence_breakers),
        false => SequenceBreakers::none(),
    };
    let ends: Vec<u32> = loaded.tokenizer.end_ids().chain(loaded.newline()).collect();
    let mut sampler = Sampler::new(sampling, request.seed, breakers).protect_from_xtc(ends);
    for id in prompt {
        sampler.accept(*id);
    }
    sampler
}
