//! Parses the header `Retry-After`, in which an overloaded server states how long to wait before
//! the next request, in seconds or as a date.

use std::time::{Duration, SystemTime};
use ureq::Body;
use ureq::http::Response;

/// Returns how long the header `Retry-After` of an answer asks the client to wait. If the header
/// contains a date, it is compared with the server's own time, provided that the answer states it.
/// The local clock may then be wrong.
pub(super) fn retry_after(
    response: &Response<Body>,
    clock: Option<fn() -> SystemTime>,
) -> Option<Duration> {
    let header = |name: &str| response.headers().get(name)?.to_str().ok();
    let theirs = header("date").and_then(|date| httpdate::parse_http_date(date).ok());
    wait(
        header("retry-after")?,
        theirs.or_else(|| clock.map(|now| now())),
    )
}

fn wait(after: &str, now: Option<SystemTime>) -> Option<Duration> {
    if let Ok(seconds) = after.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let (until, now) = (httpdate::parse_http_date(after).ok()?, now?);
    Some(until.duration_since(now).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_understood() {
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:49:37 GMT").ok();
        let seconds = |text: &str, date| wait(text, date).map(|wait| wait.as_secs());
        assert_eq!(seconds(" 7 ", None), Some(7));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT", now), Some(30));
        assert_eq!(seconds("Sunday, 06-Nov-94 08:49:39 GMT", now), Some(2));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:00:00 GMT", now), Some(0));
        assert_eq!(seconds("Sun, 06 Nov 1994 08:50:07 GMT", None), None);
        assert_eq!(seconds("soon", now), None);
        assert_eq!(seconds("-1", now), None);
    }
}
