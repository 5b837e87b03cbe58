//! Refuses a file that is one part of a model that was split into several files.

use super::Gguf;
use super::error::GgufError;
use base::untrusted::clean_line;

/// Returns an error if the file contains only some of the model's tensors.
pub(super) fn check_whole(gguf: &Gguf) -> Result<(), GgufError> {
    let count = gguf.unsigned("split.count").unwrap_or(1);
    if count <= 1 {
        return Ok(());
    }
    let name = gguf.path().file_name().unwrap_or_default();
    Err(GgufError::Part {
        path: gguf.path().to_path_buf(),
        number: gguf.unsigned("split.no").unwrap_or(0).saturating_add(1),
        count,
        first: clean_line(&first_part(&name.to_string_lossy())),
    })
}

/// Returns the name of the model's first file, if `name` has the form `NAME-00002-of-00003.gguf`.
fn first_part(name: &str) -> String {
    let stem = name.strip_suffix(".gguf").unwrap_or(name);
    let split = stem.rsplit_once("-of-");
    let first = split.and_then(|(before, count)| {
        let (name, number) = before.rsplit_once('-')?;
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|it| it.is_ascii_digit());
        let width = number.len();
        (digits(number) && digits(count)).then(|| format!("{name}-{:0width$}-of-{count}.gguf", 1))
    });
    first.unwrap_or_else(|| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_part_is_named() {
        for (name, first) in [
            ("a b-00002-of-00003.gguf", "a b-00001-of-00003.gguf"),
            ("m-00001-of-00003.gguf", "m-00001-of-00003.gguf"),
            ("of-all-of-it.gguf", "of-all-of-it.gguf"),
        ] {
            assert_eq!(first_part(name), first);
        }
    }
}
