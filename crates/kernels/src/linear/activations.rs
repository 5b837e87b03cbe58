//! The quantized input of a matrix product, in the layout that `quantize.rs` describes.

use super::group::{GROUP, Group, group_rows};
use super::{Aligned, BLOCK, TILE};

/// The source of the rows of an input `[m, k]`.
#[derive(Clone, Copy)]
pub enum Source<'a> {
    Rows(&'a [f32]),
    /// A function that computes the row with the given index and writes it to the given slice.
    Computed(&'a (dyn Fn(usize, &mut [f32]) + Sync)),
}

/// The quantized rows of one input `[m, k]`.
#[derive(Default)]
pub(super) struct Activations {
    pub(super) blocks: usize,
    /// The number of rows in a full group, which a kernel processes together.
    pub(super) most: usize,
    /// The rows as floats, if the source is [`Source::Computed`] and some weights are floats. Empty
    /// otherwise.
    pub(super) computed: Aligned<f32>,
    pub(super) codes: Aligned<i8>,
    pub(super) scales: Vec<f32>,
    pub(super) sums: Vec<f32>,
    pub(super) totals: Vec<[i32; 2]>,
}

impl Activations {
    /// Returns the group that starts at `row` of the input. `rest` is the number of rows from `row`
    /// to the end of the input. Two full groups of the largest size are returned as one group.
    pub(super) fn group<'a>(
        &'a self,
        source: Source<'a>,
        k: usize,
        row: usize,
        rest: usize,
    ) -> Group<'a> {
        let rows = match self.most == GROUP && rest >= TILE {
            true => TILE,
            false => group_rows(rest, self.most),
        };
        let values = match source {
            Source::Rows(values) => values,
            Source::Computed(_) => &self.computed,
        };
        let span = row * self.blocks..(row + rows) * self.blocks;
        Group {
            rows,
            codes: self
                .codes
                .get(span.start * BLOCK..span.end * BLOCK)
                .unwrap_or_default(),
            scales: self.scales.get(span.clone()).unwrap_or_default(),
            sums: self.sums.get(span.clone()).unwrap_or_default(),
            totals: self.totals.get(span).unwrap_or_default(),
            values: values.get(row * k..(row + rows) * k).unwrap_or_default(),
        }
    }
}
