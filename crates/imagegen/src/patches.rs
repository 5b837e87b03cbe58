//! Rearranges pictures into patches and back, without arithmetic.

use candle_core::{Result, Tensor};

/// Rearranges pictures `[batch, c, g p, g p]` into patches `[batch, g g, p p c]`. The pixels of a
/// patch follow each other row by row, and the channels of a pixel are adjacent.
pub fn patchify(x: &Tensor, p: usize) -> Result<Tensor> {
    let (batch, c, height, _) = x.dims4()?;
    let g = height / p;
    let x = x.reshape(&[batch, c, g, p, g, p][..])?;
    let x = x.permute([0, 2, 4, 3, 5, 1].as_slice())?;
    x.reshape((batch, g * g, p * p * c))
}

/// The inverse of [`patchify`]: rearranges patches `[batch, g g, p p c]` into pictures
/// `[batch, c, g p, g p]`.
pub fn unpatchify(x: &Tensor, g: usize, p: usize, c: usize) -> Result<Tensor> {
    let batch = x.dim(0)?;
    let x = x.reshape(&[batch, g, g, p, p, c][..])?;
    let x = x.permute([0, 5, 1, 3, 2, 4].as_slice())?;
    x.reshape((batch, c, g * p, g * p))
}

/// Splits each token into 2 by 2 tokens: rearranges `[batch, n n, 4 width]` into
/// `[batch, 2n 2n, width]`.
pub fn split(x: &Tensor, n: usize) -> Result<Tensor> {
    let (batch, _, width) = x.dims3()?;
    let x = x.reshape(&[batch, n, n, 2, 2, width / 4][..])?;
    let x = x.permute([0, 1, 3, 2, 4, 5].as_slice())?;
    x.reshape((batch, 4 * n * n, width / 4))
}

/// Separates the four quarters of a picture, so that they do not attend to each other: rearranges
/// `[batch, 2n 2n, width]` into `[4 batch, n n, width]`.
pub fn windows(x: &Tensor, n: usize) -> Result<Tensor> {
    let (batch, _, width) = x.dims3()?;
    let x = x.reshape(&[batch, 2, n, 2, n, width][..])?;
    x.transpose(2, 3)?.reshape((4 * batch, n * n, width))
}

/// The inverse of [`windows`].
pub fn unwindows(x: &Tensor, n: usize) -> Result<Tensor> {
    let (four, _, width) = x.dims3()?;
    let x = x.reshape(&[four / 4, 2, 2, n, n, width][..])?;
    x.transpose(2, 3)?.reshape((four / 4, 4 * n * n, width))
}

/// Rearranges `[batch, 4 c, h, h]` into `[batch, c, 2 h, 2 h]` (Shi et al. 2016), in the same order
/// as PyTorch's `pixel_shuffle`.
pub fn pixel_shuffle(x: &Tensor) -> Result<Tensor> {
    let (batch, c, h, _) = x.dims4()?;
    let x = x.reshape(&[batch, c / 4, 2, 2, h, h][..])?;
    let x = x.permute([0, 1, 4, 2, 5, 3].as_slice())?;
    x.reshape((batch, c / 4, 2 * h, 2 * h))
}

/// The inverse of [`pixel_shuffle`].
pub fn pixel_unshuffle(x: &Tensor) -> Result<Tensor> {
    let (batch, c, h, _) = x.dims4()?;
    let x = x.reshape(&[batch, c, h / 2, 2, h / 2, 2][..])?;
    let x = x.permute([0, 1, 3, 5, 2, 4].as_slice())?;
    x.reshape((batch, 4 * c, h / 2, h / 2))
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    fn numbers(shape: &[usize]) -> Tensor {
        let count: usize = shape.iter().product();
        let numbers = Tensor::arange(0f32, count as f32, &Device::Cpu).unwrap();
        numbers.reshape(shape).unwrap()
    }

    fn same(a: &Tensor, b: &Tensor) {
        let flat = |t: &Tensor| t.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        assert_eq!((a.dims(), flat(a)), (b.dims(), flat(b)));
    }

    #[test]
    fn each_way_has_its_way_back() {
        let picture = numbers(&[2, 3, 4, 4]);
        same(
            &unpatchify(&patchify(&picture, 2).unwrap(), 2, 2, 3).unwrap(),
            &picture,
        );
        let halved = pixel_unshuffle(&picture).unwrap();
        same(&pixel_shuffle(&halved).unwrap(), &picture);
        let tokens = numbers(&[2, 16, 5]);
        same(
            &unwindows(&windows(&tokens, 2).unwrap(), 2).unwrap(),
            &tokens,
        );
    }

    #[test]
    fn a_patch_is_read_row_by_row_with_its_channels_last() {
        let picture = numbers(&[1, 2, 4, 4]);
        let patches = patchify(&picture, 2).unwrap().to_vec3::<f32>().unwrap();
        assert_eq!(patches[0][1], [2.0, 18.0, 3.0, 19.0, 6.0, 22.0, 7.0, 23.0]);
    }

    #[test]
    fn a_token_becomes_two_by_two_where_it_stood() {
        // Two by two tokens of 4 numbers become this grid, row by row.
        let split = split(&numbers(&[1, 4, 4]), 2).unwrap();
        let grid = split.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let rows = [0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15];
        assert_eq!(grid, rows.map(|n| n as f32));
    }
}
