//! Converts text to tokens and tokens to text, with the vocabulary of a GGUF file.
//!
//! The modules `byte_pairs` and `sentence_piece` implement the two kinds of vocabulary; for byte
//! pairs, the `tokenizers` crate splits text into words. Control tokens are never parsed from a
//! writer's text: if a writer types `<|im_end|>` into a story, it is plain text. Only a rendered
//! chat template may name control tokens. User-defined tokens belong to ordinary text and are
//! always recognized, as in llama.cpp (`tokenizer_st_partition`).

mod build;
mod byte_pairs;
mod decoder;
mod merge;
mod sentence_piece;
mod string_map;

pub use decoder::Decoder;

use super::gguf::Gguf;
use crate::error::ModelError;
use aho_corasick::{AhoCorasick, MatchKind};
use build::Splitter;
use std::collections::HashSet;

/// A model's vocabulary.
pub struct Tokenizer {
    /// The splitter, which turns text into tokens without recognizing control tokens or
    /// user-defined tokens.
    splitter: Splitter,
    /// The user-defined tokens, which are found before the remaining text is split.
    user_defined: TokenFinder,
    /// The bytes of all tokens, in order of token id.
    bytes: Vec<u8>,
    /// The position in `bytes` at which each token ends.
    ends: Vec<usize>,
    /// The control tokens, which only a chat template may name.
    control_tokens: TokenFinder,
    bos: Option<u32>,
    eos: Option<u32>,
    add_bos: bool,
    ends_generation: HashSet<u32>,
    fill: Option<FillInMiddle>,
    note: Option<String>,
}

/// The ids of the control tokens for fill-in-the-middle, which mark the text before a gap, the text
/// after the gap and the text in the gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FillInMiddle {
    pub prefix: u32,
    pub suffix: u32,
    pub middle: u32,
}

/// A set of tokens whose names can be found in text.
struct TokenFinder {
    names: Vec<String>,
    ids: Vec<u32>,
    finder: AhoCorasick,
}

/// The first placeholder, a character in Unicode's supplementary private use area B. While a
/// template is rendered, the character `GUARD + n` stands for the name of control token n in a
/// writer's text.
const GUARD: u32 = 0x10_0000;

impl Tokenizer {
    /// Builds the tokenizer from the `tokenizer.ggml.*` metadata. The supported kinds are
    /// byte-level BPE ("gpt2") and SentencePiece ("llama").
    pub fn from_gguf(gguf: &Gguf) -> Result<Tokenizer, ModelError> {
        let vocabulary = build::Vocabulary::read(gguf)?;
        let (splitter, note) = build::splitter(gguf, &vocabulary)?;
        let (bytes, ends) = vocabulary.bytes();
        let id = |key: &str| {
            let id = gguf.unsigned(&format!("tokenizer.ggml.{key}_token_id"))?;
            (id < vocabulary.len() as u64).then_some(id as u32)
        };
        let mut named: Vec<u32> = [id("eos"), id("eot"), id("eom")]
            .into_iter()
            .flatten()
            .collect();
        let mut ends_generation: HashSet<u32> = named.iter().copied().collect();
        named.extend(id("bos"));
        let controls = vocabulary.controls(&named);
        ends_generation.extend(build::ends(&controls));
        let fill = match (id("fim_pre"), id("fim_suf"), id("fim_mid")) {
            (Some(prefix), Some(suffix), Some(middle)) => Some(FillInMiddle {
                prefix,
                suffix,
                middle,
            }),
            _ => None,
        };
        Ok(Tokenizer {
            splitter,
            bytes,
            ends,
            user_defined: TokenFinder::new(vocabulary.user_defined(&named))?,
            control_tokens: TokenFinder::new(controls)?,
            bos: id("bos"),
            eos: id("eos"),
            add_bos: vocabulary.adds_bos(gguf),
            ends_generation,
            fill,
            note,
        })
    }

    /// The number of tokens in the vocabulary.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The beginning-of-text token, if the model was trained to see this token before prose.
    pub fn leading_bos(&self) -> Option<u32> {
        self.bos.filter(|_| self.add_bos)
    }

    /// Whether the token `id` ends generation.
    pub fn ends_generation(&self, id: u32) -> bool {
        self.ends_generation.contains(&id)
    }

    pub fn end_ids(&self) -> impl Iterator<Item = u32> + '_ {
        self.ends_generation.iter().copied()
    }

    /// The fill-in-the-middle tokens, if the model was trained with them.
    pub fn fill_in_middle(&self) -> Option<FillInMiddle> {
        self.fill
    }

    /// A note for the user if the way to split text had to be guessed for this vocabulary.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The bytes of the token `id`. Empty for control tokens and invalid ids.
    pub fn bytes(&self, id: u32) -> &[u8] {
        let index = id as usize;
        let Some(end) = self.ends.get(index) else {
            return &[];
        };
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.bytes[start..*end]
    }

    pub(crate) fn special_name(&self, id: Option<u32>) -> &str {
        let index = self
            .control_tokens
            .ids
            .iter()
            .position(|special| Some(*special) == id);
        index.map_or("", |index| &self.control_tokens.names[index])
    }

    pub(crate) fn bos_name(&self) -> &str {
        self.special_name(self.bos)
    }

    pub(crate) fn eos_name(&self) -> &str {
        self.special_name(self.eos)
    }

    /// Encodes a writer's text. Names of control tokens in the text are treated as plain text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let mut ids = Vec::new();
        let mut at = 0;
        for found in self.user_defined.finder.find_iter(text) {
            self.split(&text[at..found.start()], &mut ids)?;
            ids.push(self.user_defined.ids[found.pattern().as_usize()]);
            at = found.end();
        }
        self.split(&text[at..], &mut ids)?;
        Ok(ids)
    }

    fn split(&self, text: &str, ids: &mut Vec<u32>) -> Result<(), ModelError> {
        if !text.is_empty() {
            ids.extend(self.splitter.encode(text)?);
        }
        Ok(())
    }

    /// Encodes the output of a chat template. The names of control tokens become control tokens,
    /// and placeholders (see [`Tokenizer::guard`]) become plain text again.
    pub fn encode_rendered(&self, rendered: &str) -> Result<Vec<u32>, ModelError> {
        let mut ids = Vec::new();
        let mut at = 0;
        for found in self.control_tokens.finder.find_iter(rendered) {
            ids.extend(self.encode(&self.unguard(&rendered[at..found.start()]))?);
            ids.push(self.control_tokens.ids[found.pattern().as_usize()]);
            at = found.end();
        }
        ids.extend(self.encode(&self.unguard(&rendered[at..]))?);
        Ok(ids)
    }

    /// Replaces each name of a control token in a writer's text with a placeholder, so that
    /// [`Tokenizer::encode_rendered`] does not turn the name into a control token.
    pub fn guard(&self, text: &str) -> String {
        let mut guarded = String::with_capacity(text.len());
        self.control_tokens
            .finder
            .replace_all_with(text, &mut guarded, |found, _, out| {
                let guard = char::from_u32(GUARD + found.pattern().as_u32());
                out.extend(guard);
                true
            });
        guarded
    }

    fn unguard(&self, text: &str) -> String {
        let name = |c: char| {
            let index = (c as u32).checked_sub(GUARD)?;
            self.control_tokens.names.get(index as usize)
        };
        let mut words = String::with_capacity(text.len());
        for c in text.chars() {
            match name(c) {
                Some(name) => words.push_str(name),
                None => words.push(c),
            }
        }
        words
    }
}

impl TokenFinder {
    fn new(tokens: Vec<(u32, String)>) -> Result<TokenFinder, ModelError> {
        let (ids, names): (Vec<u32>, Vec<String>) = tokens.into_iter().unzip();
        let finder = AhoCorasick::builder()
            .match_kind(MatchKind::LeftmostLongest)
            .build(&names)
            .map_err(|error| ModelError::Tokenize(error.to_string()))?;
        Ok(TokenFinder { names, ids, finder })
    }
}
