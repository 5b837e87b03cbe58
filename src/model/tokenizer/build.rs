//! From `tokenizer.ggml.*` metadata to a `tokenizers` pipeline.
//!
//! Sources: llama.cpp `src/llama-vocab.cpp` for which `pre` means which splitting, and each model's
//! published tokenizer.json for the splitting itself.

use crate::model::ModelError;
use crate::model::gguf::Gguf;
use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use tokenizers::models::bpe::BPE;
use tokenizers::normalizers::{NFC, Prepend, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::digits::Digits;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{NormalizerWrapper, PreTokenizerWrapper, SplitDelimiterBehavior};

/// `tokenizer.ggml.token_type`: llama.h, `enum llama_token_type`.
const CONTROL: u8 = 3;
const USER_DEFINED: u8 = 4;
const BYTE: u8 = 6;

/// Names of tokens that end a passage, whatever the metadata says (llama-vocab.cpp, "EOG").
const ENDS: &[&str] = &[
    "<|im_end|>",
    "<|eot_id|>",
    "<|eom_id|>",
    "<|end|>",
    "<|endoftext|>",
    "<|end_of_text|>",
    "<end_of_turn>",
    "<EOT>",
    "_<EOT>",
    "<|user|>",
    "</s>",
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Bytes are spelled in GPT-2's printable alphabet.
    ByteLevel,
    /// Spaces are `▁`, single bytes `<0xXX>`.
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
            other => return Err(ModelError::Vocabulary(super::super::clean_key(other))),
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

    /// Control tokens (number, name): what a template may name. Some files mark them as
    /// user-defined; those count when they look the part.
    pub fn controls(&self) -> Vec<(u32, String)> {
        let control = |(id, name): (usize, &Cow<str>)| {
            let marked = self.types[id] == CONTROL;
            let looks = name.starts_with('<') && name.ends_with('>') && name.len() > 2;
            let chosen = marked || (self.types[id] == USER_DEFINED && looks);
            (chosen && !name.is_empty()).then(|| (id as u32, name.to_string()))
        };
        self.tokens.iter().enumerate().filter_map(control).collect()
    }

    pub fn ends_generation(&self, named: [Option<u32>; 3]) -> HashSet<u32> {
        let known = self.controls().into_iter();
        let known = known.filter(|(_, name)| ENDS.contains(&name.as_str()));
        known
            .map(|(id, _)| id)
            .chain(named.into_iter().flatten())
            .collect()
    }

    pub fn adds_bos(&self, gguf: &Gguf) -> bool {
        let default = self.kind == Kind::SentencePiece
            || gguf.text("tokenizer.ggml.pre").as_deref() == Some("llama-bpe");
        gguf.flag("tokenizer.ggml.add_bos_token").unwrap_or(default)
    }

    /// Every token's bytes in one buffer, and where each ends. Control tokens have none.
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
                    bytes.extend(token.chars().filter_map(|c| alphabet.get(&c)));
                }
            }
            ends.push(bytes.len());
        }
        (bytes, ends)
    }
}

/// `<0x0A>` → 10.
fn byte_token(token: &str) -> Option<u8> {
    let hex = token.strip_prefix("<0x")?.strip_suffix('>')?;
    u8::from_str_radix(hex, 16).ok()
}

/// GPT-2's printable spelling of bytes: printable Latin-1 is itself, the rest follow from U+0100
/// (Radford et al. 2019, `bytes_to_unicode` in gpt-2's encoder.py).
fn alphabet() -> HashMap<char, u8> {
    let printable = |b: u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    let mut next = 0x100;
    let spell = |b: u8| {
        if printable(b) {
            return (char::from(b), b);
        }
        let c = char::from_u32(next).unwrap_or('\u{fffd}');
        next += 1;
        (c, b)
    };
    (0..=255).map(spell).collect()
}

/// The pipeline for a vocabulary, and a note where the splitting had to be guessed.
pub fn pipeline(
    gguf: &Gguf,
    vocabulary: &Vocabulary,
) -> Result<(tokenizers::Tokenizer, Option<String>), ModelError> {
    match vocabulary.kind {
        Kind::ByteLevel => byte_level(gguf, vocabulary),
        Kind::SentencePiece => Ok((sentence_piece(gguf, vocabulary)?, None)),
    }
}

const CONTRACTIONS: &str = r"(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const REST: &str = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";

fn byte_level(
    gguf: &Gguf,
    vocabulary: &Vocabulary,
) -> Result<(tokenizers::Tokenizer, Option<String>), ModelError> {
    let merges = gguf.texts("tokenizer.ggml.merges");
    let merges = merges.ok_or_else(|| gguf.missing("tokenizer.ggml.merges"))?;
    let merges: Vec<(String, String)> = merges
        .iter()
        .filter_map(|merge| merge.split_once(' '))
        .map(|(left, right)| (left.to_string(), right.to_string()))
        .collect();
    let pre = gguf.text("tokenizer.ggml.pre").unwrap_or_default();
    let digits = |count: &str| {
        format!(r"{CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{count}|{REST}")
    };
    let mut note = None;
    let (split, nfc) = match pre.as_ref() {
        "smollm" => (Pre::SmolLm, false),
        "llama-bpe" | "llama3" | "llama-v3" | "smaug-bpe" | "lfm2" | "glm4" | "chatglm-bpe"
        | "falcon3" | "pixtral" => (Pre::Regex(digits("{1,3}")), false),
        "qwen2" | "deepseek-r1-qwen" | "qwen3" => (Pre::Regex(digits("")), true),
        "tekken" => (Pre::Regex(TEKKEN.to_string()), false),
        other => {
            if !matches!(other, "gpt-2" | "gpt2" | "default" | "") {
                note = Some(format!(
                    "The file names a way of splitting text (\"{}\") that illumine does not know; \
                     GPT-2's is used, so some words may be split differently.",
                    super::super::clean_key(other)
                ));
            }
            (Pre::Gpt2, false)
        }
    };
    let ignore = gguf
        .flag("tokenizer.ggml.ignore_merges")
        .unwrap_or(matches!(
            pre.as_ref(),
            "llama-bpe" | "llama3" | "llama-v3" | "tekken"
        ));
    let bpe = BPE::builder()
        .vocab_and_merges(vocab(vocabulary), known(merges, vocabulary))
        .ignore_merges(ignore)
        .build()
        .map_err(unusable)?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    if nfc {
        let nfc = Some(NormalizerWrapper::from(NFC));
        tokenizer.with_normalizer(nfc).map_err(unusable)?;
    }
    tokenizer.with_pre_tokenizer(Some(split.pipeline()?));
    Ok((tokenizer, note))
}

/// How text is cut into words before merging.
enum Pre {
    Gpt2,
    /// Every digit alone, then GPT-2.
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

/// SentencePiece merges whatever pair of neighbours makes the best-scored token. As a list of BPE
/// merges: every way to split a token in two tokens, ordered by the whole's score (the rule by
/// which the Hugging Face converters write tokenizer.json).
fn sentence_piece(
    gguf: &Gguf,
    vocabulary: &Vocabulary,
) -> Result<tokenizers::Tokenizer, ModelError> {
    let scores = gguf.numbers("tokenizer.ggml.scores");
    let scores = scores.ok_or_else(|| gguf.missing("tokenizer.ggml.scores"))?;
    let ids = vocab(vocabulary);
    let mut merges: Vec<(f64, u32, u32, (String, String))> = Vec::new();
    for (id, token) in vocabulary.tokens.iter().enumerate() {
        if matches!(vocabulary.types[id], CONTROL | BYTE) {
            continue;
        }
        for (cut, _) in token.char_indices().skip(1) {
            let (left, right) = token.split_at(cut);
            if let (Some(l), Some(r)) = (ids.get(left), ids.get(right)) {
                let score = scores.get(id).copied().unwrap_or(0.0);
                merges.push((score, *l, *r, (left.to_string(), right.to_string())));
            }
        }
    }
    merges.sort_by(|a, b| b.0.total_cmp(&a.0).then((a.1, a.2).cmp(&(b.1, b.2))));
    let merges = merges.into_iter().map(|(_, _, _, pair)| pair).collect();
    let bpe = BPE::builder()
        .vocab_and_merges(ids, merges)
        .byte_fallback(true)
        .fuse_unk(true)
        .build()
        .map_err(unusable)?;
    let mut tokenizer = tokenizers::Tokenizer::new(bpe);
    let mut steps: Vec<NormalizerWrapper> = Vec::new();
    if gguf.flag("tokenizer.ggml.add_space_prefix").unwrap_or(true) {
        steps.push(Prepend::new("▁".to_string()).into());
    }
    steps.push(Replace::new(" ", "▁").map_err(unusable)?.into());
    let steps = Some(NormalizerWrapper::from(Normalizers::new(steps)));
    tokenizer.with_normalizer(steps).map_err(unusable)?;
    Ok(tokenizer)
}

fn vocab(vocabulary: &Vocabulary) -> ahash::AHashMap<String, u32> {
    let tokens = vocabulary.tokens.iter().enumerate();
    tokens
        .map(|(id, token)| (token.to_string(), id as u32))
        .collect()
}

/// Merges whose parts and whole are all tokens; a damaged list must not make the rest unusable.
fn known(merges: Vec<(String, String)>, vocabulary: &Vocabulary) -> Vec<(String, String)> {
    let tokens: HashSet<&str> = vocabulary.tokens.iter().map(Cow::as_ref).collect();
    let known = |(left, right): &(String, String)| {
        let whole = format!("{left}{right}");
        tokens.contains(left.as_str())
            && tokens.contains(right.as_str())
            && tokens.contains(whole.as_str())
    };
    merges.into_iter().filter(known).collect()
}

fn unusable(error: impl std::fmt::Display) -> ModelError {
    ModelError::Tokenize(error.to_string())
}
