//! Builds unusual GGUF files: tiny, malicious, or with a short context.

use super::model_path;
use candle_core::Device;
use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use std::fs;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

/// Writes a copy of a model in which each tensor has the type that `wanted` returns for its
/// original type.
pub fn quantized_anew(from: &Path, to: &Path, wanted: impl Fn(GgmlDType) -> GgmlDType) {
    let mut file = fs::File::open(from).unwrap();
    let content = gguf_file::Content::read(&mut file).unwrap();
    let mut tensors = Vec::new();
    for (name, info) in &content.tensor_infos {
        let tensor = content.tensor(&mut file, name, &Device::Cpu).unwrap();
        let plain = tensor.dequantize(&Device::Cpu).unwrap();
        let anew = QTensor::quantize(&plain, wanted(info.ggml_dtype)).unwrap();
        tensors.push((name.as_str(), anew));
    }
    let tensors: Vec<_> = tensors.iter().map(|(name, it)| (*name, it)).collect();
    let metadata = content.metadata.iter();
    let metadata: Vec<_> = metadata.map(|(key, it)| (key.as_str(), it)).collect();
    let mut file = fs::File::create(to).unwrap();
    gguf_file::write(&mut file, &metadata, &tensors).unwrap();
}

/// A value in the metadata of a GGUF file.
pub enum Value<'a> {
    Number(u32),
    Text(&'a str),
    Texts(&'a [&'a str]),
}

/// Builds a GGUF file with this metadata and no tensors.
pub fn file(metadata: &[(&str, Value)]) -> Vec<u8> {
    let mut bytes = b"GGUF".to_vec();
    bytes.extend(3u32.to_le_bytes());
    bytes.extend(0u64.to_le_bytes());
    bytes.extend((metadata.len() as u64).to_le_bytes());
    for (key, value) in metadata {
        put(&mut bytes, key);
        match value {
            Value::Number(number) => {
                bytes.extend(4u32.to_le_bytes());
                bytes.extend(number.to_le_bytes());
            }
            Value::Text(text) => {
                bytes.extend(8u32.to_le_bytes());
                put(&mut bytes, text);
            }
            Value::Texts(texts) => {
                bytes.extend(9u32.to_le_bytes());
                bytes.extend(8u32.to_le_bytes());
                bytes.extend((texts.len() as u64).to_le_bytes());
                texts.iter().for_each(|text| put(&mut bytes, text));
            }
        }
    }
    bytes
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend((text.len() as u64).to_le_bytes());
    bytes.extend(text.as_bytes());
}

/// The context size in tokens of the model that [`short_context`] creates.
pub const SHORT: usize = 256;

/// Creates a copy of the default model with a context of [`SHORT`] tokens, so that tests soon reach
/// the end of the context. Returns the path of the copy.
pub fn short_context() -> PathBuf {
    static PATH: OnceLock<PathBuf> = OnceLock::new();
    let make = || {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("short-context.gguf");
        let making = path.with_extension("part");
        fs::copy(model_path(), &making).unwrap();
        patch(
            &making,
            "llama.context_length",
            &(SHORT as u32).to_le_bytes(),
        );
        fs::rename(&making, &path).unwrap();
        path
    };
    PATH.get_or_init(make).clone()
}

/// Overwrites a value in the metadata of a file in place: a number, or the beginning of a text.
pub fn patch(path: &Path, key: &str, value: &[u8]) {
    let whole = fs::read(path).unwrap();
    let mut wanted = (key.len() as u64).to_le_bytes().to_vec();
    wanted.extend(key.as_bytes());
    let at = whole
        .windows(wanted.len())
        .position(|window| window == wanted)
        .unwrap()
        + wanted.len();
    // The key is followed by the value's type, and a text is preceded by its length.
    let value_at = match u32::from_le_bytes(whole[at..at + 4].try_into().unwrap()) {
        8 => at + 12,
        _ => at + 4,
    };
    let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
    file.seek(SeekFrom::Start(value_at as u64)).unwrap();
    file.write_all(value).unwrap();
}
