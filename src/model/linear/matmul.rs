//! The product: who computes which strips of which weights for which rows of the input.

use std::cell::RefCell;
use std::ops::Range;

use super::kernels::{Strip, Unpacked};
use super::quantize::{Activations, GROUP, Source};
use super::{LinearError, Packed, Pool, STRIP};

/// Bytes of quantized input that a pass over the weights works on: what a core's own cache holds
/// beside a strip.
const PASS: usize = 512 << 10;
/// Rows that are multiplied in one call, where a kernel takes many.
const MANY: usize = 128;
/// Units of work for each thread: enough that one can help another, few enough to read memory in
/// long runs.
const UNITS: usize = 4;

/// What becomes of what an output held before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    Set,
    Add,
}

/// `outs[i] = x * weights[i]^T` for weights that share their input: x `[m, k]`, `outs[i]` `[m, n_i]`.
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
    if let Source::Rows(x) = x {
        check("the input", x.len(), m * k)?;
    }
    for (weight, out) in weights.iter().zip(outs.iter()) {
        check("a row of the input", weight.cols(), k)?;
        check("an output", out.len(), m * weight.rows())?;
    }
    let mut input = pool.scratch();
    let integers = weights.iter().any(|weight| !weight.format().is_float());
    input.read(pool, x, m, k, integers);
    let outs: Vec<Out> = outs.iter_mut().map(|out| Out(out.as_mut_ptr())).collect();
    let pass = (PASS / k).next_multiple_of(GROUP);
    let units = match pool.threads() {
        1 => 1,
        threads => threads * UNITS,
    };
    let product = Product {
        pool,
        input: &input,
        x,
        write,
    };
    pool.run(units, &|unit| {
        for first in (0..m).step_by(pass) {
            let rows = first..m.min(first + pass);
            for (index, strips) in share(weights, unit, units) {
                // SAFETY: `share` gives each strip, and so each column of an output, to one unit.
                unsafe { product.strips(weights[index], strips, rows.clone(), &outs[index]) };
            }
        }
    });
    Ok(())
}

/// The start of an output, to be written to by many threads.
struct Out(*mut f32);

// SAFETY: threads write to columns of their own, while the caller has lent the output to `matmul`.
unsafe impl Sync for Out {}

#[repr(align(64))]
struct Sums([[f32; STRIP]; MANY]);

thread_local! {
    /// A strip unpacked, kept for its memory.
    static UNPACKED: RefCell<Unpacked> = RefCell::default();
}

/// What all parts of a product share.
struct Product<'a> {
    pool: &'a Pool,
    input: &'a Activations,
    x: Source<'a>,
    write: Write,
}

impl Product<'_> {
    /// Computes some strips of one weight matrix for some rows of the input.
    ///
    /// Safe where nobody else has the columns of these strips, and where shapes fit.
    unsafe fn strips(&self, weight: &Packed, strips: Range<usize>, rows: Range<usize>, out: &Out) {
        let family = self.pool.family();
        let kernel = family.kernel(weight.format());
        let tiles = family
            .tiles(weight.format())
            .filter(|_| rows.len() >= GROUP);
        let mut sums = Sums([[0.0; STRIP]; MANY]);
        let sums = &mut sums.0;
        if let Some(tiles) = &tiles {
            // SAFETY: a pool has a family that this processor has.
            unsafe { (tiles.begin)() };
        }
        for index in strips {
            let (head, body) = weight.strip(index);
            let mut row = rows.start;
            UNPACKED.with_borrow_mut(|unpacked| {
                if let Some(tiles) = &tiles {
                    let cold = true;
                    // SAFETY: the same.
                    unsafe { (tiles.unpack)(&Strip { head, body, cold }, unpacked) };
                }
                while row < rows.end {
                    let (rest, k) = (rows.end - row, weight.cols());
                    let group = match &tiles {
                        Some(tiles) if rest >= GROUP => {
                            let rows = rest.min(MANY) / GROUP * GROUP;
                            let group = self.input.rows(self.x, k, row, rows);
                            // SAFETY: the same; the strip was unpacked above.
                            unsafe { (tiles.multiply)(unpacked, &group, sums) };
                            group
                        }
                        _ => {
                            let group = self.input.group(self.x, k, row, rest);
                            let cold = row == rows.start;
                            // SAFETY: the same; strip and group have one width.
                            unsafe { kernel(&Strip { head, body, cold }, &group, sums) };
                            group
                        }
                    };
                    for sums in &sums[..group.rows] {
                        // SAFETY: the row is within the output, the columns this caller's own.
                        unsafe { self.put(weight, index, row, sums, out) };
                        row += 1;
                    }
                }
            });
        }
        if let Some(tiles) = &tiles {
            // SAFETY: the same.
            unsafe { (tiles.end)() };
        }
    }

    /// Writes what a strip gives for a row.
    ///
    /// Safe where the output has the row, and nobody else its columns of this strip.
    unsafe fn put(
        &self,
        weight: &Packed,
        strip: usize,
        row: usize,
        sums: &[f32; STRIP],
        out: &Out,
    ) {
        let column = strip * STRIP;
        let width = STRIP.min(weight.rows() - column);
        // SAFETY: the caller's.
        let to = unsafe { out.0.add(row * weight.rows() + column) };
        // SAFETY: the same.
        let to = unsafe { std::slice::from_raw_parts_mut(to, width) };
        match (self.write, to.as_mut_array::<STRIP>()) {
            (Write::Set, Some(to)) => *to = *sums,
            (Write::Set, None) => to.copy_from_slice(&sums[..width]),
            (Write::Add, _) => to.iter_mut().zip(sums).for_each(|(to, sum)| *to += sum),
        }
    }
}

/// The strips of each weight matrix that are in unit `unit` of `units`, by bytes to read: an index
/// into `weights` and a range.
fn share<'a>(
    weights: &'a [&Packed],
    unit: usize,
    units: usize,
) -> impl Iterator<Item = (usize, Range<usize>)> + 'a {
    let total: usize = weights.iter().map(|weight| weight.bytes()).sum();
    let mut before = 0;
    weights.iter().enumerate().map(move |(index, weight)| {
        // A strip is in the unit in whose share of the bytes it begins.
        let first = |unit: usize| {
            let begin = (total * unit / units).saturating_sub(before);
            begin.div_ceil(weight.strip_bytes()).min(weight.strips())
        };
        let strips = first(unit)..first(unit + 1);
        before += weight.bytes();
        (index, strips)
    })
}

fn check(what: &'static str, have: usize, want: usize) -> Result<(), LinearError> {
    if have == want {
        Ok(())
    } else {
        Err(LinearError::Shape { what, want, have })
    }
}
