//! What attention remembers of every token, on a CPU: keys and values as the kernel reads them.
//!
//! Positions lie in blocks of 16. In a block, a head's keys are `[dim, 16 positions]`, so that 16
//! scores are computed side by side without adding up across a register; its values are
//! `[16 positions, width]`, where width is dim rounded up to whole registers.

use super::super::lanes::{Number, WIDTH};
use crate::model::linear::{Aligned, Pool};
use std::str::FromStr;

/// How keys and values are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// Half floats: 11 bits of precision, half of the memory.
    #[default]
    F16,
    F32,
}

impl FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Kind, String> {
        match word {
            "f16" => Ok(Kind::F16),
            "f32" => Ok(Kind::F32),
            _ => Err("keys and values are kept as f16 or f32".to_string()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    pub count: usize,
    pub dim: usize,
}

impl Heads {
    /// Numbers of a position's value, for one head.
    pub fn width(self) -> usize {
        self.dim.next_multiple_of(WIDTH)
    }

    /// Numbers of the keys of 16 positions, for one head.
    pub fn keys(self) -> usize {
        self.dim * WIDTH
    }

    /// Numbers of a block: keys of all heads, then values of all heads.
    pub fn block(self) -> usize {
        self.count * (self.keys() + WIDTH * self.width())
    }
}

/// Keys and values of one layer.
pub enum Kv {
    F16(Blocks<u16>),
    F32(Blocks<f32>),
}

pub struct Blocks<N> {
    heads: Heads,
    numbers: Aligned<N>,
}

impl Kv {
    pub fn new(kind: Kind, heads: Heads) -> Kv {
        match kind {
            Kind::F16 => Kv::F16(Blocks::new(heads)),
            Kind::F32 => Kv::F32(Blocks::new(heads)),
        }
    }

    /// An empty one of the same kind.
    pub fn like(&self) -> Kv {
        match self {
            Kv::F16(blocks) => Kv::F16(Blocks::new(blocks.heads)),
            Kv::F32(blocks) => Kv::F32(Blocks::new(blocks.heads)),
        }
    }

    /// Makes room for positions below `len`.
    pub fn reserve(&mut self, len: usize) {
        match self {
            Kv::F16(blocks) => blocks.reserve(len),
            Kv::F32(blocks) => blocks.reserve(len),
        }
    }

    /// Writes the key and the value, `[heads, dim]` each, of a position that there is room for.
    pub fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        match self {
            Kv::F16(blocks) => blocks.write(position, key, value),
            Kv::F32(blocks) => blocks.write(position, key, value),
        }
    }

    /// Writes keys and values, `[tokens, heads, dim]` each, from `position` on.
    pub fn write_all(&mut self, pool: &Pool, position: usize, keys: &[f32], values: &[f32]) {
        match self {
            Kv::F16(blocks) => blocks.write_all(pool, position, keys, values),
            Kv::F32(blocks) => blocks.write_all(pool, position, keys, values),
        }
    }

    /// Copies position `from` of another of the same kind to position `to`.
    pub fn copy(&mut self, to: usize, other: &Kv, from: usize) {
        match (self, other) {
            (Kv::F16(blocks), Kv::F16(other)) => blocks.copy(to, other, from),
            (Kv::F32(blocks), Kv::F32(other)) => blocks.copy(to, other, from),
            _ => {}
        }
    }

    /// Appends the positions `from..to` to bytes: each its key, then its value, little-endian.
    pub fn save(&self, from: usize, to: usize, bytes: &mut Vec<u8>) {
        match self {
            Kv::F16(blocks) => blocks.each(from, to, |n| bytes.extend(n.to_le_bytes())),
            Kv::F32(blocks) => blocks.each(from, to, |n| bytes.extend(n.to_le_bytes())),
        }
    }

    /// The opposite of [`Kv::save`]; `bytes` must hold as many positions.
    pub fn restore(&mut self, from: usize, to: usize, bytes: &[u8]) {
        self.reserve(to);
        match self {
            Kv::F16(blocks) => {
                let (numbers, _) = bytes.as_chunks();
                blocks.fill(from, to, numbers.iter().map(|n| u16::from_le_bytes(*n)));
            }
            Kv::F32(blocks) => {
                let (numbers, _) = bytes.as_chunks();
                blocks.fill(from, to, numbers.iter().map(|n| f32::from_le_bytes(*n)));
            }
        }
    }

    /// Bytes of a position in what [`Kv::save`] writes.
    pub fn saved_bytes(&self) -> usize {
        let of = |heads: Heads, bytes: usize| 2 * heads.count * heads.dim * bytes;
        match self {
            Kv::F16(blocks) => of(blocks.heads, 2),
            Kv::F32(blocks) => of(blocks.heads, 4),
        }
    }
}

impl<N: Number> Blocks<N> {
    fn new(heads: Heads) -> Blocks<N> {
        Blocks {
            heads,
            numbers: Aligned::default(),
        }
    }

    pub fn heads(&self) -> Heads {
        self.heads
    }

    /// Block `index`.
    pub fn block(&self, index: usize) -> &[N] {
        let len = self.heads.block();
        &self.numbers[index * len..][..len]
    }

    fn reserve(&mut self, len: usize) {
        let numbers = len.div_ceil(WIDTH) * self.heads.block();
        if numbers > self.numbers.len() {
            self.numbers.resize(numbers);
        }
    }

    fn write_all(&mut self, pool: &Pool, position: usize, keys: &[f32], values: &[f32]) {
        let (heads, width) = (self.heads, self.heads.count * self.heads.dim);
        let end = position + keys.len() / width;
        self.reserve(end);
        let first = position / WIDTH;
        let blocks = self.numbers[first * heads.block()..].chunks_exact_mut(heads.block());
        let blocks: Vec<_> = (first..end.div_ceil(WIDTH)).zip(blocks).collect();
        pool.each(blocks, |(index, block)| {
            for at in position.max(index * WIDTH)..end.min((index + 1) * WIDTH) {
                let row = (at - position) * width;
                let (key, value) = (&keys[row..][..width], &values[row..][..width]);
                put(heads, block, at % WIDTH, key, value);
            }
        });
    }

    fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let len = self.heads.block();
        let block = &mut self.numbers[position / WIDTH * len..][..len];
        put(self.heads, block, position % WIDTH, key, value);
    }

    fn copy(&mut self, to: usize, other: &Blocks<N>, from: usize) {
        let numbers: Vec<N> = places(self.heads, from)
            .map(|at| other.numbers[at])
            .collect();
        places(self.heads, to)
            .zip(numbers)
            .for_each(|(at, number)| self.numbers[at] = number);
    }

    fn each(&self, from: usize, to: usize, mut take: impl FnMut(N)) {
        for position in from..to {
            places(self.heads, position).for_each(|at| take(self.numbers[at]));
        }
    }

    fn fill(&mut self, from: usize, to: usize, mut numbers: impl Iterator<Item = N>) {
        for at in (from..to).flat_map(|position| places(self.heads, position)) {
            self.numbers[at] = numbers.next().unwrap_or_default();
        }
    }
}

/// Where the numbers of a position are: its keys, then its values.
fn places(heads: Heads, position: usize) -> impl Iterator<Item = usize> {
    let (block, lane) = (position / WIDTH * heads.block(), position % WIDTH);
    let keys = (0..heads.count * heads.dim).map(move |at| block + at * WIDTH + lane);
    let values = block + heads.count * heads.keys();
    let values = (0..heads.count).flat_map(move |head| {
        let row = values + (head * WIDTH + lane) * heads.width();
        row..row + heads.dim
    });
    keys.chain(values)
}

/// Writes a key and a value, `[heads, dim]` each, into place `lane` of a block.
fn put<N: Number>(heads: Heads, block: &mut [N], lane: usize, key: &[f32], value: &[f32]) {
    let (keys, values) = block.split_at_mut(heads.count * heads.keys());
    // A key's numbers lie apart, so they are rounded together first, some at a time.
    let mut rounded = [N::default(); 64];
    let columns = keys.chunks_mut(WIDTH * rounded.len());
    for (columns, key) in columns.zip(key.chunks(rounded.len())) {
        N::round(key, &mut rounded[..key.len()]);
        for (column, number) in columns.chunks_exact_mut(WIDTH).zip(rounded) {
            column[lane] = number;
        }
    }
    let rows = values.chunks_exact_mut(WIDTH * heads.width());
    for (rows, value) in rows.zip(value.chunks_exact(heads.dim)) {
        N::round(value, &mut rows[lane * heads.width()..][..heads.dim]);
    }
}
