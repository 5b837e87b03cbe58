//! Tests with typical folders.

use super::*;
use base::progress::{Cancelled, Observer, Unobserved};
use image::{ImageFormat, Rgba, RgbaImage};
use std::fs;
use tempfile::TempDir;

/// An observer that cancels the work at the first check.
struct AlwaysCancelled;

impl Observer for AlwaysCancelled {
    fn progress(&self, _: &str, _: u64, _: Option<u64>) {}

    fn check(&self) -> std::result::Result<(), Cancelled> {
        Err(Cancelled)
    }
}

const RED: Rgba<u8> = Rgba([200, 30, 30, 255]);

/// Creates a folder of pictures with the names in `names`. The first 31 pictures all differ in
/// colour.
fn folder(names: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (number, name) in names.iter().enumerate() {
        let colour = Rgba([(number % 31) as u8 * 8, 100, 200, 255]);
        save(&folder, name, &RgbaImage::from_pixel(40, 40, colour));
    }
    folder
}

fn save(folder: &TempDir, name: &str, picture: &RgbaImage) {
    let path = folder.path().join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    match ImageFormat::from_path(&path).unwrap() {
        ImageFormat::Jpeg => {
            let picture = image::DynamicImage::from(picture.clone()).to_rgb8();
            picture.save(&path).unwrap();
        }
        _ => picture.save(&path).unwrap(),
    }
}

fn given(folder: &TempDir) -> ImageFolder {
    read(folder.path(), 64, &Unobserved).unwrap()
}

fn refused(folder: &TempDir) -> String {
    let found = read(folder.path(), 64, &Unobserved);
    found.unwrap_err().to_string()
}

/// Returns the captions and the style of each picture, in the order of the pictures.
fn told(folder: &ImageFolder) -> Vec<(String, String)> {
    let pictures = &folder.pictures;
    let one = |at: usize| {
        let concept = &pictures.concepts[pictures.concept[at] as usize];
        let style = &pictures.styles[pictures.style[at] as usize];
        (concept.captions.join("|"), style.clone())
    };
    (0..pictures.len()).map(one).collect()
}

fn eight() -> TempDir {
    folder(&[
        "red_dragon-1.png",
        "red_dragon-2.jpg",
        "owl.gif",
        "fox.webp",
        "ink/owl.PNG",
        "ink/deep/wolf.jpeg",
        "Blob/bird_9.png",
        "hut.png",
    ])
}

#[test]
fn words_come_from_the_table_then_from_text_files_then_from_names() {
    let folder = eight();
    let write = |name: &str, text: &str| fs::write(folder.path().join(name), text).unwrap();
    write("owl.txt", "an owl at night\nan owl, awake\n");
    write("hut.txt", "a hut\n");
    write("Blob/bird_9.txt", "a blue bird\n");
    write(
        "captions.csv",
        "file_name,text,style\nowl.gif,\"an owl, grey\",Oil\nink/owl.PNG,,\nhut.png,,charcoal\n",
    );
    let found = given(&folder);
    assert_eq!(found.skipped_summary(), "");
    let own = |caption: &str, style: &str| (caption.to_string(), style.to_string());
    assert_eq!(
        told(&found),
        [
            own("a blue bird", "blob"),
            own("fox|a fox", DEFAULT_STYLE),
            own("a hut", "charcoal"),
            own("wolf|a wolf", "ink"),
            own("owl|an owl", "ink"),
            own("an owl, grey", "oil"),
            own("red dragon|a red dragon", DEFAULT_STYLE),
            own("red dragon|a red dragon", DEFAULT_STYLE),
        ]
    );
    let (one, other) = (found.pictures.concept[6], found.pictures.concept[7]);
    assert_eq!(one, other, "two drawings of one concept");
    assert_eq!(
        found.pictures.styles,
        ["blob", "charcoal", "ink", "oil", DEFAULT_STYLE]
    );
}

#[test]
fn a_wide_picture_lies_in_a_square_with_nothing_around_it_and_half_of_a_colour_is_half() {
    let folder = eight();
    save(&folder, "a wide.png", &RgbaImage::from_pixel(80, 40, RED));
    save(
        &folder,
        "a faint.png",
        &RgbaImage::from_pixel(7, 7, Rgba([200, 100, 0, 128])),
    );
    let found = given(&folder).pictures;
    let at = |picture: usize, x: usize, y: usize| &found.picture(picture)[(y * 64 + x) * 4..][..4];
    // After "Blob/bird_9.png".
    assert_eq!(at(1, 32, 32), [100, 50, 0, 128]);
    assert_eq!(at(2, 32, 4), [0; 4]);
    assert_eq!(at(2, 32, 32), RED.0);
}

#[test]
fn what_cannot_be_used_is_left_out_and_named() {
    let folder = eight();
    fs::write(folder.path().join("broken.png"), b"no picture").unwrap();
    fs::write(folder.path().join("photo.heic"), b"no picture").unwrap();
    fs::write(folder.path().join("notes.pdf"), b"no picture").unwrap();
    fs::write(folder.path().join(".hidden.png"), b"no picture").unwrap();
    save(&folder, "nothing.png", &RgbaImage::new(20, 20));
    let mut huge = fs::read(folder.path().join("hut.png")).unwrap();
    huge[16..24].copy_from_slice(&[0, 1, 0x86, 0xa0, 0, 1, 0x86, 0xa0]);
    let sum = crc32fast::hash(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.to_be_bytes());
    fs::write(folder.path().join("huge.png"), huge).unwrap();
    fs::write(
        folder.path().join("metadata.csv"),
        "file_name,text\nBlob/bird_9.png,a bird\n../../secret.png,a secret\ngone.png,a ghost\n",
    )
    .unwrap();
    let found = given(&folder);
    assert_eq!(found.pictures.len(), 8);
    let names: Vec<&str> = found
        .skipped
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(
        names,
        [
            "../../secret.png",
            "broken.png",
            "gone.png",
            "huge.png",
            "nothing.png",
            "photo.heic"
        ]
    );
    let words = found.skipped_summary();
    assert!(
        words.starts_with(
            "skipped: ../../secret.png (metadata.csv lists it, but it does not exist)"
        ) && words.ends_with("and 3 more"),
        "{words}"
    );
    let why = |name: &str| &found.skipped.iter().find(|(own, _)| own == name).unwrap().1;
    assert!(why("huge.png").contains("million pixels"));
    assert_eq!(why("nothing.png"), "it is empty");
}

#[test]
fn a_folder_that_nothing_can_be_learned_from_is_said_in_a_sentence() {
    let empty = tempfile::tempdir().unwrap();
    assert!(refused(&empty).ends_with("contains no pictures (PNG, JPEG, GIF or WebP)"));
    let two = folder(&["fox.png", "0001.png"]);
    let why = refused(&two);
    assert!(
        why.contains("1 can be used, but training needs at least 8; skipped: 0001.png"),
        "{why}"
    );
    let unsound = eight();
    fs::write(unsound.path().join("captions.csv"), "file_name,text\n\"a").unwrap();
    let why = refused(&unsound);
    assert!(
        why.contains("captions.csv") && why.contains("line 2"),
        "{why}"
    );
}

#[test]
fn the_same_folder_gives_the_same_bytes_and_what_a_run_writes_is_no_part_of_it() {
    let folder = eight();
    let first = given(&folder).pictures.to_bytes().unwrap();
    save(
        &folder,
        "run/reconstruct.png",
        &RgbaImage::from_pixel(9, 9, RED),
    );
    fs::write(folder.path().join("run/captions-0.f32"), b"").unwrap();
    assert!(given(&folder).pictures.to_bytes().unwrap() == first);
    let stopped = read(folder.path(), 64, &AlwaysCancelled);
    assert!(matches!(stopped, Err(DataError::Stopped)));
}

#[test]
fn some_things_are_held_out_where_there_are_many() {
    let things: Vec<String> = (0..200).map(|n| format!("thing {n} of wood.png")).collect();
    let mut names: Vec<&str> = things.iter().map(String::as_str).collect();
    let one_style = given(&folder(&names)).pictures;
    let count = |pictures: &Dataset, part| pictures.split.iter().filter(|p| **p == part).count();
    let held = count(&one_style, Split::HeldOutConcept);
    assert!((4..=16).contains(&held), "{held}");
    assert_eq!(
        count(&one_style, Split::HeldOutPair),
        0,
        "it would be held out entirely"
    );
    let ink: Vec<String> = things.iter().map(|name| format!("ink/{name}")).collect();
    names.extend(ink.iter().map(String::as_str));
    let two_styles = given(&folder(&names)).pictures;
    assert_eq!(count(&two_styles, Split::HeldOutConcept), 2 * held);
    assert!(count(&two_styles, Split::HeldOutPair) > 4);
    names.truncate(MIN_CONCEPTS - 1);
    let few = given(&folder(&names)).pictures;
    assert_eq!(count(&few, Split::Train), few.len());
}
