//! Tests that illumine and candle decode the weights of every format to the same values.

use candle_core::quantized::{QStorage, QTensor};
use candle_core::{Device, Shape};
use kernels::linear::{Format, dequantize_row};
use llm::gguf::TensorType;
use random::{Random, weights};
use std::borrow::Cow;

#[path = "../../../kernels/src/linear/tests/random.rs"]
mod random;

#[test]
fn values_are_those_that_candle_reads() {
    let k = 512;
    for format in Format::all() {
        let data = weights(format, 3, k, &mut Random(7));
        let dtype = TensorType::of_format(format).unwrap().candle().unwrap();
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
