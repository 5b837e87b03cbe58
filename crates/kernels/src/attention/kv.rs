//! The keys and values of one layer on a CPU, in the layout that the attention kernel needs.
//!
//! Positions are grouped into blocks of 16. In a block, the keys of a head are `[dim, 16
//! positions]`, so that 16 scores are computed in parallel without sums across a register. The
//! values of a head are `[16 positions, width]`, where width is dim rounded up to whole registers.
//! If the elements are 8-bit codes, each group of 32 dimensions of a key or value has a scale. The
//! scales of a head's keys are `[dim / 32, 16 positions]`, and the scales of its values are `[16
//! positions, dim / 32]`.

use crate::lanes::{KvElement, SCALE_GROUP, WIDTH};
use crate::linear::{Aligned, Pool};
use std::str::FromStr;

/// The element type of a KV cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KvType {
    /// Half floats, which have 11 bits of precision and need half the memory of f32.
    #[default]
    F16,
    F32,
    /// Blocks of 32 8-bit codes with a scale, which need a little more than half the memory of F16.
    Q8,
}

impl std::fmt::Display for KvType {
    fn fmt(&self, out: &mut std::fmt::Formatter) -> std::fmt::Result {
        out.write_str(match self {
            KvType::F16 => "f16",
            KvType::F32 => "f32",
            KvType::Q8 => "q8_0",
        })
    }
}

impl FromStr for KvType {
    type Err = String;

    fn from_str(word: &str) -> Result<KvType, String> {
        match word {
            "f16" => Ok(KvType::F16),
            "f32" => Ok(KvType::F32),
            "q8_0" => Ok(KvType::Q8),
            _ => Err("the KV cache type must be f16, f32 or q8_0".to_string()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heads {
    pub count: usize,
    pub dim: usize,
}

impl Heads {
    /// The number of elements that a value of one head occupies at one position.
    pub fn width(self) -> usize {
        self.dim.next_multiple_of(WIDTH)
    }

    /// The number of elements that the keys of one head occupy for 16 positions.
    pub fn keys(self) -> usize {
        self.dim * WIDTH
    }

    /// The number of elements in a block, which contains the keys of all heads and then the values
    /// of all heads.
    pub fn block(self) -> usize {
        self.count * (self.keys() + WIDTH * self.width())
    }

    /// The number of scales of one head's key, and also of its value, at one position.
    pub fn parts(self) -> usize {
        self.dim.div_ceil(SCALE_GROUP)
    }

    /// The index, among the scales of a block, of the first scale of a head's keys.
    pub fn key_scales(self, head: usize) -> usize {
        head * self.parts() * WIDTH
    }

    /// The index, among the scales of a block, of the first scale of a head's value. `lane` is the
    /// position within the block.
    pub fn value_scales(self, head: usize, lane: usize) -> usize {
        ((self.count + head) * WIDTH + lane) * self.parts()
    }

    /// The number of scales in a block.
    fn scales(self) -> usize {
        2 * self.count * self.parts() * WIDTH
    }
}

/// The keys and values of one layer, in blocks of 16 positions.
pub enum KvBlocks {
    F16(Blocks<u16>),
    F32(Blocks<f32>),
    Q8(Blocks<i8>),
}

pub struct Blocks<N> {
    heads: Heads,
    numbers: Aligned<N>,
    scales: Aligned<f32>,
}

/// Evaluates the same expression for a cache of any element type.
macro_rules! any {
    ($kv:expr, $blocks:ident => $do:expr) => {
        match $kv {
            KvBlocks::F16($blocks) => $do,
            KvBlocks::F32($blocks) => $do,
            KvBlocks::Q8($blocks) => $do,
        }
    };
}

impl KvBlocks {
    pub fn new(kind: KvType, heads: Heads) -> KvBlocks {
        match kind {
            KvType::F16 => KvBlocks::F16(Blocks::new(heads)),
            KvType::F32 => KvBlocks::F32(Blocks::new(heads)),
            KvType::Q8 => KvBlocks::Q8(Blocks::new(heads)),
        }
    }

    /// Creates an empty cache with the same element type and shape.
    pub fn empty_like(&self) -> KvBlocks {
        match self {
            KvBlocks::F16(blocks) => KvBlocks::F16(Blocks::new(blocks.heads)),
            KvBlocks::F32(blocks) => KvBlocks::F32(Blocks::new(blocks.heads)),
            KvBlocks::Q8(blocks) => KvBlocks::Q8(Blocks::new(blocks.heads)),
        }
    }

    /// Reserves space for the positions below `len`.
    pub fn reserve(&mut self, len: usize) {
        any!(self, blocks => blocks.reserve(len));
    }

    /// Writes the key and the value of a position, `[heads, dim]` each. Space for the position must
    /// be reserved.
    pub fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        any!(self, blocks => blocks.write(position, key, value));
    }

    /// Writes the keys and values of consecutive positions, `[tokens, heads, dim]` each. `position`
    /// is the first position.
    pub fn write_all(&mut self, pool: &Pool, position: usize, keys: &[f32], values: &[f32]) {
        any!(self, blocks => blocks.write_all(pool, position, keys, values));
    }

    /// Copies position `from` of `other`, which must have the same element type, to position `to`
    /// of this cache.
    pub fn copy(&mut self, to: usize, other: &KvBlocks, from: usize) {
        match (self, other) {
            (KvBlocks::F16(blocks), KvBlocks::F16(other)) => blocks.copy(to, other, from),
            (KvBlocks::F32(blocks), KvBlocks::F32(other)) => blocks.copy(to, other, from),
            (KvBlocks::Q8(blocks), KvBlocks::Q8(other)) => blocks.copy(to, other, from),
            _ => {}
        }
    }

    /// Appends the positions `from..to` to `bytes` in little-endian form. For each position, writes
    /// the key, the value and then their scales, if any.
    pub fn save(&self, from: usize, to: usize, bytes: &mut Vec<u8>) {
        for position in from..to {
            match self {
                KvBlocks::F16(blocks) => blocks.each(position, |n| bytes.extend(n.to_le_bytes())),
                KvBlocks::F32(blocks) => blocks.each(position, |n| bytes.extend(n.to_le_bytes())),
                KvBlocks::Q8(blocks) => blocks.each(position, |n| bytes.extend(n.to_le_bytes())),
            }
            any!(self, blocks => blocks.each_scale(position, |n| bytes.extend(n.to_le_bytes())));
        }
    }

    /// The inverse of [`KvBlocks::save`]: restores the positions `from..to` from `bytes`, which
    /// must contain exactly these positions.
    pub fn restore(&mut self, from: usize, to: usize, bytes: &[u8]) {
        self.reserve(to);
        let positions = bytes.chunks_exact(self.saved_bytes().max(1));
        for (position, bytes) in (from..to).zip(positions) {
            let (numbers, scales) = bytes.split_at(bytes.len() - 4 * self.scales());
            match self {
                KvBlocks::F16(blocks) => blocks.fill(position, numbers, u16::from_le_bytes),
                KvBlocks::F32(blocks) => blocks.fill(position, numbers, f32::from_le_bytes),
                KvBlocks::Q8(blocks) => blocks.fill(position, numbers, i8::from_le_bytes),
            }
            any!(self, blocks => blocks.fill_scales(position, scales));
        }
    }

    /// The number of bytes that [`KvBlocks::save`] writes for each position. Apart from padding, a
    /// position also occupies this many bytes in memory.
    pub fn saved_bytes(&self) -> usize {
        let of = |heads: Heads, bytes: usize| 2 * heads.count * heads.dim * bytes;
        let numbers = match self {
            KvBlocks::F16(blocks) => of(blocks.heads, 2),
            KvBlocks::F32(blocks) => of(blocks.heads, 4),
            KvBlocks::Q8(blocks) => of(blocks.heads, 1),
        };
        numbers + 4 * self.scales()
    }

    /// The number of scales that a position has.
    fn scales(&self) -> usize {
        match self {
            KvBlocks::Q8(blocks) => 2 * blocks.heads.count * blocks.heads.parts(),
            KvBlocks::F16(_) | KvBlocks::F32(_) => 0,
        }
    }
}

impl<N: KvElement> Blocks<N> {
    fn new(heads: Heads) -> Blocks<N> {
        Blocks {
            heads,
            numbers: Aligned::default(),
            scales: Aligned::default(),
        }
    }

    pub fn heads(&self) -> Heads {
        self.heads
    }

    /// The elements of the block with the given index.
    pub fn block(&self, index: usize) -> &[N] {
        let len = self.heads.block();
        &self.numbers[index * len..][..len]
    }

    /// The scales of the block with the given index. Empty if the element type has no scales.
    pub fn scales(&self, index: usize) -> &[f32] {
        let len = self.heads.scales();
        self.scales
            .get(index * len..(index + 1) * len)
            .unwrap_or_default()
    }

    fn reserve(&mut self, len: usize) {
        let blocks = len.div_ceil(WIDTH);
        if blocks * self.heads.block() > self.numbers.len() {
            self.numbers.resize(blocks * self.heads.block());
        }
        if N::SCALED && blocks * self.heads.scales() > self.scales.len() {
            self.scales.resize(blocks * self.heads.scales());
        }
    }

    fn write_all(&mut self, pool: &Pool, position: usize, keys: &[f32], values: &[f32]) {
        let (heads, width) = (self.heads, self.heads.count * self.heads.dim);
        let end = position + keys.len() / width;
        self.reserve(end);
        let first = position / WIDTH;
        let numbers = self.numbers[first * heads.block()..].chunks_exact_mut(heads.block());
        let mut scales = self.scales.chunks_exact_mut(heads.scales()).skip(first);
        let blocks = (first..end.div_ceil(WIDTH)).zip(numbers);
        let blocks = blocks.map(|(index, numbers)| (index, numbers, scales.next()));
        pool.each(blocks.collect(), |(index, numbers, scales)| {
            let scales = scales.unwrap_or_default();
            for at in position.max(index * WIDTH)..end.min((index + 1) * WIDTH) {
                let row = (at - position) * width;
                let (key, value) = (&keys[row..][..width], &values[row..][..width]);
                put(heads, numbers, scales, at % WIDTH, key, value);
            }
        });
    }

    fn write(&mut self, position: usize, key: &[f32], value: &[f32]) {
        let (heads, block) = (self.heads, position / WIDTH);
        let numbers = &mut self.numbers[block * heads.block()..][..heads.block()];
        let scales = self.scales.chunks_exact_mut(heads.scales()).nth(block);
        let scales = scales.unwrap_or_default();
        put(heads, numbers, scales, position % WIDTH, key, value);
    }

    fn copy(&mut self, to: usize, other: &Blocks<N>, from: usize) {
        let pairs = places(self.heads, from).zip(places(self.heads, to));
        pairs.for_each(|(from, to)| self.numbers[to] = other.numbers[from]);
        let pairs = self.scale_places(from).zip(self.scale_places(to));
        pairs.for_each(|(from, to)| self.scales[to] = other.scales[from]);
    }

    fn each(&self, position: usize, mut take: impl FnMut(N)) {
        places(self.heads, position).for_each(|at| take(self.numbers[at]));
    }

    fn each_scale(&self, position: usize, mut take: impl FnMut(f32)) {
        self.scale_places(position)
            .for_each(|at| take(self.scales[at]));
    }

    fn fill<const W: usize>(&mut self, position: usize, bytes: &[u8], number: fn([u8; W]) -> N) {
        let places = places(self.heads, position).zip(bytes.as_chunks().0);
        places.for_each(|(at, bytes)| self.numbers[at] = number(*bytes));
    }

    fn fill_scales(&mut self, position: usize, bytes: &[u8]) {
        let places = self.scale_places(position).zip(bytes.as_chunks().0);
        places.for_each(|(at, bytes)| self.scales[at] = f32::from_le_bytes(*bytes));
    }

    /// Iterates over the indices of a position's scales: first the scales of its keys, then the
    /// scales of its values. There are none if the element type has no scales.
    fn scale_places(&self, position: usize) -> impl Iterator<Item = usize> + use<N> {
        let heads = self.heads;
        let (block, lane) = (position / WIDTH * heads.scales(), position % WIDTH);
        let count = if N::SCALED { heads.count } else { 0 };
        let keys = (0..count * heads.parts()).map(move |at| block + at * WIDTH + lane);
        let values = (0..count).flat_map(move |head| {
            let first = block + heads.value_scales(head, lane);
            first..first + heads.parts()
        });
        keys.chain(values)
    }
}

/// Iterates over the indices of a position's elements: first the keys of all heads, then the
/// values.
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

/// Writes a key and a value, `[heads, dim]` each, to a block and to the block's scales. `lane` is
/// the position within the block.
fn put<N: KvElement>(
    heads: Heads,
    numbers: &mut [N],
    scales: &mut [f32],
    lane: usize,
    key: &[f32],
    value: &[f32],
) {
    let (keys, values) = numbers.split_at_mut(heads.count * heads.keys());
    for head in 0..heads.count {
        let columns = keys[head * heads.keys()..][..heads.keys()].chunks_mut(WIDTH * SCALE_GROUP);
        let key = key[head * heads.dim..][..heads.dim].chunks(SCALE_GROUP);
        for (part, (columns, key)) in columns.zip(key).enumerate() {
            // A key's elements are not contiguous, so they are rounded together first.
            let mut rounded = [N::default(); SCALE_GROUP];
            let scale = N::quantize(key, &mut rounded[..key.len()]);
            for (column, number) in columns.chunks_exact_mut(WIDTH).zip(rounded) {
                column[lane] = number;
            }
            if N::SCALED {
                scales[heads.key_scales(head) + part * WIDTH + lane] = scale;
            }
        }
        let row = &mut values[(head * WIDTH + lane) * heads.width()..][..heads.dim];
        let value = value[head * heads.dim..][..heads.dim].chunks(SCALE_GROUP);
        for (part, (row, value)) in row.chunks_mut(SCALE_GROUP).zip(value).enumerate() {
            let scale = N::quantize(value, row);
            if N::SCALED {
                scales[heads.value_scales(head, lane) + part] = scale;
            }
        }
    }
}
