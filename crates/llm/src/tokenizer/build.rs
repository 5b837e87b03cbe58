//! Builds a tokenizer from the `tokenizer.ggml.*` metadata of a GGUF file.
//!
//! Sources: llama.cpp `src/llama-vocab.cpp` for the meaning of `pre`, and each model's published
//! tokenizer.json for the pre-tokenizer itself.

use super::byte_pairs::BytePairs;
use super::sentence_piece::SentencePiece;
use super::string_map::StringMap;
use crate::error::ModelError;
use crate::families::{self, END_TOKENS, TURN_TOKENS, WordSplit};
use crate::gguf::Gguf;
use std::borrow::Cow;
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{PreTokenizerWrapper, SplitDelimiterBehavior};

/// The number that marks control tokens in `tokenizer.ggml.token_type` (llama.h, `enum
/// llama_token_type`).
const CONTROL: u8 = 3;
const USER_DEFINED: u8 = 4;
const BYTE: u8 = 6;

/// Returns the ids of the control tokens that end generation.
pub fn ends(controls: &[(u32, String)]) -> impl Iterator<Item = u32> {
    let ends = controls
        .iter()
        .filter(|(_, name)| END_TOKENS.contains(&name.as_str()));
    ends.map(|(id, _)| *id)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The vocabulary of byte-level BPE, in which each byte is written as a character of GPT-2's
    /// printable alphabet.
    ByteLevel,
    /// The vocabulary of SentencePiece, in which a space is written as `▁` and a token for a single
    /// byte as `<0xXX>`.
    SentencePiece,
}

pub struct Vocabulary<'a> {
    kind: Kind,
    tokens: Vec<Cow<'a, str>>,
    types: Vec<u8>,
}

impl<'a> Vocabulary<'a> {
    pub fn read(gguf: &'a Gguf) -> Result<Vocabulary<'a>, ModelError> {
        let model = gguf.text("tokenizer.ggml.model").unwrap_or_default();
        let kind = match model.as_ref() {
            "gpt2" => Kind::ByteLevel,
            "llama" => Kind::SentencePiece,
            "" => return Err(gguf.missing("tokenizer.ggml.model").into()),
            other => return Err(ModelError::Vocabulary(base::untrusted::clean_key(other))),
        };
        let tokens = gguf
            .texts("tokenizer.ggml.tokens")
            .filter(|tokens| !tokens.is_empty());
        let tokens = tokens.ok_or_else(|| gguf.missing("tokenizer.ggml.tokens"))?;
        let types = gguf
            .numbers("tokenizer.ggml.token_type")
            .unwrap_or_default();
        let mut types: Vec<u8> = types.into_iter().map(|kind| kind as u8).collect();
        types.resize(tokens.len(), 1);
        Ok(Vocabulary {
            kind,
            tokens,
            types,
        })
    }

    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Returns the id and the name of each control token. Only a chat template may name control
    /// tokens. Some files mark control tokens as user-defined. Such a token counts as a control
    /// token if it has the name of a turn token, or if it is in `named`, the list of tokens to
    /// which the metadata assigns a role.
    pub fn controls(&self, named: &[u32]) -> Vec<(u32, String)> {
        self.chosen(|id, name| self.is_control(id, name, named))
    }

    /// Returns the id and the text of each user-defined token. User-defined tokens are recognized
    /// wherever their text occurs. Examples are HTML tags and, in Gemma, runs of newlines or
    /// spaces.
    pub fn user_defined(&self, named: &[u32]) -> Vec<(u32, String)> {
        self.chosen(|id, name| {
            self.types[id as usize] == USER_DEFINED && !self.is_control(id, name, named)
        })
    }

    fn is_control(&self, id: u32, name: &str, named: &[u32]) -> bool {
        let turns = name.starts_with("<|") && name.ends_with("|>") || TURN_TOKENS.contains(&name);
        match self.types[id as usize] {
            CONTROL => true,
            USER_DEFINED => turns || named.contains(&id),
            _ => false,
        }
    }

    fn chosen(&self, choose: impl Fn(u32, &str) -> bool) -> Vec<(u32, String)> {
        let tokens = (0u32..).zip(&self.tokens);
        let chosen = tokens.filter(|(id, name)| !name.is_empty() && choose(*id, name));
        chosen.map(|(id, name)| (id, name.to_string())).collect()
    }

    /// Returns the text and the id of each token for whose type `wanted` returns true.
    fn numbered(&self, wanted: impl Fn(u8) -> bool) -> impl Iterator<Item = (&str, u32)> {
        let tokens = self.tokens.iter().zip(&self.types).zip(0..);
        let wanted = tokens.filter(move |((_, kind), _)| wanted(**kind));
        wanted.map(|((token, _), id)| (token.as_ref(), id))
    }

    pub fn adds_bos(&self, gguf: &Gguf) -> bool {
        let default = self.kind == Kind::SentencePiece
            || gguf.text("tokenizer.ggml.pre").as_deref() == Some("llama-bpe");
        gguf.flag("tokenizer.ggml.add_bos_token").unwrap_or(default)
    }

    /// Returns one buffer with the bytes of all tokens, and the position in the buffer at which
    /// each token ends. Control tokens have no bytes.
    pub fn bytes(&self) -> (Vec<u8>, Vec<usize>) {
        let alphabet = alphabet();
        let mut bytes = Vec::with_capacity(self.tokens.len() * 6);
        let mut ends = Vec::with_capacity(self.tokens.len());
        for (token, kind) in self.tokens.iter().zip(&self.types) {
            match (*kind, self.kind) {
                (CONTROL, _) => {}
                (BYTE, _) => bytes.extend(byte_token(token)),
                (USER_DEFINED, Kind::ByteLevel) => bytes.extend(token.as_bytes()),
                (_, Kind::SentencePiece) => bytes.extend(token.replace('▁', " ").as_bytes()),
                (_, Kind::ByteLevel) => {
                    let byte = |c: char| *alphabet.get(c as usize)?;
                    bytes.extend(token.chars().filter_map(byte));
                }
            }
            ends.push(bytes.len());
        }
        (bytes, ends)
    }
}

/// Parses the name of a single-byte token: `<0x0A>` is the byte 10.
fn byte_token(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(hex, 16).ok()
}

/// Returns the byte that each character of GPT-2's printable alphabet stands for. A printable
/// Latin-1 character stands for its own byte; the characters from U+0100 on stand for the remaining
/// bytes (Radford et al. 2019, `bytes_to_unicode` in gpt-2's encoder.py).
fn alphabet() -> Vec<Option<u8>> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut alphabet = vec![None; 0x100];
    for b in 0..=u8::MAX {
        match printable(b) {
            true => alphabet[usize::from(b)] = Some(b),
            false => alphabet.push(Some(b)),
        }
    }
    alphabet
}

/// The algorithm that turns text into tokens.
pub enum Splitter {
    ByteLevel(Box<BytePairs>),
    SentencePiece(SentencePiece),
}

impl Splitter {
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        match self {
            Splitter::SentencePiece(pieces) => Ok(pieces.encode(text)),
            Splitter::ByteLevel(pairs) => pairs.encode(text),
        }
    }
}

/// Returns the splitter for a vocabulary. If the way to split text into words had to be guessed,
/// also returns a note about it.
pub fn splitter(
    gguf: &Gguf,
    vocabulary: &Vocabulary,
) -> Result<(Splitter, Option<String>), ModelError> {
    match vocabulary.kind {
        Kind::ByteLevel => {
            let (pairs, note) = byte_level(gguf, vocabulary)?;
            Ok((Splitter::ByteLevel(Box::new(pairs)), note))
        }
        Kind::SentencePiece => {
            let pieces = sentence_piece(gguf, vocabulary)?;
            Ok((Splitter::SentencePiece(pieces), None))
        }
    }
}

const CONTRACTIONS: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const REST: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn byte_level(
    gguf: &Gguf,
    vocabulary: &Vocabulary,
) -> Result<(BytePairs, Option<String>), ModelError> {
    let merges = gguf.texts("tokenizer.ggml.merges");
    let merges = merges.ok_or_else(|| gguf.missing("tokenizer.ggml.merges"))?;
    let pre = gguf.text("tokenizer.ggml.pre").unwrap_or_default();
    let digits = |count: &str| {
        format!(r"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{count}|{REST}")
    };
    let mut note = None;
    let (split, nfc) = match families::split_of(&pre) {
        Some(WordSplit::SmolLm) => (Pre::SmolLm, false),
        Some(WordSplit::Llama3) => (Pre::Regex(digits("{1,3}")), false),
        Some(WordSplit::Qwen2) => (Pre::Regex(digits("")), true),
        Some(WordSplit::Tekken) => (Pre::Regex(TEKKEN.to_string()), false),
        Some(WordSplit::Gpt2) => (Pre::Gpt2, false),
        None => {
            note = Some(format!(
                "The file's pre-tokenizer (\"{}\") is unknown; GPT-2's is used instead, so some words may be split differently.",
                base::untrusted::clean_key(&pre)
            ));
            (Pre::Gpt2, false)
        }
    };
    let ignore = gguf
        .flag("tokenizer.ggml.ignore_merges")
        .unwrap_or(matches!(
            pre.as_ref(),
            "llama-bpe" | "llama3" | "llama-v3" | "tekken"
        ));
    let listed = merges.iter().map(Cow::as_ref).zip(0..);
    let pairs = BytePairs {
        vocabulary: StringMap::new(vocabulary.numbered(|_| true), vocabulary.len()),
        merges: StringMap::new(listed, merges.len()),
        words: split.pipeline()?,
        nfc,
        whole_words: ignore,
    };
    Ok((pairs, note))
}

/// The pre-tokenizer, which splits text into words before tokens are merged.
enum Pre {
    Gpt2,
    /// Splits off each digit, then splits the text like GPT-2.
    SmolLm,
    Regex(String),
}

impl Pre {
    fn pipeline(self) -> Result<PreTokenizerWrapper, ModelError> {
        let first: PreTokenizerWrapper = match self {
            Pre::Gpt2 => return Ok(ByteLevel::new(false, true, true).into()),
            Pre::SmolLm => Digits::new(true).into(),
            Pre::Regex(pattern) => {
                let pattern = SplitPattern::Regex(pattern);
                let isolated = SplitDelimiterBehavior::Isolated;
                let split = Split::new(pattern, isolated, false).map_err(unusable)?;
                let bytes = ByteLevel::new(false, true, false);
                return Ok(Sequence::new(vec![split.into(), bytes.into()]).into());
            }
        };
        let bytes = ByteLevel::new(false, true, true);
        Ok(Sequence::new(vec![first, bytes.into()]).into())
    }
}

/// Returns the SentencePiece splitter of a vocabulary. It never turns text into control tokens or
/// single-byte tokens, even if the text contains their names.
fn sentence_piece(gguf: &Gguf, vocabulary: &Vocabulary) -> Result<SentencePiece, ModelError> {
    let scores = gguf.numbers("tokenizer.ggml.scores");
    let scores = scores.ok_or_else(|| gguf.missing("tokenizer.ggml.scores"))?;
    let scores = scores.into_iter().map(|score| score as f32);
    let mut scores: Vec<f32> = scores.collect();
    scores.resize(vocabulary.len(), 0.0);
    let mut bytes = Box::new([None; 256]);
    for (name, id) in vocabulary.numbered(|kind| kind == BYTE) {
        if let Some(byte) = byte_token(name) {
            bytes[usize::from(byte)] = Some(id);
        }
    }
    let words = vocabulary.numbered(|kind| !matches!(kind, CONTROL | BYTE));
    let pieces = StringMap::new(words, vocabulary.len());
    let unknown = gguf.unsigned("tokenizer.ggml.unknown_token_id");
    let unknown = unknown.filter(|id| *id < vocabulary.len() as u64);
    let prefix = gguf.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true);
    Ok(SentencePiece::new(
        pieces,
        scores,
        bytes,
        unknown.map(|id| id as u32),
        prefix,
    ))
}

fn unusable(error: impl std::fmt::Display) -> ModelError {
    ModelError::Tokenize(error.to_string())
}
