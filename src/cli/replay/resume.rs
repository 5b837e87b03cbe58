//! Reads the results of an earlier run, so that its cases need not be run again.

use super::super::{Exit, Failed};
use base::untrusted::clean_line;
use replay::report::{CaseReport, Verdict};
use serde::Deserialize;
use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The maximum length of a line in a results file, in bytes.
const LONGEST: u64 = 64 << 20;

/// A file with the results of an earlier run, and the position of each case in the file. Cases are
/// looked up by their digests.
#[derive(Default)]
pub(super) struct Earlier {
    file: Option<File>,
    places: HashMap<String, (u64, usize)>,
}

/// The fields of a case that determine whether the case runs again.
#[derive(Deserialize)]
struct Known {
    digest: String,
    verdict: Verdict,
}

impl Earlier {
    /// Reads a file of JSON Lines. A file that does not exist yet counts as empty.
    pub(super) fn open(path: &Path) -> Result<Earlier, Failed> {
        let failed = |error: &dyn std::fmt::Display| {
            let path = clean_line(&path.display().to_string());
            let why =
                format!("Cannot read {path} ({error}); give the JSON Lines of an earlier run");
            Failed::new(Exit::Usage, why)
        };
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Earlier::default()),
            Err(error) => return Err(failed(&error)),
        };
        let mut lines = BufReader::with_capacity(1 << 18, &file);
        let (mut places, mut at, mut line) = (HashMap::new(), 0, Vec::new());
        loop {
            line.clear();
            let read = (&mut lines).take(LONGEST).read_until(b'\n', &mut line);
            let read = read.map_err(|error| failed(&error))?;
            if read as u64 == LONGEST {
                return Err(failed(&"a line is longer than 64 MB"));
            }
            // The last line may be incomplete because the run was killed.
            if !line.ends_with(b"\n") {
                break;
            }
            if let Ok(known) = serde_json::from_slice::<Known>(&line) {
                // The last result of a case counts, and an error is tried again.
                match known.verdict {
                    Verdict::Passed | Verdict::Failed => places.insert(known.digest, (at, read)),
                    Verdict::Error => places.remove(&known.digest),
                };
            }
            at += read as u64;
        }
        Ok(Earlier {
            file: Some(file),
            places,
        })
    }

    /// Returns the result of the case with this digest.
    pub(super) fn find(&self, digest: &str) -> Option<CaseReport> {
        let (offset, length) = self.places.get(digest)?;
        let mut bytes = vec![0; *length];
        let file = self.file.as_ref()?;
        file.read_exact_at(&mut bytes, *offset).ok()?;
        serde_json::from_slice(&bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_passed_or_failed_is_found_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.jsonl");
        assert!(Earlier::open(&path).unwrap().find("a").is_none());
        let line = |digest: &str, verdict: &str| {
            format!(
                "{{\"case\":\"of {digest}\",\"verdict\":\"{verdict}\",\"digest\":\"{digest}\"}}\n"
            )
        };
        let lines = [
            line("a", "passed"),
            line("b", "failed"),
            "no JSON\n{\"mode\":\"recompute\",\"passed\":1}\n".to_string(),
            line("c", "error"),
            line("d", "passed"),
            line("d", "error"),
            line("e", "passed").trim_end().to_string(),
        ];
        fs::write(&path, lines.concat()).unwrap();
        let earlier = Earlier::open(&path).unwrap();
        let found = |digest: &str| earlier.find(digest).map(|case| (case.case, case.verdict));
        assert_eq!(found("a"), Some(("of a".to_string(), Verdict::Passed)));
        assert_eq!(found("b"), Some(("of b".to_string(), Verdict::Failed)));
        for digest in ["c", "d", "e", ""] {
            assert_eq!(found(digest), None, "{digest}");
        }
    }
}
