//! Reads GGUF files: the metadata and the location of each tensor in the mapped file.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3. The
//! reader trusts no length or offset in the file: each is checked against the file's size before it
//! is used, so that a truncated, damaged or hostile file causes an error rather than an abort. This
//! module does not depend on any model.

mod error;
mod foreign;
#[cfg(test)]
mod hostile;
mod pages;
mod parts;
mod reader;
mod tensor_type;
mod value;

pub use error::GgufError;
pub use tensor_type::TensorType;
pub use value::TensorInfo;

use memmap2::Mmap;
use reader::Reader;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};
use value::Value;

/// The number of bytes to read from the start of a file to identify its type.
const START: u64 = 512;

/// An open GGUF file. Strings and tensors remain in the mapped file until they are used.
pub struct Gguf {
    map: Mmap,
    path: PathBuf,
    metadata: HashMap<String, Value>,
    tensors: HashMap<String, TensorInfo>,
}

impl Gguf {
    pub fn open(path: &Path) -> Result<Gguf, GgufError> {
        let failed = |source| GgufError::Open {
            path: path.to_path_buf(),
            source,
        };
        let file = File::open(path).map_err(failed)?;
        let meta = file.metadata().map_err(failed)?;
        if !meta.is_file() {
            return Err(GgufError::NotGguf(path.to_path_buf()));
        }
        let mut start = Vec::new();
        let read = (&file).take(START).read_to_end(&mut start);
        read.map_err(failed)?;
        if start.len() < 24 || !start.starts_with(b"GGUF") {
            return Err(foreign::foreign(path, &start));
        }
        // SAFETY: the map is read-only. As with every mapped model, the file must not be truncated
        // while in use.
        let map = unsafe { Mmap::map(&file) }.map_err(failed)?;
        let (metadata, tensors) = Reader { bytes: &map, at: 0 }.read(path)?;
        let gguf = Gguf {
            map,
            path: path.to_path_buf(),
            metadata,
            tensors,
        };
        parts::check_whole(&gguf).map(|()| gguf)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The size of the file in bytes.
    pub fn len(&self) -> usize {
        self.map.len()
    }

    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }

    pub fn text(&self, key: &str) -> Option<Cow<'_, str>> {
        match self.metadata.get(key)? {
            Value::Text(range) => Some(self.string(range)),
            _ => None,
        }
    }

    pub fn unsigned(&self, key: &str) -> Option<u64> {
        self.metadata.get(key)?.unsigned()
    }

    pub fn float(&self, key: &str) -> Option<f64> {
        match self.metadata.get(key)? {
            Value::Float(value) => Some(*value),
            other => other.unsigned().map(|value| value as f64),
        }
    }

    pub fn flag(&self, key: &str) -> Option<bool> {
        match self.metadata.get(key)? {
            Value::Bool(value) => Some(*value),
            other => other.unsigned().map(|value| value != 0),
        }
    }

    pub fn texts(&self, key: &str) -> Option<Vec<Cow<'_, str>>> {
        let texts = self.array(key, |value| match value {
            Value::Text(range) => Some(self.string(&range)),
            _ => None,
        });
        texts?.collect()
    }

    pub fn numbers(&self, key: &str) -> Option<Vec<f64>> {
        let numbers = self.array(key, |value| match value {
            Value::Float(value) => Some(value),
            Value::Signed(value) => Some(value as f64),
            Value::Bool(value) => Some(f64::from(u8::from(value))),
            other => other.unsigned().map(|value| value as f64),
        });
        numbers?.collect()
    }

    /// Returns the error for a file in which the required metadata `key` is missing.
    pub fn missing(&self, key: &str) -> GgufError {
        GgufError::Missing {
            path: self.path.clone(),
            key: base::untrusted::clean_key(key),
        }
    }

    pub fn tensor(&self, name: &str) -> Option<&TensorInfo> {
        self.tensors.get(name)
    }

    pub fn tensor_names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// Returns an error if any tensor of the file has an unsupported format.
    pub fn check_formats(&self) -> Result<(), GgufError> {
        let mut kinds = self.tensors.values().map(|tensor| tensor.kind);
        match kinds.find(|kind| kind.candle().is_none()) {
            Some(unknown) => Err(GgufError::Format {
                path: self.path.clone(),
                format: unknown.name().to_string(),
            }),
            None => Ok(()),
        }
    }

    /// The bytes of a tensor's blocks, as they are in the file.
    pub fn data(&self, tensor: &TensorInfo) -> &[u8] {
        &self.map[tensor.bytes.clone()]
    }

    /// Allows the system to evict the memory pages of `data`, which [`Gguf::data`] returned. The
    /// data remains readable, since the system loads the pages again when they are read.
    pub fn release(&self, data: &[u8]) {
        let start = data.as_ptr() as usize - self.map.as_ptr() as usize;
        pages::release(&self.map, start..start + data.len());
    }

    /// Applies `take` to each value of the array `key`. An array is parsed only when it is used,
    /// since most arrays never are.
    fn array<'a, T: 'a>(
        &'a self,
        key: &str,
        take: impl Fn(Value) -> Option<T> + 'a,
    ) -> Option<impl Iterator<Item = Option<T>> + 'a> {
        let Value::Array(array) = *self.metadata.get(key)? else {
            return None;
        };
        let mut reader = Reader {
            bytes: &self.map,
            at: array.at,
        };
        // The depth was checked when the file was opened.
        let values = (0..array.count).map(move |_| take(reader.value(array.element, 0).ok()?));
        Some(values)
    }

    fn string(&self, range: &Range<usize>) -> Cow<'_, str> {
        String::from_utf8_lossy(&self.map[range.clone()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns a small GGUF file with one string, one array and one F32 tensor `[2, 3]`.
    fn small() -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(3u32.to_le_bytes());
        file.extend(1u64.to_le_bytes());
        file.extend(2u64.to_le_bytes());
        let text = |file: &mut Vec<u8>, text: &str| {
            file.extend((text.len() as u64).to_le_bytes());
            file.extend(text.as_bytes());
        };
        text(&mut file, "general.architecture");
        file.extend(8u32.to_le_bytes());
        text(&mut file, "llama");
        text(&mut file, "scores");
        file.extend(9u32.to_le_bytes());
        file.extend(6u32.to_le_bytes());
        file.extend(2u64.to_le_bytes());
        file.extend(0.5f32.to_le_bytes());
        file.extend(1.5f32.to_le_bytes());
        text(&mut file, "w");
        file.extend(2u32.to_le_bytes());
        file.extend(3u64.to_le_bytes());
        file.extend(2u64.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        file.extend(0u64.to_le_bytes());
        file.resize(file.len().next_multiple_of(32), 0);
        for value in 0..6 {
            file.extend((value as f32).to_le_bytes());
        }
        file
    }

    fn open(bytes: &[u8]) -> Result<Gguf, GgufError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("m.gguf");
        std::fs::write(&path, bytes).unwrap();
        Gguf::open(&path)
    }

    #[test]
    fn metadata_and_tensors_are_found() {
        let gguf = open(&small()).unwrap();
        assert_eq!(gguf.text("general.architecture").as_deref(), Some("llama"));
        assert_eq!(gguf.numbers("scores"), Some(vec![0.5, 1.5]));
        let tensor = gguf.tensor("w").unwrap();
        assert_eq!(tensor.shape, [2, 3]);
        assert_eq!(gguf.data(tensor)[4..8], 1f32.to_le_bytes());
    }

    #[test]
    fn a_file_cut_anywhere_is_a_sentence() {
        let whole = small();
        for len in 0..whole.len() {
            let error = open(&whole[..len]).err().map(|error| error.to_string());
            let error = error.unwrap_or_else(|| panic!("{len} bytes were accepted as a model"));
            assert!(
                error.contains("GGUF file") || error.contains("truncated"),
                "{error}"
            );
        }
    }

    #[test]
    fn a_format_that_is_not_supported_is_opened_and_refused_by_its_name() {
        let mut file = small();
        // The F32 tensor [2, 3] is relabelled as 64-bit floats; the file has room for only 3.
        let kind = file.len() - 6 * 4 - 32;
        let at = (kind..file.len() - 6 * 4)
            .find(|at| file[*at..].starts_with(&[2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]))
            .unwrap();
        file[at + 8..at + 12].copy_from_slice(&28u32.to_le_bytes());
        file.resize(file.len() + 6 * 4, 0);
        let gguf = open(&file).unwrap();
        assert_eq!(gguf.tensor("w").unwrap().kind.name(), "F64");
        let error = gguf.check_formats().unwrap_err().to_string();
        assert!(error.contains("format F64"), "{error}");
        file[at + 8..at + 12].copy_from_slice(&99u32.to_le_bytes());
        let error = open(&file).err().unwrap().to_string();
        assert!(error.contains("format number 99"), "{error}");
    }

    #[test]
    fn another_kind_of_file_is_named_as_such() {
        let error = open(&[b'x'; 100]).err().unwrap().to_string();
        assert!(error.contains("is not a GGUF file"), "{error}");
    }

    proptest! {
        #[test]
        fn a_damaged_header_never_panics(at in 4usize..200, byte in any::<u8>()) {
            let mut bytes = small();
            let at = at % bytes.len();
            bytes[at] = byte;
            let _ = open(&bytes);
        }
    }
}
