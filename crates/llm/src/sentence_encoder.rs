//! The text encoder, which turns a text into an embedding. Texts with similar meanings have similar
//! embeddings.
//!
//! The model is all-MiniLM-L6-v2 (Reimers and Gurevych 2019, Wang et al. 2020): BERT, followed by
//! mean pooling and normalization. It does not handle pictures.

use crate::error::ModelError;
use ahash::AHashMap;
use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config, HiddenAct};
use memmap2::Mmap;
use std::fs::File;
use std::path::Path;
use tokenizers::models::wordpiece::WordPiece;
use tokenizers::normalizers::BertNormalizer;
use tokenizers::pre_tokenizers::bert::BertPreTokenizer;

/// The number of values in an embedding.
pub const WIDTH: usize = 384;
/// The maximum number of tokens that the encoder was trained on. The rest of a longer text is
/// ignored.
const LONGEST: usize = 256;
/// The number of characters of a text that are tokenized, which is more than enough for [`LONGEST`]
/// tokens.
const LETTERS: usize = 8 * LONGEST;

/// The encoder's vocabulary: one word piece per line, in order of token id.
const VOCABULARY: &str = include_str!("../../../models/all-minilm-l6-v2/vocab.txt");
/// The id of the token `[CLS]`, which is placed before the text.
const BEGIN: u32 = 101;
/// The id of the token `[SEP]`, which is placed after the text.
const END: u32 = 102;

/// The loaded text encoder.
pub struct SentenceEncoder {
    bert: BertModel,
    tokenizer: tokenizers::Tokenizer,
    device: Device,
}

impl SentenceEncoder {
    /// Loads the text encoder from `path`, which is the file `model.safetensors` of
    /// all-MiniLM-L6-v2.
    pub fn load(path: &Path, device: &Device) -> Result<SentenceEncoder, ModelError> {
        let unreadable = |why: String| ModelError::Encoder(base::untrusted::clean_key(&why));
        let file = File::open(path).map_err(|why| unreadable(why.to_string()))?;
        // SAFETY: the file belongs to the program, which never writes its files in place; the map
        // is dropped when this function ends.
        let map = unsafe { Mmap::map(&file) }.map_err(|why| unreadable(why.to_string()))?;
        let weights = VarBuilder::from_slice_safetensors(&map, DType::F32, device);
        let bert = weights.and_then(|weights| BertModel::load(weights, &config()));
        Ok(SentenceEncoder {
            bert: bert.map_err(|why| unreadable(why.to_string()))?,
            tokenizer: tokenizer()?,
            device: device.clone(),
        })
    }

    /// Loads the text encoder onto the chosen device.
    pub fn open(
        path: &Path,
        choice: super::device::DeviceChoice,
    ) -> Result<SentenceEncoder, ModelError> {
        SentenceEncoder::load(path, &super::device::open(choice)?)
    }

    /// Returns the normalized embedding of a text, which has [`WIDTH`] values.
    pub fn embed(&self, text: &str) -> Result<Vec<f32>, ModelError> {
        let mut rows = self.forward(&[self.ids(text)?])?;
        Ok(rows.pop().unwrap_or_default())
    }

    /// Returns the embeddings of many texts, `[texts, WIDTH]`. Before each batch, `go_on` is called
    /// with the number of finished texts; if it returns false, this function returns None.
    pub fn embed_all(
        &self,
        texts: &[String],
        go_on: &mut dyn FnMut(usize) -> bool,
    ) -> Result<Option<Vec<f32>>, ModelError> {
        const TOGETHER: usize = 64;
        let ids = texts.iter().map(|text| self.ids(text));
        let ids: Vec<Vec<u32>> = ids.collect::<Result<_, _>>()?;
        // Texts of equal length are batched, so that none needs padding.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|at| ids[*at].len());
        let mut all = vec![0f32; texts.len() * WIDTH];
        let mut done = 0;
        for same in order.chunk_by(|a, b| ids[*a].len() == ids[*b].len()) {
            for some in same.chunks(TOGETHER) {
                if !go_on(done) {
                    return Ok(None);
                }
                let batch: Vec<Vec<u32>> = some.iter().map(|at| ids[*at].clone()).collect();
                for (at, row) in some.iter().zip(self.forward(&batch)?) {
                    all[at * WIDTH..][..WIDTH].copy_from_slice(&row);
                }
                done += some.len();
            }
        }
        Ok(Some(all))
    }

    /// Embeds several texts. `ids` contains one row of token ids per text; all rows have the same
    /// length.
    fn forward(&self, ids: &[Vec<u32>]) -> Result<Vec<Vec<f32>>, ModelError> {
        let tokens = ids.first().map_or(0, Vec::len);
        let ids = Tensor::from_vec(ids.concat(), (ids.len(), tokens), &self.device)?;
        let kinds = ids.zeros_like()?;
        let hidden = self.bert.forward(&ids, &kinds, None)?; // [texts, tokens, WIDTH]
        let mut rows = hidden.mean(1)?.to_vec2::<f32>()?;
        for row in &mut rows {
            let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
            row.iter_mut().for_each(|x| *x /= length.max(1e-12));
        }
        Ok(rows)
    }

    fn ids(&self, text: &str) -> Result<Vec<u32>, ModelError> {
        let text: String = text.chars().take(LETTERS).collect();
        let pieces = self.tokenizer.encode_fast(text, false);
        let pieces = pieces
            .map_err(|why| ModelError::Tokenize(base::untrusted::clean_key(&why.to_string())))?;
        let inner = pieces.get_ids().iter().take(LONGEST - 2).copied();
        Ok([BEGIN].into_iter().chain(inner).chain([END]).collect())
    }
}

/// Returns the configuration of all-MiniLM-L6-v2, from its config.json.
fn config() -> Config {
    Config {
        vocab_size: 30522,
        hidden_size: WIDTH,
        num_hidden_layers: 6,
        num_attention_heads: 12,
        intermediate_size: 4 * WIDTH,
        hidden_act: HiddenAct::Gelu,
        max_position_embeddings: 512,
        type_vocab_size: 2,
        layer_norm_eps: 1e-12,
        ..Config::default()
    }
}

/// Creates the tokenizer. It converts text to lower case, removes accents, splits the text at
/// spaces and punctuation, and splits the resulting words into word pieces. Control tokens such as
/// `[CLS]` are never parsed from text.
fn tokenizer() -> Result<tokenizers::Tokenizer, ModelError> {
    let vocabulary = VOCABULARY.lines().enumerate();
    let vocabulary: AHashMap<_, _> = vocabulary
        .map(|(id, word)| (word.to_string(), id as u32))
        .collect();
    let pieces = WordPiece::builder()
        .vocab(vocabulary)
        .unk_token("[UNK]".to_string())
        .build()
        .map_err(|why| ModelError::Tokenize(why.to_string()))?;
    let mut tokenizer = tokenizers::Tokenizer::new(pieces);
    let normalizer = tokenizer.with_normalizer(Some(BertNormalizer::default()));
    normalizer.map_err(|why| ModelError::Tokenize(why.to_string()))?;
    tokenizer.with_pre_tokenizer(Some(BertPreTokenizer));
    Ok(tokenizer)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<String> {
        let found = tokenizer().unwrap().encode(text, false).unwrap();
        found.get_tokens().to_vec()
    }

    #[test]
    fn text_is_split_as_bert_splits_it() {
        assert_eq!(
            pieces("The Dragon’s Crème-brûlée"),
            [
                "the", "dragon", "’", "s", "cr", "##eme", "-", "br", "##ule", "##e"
            ]
        );
        assert_eq!(pieces("[CLS]"), ["[", "cl", "##s", "]"]);
        assert_eq!(pieces(""), [""; 0]);
    }

    #[test]
    fn a_file_that_is_no_encoder_is_said_in_one_sentence() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.safetensors");
        std::fs::write(&path, b"not a model").unwrap();
        let why = SentenceEncoder::load(&path, &Device::Cpu).err().unwrap();
        assert!(why.to_string().contains("models verify"), "{why}");
        assert!(SentenceEncoder::load(&folder.path().join("none"), &Device::Cpu).is_err());
    }
}
