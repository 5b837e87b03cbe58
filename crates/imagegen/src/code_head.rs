//! The code head: a small network on top of the token Transformer that predicts a token's FSQ codes
//! one after the other. The code head computes with plain slices of numbers, since tensor
//! operations have too much overhead for so little arithmetic.
//!
//! Training does the same computation with tensors (`TokenTransformer::logits`).

/// The weights of the code head, which computes each code's logits from `hidden` inputs.
pub struct CodeHead {
    pub levels: Vec<usize>,
    pub hidden: usize,
    /// What each code value adds to the inputs of the later codes: `[code values, codes * hidden]`.
    pub before: Vec<f32>,
    /// For each code, the weights `[levels, hidden]` that compute its logits.
    pub weights: Vec<Vec<f32>>,
    /// For each code, the biases `[levels]` of its logits.
    pub biases: Vec<Vec<f32>>,
}

/// How many numbers are summed in parallel. It determines the order of summation and lets the
/// compiler vectorize the sum.
const LANES: usize = 16;

impl CodeHead {
    /// How many numbers the Transformer passes to the code head for each token.
    pub fn width(&self) -> usize {
        self.levels.len() * self.hidden
    }

    /// Computes the logits `[levels]` of the code with index `at`. [`CodeHead::apply`] must have
    /// been called for every earlier code of the token.
    pub fn logits(&self, token: &[f32], at: usize, logits: &mut Vec<f64>) {
        let own = &token[at * self.hidden..][..self.hidden];
        let rows = self.weights[at].chunks_exact(self.hidden);
        let values = rows.zip(&self.biases[at]);
        logits.clear();
        logits.extend(values.map(|(row, bias)| f64::from(squared_product(own, row) + bias)));
    }

    /// Adds the effect of one code to the inputs of the later codes. `at` is the index of the code,
    /// and `code` is its value.
    pub fn apply(&self, token: &mut [f32], at: usize, code: usize) {
        let start: usize = self.levels[..at].iter().sum();
        let row = &self.before[(start + code) * self.width()..][..self.width()];
        let after = (at + 1) * self.hidden;
        let pairs = token[after..].iter_mut().zip(&row[after..]);
        pairs.for_each(|(x, said)| *x += said);
    }
}

/// Computes the dot product of `row` and the squared ReLU of `x`.
fn squared_product(x: &[f32], row: &[f32]) -> f32 {
    let mut sums = [0f32; LANES];
    let (x, row) = (x.chunks(LANES), row.chunks(LANES));
    for (x, row) in x.zip(row) {
        for ((sum, x), weight) in sums.iter_mut().zip(x).zip(row) {
            let positive = x.max(0.0);
            *sum += positive * positive * weight;
        }
    }
    sums.iter().sum()
}
