//! The curve of a value over time, reduced to a limited number of points. Each point is the mean of
//! the value over several steps.

/// The maximum number of points in a curve; this is more than any screen has columns.
const POINTS: usize = 512;
/// The weight of the previous average in each update of the moving average.
const KEEP: f64 = 0.95;
const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

#[derive(Clone, Debug)]
pub struct Curve {
    points: Vec<f64>,
    /// The number of steps per point.
    each: u32,
    /// The sum of the values since the last point, and the number of these values.
    open: (f64, u32),
    smooth: f64,
}

impl Curve {
    pub fn new(first: f64) -> Curve {
        let mut curve = Curve {
            points: Vec::new(),
            each: 1,
            open: (0.0, 0),
            smooth: first,
        };
        curve.push(first);
        curve
    }

    pub fn push(&mut self, value: f64) {
        self.smooth = KEEP * self.smooth + (1.0 - KEEP) * value;
        self.open = (self.open.0 + value, self.open.1 + 1);
        if self.open.1 < self.each {
            return;
        }
        self.points.push(self.open.0 / f64::from(self.open.1));
        self.open = (0.0, 0);
        if self.points.len() == POINTS {
            let pairs = self.points.chunks(2);
            self.points = pairs.map(mean).collect();
            self.each *= 2;
        }
    }

    /// The moving average of the value.
    pub fn smooth(&self) -> f64 {
        self.smooth
    }

    /// Draws the curve as at most `width` bars. The lowest value has the lowest bar, and the
    /// highest value has the highest bar.
    pub fn bars(&self, width: usize) -> String {
        let count = self.points.len().min(width);
        let at = |column: usize| column * self.points.len() / count.max(1);
        let means: Vec<f64> = (0..count)
            .map(|column| mean(&self.points[at(column)..at(column + 1)]))
            .collect();
        let low = means.iter().copied().fold(f64::INFINITY, f64::min);
        let high = means.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let bar = |value: &f64| {
            let share = (value - low) / (high - low).max(1e-12);
            BARS[((share * 7.0).round() as usize).min(7)]
        };
        means.iter().map(bar).collect()
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curve_falls_as_its_numbers_do_however_many_there_are() {
        for steps in [8, 100, 100_000] {
            let mut curve = Curve::new(f64::from(steps));
            (1..steps).for_each(|n| curve.push(f64::from(steps - n)));
            assert!(curve.points.len() < POINTS);
            assert_eq!(curve.bars(8), "█▇▆▅▄▃▂▁");
        }
    }

    #[test]
    fn what_never_moves_is_flat_and_one_point_is_one_bar() {
        let mut curve = Curve::new(2.0);
        assert_eq!((curve.bars(5).as_str(), curve.smooth()), ("▁", 2.0));
        curve.push(2.0);
        assert_eq!(curve.bars(5), "▁▁");
        assert_eq!(curve.bars(0), "");
    }

    #[test]
    fn a_single_odd_step_hardly_moves_the_smooth_value() {
        let mut curve = Curve::new(1.0);
        curve.push(2.0);
        assert!((curve.smooth() - 1.05).abs() < 1e-9);
    }
}
