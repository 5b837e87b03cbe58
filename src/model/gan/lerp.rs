//! From one picture to another: what leads them is led over, step by step.

use super::{Basis, Drawn, Illuminator, Led, Order, streams};
use crate::model::ModelError;

impl Illuminator {
    /// The picture that is `at` (0 to 1) of the way from one order to another. At 0 and 1 it is
    /// what [`Illuminator::draw`] makes of them; between, words are on the great circle between
    /// theirs (Shoemake 1985), and style and chance are those of the nearer.
    pub fn lerp(
        &self,
        from: &Order,
        to: &Order,
        at: f64,
        go_on: &mut dyn FnMut() -> bool,
    ) -> Result<Option<Drawn>, ModelError> {
        let near = if at < 0.5 { from } else { to };
        let (one, other) = (self.led(from)?, self.led(to)?);
        let led = match at {
            at if at <= 0.0 => one,
            at if at >= 1.0 => other,
            // Where one has no words there is nothing between them.
            _ if one.text.is_empty() || other.text.is_empty() => match at < 0.5 {
                true => one,
                false => other,
            },
            at => {
                let text = between(&one.text, &other.text, at as f32);
                let concepts = self.concepts.nearest(&text);
                Led { text, concepts }
            }
        };
        self.make(
            near,
            &led,
            Basis::default(),
            &mut streams(near, None),
            go_on,
        )
    }
}

/// A place on the arc between two directions of length one.
fn between(one: &[f32], other: &[f32], at: f32) -> Vec<f32> {
    let cosine: f32 = one.iter().zip(other).map(|(a, b)| a * b).sum();
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let (a, b) = match angle.sin() {
        // The same direction, or opposite ones, between which no arc is the shortest.
        sine if sine < 1e-4 => (1.0 - at, at),
        sine => (((1.0 - at) * angle).sin() / sine, (at * angle).sin() / sine),
    };
    let sum: Vec<f32> = one.iter().zip(other).map(|(x, y)| a * x + b * y).collect();
    let length = sum.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
    sum.into_iter().map(|x| x / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_way_between_two_directions_is_as_near_to_both() {
        let half = between(&[1.0, 0.0], &[0.0, 1.0], 0.5);
        assert!((half[0] - 0.707_106_77).abs() < 1e-6 && (half[1] - half[0]).abs() < 1e-6);
        // A third of 90 degrees.
        let third = between(&[1.0, 0.0], &[0.0, 1.0], 1.0 / 3.0);
        assert!((third[1] - 0.5).abs() < 1e-6, "{third:?}");
        assert_eq!(between(&[1.0, 0.0], &[1.0, 0.0], 0.3), [1.0, 0.0]);
    }
}
