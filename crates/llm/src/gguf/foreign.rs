//! Looks at the first bytes of a file that is not a GGUF file, to tell the user what it is instead.
//! Most often, the user named the wrong file.

use super::error::GgufError;
use std::path::Path;

/// A kind of file that is not GGUF, and advice for a user who has such a file.
struct Kind {
    /// The name of the kind, which completes the words "not a GGUF file but".
    what: &'static str,
    next: &'static str,
}

const CONVERT: &str = "convert it with llama.cpp's convert_hf_to_gguf.py, or download a GGUF file";
const UNPACK: &str = "unpack it and give the GGUF file in it";
const AGAIN: &str = "download it again";

/// Returns the error for a file that does not begin like a GGUF file. `start` contains the first
/// bytes of the file.
pub(super) fn foreign(path: &Path, start: &[u8]) -> GgufError {
    let path = path.to_path_buf();
    match kind(start) {
        Some(Kind { what, next }) => GgufError::Foreign { path, what, next },
        None => GgufError::NotGguf(path),
    }
}

fn kind(start: &[u8]) -> Option<Kind> {
    let kind = |what, next| Some(Kind { what, next });
    if start.is_empty() {
        return kind("an empty one", AGAIN);
    }
    if start.iter().all(|byte| *byte == 0) {
        return kind("all zeros, as an interrupted download leaves it", AGAIN);
    }
    if let Some(text) = text_kind(start) {
        return Some(text);
    }
    let begins = |magic: &[u8]| start.starts_with(magic);
    // A safetensors file begins with the length of its JSON header, then the header.
    if start.get(8..10) == Some(b"{\"") {
        return kind("a safetensors file", CONVERT);
    }
    // These names are stored as little-endian numbers, so in the file they are spelled backwards.
    if [
        b"lmgg", b"fmgg", b"tjgg", b"algg", b"ggml", b"ggmf", b"ggjt", b"ggla",
    ]
    .iter()
    .any(|magic| begins(*magic))
    {
        return kind(
            "one in the old GGML format, from before GGUF",
            "download a GGUF file of the model",
        );
    }
    let pickled = start.windows(9).any(|bytes| bytes == b"/data.pkl");
    if begins(b"PK\x03\x04") && pickled || matches!(start, [0x80, 2..=5, ..]) {
        return kind("a PyTorch checkpoint (a pickle)", CONVERT);
    }
    if start.get(257..262) == Some(b"ustar") {
        return kind("a tar archive", UNPACK);
    }
    const STARTS: &[(&[u8], &str, &str)] = &[
        (b"PK\x03\x04", "a zip archive", UNPACK),
        (b"\x1f\x8b", "a gzip archive", UNPACK),
        (b"\xfd7zXZ\0", "an xz archive", UNPACK),
        (b"\x28\xb5\x2f\xfd", "a Zstandard archive", UNPACK),
        (b"BZh", "a bzip2 archive", UNPACK),
        (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive", UNPACK),
        (b"\x89HDF", "an HDF5 file", CONVERT),
        (b"\x93NUMPY", "a NumPy array", CONVERT),
        (b"\x89PNG", "a picture", "give the model's file"),
        (b"\xff\xd8\xff", "a picture", "give the model's file"),
        (b"%PDF", "a PDF document", "give the model's file"),
        (b"\x7fELF", "a program", "give the model's file"),
        (b"MZ", "a program", "give the model's file"),
    ];
    let row = STARTS.iter().find(|(magic, ..)| begins(magic));
    row.and_then(|(_, what, next)| kind(what, next))
}

/// Identifies the kind of a text file that was given as a model.
fn text_kind(start: &[u8]) -> Option<Kind> {
    let text = start.strip_prefix(b"\xef\xbb\xbf").unwrap_or(start);
    let text = text.trim_ascii_start();
    let begins = |word: &str| {
        let head = text.get(..word.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(word.as_bytes()))
    };
    if begins("version https://git-lfs") || begins("version https://hawser") {
        return Some(Kind {
            what: "a Git LFS pointer to one",
            next: "fetch the file with git lfs pull",
        });
    }
    let page = ["<!doctype html", "<html", "<head", "<body", "<?xml", "<!--"];
    if page.iter().any(|word| begins(word)) {
        return Some(Kind {
            what: "a web page",
            next: "download the file itself; on Hugging Face, its address has /resolve/ and not /blob/",
        });
    }
    let json = text.first() == Some(&b'{') && start.is_ascii();
    json.then_some(Kind {
        what: "JSON, such as a server's error",
        next: AGAIN,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_what_it_is() {
        let mut tar = vec![b'x'; 300];
        tar[257..262].copy_from_slice(b"ustar");
        for (start, what) in [
            (&b""[..], "an empty one"),
            (&[0; 40], "zeros"),
            (
                b"version https://git-lfs.github.com/spec/v1\noid sha256:0",
                "git lfs pull",
            ),
            (b"\xef\xbb\xbf\n<!DOCTYPE HTML><title>", "a web page"),
            (b"<html lang=en>", "a web page"),
            (b"{\"error\":\"Not found\"}", "JSON"),
            (b"\x40\0\0\0\0\0\0\0{\"w\":", "a safetensors file"),
            (b"tjgg\x03\0\0\0", "old GGML format"),
            (b"lmgg\0\x7d\0\0", "old GGML format"),
            (b"PK\x03\x04\0\0\0\0archive/data.pkl", "a PyTorch"),
            (b"\x80\x02}q\0", "a PyTorch"),
            (b"PK\x03\x04\x14\0", "a zip archive"),
            (b"\x1f\x8b\x08\0", "a gzip archive"),
            (&tar, "a tar archive"),
            (b"\x89PNG\r\n\x1a\n", "a picture"),
        ] {
            let said = foreign(Path::new("m.gguf"), start).to_string();
            assert!(said.starts_with("m.gguf is not a GGUF file but"), "{said}");
            assert!(said.contains(what), "{said}");
        }
        let said = foreign(Path::new("m.gguf"), b"Dear reader,").to_string();
        assert!(said.starts_with("m.gguf is not a GGUF file;"), "{said}");
    }
}
