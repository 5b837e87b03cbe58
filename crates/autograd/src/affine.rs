//! Linear layers with gradients, and matrix products without gradients.

use super::{Order, View, add, contiguous_f32, with};
use candle_core::{CpuStorage, CustomOp3, Layout, Result, Shape, Tensor};
use kernels::dispatch_simd;
use kernels::linear::KernelFamily;

/// Multiplies `x` `[rows, inputs]` by the transpose of `weight` `[outputs, inputs]`, and adds
/// `bias` `[outputs]`.
pub fn affine(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Result<Tensor> {
    let (x, weight) = (x.contiguous()?, weight.contiguous()?);
    x.apply_op3(&weight, &bias.contiguous()?, Affine)
}

/// Multiplies `x` `[m, n]` by the transpose of `y` `[k, n]`. The result is `[m, k]`.
pub fn matmul_transposed(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    product((x, Order::RowMajor), (y, Order::RowMajor))
}

/// Multiplies `x` `[m, n]` by `y` `[n, k]`. The result is `[m, k]`.
pub fn matmul(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    product((x, Order::RowMajor), (y, Order::ColumnMajor))
}

struct Affine;

impl CustomOp3 for Affine {
    fn name(&self) -> &'static str {
        "affine"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        shape: &Layout,
        weight: &CpuStorage,
        matrix: &Layout,
        bias: &CpuStorage,
        of_bias: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let (rows, _) = shape.shape().dims2()?;
        let (outputs, _) = matrix.shape().dims2()?;
        let mut out = contiguous_f32(bias, of_bias)?.repeat(rows);
        let x = view(contiguous_f32(x, shape)?, shape.shape(), Order::RowMajor)?;
        let weight = view(
            contiguous_f32(weight, matrix)?,
            matrix.shape(),
            Order::RowMajor,
        )?;
        // SAFETY: this module is used only if the processor supports the instructions.
        unsafe { add(x, weight, &mut out, outputs) };
        Ok((CpuStorage::F32(out), (rows, outputs).into()))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _: &Tensor,
        _: &Tensor,
        gradient: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>, Option<Tensor>)> {
        let of_x = match x.track_op() {
            true => Some(product(
                (gradient, Order::RowMajor),
                (weight, Order::ColumnMajor),
            )?),
            false => None,
        };
        let of_weight = product((gradient, Order::ColumnMajor), (x, Order::ColumnMajor))?;
        let of_bias = with(gradient, |gradient| {
            let mut sums = vec![0f32; weight.dim(0)?];
            sum_of_rows(KernelFamily::best(), gradient, &mut sums);
            Tensor::new(sums, x.device())
        })?;
        Ok((of_x, Some(of_weight), Some(of_bias)))
    }
}

dispatch_simd!(sum_of_rows, sum_of_all_rows, (rows: &[f32], sums: &mut [f32]));

#[inline(always)]
fn sum_of_all_rows(rows: &[f32], sums: &mut [f32]) {
    for row in rows.chunks_exact(sums.len()) {
        sums.iter_mut().zip(row).for_each(|(sum, x)| *sum += x);
    }
}

/// Multiplies two matrices without gradients. The order given for each matrix determines which of
/// its dimensions is summed over.
fn product((x, one): (&Tensor, Order), (y, other): (&Tensor, Order)) -> Result<Tensor> {
    with(x, |rows| {
        with(y, |columns| {
            let rows = view(rows, x.shape(), one)?;
            let columns = view(columns, y.shape(), other)?;
            let mut out = vec![0f32; rows.count * columns.count];
            // SAFETY: this module is used only if the processor supports the instructions.
            unsafe { add(rows, columns, &mut out, columns.count) };
            Tensor::from_vec(out, (rows.count, columns.count), x.device())
        })
    })
}

fn view<'a>(numbers: &'a [f32], shape: &Shape, order: Order) -> Result<View<'a>> {
    let (high, wide) = shape.dims2()?;
    let (count, depth) = match order {
        Order::RowMajor => (high, wide),
        Order::ColumnMajor => (wide, high),
    };
    Ok(View {
        numbers,
        count,
        depth,
        order,
        stride: wide,
    })
}
