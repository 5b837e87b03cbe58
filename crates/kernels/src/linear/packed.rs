//! Weight matrices packed into strips. `pack.rs` describes the contents of a strip.

use super::arena::{Arena, Region};
use super::{Format, LinearError, Pool, STRIP};

/// A weight matrix packed into strips, ready to be multiplied.
pub struct Packed {
    format: Format,
    rows: usize,
    cols: usize,
    region: Region,
}

impl Packed {
    /// Packs the GGUF matrix `data`, which is `[rows, cols]` and stored in `format`, row after row.
    pub fn pack(
        arena: &mut Arena,
        pool: &Pool,
        format: Format,
        data: &[u8],
        rows: usize,
        cols: usize,
    ) -> Result<Packed, LinearError> {
        let spec = format.spec();
        if cols == 0 || !cols.is_multiple_of(spec.block) {
            return Err(LinearError::Columns {
                format,
                rows,
                cols,
                block: spec.block,
            });
        }
        let (want, have) = (rows * format.row_bytes(cols), data.len());
        if want != have {
            return Err(LinearError::Bytes {
                format,
                rows,
                cols,
                want,
                have,
            });
        }
        let bytes = format.layout().strip(cols);
        let mut region = arena.take(rows.div_ceil(STRIP) * bytes)?;
        let sources = data.chunks(STRIP * format.row_bytes(cols));
        let strips = region
            .bytes_mut()
            .chunks_exact_mut(bytes)
            .zip(sources)
            .collect();
        pool.each(strips, |(strip, source)| (spec.pack)(cols, source, strip));
        Ok(Packed {
            format,
            rows,
            cols,
            region,
        })
    }

    #[inline]
    pub fn format(&self) -> Format {
        self.format
    }

    /// The number of rows, which is the number of outputs of the layer.
    #[inline]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// The number of columns, which is the number of inputs of the layer.
    #[inline]
    pub fn cols(&self) -> usize {
        self.cols
    }

    /// The size of the packed matrix in memory, in bytes.
    pub fn bytes(&self) -> usize {
        self.region.bytes().len()
    }

    pub(super) fn strips(&self) -> usize {
        self.rows.div_ceil(STRIP)
    }

    pub(super) fn strip_bytes(&self) -> usize {
        self.format.layout().strip(self.cols)
    }

    /// Returns the scales and the weights of strip `index`.
    pub(super) fn strip(&self, index: usize) -> (&[u8], &[u8]) {
        let bytes = self.strip_bytes();
        let scales = self.format.layout().aligned_scales(self.cols);
        self.region.bytes()[index * bytes..][..bytes].split_at(scales)
    }
}
