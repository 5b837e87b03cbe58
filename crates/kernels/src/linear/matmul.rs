//! The matrix product. The strips of weights and the rows of the input are divided among the pool's
//! threads.

use std::cell::RefCell;
use std::ops::Range;

use super::activations::{Activations, Source};
use super::group::{GROUP, Group};
use super::kernels::{self, Kernel, Strip, Sums, Tiles, Unpacked};
use super::quantize::Forms;
use super::{LinearError, Packed, Pool, STRIP, TILE};

/// The approximate number of quantized input values (one byte each) to process per pass over the
/// weights. This many values and a strip fit in a core's own cache.
const PASS: usize = 512 << 10;
/// The number of units of work per thread: enough that a thread that finishes early can help
/// another thread, but few enough that each unit reads a long contiguous stretch of memory.
const UNITS: usize = 4;

/// Whether a product replaces the contents of the output or is added to them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Set,
    Add,
}

/// Computes `outs[i] = x * weights[i]^T` for each of the weight matrices `weights`, which share the
/// input `x`. `x` is `[m, k]`; `outs[i]` is `[m, n_i]`.
pub fn matmul(
    pool: &Pool,
    weights: &[&Packed],
    x: Source,
    m: usize,
    outs: &mut [&mut [f32]],
    write: Write,
) -> Result<(), LinearError> {
    let Some(k) = weights.first().map(|first| first.cols()) else {
        return Ok(());
    };
    check("the list of outputs", outs.len(), weights.len())?;
    for (weight, out) in weights.iter().zip(outs.iter()) {
        check("a row of the input", weight.cols(), k)?;
        check("an output", out.len(), m * weight.rows())?;
    }
    let mut scratch = pool.scratch();
    let input = quantize_input(pool, &mut scratch[0], weights, x, m)?;
    multiply(pool, &input, weights, outs, write);
    Ok(())
}

/// Quantizes the input `x`, which the given weight matrices share.
pub(super) fn quantize_input<'a>(
    pool: &Pool,
    activations: &'a mut Activations,
    weights: &[&Packed],
    x: Source<'a>,
    m: usize,
) -> Result<Input<'a>, LinearError> {
    let k = weights[0].cols();
    if let Source::Rows(x) = x {
        check("the input", x.len(), m * k)?;
    }
    let forms = Forms {
        codes: weights.iter().any(|weight| !weight.format().is_float()),
        values: weights.iter().any(|weight| weight.format().is_float()),
    };
    activations.quantize(pool, x, m, k, forms);
    Ok(Input {
        activations,
        x,
        m,
        k,
    })
}

pub(super) fn multiply(
    pool: &Pool,
    input: &Input,
    weights: &[&Packed],
    outs: &mut [&mut [f32]],
    write: Write,
) {
    let outs: Vec<Out> = outs.iter_mut().map(|out| Out(out.as_mut_ptr())).collect();
    let units = units(pool);
    pool.run(units, &|unit| {
        for rows in passes(input.m, input.k) {
            for (index, strips) in strips_of_unit(weights, unit, units) {
                let (weight, out) = (weights[index], &outs[index]);
                for first in strips.clone().step_by(2) {
                    let pair = first..strips.end.min(first + 2);
                    // SAFETY: `strips_of_unit` gives each strip, and so each column of an output,
                    // to one unit; shapes match.
                    unsafe { strips_of(pool, input, weight, pair, &rows, out, write) };
                }
            }
        }
    });
}

/// Multiplies the input rows `rows` by one or two strips of a weight matrix, and writes the results
/// to `out`.
///
/// # Safety
/// Nothing else accesses the columns of these strips, and shapes match.
unsafe fn strips_of(
    pool: &Pool,
    input: &Input,
    weight: &Packed,
    strips: Range<usize>,
    rows: &Range<usize>,
    out: &Out,
    write: Write,
) {
    let column = strips.start * STRIP;
    let width = (strips.len() * STRIP).min(weight.rows() - column);
    with_scratch(|scratch| {
        let sums = &mut scratch.sums[0];
        // SAFETY: guaranteed by the caller.
        unsafe {
            let pair = StripPair::new(pool, weight, strips, rows, &mut scratch.unpacked);
            input.each(rows, |at, group| {
                pair.multiply(&group, at == rows.start, sums);
                for (row, sums) in sums.0[..group.rows].iter().enumerate() {
                    let to = out.0.add((at + row) * weight.rows() + column);
                    put(write, &sums.as_flattened()[..width], to);
                }
            });
        }
    });
}

/// Writes the sums of one row to `to`. `write` says whether they replace the values at `to` or are
/// added to them.
///
/// # Safety
/// `sums.len()` floats may be written at `to`.
unsafe fn put(write: Write, sums: &[f32], to: *mut f32) {
    // SAFETY: guaranteed by the caller.
    let to = unsafe { std::slice::from_raw_parts_mut(to, sums.len()) };
    match (write, to.as_mut_array(), sums.as_array::<{ 2 * STRIP }>()) {
        (Write::Set, Some(to), Some(sums)) => *to = *sums,
        (Write::Set, ..) => to.copy_from_slice(sums),
        (Write::Add, Some(to), Some(sums)) => {
            to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum);
        }
        (Write::Add, ..) => to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum),
    }
}

/// A pointer to the start of an output matrix that several threads write to.
struct Out(*mut f32);

// SAFETY: each thread writes to its own columns, while the caller lends the output to `matmul`.
unsafe impl Sync for Out {}

/// The left operand of a product, `[m, k]`.
pub(super) struct Input<'a> {
    pub activations: &'a Activations,
    pub x: Source<'a>,
    pub m: usize,
    pub k: usize,
}

impl Input<'_> {
    /// Divides the input rows `rows` into groups for the kernels. Calls `with` for each group, with
    /// the index of the group's first row and with the group.
    pub(super) fn each(&self, rows: &Range<usize>, mut with: impl FnMut(usize, Group)) {
        let mut row = rows.start;
        while row < rows.end {
            let group = self.activations.group(self.x, self.k, row, rows.end - row);
            row += group.rows;
            with(row - group.rows, group);
        }
    }
}

/// Splits `m` input rows of `k` values into ranges. The ranges are small enough that the quantized
/// rows of one range stay in a core's own cache, from which the core reads them repeatedly.
pub(super) fn passes(m: usize, k: usize) -> impl Iterator<Item = Range<usize>> {
    let pass = (PASS / k).next_multiple_of(TILE);
    (0..m).step_by(pass).map(move |row| row..m.min(row + pass))
}

pub(super) fn units(pool: &Pool) -> usize {
    match pool.threads() {
        1 => 1,
        threads => threads * UNITS,
    }
}

/// One or two strips of a matrix, which are unpacked if the family unpacks strips and there are
/// enough input rows. All pairs that a thread holds at the same time must have the same format.
pub(super) struct StripPair<'a> {
    weight: &'a Packed,
    strips: Range<usize>,
    kernel: Kernel,
    tiles: Option<Tiles>,
    unpacked: &'a [Unpacked],
}

impl<'a> StripPair<'a> {
    pub(super) fn new(
        pool: &Pool,
        weight: &'a Packed,
        strips: Range<usize>,
        rows: &Range<usize>,
        unpacked: &'a mut [Unpacked],
    ) -> StripPair<'a> {
        let family = pool.family();
        let tiles = kernels::tiles(family, weight.format().layout());
        let tiles = tiles.filter(|_| rows.len() >= GROUP);
        let unpacked = &mut unpacked[..strips.len()];
        if let Some(tiles) = &tiles {
            for (index, unpacked) in strips.clone().zip(&mut *unpacked) {
                let (scales, quants) = weight.strip(index);
                let cold = true;
                // SAFETY: the processor supports the pool's family.
                unsafe {
                    (tiles.unpack)(
                        &Strip {
                            scales,
                            quants,
                            cold,
                        },
                        unpacked,
                    )
                };
            }
            // SAFETY: as above.
            unsafe { (tiles.begin)() };
        }
        StripPair {
            weight,
            strips,
            kernel: kernels::kernel(family, weight.format().layout()),
            tiles,
            unpacked,
        }
    }

    /// Multiplies the strips by a group of input rows. `cold` says whether this is the first group
    /// of the current pass, in which case the strips have not been read yet.
    ///
    /// # Safety
    /// The group has as many columns as the weights.
    pub(super) unsafe fn multiply(&self, group: &Group, cold: bool, to: &mut Sums) {
        if let Some(tiles) = self.tiles.as_ref().filter(|_| group.rows >= GROUP) {
            // SAFETY: the processor supports the pool's family; the strips were unpacked when this
            // pair was created, and any pair created since has the same format.
            return unsafe { (tiles.multiply)(self.unpacked, group, to) };
        }
        for (side, index) in self.strips.clone().enumerate() {
            let (scales, quants) = self.weight.strip(index);
            for first in (0..group.rows).step_by(GROUP) {
                let (group, cold) = (group.part(first), cold && first == 0);
                let mut sums = [[0.0; STRIP]; GROUP];
                // SAFETY: as above; strip and group have the same width.
                unsafe {
                    (self.kernel)(
                        &Strip {
                            scales,
                            quants,
                            cold,
                        },
                        &group,
                        &mut sums,
                    )
                };
                for (to, sums) in to.0[first..].iter_mut().zip(&sums[..group.rows]) {
                    to[side] = *sums;
                }
            }
        }
    }
}

impl Drop for StripPair<'_> {
    fn drop(&mut self) {
        if let Some(tiles) = &self.tiles {
            // SAFETY: the processor supports the pool's family.
            unsafe { (tiles.end)() };
        }
    }
}

/// The buffers that a thread uses during a matrix product.
#[derive(Default)]
pub(super) struct Scratch {
    pub unpacked: [Unpacked; 4],
    pub sums: [Sums; 3],
}

/// Calls `work` with the current thread's buffers, which are retained to avoid allocations.
pub(super) fn with_scratch(work: impl FnOnce(&mut Scratch)) {
    thread_local! {
        static SCRATCH: RefCell<Box<Scratch>> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|scratch| work(scratch));
}

/// Returns the strips that belong to unit `unit` of `units` units. Each item contains the index of
/// a matrix in `weights` and a range of the matrix's strips. All units read about the same number
/// of bytes.
fn strips_of_unit<'a>(
    weights: &'a [&Packed],
    unit: usize,
    units: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> + 'a {
    let total: usize = weights.iter().map(|weight| weight.bytes()).sum();
    let mut before = 0;
    weights.iter().enumerate().map(move |(index, weight)| {
        // A strip belongs to the unit in whose share of the bytes it begins.
        let first = |unit: usize| {
            let begin = (total * unit / units).saturating_sub(before);
            begin.div_ceil(weight.strip_bytes()).min(weight.strips())
        };
        let strips = first(unit)..first(unit + 1);
        before += weight.bytes();
        (index, strips)
    })
}

pub(super) fn check(what: &'static str, have: usize, want: usize) -> Result<(), LinearError> {
    if have == want {
        Ok(())
    } else {
        Err(LinearError::Shape { what, want, have })
    }
}
