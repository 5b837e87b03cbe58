//! From one picture to another: what leads them is led over, step by step.

use super::composed::GenerationInput;
use super::direct::Direct;
use super::{Design, GeneratedImages, Illuminator, ImageSpec, TextCondition, streams};
use crate::ImageError;

impl Illuminator {
    /// The picture that is `at` (0 to 1) of the way from one order to another. At 0 and 1 it is
    /// what [`Illuminator::draw`] makes of them; between, words are on the great circle between
    /// theirs (Shoemake 1985), and style and chance are those of the nearer. In one pass chance is
    /// on such a circle too, and what leads is on the straight line, style and all.
    pub fn interpolate(
        &self,
        from: &ImageSpec,
        to: &ImageSpec,
        at: f64,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let near = if at < 0.5 { from } else { to };
        let (one, other) = (self.text_condition(from)?, self.text_condition(to)?);
        if let Design::Direct(by) = &self.design
            && at > 0.0
            && at < 1.0
        {
            return self.between(by, [(from, one), (to, other)], at, keep_going);
        }
        let text = self.interpolate_text(one, other, (at, near.style));
        match &self.design {
            Design::Composed(by) => {
                let rngs = &mut streams(near, None);
                self.compose(
                    by,
                    (near, &text),
                    GenerationInput::default(),
                    rngs,
                    keep_going,
                )
            }
            Design::Direct(_) => self.draw(near, keep_going),
        }
    }

    /// A picture between two of the direct design, not at either.
    fn between(
        &self,
        by: &Direct,
        [(from, one), (to, other)]: [(&ImageSpec, TextCondition); 2],
        at: f64,
        keep_going: &mut dyn FnMut() -> bool,
    ) -> Result<Option<GeneratedImages>, ImageError> {
        let first = (self.condition(by, from, &one)? * (1.0 - at))?;
        let condition = (first + (self.condition(by, to, &other)? * at)?)?;
        let chance = |spec: &ImageSpec| by.chance(&mut streams(spec, None), &spec.sampling);
        let pairs = chance(from).into_iter().zip(chance(to));
        let latents = pairs.map(|(z, other)| arc(&z, &other, at as f32));
        let style = if at < 0.5 { from.style } else { to.style };
        let text = self.interpolate_text(one, other, (at, style));
        self.pass_under(by, &condition, &text, latents.collect(), keep_going)
    }

    /// The words at a place between two, and the concepts that they are nearest to.
    fn interpolate_text(
        &self,
        one: TextCondition,
        other: TextCondition,
        (at, style): (f64, Option<u32>),
    ) -> TextCondition {
        // Where one has no words there is nothing between them.
        let apart = one.embedding.is_empty() || other.embedding.is_empty();
        match at {
            at if at <= 0.0 || (apart && at < 0.5) => one,
            at if at >= 1.0 || apart => other,
            at => {
                let embedding = unit(&arc(&one.embedding, &other.embedding, at as f32));
                let concepts = self.nearest(&embedding, style);
                TextCondition {
                    embedding,
                    concepts,
                }
            }
        }
    }
}

/// A place on the arc between two directions; how long they are is led over with them.
fn arc(one: &[f32], other: &[f32], at: f32) -> Vec<f32> {
    let (x, y) = (unit(one), unit(other));
    let cosine: f32 = x.iter().zip(&y).map(|(a, b)| a * b).sum();
    let angle = cosine.clamp(-1.0, 1.0).acos();
    let (a, b) = match angle.sin() {
        // The same direction, or opposite ones, between which no arc is the shortest.
        sine if sine < 1e-4 => (1.0 - at, at),
        sine => (((1.0 - at) * angle).sin() / sine, (at * angle).sin() / sine),
    };
    one.iter().zip(other).map(|(x, y)| a * x + b * y).collect()
}

/// The direction alone.
fn unit(x: &[f32]) -> Vec<f32> {
    let length = x.iter().map(|x| x * x).sum::<f32>().sqrt().max(1e-6);
    x.iter().map(|x| x / length).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_way_between_two_directions_is_as_near_to_both() {
        let half = arc(&[1.0, 0.0], &[0.0, 1.0], 0.5);
        assert!((half[0] - 0.707_106_77).abs() < 1e-6 && (half[1] - half[0]).abs() < 1e-6);
        // A third of 90 degrees.
        let third = arc(&[1.0, 0.0], &[0.0, 1.0], 1.0 / 3.0);
        assert!((third[1] - 0.5).abs() < 1e-6, "{third:?}");
        assert_eq!(arc(&[1.0, 0.0], &[1.0, 0.0], 0.3), [1.0, 0.0]);
    }
}
