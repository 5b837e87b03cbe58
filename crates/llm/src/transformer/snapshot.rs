//! The warm cache: the KV cache of a run of tokens as bytes that can be saved. Loading it takes a
//! fraction of the time that evaluating the tokens again would.
//!
//! The fields, in this order and little-endian:
//!
//! | bytes | what |
//! |---|---|
//! | 8 | `ILLUMKV1` |
//! | 4, 4 | the first position, and the position after the last |
//! | 32 | SHA-256 of everything that the contents depend on: the caller's name for the model, layers, heads, width and kind of keys and values |
//! | … | layer after layer: for each position its keys, then its values, `[heads, dim]` each, as half floats, floats or bytes (bytes are followed by the scales of keys and values); for a convolution its rows, `[channels]`, as floats |
//! | 32 | SHA-256 of everything before |
//!
//! Nothing depends on the file: if anything is wrong with it, the tokens are evaluated again.

use super::Transformer;
use super::layer::Mixer;
use crate::error::ModelError;
use sha2::{Digest, Sha256};

const MAGIC: &[u8; 8] = b"ILLUMKV1";
/// The number of bytes before the data of the layers.
const HEADER: usize = 48;
/// The number of bytes after the data of the layers.
const CHECKSUM: usize = 32;

impl Transformer {
    /// Returns the KV cache of the positions `from..to` in all layers, as bytes. Returns None on a
    /// GPU, since only caches on a CPU can be saved.
    pub(super) fn snapshot(&self, from: usize, to: usize, model: &str) -> Option<Vec<u8>> {
        if from > to || to > self.len {
            return None;
        }
        let mut bytes = MAGIC.to_vec();
        bytes.extend(u32::try_from(from).ok()?.to_le_bytes());
        bytes.extend(u32::try_from(to).ok()?.to_le_bytes());
        bytes.extend(self.identity(model));
        for layer in &self.layers {
            match &layer.mixer {
                Mixer::Attention(attention) => attention.kv()?.save(from, to, &mut bytes),
                Mixer::Convolution(convolution) => {
                    let (rows, width) = convolution.rows()?;
                    let rows = rows[from * width..to * width].iter();
                    bytes.extend(rows.flat_map(|value| value.to_le_bytes()));
                }
            }
        }
        let checksum = Sha256::digest(&bytes);
        bytes.extend(checksum);
        Some(bytes)
    }

    /// Loads a snapshot into the KV cache, which must contain all tokens before the snapshot's
    /// first position. Tokens from that position on are replaced.
    pub(super) fn restore_snapshot(&mut self, bytes: &[u8], model: &str) -> Result<(), ModelError> {
        let wrong = |why| ModelError::Snapshot(why);
        let (body, checksum) = bytes
            .split_last_chunk::<CHECKSUM>()
            .ok_or(wrong("it is truncated"))?;
        if body.len() < HEADER || !body.starts_with(MAGIC) {
            return Err(wrong("it is of a different type"));
        }
        if Sha256::digest(body)[..] != checksum[..] {
            return Err(wrong("it is damaged"));
        }
        if body[16..HEADER] != self.identity(model) {
            return Err(wrong("it belongs to a different model"));
        }
        let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|i| body[at + i])) as usize;
        let (from, to) = (number(8), number(12));
        if from > to || from > self.len || to > self.config.context {
            return Err(wrong("it does not continue the current cache"));
        }
        let (mut rest, count) = (&body[HEADER..], to - from);
        if rest.len() != count * self.bytes_of_a_position().ok_or(wrong("not on a GPU"))? {
            return Err(wrong("it has a different size"));
        }
        for layer in &mut self.layers {
            match &mut layer.mixer {
                Mixer::Attention(attention) => {
                    if let Some(kv) = attention.kv_mut() {
                        let (part, after) = rest.split_at(count * kv.saved_bytes());
                        kv.restore(from, to, part);
                        rest = after;
                    }
                }
                Mixer::Convolution(convolution) => {
                    if let Some((rows, width)) = convolution.rows_mut() {
                        let (part, after) = rest.split_at(count * width * 4);
                        let (values, _) = part.as_chunks();
                        rows.truncate(from * width);
                        rows.extend(values.iter().map(|value| f32::from_le_bytes(*value)));
                        rest = after;
                    }
                }
            }
        }
        self.len = to;
        Ok(())
    }

    fn bytes_of_a_position(&self) -> Option<usize> {
        let layers = self.layers.iter().map(|layer| match &layer.mixer {
            Mixer::Attention(attention) => attention.kv().map(|kv| kv.saved_bytes()),
            Mixer::Convolution(convolution) => convolution.rows().map(|(_, width)| width * 4),
        });
        layers.sum()
    }

    fn identity(&self, model: &str) -> [u8; 32] {
        let config = &self.config;
        let shape = format!(
            "{model}\n{} {} {} {} {:?}",
            config.architecture,
            config.layers,
            config.kv_heads,
            config.head_dim,
            self.weights.kv()
        );
        Sha256::digest(shape).into()
    }
}
