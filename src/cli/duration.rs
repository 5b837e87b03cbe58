//! Formats durations for use in sentences.

/// Formats a duration, for example "4.2 s", "3 min 5 s" or "2 h 1 min".
pub fn duration(seconds: f64) -> String {
    let whole = seconds as u64;
    match whole {
        0..60 => format!("{seconds:.1} s"),
        60..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_at_most_two_units() {
        let said = [4.24, 185.0, 7300.0].map(duration);
        assert_eq!(said, ["4.2 s", "3 min 5 s", "2 h 1 min"]);
    }
}
