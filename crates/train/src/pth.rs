//! Parses PyTorch weights in the format used before version 1.6: four pickles, followed by the
//! values of each storage.
//!
//! The function `_legacy_save` in `torch/serialization.py` defines the layout. Candle's reader
//! parses the pickles. Lengths in the file are checked against the size of the file.

use candle_core::pickle::{Object, Stack};
use candle_core::{DType, Error, Result};
use std::collections::HashMap;
use std::io::{BufRead, Cursor, Read};

/// A tensor's shape and values.
pub struct PlainTensor {
    pub shape: Vec<usize>,
    pub values: Vec<f32>,
}

/// The first pickle, which contains a number that identifies the format.
const MAGIC: [u8; 15] = *b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Returns the tensors of 32-bit floats in a state dictionary, by name.
pub fn parse(bytes: &[u8]) -> Result<HashMap<String, PlainTensor>> {
    let rest = bytes.strip_prefix(&MAGIC);
    let rest =
        rest.ok_or_else(|| Error::Msg("it is not a file in PyTorch's legacy format".into()))?;
    let mut reader = Cursor::new(rest);
    // Two pickles hold the version, and the machine that wrote the file.
    for _ in 0..2 {
        pickle(&mut reader)?;
    }
    let state = pickle(&mut reader)?;
    let keys = strings(pickle(&mut reader)?)?;
    let mut storages = HashMap::new();
    for key in keys {
        storages.insert(key, storage(&mut reader)?);
    }
    let mut tensors = HashMap::new();
    for (name, value) in entries(state) {
        let Some(info) = value.into_tensor_info(name, "".as_ref())? else {
            continue;
        };
        if info.dtype != DType::F32 {
            continue;
        }
        let key = info.path.trim_start_matches('/');
        let bytes = storages.get(key).map_or(&[][..], Vec::as_slice);
        let (dims, strides) = (info.layout.dims(), info.layout.stride());
        let from = info.layout.start_offset();
        let count = dims
            .iter()
            .try_fold(1usize, |count, dim| count.checked_mul(*dim));
        if count.is_none_or(|count| count > bytes.len()) {
            return Err(Error::Msg(format!(
                "{} is larger than its storage",
                info.name
            )));
        }
        let number = |at: usize| {
            let four = bytes.get(from + at * 4..from + at * 4 + 4)?;
            Some(f32::from_le_bytes(four.try_into().ok()?))
        };
        let values: Option<Vec<f32>> = positions(dims, strides).into_iter().map(number).collect();
        let missing = || Error::Msg(format!("the storage of {} is missing", info.name));
        let values = values.ok_or_else(missing)?;
        let shape = info.layout.dims().to_vec();
        tensors.insert(info.name, PlainTensor { shape, values });
    }
    Ok(tensors)
}

/// Returns the position of each value of a tensor in its storage. The values are ordered so that
/// the last dimension varies fastest.
fn positions(dims: &[usize], strides: &[usize]) -> Vec<usize> {
    let mut places = vec![0];
    for (dim, stride) in dims.iter().zip(strides) {
        let along = |at: usize| (0..*dim).map(move |step| at + step * stride);
        places = places.into_iter().flat_map(along).collect();
    }
    places
}

fn pickle(reader: &mut impl BufRead) -> Result<Object> {
    let mut stack = Stack::empty();
    stack.read_loop(reader)?;
    stack.finalize()
}

/// Returns the entries of an ordered dictionary, which can be pickled in two ways.
fn entries(state: Object) -> Vec<(Object, Object)> {
    match state {
        Object::Dict(entries) => entries,
        Object::Build { callable, .. } => entries(*callable),
        _ => Vec::new(),
    }
}

fn strings(list: Object) -> Result<Vec<String>> {
    match list {
        Object::List(items) => {
            let text = |item: Object| item.unicode().map_err(Error::from);
            items.into_iter().map(text).collect()
        }
        _ => Err(Error::Msg("its list of storages is not a list".into())),
    }
}

/// Reads a storage: the number of values, and then the values. Each value has 4 bytes. The only
/// exception is a storage with a single value: that value is a 64-bit counter and has 8 bytes.
fn storage(reader: &mut Cursor<&[u8]>) -> Result<Vec<u8>> {
    let mut count = [0; 8];
    reader.read_exact(&mut count)?;
    let count = u64::from_le_bytes(count);
    // A storage of one number is a 64-bit counter, as batch norms store it.
    let width = if count == 1 { 8 } else { 4 };
    let left = reader.get_ref().len() as u64 - reader.position();
    let bytes = count.checked_mul(width).filter(|bytes| *bytes <= left);
    let bytes = bytes.ok_or_else(|| Error::Msg("it ends too early".into()))?;
    let mut storage = vec![0; bytes as usize];
    reader.read_exact(&mut storage)?;
    Ok(storage)
}
