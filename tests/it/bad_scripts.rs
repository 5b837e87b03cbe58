//! Scripts that `illumine replay` refuses before any model is loaded, however large or odd they are.

use crate::support::Home;

/// Runs a script that is refused. Returns the sentence that says why.
fn refused(home: &Home, name: &str) -> String {
    let output = home.illumine(&["replay", name]).run().expect(2);
    assert_eq!(output.text(), "");
    output.stderr.clone()
}

#[test]
fn a_script_that_is_not_one_is_refused() {
    let home = Home::new();
    let deep = "[".repeat(100_000) + &"]".repeat(100_000);
    let long = "x".repeat(20 << 20);
    let files = [
        (
            "word.illum",
            "illumine-replay 1\n> a\nexpekt words 3\n".to_string(),
            "did you mean expect?",
        ),
        (
            "missing.illum",
            "illumine-replay 1\ninclude away.illum\n".into(),
            "missing.illum:2:9: Cannot read",
        ),
        (
            "circle.illum",
            "illumine-replay 1\ninclude circle.illum\n".into(),
            "includes itself",
        ),
        (
            "future.illum",
            "illumine-replay 2\n> a\n".into(),
            "update illumine",
        ),
        (
            "deep.json",
            format!("{{\"illumine-replay\": 1, \"lines\": {deep}}}"),
            "not a replay script",
        ),
        ("deeper.json", deep.clone(), "not a replay script"),
        (
            "line.illum",
            format!("illumine-replay 1\n> {long}\n"),
            "larger than 16 MB; split it",
        ),
        ("empty.illum", String::new(), "its first line must be"),
    ];
    for (name, text, why) in &files {
        home.file(name, text);
        let said = refused(&home, name);
        assert!(said.contains(why), "{name}: {said}");
    }
    home.file(
        "binary.illum",
        (0..=255).cycle().take(9999).collect::<Vec<u8>>(),
    );
    assert!(refused(&home, "binary.illum").contains("not UTF-8"));
    assert!(refused(&home, "away.illum").contains("No such file"));
}

#[test]
fn rows_that_are_too_long_or_too_many_are_refused() {
    let home = Home::new();
    let rows = |name: &str, text: String| {
        home.file(name, text);
        home.file(
            "rows.illum",
            format!("illumine-replay 1\nrows {name}\n> {{{{a}}}}\n"),
        );
        refused(&home, "rows.illum")
    };
    let long = "x".repeat(5 << 20);
    let said = rows("long.csv", format!("a,b\n1,2\n{long},2\n"));
    assert!(
        said.contains("long.csv has a line longer than 4 MB"),
        "{said}"
    );
    let said = rows("long.jsonl", format!("{{\"a\": \"{long}\"}}\n"));
    assert!(
        said.contains("long.jsonl has a line longer than 4 MB"),
        "{said}"
    );
    let said = rows("many.csv", format!("a\n{}", "1\n".repeat(2_000_000)));
    assert!(said.contains("more than 100000 cases"), "{said}");
    let said = rows("many.jsonl", "{\"a\": 1}\n".repeat(200_000));
    assert!(said.contains("more than 100000 cases"), "{said}");
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_instead_of_read() {
    use std::os::unix::ffi::OsStrExt;
    let home = Home::new();
    let pipe = home.path().join("pipe");
    let name = std::ffi::CString::new(pipe.as_os_str().as_bytes()).unwrap();
    // SAFETY: `name` is a string that ends with a zero byte.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    assert!(refused(&home, "pipe").contains("pipe or a device"));
    for line in [
        "include pipe",
        "rows pipe",
        "include /dev/zero",
        "rows /dev/zero",
    ] {
        home.file("a.illum", format!("illumine-replay 1\n{line}\n> a\n"));
        let said = refused(&home, "a.illum");
        assert!(
            said.contains("a.illum:2:") && said.contains("pipe or a device"),
            "{said}"
        );
    }
    home.file("b.illum", "illumine-replay 1\n> a\n");
    let played = home.illumine(&["replay", "b.illum", "--cassette", "pipe"]);
    assert!(played.run().expect(2).stderr.contains("pipe or a device"));
}
