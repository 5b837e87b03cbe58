//! The small network on top of the token Transformer that draws a token's digits one after the
//! other, in plain numbers: so little is computed for a digit that tensors would cost more.
//!
//! Training goes through tensors (`TokenTransformer::logits`, `tell`); both compute the same.

/// What a token's digits are drawn by; `hidden` numbers a digit.
pub struct CodeHead {
    pub levels: Vec<usize>,
    pub hidden: usize,
    /// `[levels of all digits, digits * hidden]`: what a digit says to those after it.
    pub before: Vec<f32>,
    /// Of each digit, `[levels, hidden]`.
    pub weights: Vec<Vec<f32>>,
    /// Of each digit, `[levels]`.
    pub biases: Vec<Vec<f32>>,
}

/// Numbers that are summed side by side, so that the order of a sum is fixed and can be fast.
const LANES: usize = 16;

impl CodeHead {
    /// Numbers of a token: what the Transformer hands over of it.
    pub fn width(&self) -> usize {
        self.levels.len() * self.hidden
    }

    /// Logits `[levels]` of digit `at`, of a token whose digits before it were told.
    pub fn logits(&self, token: &[f32], at: usize, logits: &mut Vec<f64>) {
        let own = &token[at * self.hidden..][..self.hidden];
        let rows = self.weights[at].chunks_exact(self.hidden);
        let values = rows.zip(&self.biases[at]);
        logits.clear();
        logits.extend(values.map(|(row, bias)| f64::from(squared_product(own, row) + bias)));
    }

    /// Tells those that come after digit `at` that it is `digit`.
    pub fn tell(&self, token: &mut [f32], at: usize, digit: usize) {
        let start: usize = self.levels[..at].iter().sum();
        let row = &self.before[(start + digit) * self.width()..][..self.width()];
        let after = (at + 1) * self.hidden;
        let pairs = token[after..].iter_mut().zip(&row[after..]);
        pairs.for_each(|(x, said)| *x += said);
    }
}

/// The sum of `row` times the squares of what of `x` is above zero.
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
