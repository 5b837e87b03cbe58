//! Limits the number of requests in flight. A success raises the limit, and an overload halves it
//! (AIMD, as in TCP; Chiu and Jain 1989).

/// The initial limit on requests in flight, if the limit adapts to the server.
const FIRST: usize = 8;
/// The maximum value of the limit on requests in flight, if the limit adapts to the server.
pub const MOST: usize = 256;

/// The current limit on requests in flight, and how it changes.
#[derive(Clone, Debug)]
pub struct Limit {
    now: f64,
    most: f64,
    /// Whether the limit still doubles with each round of answers. It does so until the first
    /// overload.
    doubling: bool,
    cuts: u32,
}

impl Limit {
    /// Creates the limit. If `jobs` is given, it is both the initial value and the maximum.
    pub fn new(jobs: Option<usize>) -> Limit {
        let most = jobs.unwrap_or(MOST).max(1);
        Limit {
            now: jobs.unwrap_or(FIRST).clamp(1, most) as f64,
            most: most as f64,
            doubling: true,
            cuts: 0,
        }
    }

    pub fn now(&self) -> usize {
        self.now as usize
    }

    pub fn most(&self) -> usize {
        self.most as usize
    }

    /// The number of times that the limit has been halved. Each request stores this number when it
    /// starts.
    pub fn cuts(&self) -> u32 {
        self.cuts
    }

    /// Raises the limit after a success, but only if the number of requests in flight had reached
    /// the limit. Otherwise, nothing shows that the server can handle more requests.
    pub fn grow(&mut self, in_flight: usize) {
        if in_flight < self.now() {
            return;
        }
        let by = match self.doubling {
            true => 1.0,
            false => 1.0 / self.now,
        };
        self.now = (self.now + by).min(self.most);
    }

    /// Halves the limit after an overload. One overload makes many requests fail, so the limit is
    /// halved only once for all requests that started before it was halved.
    pub fn cut(&mut self, cuts_at_start: u32) {
        if cuts_at_start == self.cuts {
            self.now = (self.now / 2.0).max(1.0);
            self.cuts += 1;
            self.doubling = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_grows_fast_then_slowly_and_halves_once_per_overload() {
        let mut limit = Limit::new(None);
        for _ in 0..8 {
            limit.grow(limit.now());
        }
        assert_eq!(limit.now(), 16);
        let before = limit.cuts();
        for _ in 0..5 {
            limit.cut(before);
        }
        assert_eq!(limit.now(), 8);
        for _ in 0..9 {
            limit.grow(limit.now());
        }
        assert_eq!(limit.now(), 9, "one more per round of answers");
        limit.grow(3);
        assert_eq!(limit.now(), 9);
        for _ in 0..20 {
            limit.cut(limit.cuts());
        }
        assert_eq!(limit.now(), 1);
    }

    #[test]
    fn a_given_number_is_where_it_begins_and_the_most() {
        let mut limit = Limit::new(Some(200));
        limit.grow(200);
        assert_eq!((limit.now(), limit.most()), (200, 200));
        limit.cut(0);
        assert_eq!(limit.now(), 100);
    }
}
