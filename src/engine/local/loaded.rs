//! A loaded model: its weights, tokenizer and chat template, and the tokens in its KV cache.

use super::draft::Draft;
use super::prompt::Prompt;
use super::speculate::Ahead;
use llm::template::ChatTemplate;
use llm::{Branch, Logits, ModelError, TextModel, Tokenizer};
use sampler::dry::SequenceBreakers;
use story::ModelInfo;
use story::message::TextRequest;

/// A loaded text model, with its KV cache.
pub struct Loaded {
    pub about: ModelInfo,
    pub model: Box<dyn TextModel>,
    pub tokenizer: Tokenizer,
    pub template: Option<ChatTemplate>,
    /// The tokens in the KV cache, in order. Draft tokens that have not been accepted yet are not
    /// included.
    held: Vec<u32>,
    /// The logits after the last token in the KV cache; empty if they are unknown.
    latest: Vec<f32>,
    ahead: Ahead,
    /// The last request, and the prompt that was built for that request.
    pub prompted: Option<Box<(TextRequest, Prompt)>>,
    /// The draft model, which is used if prompt lookup finds no draft tokens.
    pub draft: Option<Draft>,
    /// Whether speculative decoding is on.
    pub speculate: bool,
    breakers: Option<(Vec<String>, SequenceBreakers)>,
}

impl Loaded {
    pub fn new(
        about: ModelInfo,
        model: Box<dyn TextModel>,
        tokenizer: Tokenizer,
        template: Option<ChatTemplate>,
    ) -> Loaded {
        Loaded {
            about,
            model,
            tokenizer,
            template,
            held: Vec::new(),
            latest: Vec::new(),
            ahead: Ahead::default(),
            prompted: None,
            draft: None,
            speculate: true,
            breakers: None,
        }
    }

    /// Returns how many tokens at the start of `ids` are already in the KV cache.
    pub fn common_prefix(&self, ids: &[u32]) -> usize {
        let pairs = self.held.iter().zip(ids);
        pairs.take_while(|(held, id)| held == id).count()
    }

    /// Returns the logits after the tokens `ids`, if `ids` is exactly the contents of the KV cache
    /// and the logits are known.
    pub fn latest(&self, ids: &[u32]) -> Option<&[f32]> {
        let known = !self.latest.is_empty() && self.held == ids;
        known.then_some(self.latest.as_slice())
    }

    /// Stores the logits of the token that follows the contents of the KV cache.
    pub fn remember(&mut self, logits: &[f32]) {
        self.latest = logits.to_vec();
    }

    /// Truncates the KV cache to `keep` tokens.
    pub fn rewind(&mut self, keep: usize) {
        if keep < self.held.len() {
            self.latest.clear();
        }
        self.ahead.forget();
        self.model.rewind(keep.min(self.held.len()));
        self.held.truncate(self.model.len());
    }

    pub fn forget(&mut self) {
        self.rewind(0);
    }

    /// The number of draft tokens that have been accepted since the model was loaded.
    pub fn accepted_drafts(&self) -> usize {
        self.ahead.accepted
    }

    /// Returns the token that stands for a line break, which XTC must not remove. Returns None if a
    /// line break is not a single token.
    pub fn newline(&self) -> Option<u32> {
        let ids = self.tokenizer.encode("\n").ok()?;
        ids.first().copied().filter(|_| ids.len() == 1)
    }

    /// Evaluates tokens; see [`TextModel::forward`].
    pub fn forward(
        &mut self,
        ids: &[u32],
        rows: Logits,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        self.latest.clear();
        if let ([id], Logits::Last | Logits::TopK(_)) = (ids, rows) {
            return self.next(*id, rows, stopped);
        }
        self.rewind(self.held.len());
        let logits = self.model.forward(ids, rows, stopped)?;
        if logits.is_some() {
            self.held.extend(ids);
        }
        Ok(logits)
    }

    /// Evaluates one token, together with draft tokens that may follow that token.
    fn next(
        &mut self,
        id: u32,
        rows: Logits,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        if let Some(logits) = self.ahead.take(id) {
            self.held.push(id);
            return Ok(Some(logits));
        }
        self.rewind(self.held.len());
        let room = self.model.context().saturating_sub(self.held.len() + 2);
        let guesses = self.guess(id, room, stopped)?;
        let fed = [&[id], guesses.as_slice()].concat();
        let rows = if guesses.is_empty() {
            rows
        } else {
            Logits::All
        };
        let Some(mut logits) = self.model.forward(&fed, rows, stopped)? else {
            return Ok(None);
        };
        let width = logits.len() / fed.len();
        let later = logits
            .chunks_exact(width.max(1))
            .skip(1)
            .map(<[f32]>::to_vec);
        self.ahead.note(&guesses, later.collect());
        logits.truncate(width);
        self.held.push(id);
        Ok(Some(logits))
    }

    /// Proposes draft tokens that may follow the token `id`.
    fn guess(
        &mut self,
        id: u32,
        room: usize,
        stopped: &dyn Fn() -> bool,
    ) -> Result<Vec<u32>, ModelError> {
        if !self.speculate || !self.model.is_batch_invariant() {
            return Ok(Vec::new());
        }
        let stood = self.ahead.guess(&self.held, id, room);
        match &mut self.draft {
            Some(draft) if stood.is_empty() => {
                let read = [&self.held, [id].as_slice()].concat();
                draft.guess(&read, self.ahead.worth(room), stopped)
            }
            _ => Ok(stood),
        }
    }

    /// Returns the tokens in the KV cache and the bytes of the cache (`snapshot.rs` defines the
    /// format). Returns None if the cache of this model cannot be saved.
    pub fn save(&self) -> Option<(Vec<u32>, Vec<u8>)> {
        let read = self.held.len();
        let bytes = self.model.save(0, read, &self.about.sha256)?;
        Some((self.held.clone(), bytes))
    }

    /// Restores a saved KV cache. After an error, the KV cache is empty.
    pub fn restore(&mut self, ids: &[u32], bytes: &[u8]) -> Result<(), ModelError> {
        self.forget();
        self.model.restore(bytes, &self.about.sha256)?;
        if self.model.len() != ids.len() {
            self.forget();
            return Err(ModelError::Snapshot("its vocabulary differs"));
        }
        self.held = ids.to_vec();
        Ok(())
    }

    /// Replaces the KV cache with that of a branch. `tokens` must start with the tokens in the
    /// cache of the branch.
    pub fn adopt(&mut self, branch: &Branch, tokens: &[u32]) {
        self.rewind(self.held.len());
        self.latest.clear();
        self.model.adopt(branch);
        let read = self.model.len().min(tokens.len());
        self.held = tokens[..read].to_vec();
    }

    /// Returns DRY's sequence breakers as tokens. The result is computed from the vocabulary, and
    /// cached until `strings` changes.
    pub fn breakers(&mut self, strings: &[String]) -> SequenceBreakers {
        if let Some((_, breakers)) = self.breakers.as_ref().filter(|(kept, _)| kept == strings) {
            return breakers.clone();
        }
        let tokens =
            (0..self.tokenizer.len() as u32).map(|id| (id, self.tokenizer.bytes(id).to_vec()));
        let breakers = SequenceBreakers::new(tokens, strings);
        self.breakers = Some((strings.to_vec(), breakers.clone()));
        breakers
    }
}
