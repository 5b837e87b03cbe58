//! Finds the k highest logits on the device that computed the logits, so that the logits of the
//! whole vocabulary need not be copied for each token.

use candle_core::{D, DType, Result, Tensor};

/// The number of logits in a row. The logits are divided into rows, and a GPU kernel sorts each row
/// as a whole.
const ROW: usize = 1024;
/// The maximum k. For a larger k, copying all logits is as fast.
const MAX_COUNT: usize = ROW / 2;

/// Takes the logits of one token and returns a copy in which all but the `count` highest logits are
/// `-inf`. Returns None if ties make the choice ambiguous, or if `count` is not supported.
///
/// The logits are sorted on the device, and the result is copied from the device in one step.
pub fn top_k(logits: &Tensor, count: usize) -> Result<Option<Vec<f32>>> {
    let logits = logits.flatten_all()?;
    let all = logits.dim(0)?;
    // Up to this size an f32 represents every index exactly.
    if count == 0 || count > MAX_COUNT.min(all) || all > 1 << 24 {
        return Ok(None);
    }
    // NaN cannot be sorted.
    let nothing = Tensor::full(f32::NEG_INFINITY, all, logits.device())?;
    let logits = logits.eq(&logits)?.where_cond(&logits, &nothing)?;
    let (values, ids) = sorted(&logits, count)?;
    let worst = values.narrow(0, count - 1, 1)?;
    let at_least = logits.broadcast_ge(&worst)?.to_dtype(DType::F32)?;
    let found = Tensor::cat(
        &[
            values,
            ids.to_dtype(DType::F32)?,
            at_least.sum_all()?.reshape(1)?,
        ],
        0,
    )?;
    let found: Vec<f32> = found.to_vec1()?;
    if found[2 * count] != count as f32 {
        return Ok(None);
    }
    let mut row = vec![f32::NEG_INFINITY; all];
    for (value, id) in found[..count].iter().zip(&found[count..2 * count]) {
        if let Some(logit) = row.get_mut(*id as usize) {
            *logit = *value;
        }
    }
    Ok(Some(row))
}

/// Returns the `count` highest values, from highest to lowest, and the index of each. Divides the
/// values into rows, sorts each row, retains the highest values of each row, and repeats this until
/// only one row is left.
fn sorted(logits: &Tensor, count: usize) -> Result<(Tensor, Tensor)> {
    let device = logits.device();
    let mut values = logits.clone();
    let mut ids: Option<Tensor> = None;
    loop {
        let len = values.dim(0)?;
        let width = len.min(ROW);
        let rows = len.div_ceil(width);
        let missing = rows * width - len;
        if missing > 0 {
            let none = Tensor::full(f32::NEG_INFINITY, missing, device)?;
            values = Tensor::cat(&[&values, &none], 0)?;
            if let Some(known) = &ids {
                let none = Tensor::zeros(missing, DType::U32, device)?;
                ids = Some(Tensor::cat(&[known, &none], 0)?);
            }
        }
        values = values.reshape((rows, width))?;
        let order = values.arg_sort_last_dim(false)?;
        let order = order.narrow(D::Minus1, 0, count.min(width))?.contiguous()?;
        let known = match &ids {
            Some(known) => known.reshape((rows, width))?.gather(&order, 1)?,
            None => {
                let first: Vec<u32> = (0..rows).map(|row| (row * width) as u32).collect();
                order.broadcast_add(&Tensor::from_vec(first, (rows, 1), device)?)?
            }
        };
        values = values.gather(&order, 1)?.flatten_all()?;
        let known = known.flatten_all()?;
        if rows == 1 {
            return Ok((values, known));
        }
        ids = Some(known);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;
    use proptest::prelude::*;

    /// A reference implementation of top-k, which sorts all logits. Returns None if ties make the
    /// choice ambiguous.
    fn plain(logits: &[f32], count: usize) -> Option<Vec<f32>> {
        let mut order: Vec<f32> = logits.to_vec();
        order.sort_by(|a, b| b.total_cmp(a));
        let worst = *order.get(count - 1)?;
        let known = |logit: &f32| {
            if *logit >= worst {
                *logit
            } else {
                f32::NEG_INFINITY
            }
        };
        let kept = order.iter().filter(|logit| **logit >= worst).count();
        (kept == count && count <= MAX_COUNT).then(|| logits.iter().map(known).collect())
    }

    proptest! {
        #[test]
        fn they_are_those_of_a_plain_sort(
            len in prop::sample::select(vec![1usize, 5, 1023, 1024, 1025, 5000]),
            count in prop::sample::select(vec![1usize, 2, 40, 512, 513]),
            steps in prop::sample::select(vec![7u64, 100_000_000]), seed in any::<u64>(),
        ) {
            let mut state = seed | 1;
            let next = |_| {
                state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
                ((state >> 33) % steps) as f32 / 3.0
            };
            let logits: Vec<f32> = (0..len).map(next).collect();
            let tensor = Tensor::from_slice(&logits, len, &Device::Cpu).unwrap();
            prop_assert_eq!(top_k(&tensor, count).unwrap(), plain(&logits, count));
        }
    }

    #[test]
    fn what_is_no_number_is_not_among_the_best() {
        let logits = [f32::NAN, 1.0, f32::NEG_INFINITY, 3.0, 2.0];
        let found = top_k(&Tensor::new(&logits, &Device::Cpu).unwrap(), 2).unwrap();
        let none = f32::NEG_INFINITY;
        assert_eq!(found, Some(vec![none, none, none, 3.0, 2.0]));
    }
}
