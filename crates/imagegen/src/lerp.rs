//! Interpolation: draws pictures between two others by moving the conditioning from one to the
//! other.

use super::design::KeepGoing;
use super::{GeneratedImages, Illuminator, ImageSpec, TextCondition};
use crate::ImageError;

impl Illuminator {
    /// Draws the picture at a position (0 to 1) between the pictures of two specs. At 0 and 1, the
    /// result is the picture that [`Illuminator::draw`] draws from the first or the second spec. In
    /// between, the text condition lies on the great circle between the two specs' text conditions,
    /// and the style and the seeds are those of the nearer spec.
    pub fn interpolate(
        &self,
        from: &ImageSpec,
        to: &ImageSpec,
        at: f64,
        keep_going: KeepGoing,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let near = if at < 0.5 { from } else { to };
        let ends = (self.text_condition(from)?, self.text_condition(to)?);
        let text = self.interpolate_text(&ends.0, &ends.1, at, near.style);
        let (first, last) = (self.input(from, &ends.0), self.input(to, &ends.1));
        let between = self.input(near, &text);
        let output = self
            .design
            .interpolate([&first, &last], &between, at, keep_going)?;
        self.finish(output, text)
    }

    /// Computes the text condition at position `at` (0 to 1) between two text conditions, and finds
    /// the concepts nearest to the result.
    fn interpolate_text(
        &self,
        from: &TextCondition,
        to: &TextCondition,
        at: f64,
        style: Option<u32>,
    ) -> TextCondition {
        // Nothing lies between a prompt and no prompt.
        let no_path = from.embedding.is_empty() || to.embedding.is_empty();
        match at {
            at if at <= 0.0 || (no_path && at < 0.5) => from.clone(),
            at if at >= 1.0 || no_path => to.clone(),
            at => {
                let embedding = unit(&slerp(&from.embedding, &to.embedding, at as f32));
                let concepts = self.nearest(&embedding, style);
                TextCondition {
                    embedding,
                    concepts,
                }
            }
        }
    }
}

/// Returns the vector at position `at` (0 to 1) on the great circle between two vectors (Shoemake
/// 1985). The length of the vector is interpolated as well.
pub fn slerp(one: &[f32], other: &[f32], at: f32) -> Vec<f32> {
    let (x, y) = (unit(one), unit(other));
    let cosine: f32 = x.iter().zip(&y).map(|(a, b)| a * b).sum();
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let (a, b) = match angle.sin() {
        // Equal directions, or opposite ones, which have no unique shortest arc.
        sine if sine < 1e-4 => (1.0 - at, at),
        sine => (((1.0 - at) * angle).sin() / sine, (at * angle).sin() / sine),
    };
    one.iter().zip(other).map(|(x, y)| a * x + b * y).collect()
}

/// Scales a vector to length one.
fn unit(x: &[f32]) -> Vec<f32> {
    let length = x.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
    x.iter().map(|x| x / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_way_between_two_directions_is_as_near_to_both() {
        let half = slerp(&[1.0, 0.0], &[0.0, 1.0], 0.5);
        assert!((half[0] - 0.707_106_77).abs() < 1e-6 && (half[1] - half[0]).abs() < 1e-6);
        // A third of 90 degrees.
        let third = slerp(&[1.0, 0.0], &[0.0, 1.0], 1.0 / 3.0);
        assert!((third[1] - 0.5).abs() < 1e-6, "{third:?}");
        assert_eq!(slerp(&[1.0, 0.0], &[1.0, 0.0], 0.3), [1.0, 0.0]);
    }
}
