//! Weights of every format have the values that candle reads.

use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use candle_core::{Device, Shape};
use kernels::linear::{Format, dequantize_row};
use random::{Random, weights};
use std::borrow::Cow;

#[path = "../../../kernels/src/linear/tests/random.rs"]
mod random;

#[test]
fn values_are_those_that_candle_reads() {
    let k = 512;
    for format in Format::all() {
        let data = weights(format, 3, k, &mut Random(7));
        let dtype = candle_type(format);
        let storage = QStorage::from_data(Cow::Borrowed(&data), &Device::Cpu, dtype).unwrap();
        let tensor = QTensor::new(storage, Shape::from((3, k))).unwrap();
        let theirs: Vec<Vec<f32>> = tensor.dequantize(&Device::Cpu).unwrap().to_vec2().unwrap();
        for (row, theirs) in theirs.iter().enumerate() {
            let mut ours = vec![0.0; k];
            dequantize_row(format, &data, row, k, &mut ours).unwrap();
            assert_eq!(&ours, theirs, "{format:?}");
        }
    }
}

fn candle_type(format: Format) -> GgmlDType {
    match format {
        Format::Q4_0 => GgmlDType::Q4_0,
        Format::Q4_1 => GgmlDType::Q4_1,
        Format::Q5_0 => GgmlDType::Q5_0,
        Format::Q5_1 => GgmlDType::Q5_1,
        Format::Q8_0 => GgmlDType::Q8_0,
        Format::Q4K => GgmlDType::Q4K,
        Format::Q5K => GgmlDType::Q5K,
        Format::Q6K => GgmlDType::Q6K,
        Format::F16 => GgmlDType::F16,
        Format::BF16 => GgmlDType::BF16,
        Format::F32 => GgmlDType::F32,
    }
}
