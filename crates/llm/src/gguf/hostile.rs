//! Tests that false lengths and counts in a file's header cost no time or memory.

use super::Gguf;
use std::time::{Duration, Instant};

const TEXT: u32 = 8;
const ARRAY: u32 = 9;

/// Returns a file with a single metadata value, which has the type number `kind` and the bytes
/// `value`.
fn file(kind: u32, value: &[u8]) -> Vec<u8> {
    let mut file = b"GGUF".to_vec();
    file.extend(3u32.to_le_bytes());
    file.extend(0u64.to_le_bytes());
    file.extend(1u64.to_le_bytes());
    file.extend(1u64.to_le_bytes());
    file.push(b'k');
    file.extend(kind.to_le_bytes());
    file.extend(value);
    file
}

fn array(element: u32, count: u64) -> Vec<u8> {
    let mut bytes = element.to_le_bytes().to_vec();
    bytes.extend(count.to_le_bytes());
    bytes
}

#[track_caller]
fn refused(bytes: Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.gguf");
    std::fs::write(&path, bytes).unwrap();
    let began = Instant::now();
    let error = Gguf::open(&path).err().unwrap().to_string();
    assert!(error.contains("damaged or truncated"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5), "{error}");
}

#[test]
fn lengths_of_gigabytes_are_lies() {
    refused(file(TEXT, &5_000_000_000u64.to_le_bytes()));
    refused(file(TEXT, &u64::MAX.to_le_bytes()));
    for element in [0, 4, 7, TEXT, ARRAY, 12, 99] {
        refused(file(ARRAY, &array(element, 5_000_000_000)));
        refused(file(ARRAY, &array(element, u64::MAX)));
    }
}

#[test]
fn counts_of_gigabytes_are_lies() {
    for at in [8, 16] {
        let mut bytes = file(TEXT, &[0; 8]);
        bytes[at..at + 8].copy_from_slice(&u64::MAX.to_le_bytes());
        refused(bytes);
    }
}

#[test]
fn arrays_in_arrays_end() {
    // A million nested arrays, then a million sibling arrays, some of which are missing.
    refused(file(ARRAY, &array(ARRAY, 1).repeat(1_000_000)));
    let beside = [array(ARRAY, 1_000_000), array(0, 0).repeat(900_000)].concat();
    refused(file(ARRAY, &beside));
}
