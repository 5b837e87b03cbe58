//! The product: who computes which strips of which weights for which rows of the input.

use std::ops::Range;

use super::kernels::Strip;
use super::quantize::{Activations, GROUP};
use super::{LinearError, Packed, Pool, STRIP};

/// Bytes of quantized input that a pass over the weights works on: what a core's own cache holds
/// beside a strip.
const PASS: usize = 512 << 10;
/// Units of work for each thread: enough that one can help another, few enough to read memory in
/// long runs.
const UNITS: usize = 4;

/// `outs[i] = x * weights[i]^T` for weights that share their input: x `[m, k]`, `outs[i]` `[m, n_i]`.
pub fn matmul(
    pool: &Pool,
    weights: &[&Packed],
    x: &[f32],
    m: usize,
    outs: &mut [&mut [f32]],
) -> Result<(), LinearError> {
    let Some(k) = weights.first().map(|first| first.cols()) else {
        return Ok(());
    };
    check("the list of outputs", outs.len(), weights.len())?;
    check("the input", x.len(), m * k)?;
    for (weight, out) in weights.iter().zip(outs.iter()) {
        check("a row of the input", weight.cols(), k)?;
        check("an output", out.len(), m * weight.rows())?;
    }
    let mut input = pool.scratch();
    if weights.iter().any(|weight| !weight.format().is_float()) {
        input.quantize(pool, x, k);
    }
    let outs: Vec<Out> = outs.iter_mut().map(|out| Out(out.as_mut_ptr())).collect();
    let pass = (PASS / k).next_multiple_of(GROUP);
    let input = &*input;
    let units = if pool.threads() == 1 {
        1
    } else {
        pool.threads() * UNITS
    };
    pool.run(units, &|unit| {
        for first in (0..m).step_by(pass) {
            let rows = first..m.min(first + pass);
            for (index, strips) in share(weights, unit, units) {
                // SAFETY: `share` gives each strip, and so each column of an output, to one unit.
                unsafe {
                    multiply(
                        pool,
                        weights[index],
                        strips,
                        input,
                        x,
                        rows.clone(),
                        &outs[index],
                    )
                };
            }
        }
    });
    Ok(())
}

/// The start of an output, to be written to by many threads.
struct Out(*mut f32);

// SAFETY: threads write to columns of their own, while the caller has lent the output to `matmul`.
unsafe impl Sync for Out {}

/// Computes some strips of one weight matrix for some rows of the input.
///
/// Safe where nobody else has the columns of these strips, and where shapes fit.
unsafe fn multiply(
    pool: &Pool,
    weight: &Packed,
    strips: Range<usize>,
    input: &Activations,
    x: &[f32],
    rows: Range<usize>,
    out: &Out,
) {
    let kernel = pool.family().kernel(weight.format());
    let mut sums = [[0.0; STRIP]; GROUP];
    for index in strips {
        let (head, body) = weight.strip(index);
        let column = index * STRIP;
        let width = STRIP.min(weight.rows() - column);
        let mut row = rows.start;
        while row < rows.end {
            let group = input.group(x, weight.cols(), row, rows.end - row);
            let strip = Strip {
                head,
                body,
                cold: row == rows.start,
            };
            // SAFETY: a pool has a family that this processor has; strip and group have one width.
            unsafe { kernel(&strip, &group, &mut sums) };
            for sums in &sums[..group.rows] {
                // SAFETY: row and columns are within the output, the columns this caller's own.
                unsafe {
                    let to = out.0.add(row * weight.rows() + column);
                    match width {
                        STRIP => to.cast::<[f32; STRIP]>().write_unaligned(*sums),
                        _ => to.copy_from_nonoverlapping(sums.as_ptr(), width),
                    }
                }
                row += 1;
            }
        }
    }
}

/// The strips of each weight matrix that are in unit `unit` of `units`, by bytes to read: an index
/// into `weights` and a range.
fn share(weights: &[&Packed], unit: usize, units: usize) -> Vec<(usize, Range<usize>)> {
    let total: usize = weights.iter().map(|weight| weight.bytes()).sum();
    let mut before = 0;
    let mut shares = Vec::new();
    for (index, weight) in weights.iter().enumerate() {
        // A strip is in the unit in whose share of the bytes it begins.
        let first = |unit: usize| {
            let begin = (total * unit / units).saturating_sub(before);
            begin.div_ceil(weight.strip_bytes()).min(weight.strips())
        };
        shares.push((index, first(unit)..first(unit + 1)));
        before += weight.bytes();
    }
    shares
}

fn check(what: &'static str, have: usize, want: usize) -> Result<(), LinearError> {
    if have == want {
        Ok(())
    } else {
        Err(LinearError::Shape { what, want, have })
    }
}
