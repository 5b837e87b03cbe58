//! Parses the metadata and the list of tensors in a GGUF file. Every length is checked against the
//! size of the file.

use super::error::GgufError;
use super::tensor_type::TensorType;
use super::value::{Array, TensorInfo, Value};
use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;

/// The maximum depth of nested arrays. The format allows any depth, but no real file nests arrays.
const MAX_DEPTH: usize = 4;
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

pub(super) type Parts = (HashMap<String, Value>, HashMap<String, TensorInfo>);

/// The description of a tensor in the file's header.
pub(super) struct Header {
    name: String,
    /// The dimensions of the tensor, from the fastest-varying to the slowest-varying.
    dims: Vec<u64>,
    /// The number that identifies the tensor's type.
    kind: u32,
    /// The position where the tensor's data begins, in bytes after the end of the header.
    offset: u64,
}

impl Reader<'_> {
    pub(super) fn read(mut self, path: &Path) -> Result<Parts, GgufError> {
        // The caller has already checked the first four bytes.
        self.at = 4;
        let damaged = |what: String| GgufError::Damaged {
            path: path.to_path_buf(),
            what,
        };
        let version = self.u32().map_err(damaged)?;
        if (1..=9).contains(&version.swap_bytes()) {
            return Err(GgufError::BigEndian(path.to_path_buf()));
        }
        if !(2..=3).contains(&version) {
            let path = path.to_path_buf();
            return Err(GgufError::Version { path, version });
        }
        let tensor_count = self.u64().map_err(damaged)?;
        let metadata_count = self.u64().map_err(damaged)?;
        let metadata = self.metadata(metadata_count).map_err(damaged)?;
        let infos = self.tensor_infos(tensor_count).map_err(damaged)?;
        let alignment = match metadata.get("general.alignment") {
            Some(value) => value
                .unsigned()
                .filter(|a| a.is_power_of_two() && *a <= 1 << 20),
            None => Some(32),
        };
        let alignment = alignment.ok_or_else(|| damaged("a wrong alignment".to_string()))? as usize;
        let start = self.at.next_multiple_of(alignment);
        let mut tensors = HashMap::with_capacity(infos.len());
        for header in infos {
            let tensor = self.place(path, start, &header)?;
            tensors.insert(header.name, tensor);
        }
        Ok((metadata, tensors))
    }

    pub(super) fn metadata(&mut self, count: u64) -> Result<HashMap<String, Value>, String> {
        let mut metadata = HashMap::new();
        for _ in 0..count {
            let key = self.range()?;
            let key = String::from_utf8_lossy(&self.bytes[key]).into_owned();
            let kind = self.u32()?;
            let value = self.value(kind, 0)?;
            metadata.insert(key, value);
        }
        Ok(metadata)
    }

    pub(super) fn tensor_infos(&mut self, count: u64) -> Result<Vec<Header>, String> {
        let mut infos = Vec::new();
        for _ in 0..count {
            let name = self.range()?;
            let name = String::from_utf8_lossy(&self.bytes[name]).into_owned();
            let rank = self.u32()?;
            if rank > 4 {
                return Err(format!("a tensor of {rank} dimensions"));
            }
            let dims = (0..rank).map(|_| self.u64()).collect::<Result<_, _>>()?;
            infos.push(Header {
                name,
                dims,
                kind: self.u32()?,
                offset: self.u64()?,
            });
        }
        Ok(infos)
    }

    pub(super) fn place(
        &self,
        path: &Path,
        start: usize,
        header: &Header,
    ) -> Result<TensorInfo, GgufError> {
        let kind = TensorType::of(header.kind).ok_or_else(|| GgufError::Format {
            path: path.to_path_buf(),
            format: format!("number {}", header.kind),
        })?;
        let damaged = |what: &str| GgufError::Damaged {
            path: path.to_path_buf(),
            what: format!("{what} {}", base::untrusted::clean_key(&header.name)),
        };
        let elements = header.dims.iter().try_fold(1usize, |product, dim| {
            product.checked_mul(usize::try_from(*dim).ok()?)
        });
        let elements = elements.ok_or_else(|| damaged("an impossible size in tensor"))?;
        let len = kind.bytes_of(elements);
        let len = len.ok_or_else(|| damaged("a wrong size in tensor"))?;
        let begin = usize::try_from(header.offset)
            .ok()
            .and_then(|offset| start.checked_add(offset));
        let bytes = begin
            .and_then(|begin| Some(begin..begin.checked_add(len)?))
            .filter(|range| range.end <= self.bytes.len())
            .ok_or_else(|| damaged("the file ends before tensor"))?;
        let shape = header.dims.iter().rev().map(|dim| *dim as usize).collect();
        Ok(TensorInfo { shape, kind, bytes })
    }

    pub(super) fn value(&mut self, kind: u32, depth: usize) -> Result<Value, String> {
        Ok(match kind {
            0 => Value::Unsigned(self.take::<1>()?[0].into()),
            1 => Value::Signed((self.take::<1>()?[0] as i8).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.take()?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.take()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.take()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.take()?).into()),
            7 => Value::Bool(self.take::<1>()?[0] != 0),
            8 => Value::Text(self.range()?),
            9 => {
                let inner = self.u32()?;
                let count = self.u64()?;
                // Every element takes at least a byte, so a count larger than the rest of the file
                // is wrong.
                if depth >= MAX_DEPTH || count > (self.bytes.len() - self.at) as u64 {
                    return Err("an array longer than the file".to_string());
                }
                let (count, at) = (count as usize, self.at);
                match inner {
                    0 | 1 | 7 => self.skip(count, 1)?,
                    2 | 3 => self.skip(count, 2)?,
                    4..=6 => self.skip(count, 4)?,
                    10..=12 => self.skip(count, 8)?,
                    _ => (0..count).try_for_each(|_| self.value(inner, depth + 1).map(drop))?,
                }
                Value::Array(Array {
                    element: inner,
                    count,
                    at,
                })
            }
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.take()?)),
            12 => Value::Float(f64::from_le_bytes(self.take()?)),
            other => return Err(format!("metadata of an unknown type {other}")),
        })
    }

    pub(super) fn skip(&mut self, count: usize, size: usize) -> Result<(), String> {
        let end = count
            .checked_mul(size)
            .and_then(|len| self.at.checked_add(len));
        let end = end.filter(|end| *end <= self.bytes.len());
        self.at = end.ok_or_else(|| "an array longer than the file".to_string())?;
        Ok(())
    }

    pub(super) fn range(&mut self) -> Result<Range<usize>, String> {
        let len = self.u64()?;
        let end = usize::try_from(len)
            .ok()
            .and_then(|len| self.at.checked_add(len));
        let end = end.filter(|end| *end <= self.bytes.len());
        let end = end.ok_or_else(|| "a string longer than the file".to_string())?;
        let range = self.at..end;
        self.at = end;
        Ok(range)
    }

    pub(super) fn u32(&mut self) -> Result<u32, String> {
        self.take().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, String> {
        self.take().map(u64::from_le_bytes)
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], String> {
        let taken = self.bytes.get(self.at..self.at + N);
        let taken = taken.and_then(|bytes| bytes.try_into().ok());
        self.at += N;
        taken.ok_or_else(|| "it ends inside its header".to_string())
    }
}
