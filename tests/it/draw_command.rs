//! Tests `illumine draw` with a tiny model that has random weights: files, messages, and pictures
//! that are drawn again from their provenance.

use crate::pictures::weights;
use crate::support::{Home, Output};
use std::path::Path;

/// Runs `illumine draw` with the weights in a folder.
fn draws(home: &Home, weights: &Path, args: &[&str]) -> Output {
    let weights = ["draw", "--weights", weights.to_str().unwrap()];
    home.illumine(&[&weights, args].concat()).run()
}

/// For each name and argument list, draws a picture and draws it again from its provenance. Checks
/// that the two files have the same bytes. Returns the bytes of each picture.
pub fn made_again(home: &Home, weights: &Path, ways: &[(&str, &[&str])]) -> Vec<Vec<u8>> {
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_string();
    let again = |(name, args): &(&str, &[&str])| {
        let out = path(&format!("{name}.png"));
        draws(home, weights, &[*args, &["-o", &out]].concat()).expect(0);
        let out = match *name {
            "way" => path("way-2.png"),
            _ => out,
        };
        let again = path(&format!("{name}-again.png"));
        draws(home, weights, &["--from", &out, "-o", &again]).expect(0);
        let bytes = |path: &str| std::fs::read(path).unwrap();
        assert_eq!(bytes(&out), bytes(&again), "{name}");
        bytes(&out)
    };
    ways.iter().map(again).collect()
}

#[test]
fn a_picture_is_drawn_again_after_its_weights_were_stored_in_8_bits() {
    let home = Home::with_encoder();
    let folder = home.path().join("weights");
    std::fs::create_dir(&folder).unwrap();
    for file in std::fs::read_dir(weights()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), folder.join(file.file_name())).unwrap();
    }
    let (first, again) = (home.path().join("first.png"), home.path().join("again.png"));
    let (one, two) = (first.to_str().unwrap(), again.to_str().unwrap());
    draws(&home, &folder, &["a castle", "--seed", "5", "-o", one]).expect(0);
    let quantize = ["train", "quantize", folder.to_str().unwrap()];
    home.illumine(&quantize).run().expect(0);
    draws(&home, &folder, &["--from", one, "-o", two]).expect(0);
    let pixels = |path| image::open(path).unwrap().into_rgba8();
    assert_eq!(pixels(&first), pixels(&again));
    // Only the 8-bit weights name the weights that they replace.
    draws(&home, &folder, &["a castle", "--seed", "5", "-o", one]).expect(0);
    draws(&home, &weights(), &["--from", one, "-o", two]).expect(3);
}

#[test]
fn a_picture_on_disk_can_be_made_again_byte_for_byte() {
    let home = Home::with_encoder();
    let (first, again) = (home.path().join("first.png"), home.path().join("again.png"));
    let (one, two) = (first.to_str().unwrap(), again.to_str().unwrap());
    let words = [
        "a castle by moonlight",
        "-o",
        one,
        "--seed",
        "5",
        "--guidance",
        "1.5",
    ];
    let drawn = draws(
        &home,
        &weights(),
        &[&words[..], &["--style", "ink", "--size", "128"]].concat(),
    );
    let drawn = drawn.expect(0);
    assert!(
        drawn.stderr.contains("I drew: castle 1.00"),
        "{}",
        drawn.stderr
    );
    assert!(
        drawn.text().contains("first.png (seed 5)"),
        "{}",
        drawn.text()
    );
    draws(&home, &weights(), &["--from", one, "-o", two]).expect(0);
    let bytes = |path| std::fs::read(path).unwrap();
    assert_eq!(bytes(&first), bytes(&again));
}

/// Tests that every kind of picture can be reproduced.
#[test]
fn variations_ways_styles_and_scenes_can_be_made_again_byte_for_byte() {
    let home = Home::with_encoder();
    let path = |name: &str| home.path().join(name).to_str().unwrap().to_string();
    let base = path("base.png");
    draws(&home, &weights(), &["a castle", "-o", &base, "--seed", "5"]).expect(0);
    let photo = path("my castle.jpg");
    let colours = image::RgbImage::from_fn(90, 60, |x, y| image::Rgb([x as u8, y as u8, 99]));
    colours.save(&photo).unwrap();
    let ways: [(&str, &[&str]); 6] = [
        ("vary", &["--from", &base, "--vary", "0.4", "--seed", "8"]),
        (
            "own",
            &["--restyle", &base, "--style", "ink", "--seed", "8"],
        ),
        (
            "photo",
            &["--restyle", &photo, "--style", "ink", "--seed", "8"],
        ),
        (
            "words",
            &["fox", "--restyle", &photo, "--style", "any", "--seed", "8"],
        ),
        ("way", &["fox", "--lerp", "moon", "--n", "3", "--seed", "8"]),
        ("scene", &["a fox under the moon", "--scene", "--seed", "8"]),
    ];
    let base = std::fs::read(&base).unwrap();
    let drawn = made_again(&home, &weights(), &ways);
    for ((name, _), drawn) in ways.iter().zip(drawn) {
        assert_ne!(drawn, base, "{name}");
    }
    let scene = image::open(path("scene.png")).unwrap();
    assert_eq!((scene.width(), scene.height()), (512, 256));
}

#[test]
fn several_seeds_are_several_files_and_json_names_them() {
    let home = Home::with_encoder();
    let out = home.path().join("fox.png");
    let words = [
        "fox",
        "-o",
        out.to_str().unwrap(),
        "--seeds",
        "1,8-9",
        "--json",
    ];
    let drawn = draws(&home, &weights(), &words).expect(0);
    let report: serde_json::Value = serde_json::from_slice(&drawn.stdout).unwrap();
    assert_eq!(report["concepts"][0][0], "fox");
    for (row, seed) in report["pictures"].as_array().unwrap().iter().zip([1, 8, 9]) {
        assert_eq!(row["seed"], seed);
        assert!(Path::new(row["path"].as_str().unwrap()).is_file());
    }
}

#[test]
fn what_cannot_be_drawn_is_one_sentence() {
    let home = Home::with_encoder();
    let text = home.file("no.png", "no picture");
    let long = "dragon ".repeat(15_000);
    for (args, code, part) in [
        (&["", "-o", "x.png"][..], 2, "prompt is empty"),
        (
            &["fox", "--style", "oil"][..],
            2,
            "available styles: flat, ink",
        ),
        (&["fox", "--size", "9999"][..], 2, "pixels"),
        (&["fox", "--background", "red"][..], 2, "hexadecimal"),
        (&["fox", "--seeds", "9-1"][..], 2, "numbers and ranges"),
        (
            &["fox", "-o", "no/such/folder/x.png"][..],
            5,
            "Cannot write",
        ),
        (
            &["--from", text.to_str().unwrap()][..],
            2,
            "Cannot reproduce",
        ),
        (&["fox", "--n", "0"][..], 2, "--n"),
        (
            &["--restyle", text.to_str().unwrap(), "--style", "ink"][..],
            2,
            "not a readable PNG, JPEG, GIF or WebP",
        ),
        (
            &["--restyle", "no.such.file", "--style", "ink"][..],
            2,
            "Cannot use",
        ),
        (&[long.as_str()][..], 2, "prompt is too long"),
    ] {
        let refused = draws(&home, &weights(), args).expect(code);
        assert!(
            refused.stderr.contains(part),
            "{args:?}: {}",
            refused.stderr
        );
        assert_eq!(
            refused.stderr.trim_end().lines().count(),
            1,
            "{}",
            refused.stderr
        );
    }
    let nowhere = ["draw", "fox", "--weights", "no/such/folder"];
    let refused = home.illumine(&nowhere).run().expect(3);
    assert!(refused.stderr.contains("--weights"), "{}", refused.stderr);
}
