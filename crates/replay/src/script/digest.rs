//! Computes the digest of a case. The digest stays the same as long as the result of an earlier run
//! is still valid.

use super::{Case, Step};
use crate::expect::Check;
use crate::golden::Goldens;
use base::hash::sha256;
use story::Settings;

/// The length of a digest, in hexadecimal digits.
const LENGTH: usize = 24;

impl Case {
    /// Returns a digest of the lines, expectations, settings and goldens of the case, and of the
    /// model. `model` is the name and the checksum of the model.
    pub fn digest(&self, settings: &Settings, model: &str, goldens: &Goldens) -> String {
        let mut parts = vec!["case".to_string(), self.name.clone(), model.to_string()];
        let settings = Settings {
            // The model's name may be a path, which its checksum makes superfluous.
            model: String::new(),
            ..settings.clone()
        };
        parts.extend(serde_json::to_string(&settings));
        if let Some(repeat) = self.repeat {
            parts.push(format!("repeat {} {}", repeat.times, repeat.pass_rate));
        }
        if let Some(threshold) = self.threshold {
            parts.push(format!("threshold {threshold}"));
        }
        for step in &self.steps {
            match step {
                Step::Line { text, .. } => parts.extend(["line".to_string(), text.clone()]),
                Step::Expect(expectation) => {
                    parts.extend(["expect".to_string(), expectation.source.clone()]);
                    // The line as written has variables; the check has their values and files.
                    parts.push(format!("{:?}", expectation.check));
                    if let Check::Golden(name) = &expectation.check {
                        let known = std::fs::read(goldens.path(name));
                        parts.push(known.map_or("missing".to_string(), |bytes| sha256(&bytes)));
                    }
                }
            }
        }
        // The lengths keep two neighbouring parts from looking like two others.
        let whole: String = parts
            .iter()
            .map(|part| format!("{} {part}\n", part.len()))
            .collect();
        let mut digest = sha256(whole.as_bytes());
        digest.truncate(LENGTH);
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::script::{Script, load};
    use std::collections::BTreeMap;
    use std::fs;
    use std::path::Path;

    fn script(path: &Path, lines: &str) -> Script {
        fs::write(path, format!("illumine-replay 1\n{lines}")).unwrap();
        load(path, &BTreeMap::new()).unwrap()
    }

    #[test]
    fn whatever_the_result_depends_on_changes_the_digest() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.illum");
        let goldens = Goldens::of(&path, false);
        let settings = Settings::default();
        let lines = "> Night fell.\nexpect words > 3\nexpect golden one\n";
        let digest = |lines: &str, settings: &Settings, model: &str| {
            script(&path, lines).cases[0].digest(settings, model, &goldens)
        };
        let usual = digest(lines, &settings, "tale 12ab");
        assert_eq!(usual.len(), LENGTH);
        let moved = format!("# A remark.\n\n{lines}");
        assert_eq!(digest(&moved, &settings, "tale 12ab"), usual);
        let mut warm = settings.clone();
        warm.sampling.seed = Some(7);
        let others = [
            digest(&lines.replace("fell", "came"), &settings, "tale 12ab"),
            digest(&lines.replace("> 3", "> 4"), &settings, "tale 12ab"),
            digest("repeat 3\n> Night fell.\n", &settings, "tale 12ab"),
            digest(lines, &warm, "tale 12ab"),
            digest(lines, &settings, "tale 12ac"),
        ];
        goldens.write("one", "It was dark.").unwrap();
        let written = digest(lines, &settings, "tale 12ab");
        assert!(others.iter().all(|other| *other != usual), "{others:?}");
        assert_ne!(written, usual);
    }
}
