//! The icon sets of the shipped dataset, with the versions, checksums and licences of their npm
//! packages.

/// An icon set: an npm package of SVG icons. Each icon set is one style of the model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IconSet {
    /// The name of the style that the icon set provides.
    pub style: &'static str,
    /// The npm package's name without its scope.
    pub package: &'static str,
    pub version: &'static str,
    /// The SHA-256 of the package's archive.
    pub sha256: &'static str,
    pub licence: &'static str,
    /// The attribution required by the licence.
    pub credit: &'static str,
    /// How the set's icons are matched to concepts.
    pub names: NamingScheme,
}

/// How the icons of a set are matched to concepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamingScheme {
    /// Icons are matched by code point, or else by the label that emojibase has for the emoji.
    Emoji,
    /// Like `Emoji`, but icons are also matched by labels written as one word ("openlock").
    Squashed,
    /// Like `Emoji`, but an icon that matches no emoji becomes a concept with the icon's own name.
    Own,
}

/// The npm scope of the packages of icon sets.
pub const SCOPE: &str = "@iconify-json";

/// The package of emoji labels, tags and groups from which captions are made: its name, version and
/// SHA-256.
pub const EMOJIBASE: (&str, &str, &str) = (
    "emojibase-data",
    "17.0.0",
    "d01d0e2ca4e22cb402679532155342c71e2e871f25c32223c013b8b166ebdf5a",
);

/// All icon sets, in the order of the model's styles.
pub const ICON_SETS: [IconSet; 9] = [
    IconSet {
        style: "noto",
        package: "noto",
        version: "1.2.9",
        sha256: "3e918d88fc945c0bb3d468dbace6f88caef67f01c9f0e7bcae0915a042e8f1ad",
        licence: "Apache-2.0",
        credit: "Noto Emoji, Google",
        names: NamingScheme::Emoji,
    },
    IconSet {
        style: "blob",
        package: "noto-v1",
        version: "1.2.5",
        sha256: "2bf62c26c2c2884aa99e90aec942cdaee17a5921f05690694f4978ad4b017c37",
        licence: "Apache-2.0",
        credit: "Noto Emoji (2013 to 2017), Google",
        names: NamingScheme::Emoji,
    },
    IconSet {
        style: "firefox",
        package: "fxemoji",
        version: "1.2.2",
        sha256: "f3e72b3c59d05e1db03b7e308d55c0d05bd7ba3f625a90da1b79313c12858eef",
        licence: "Apache-2.0",
        credit: "FxEmojis, Mozilla",
        names: NamingScheme::Squashed,
    },
    IconSet {
        style: "flat",
        package: "fluent-emoji-flat",
        version: "1.2.6",
        sha256: "7d064769dee690815f823bc5bcc511d957198caf9f5edd8dd9c1aa48a6aeb175",
        licence: "MIT",
        credit: "Fluent Emoji, Microsoft Corporation",
        names: NamingScheme::Emoji,
    },
    IconSet {
        style: "shaded",
        package: "fluent-emoji",
        version: "1.2.7",
        sha256: "8044210dbf11e016d4de85f15d01a243423bd832457e7e2491df1b751c0e272b",
        licence: "MIT",
        credit: "Fluent Emoji, Microsoft Corporation",
        names: NamingScheme::Emoji,
    },
    IconSet {
        style: "twemoji",
        package: "twemoji",
        version: "1.2.5",
        sha256: "19046dff7d8707ce96212ec86468b36ac5f8e60409629dd13f809265c6d0ebb7",
        licence: "CC-BY-4.0",
        credit: "Twemoji, Twitter, Inc. and other contributors (jdecked/twemoji)",
        names: NamingScheme::Emoji,
    },
    IconSet {
        style: "two",
        package: "emojione",
        version: "1.2.3",
        sha256: "26a14f44284407e8bcde91799388dca2bfd91dbcd55a97f425524a1c5b73610e",
        licence: "CC-BY-4.0",
        credit: "EmojiTwo and EmojiOne 2",
        names: NamingScheme::Emoji,
    },
    IconSet {
        style: "streamline",
        package: "streamline-emojis",
        version: "1.2.4",
        sha256: "5dac87c876b322500989828c5823143e0100d78881627a2e4081a4b897cbfdbc",
        licence: "CC-BY-4.0",
        credit: "Streamline Emojis, Webalys",
        names: NamingScheme::Emoji,
    },
    IconSet {
        style: "ink",
        package: "game-icons",
        version: "1.2.4",
        sha256: "f5758efb34d91c4f50b941f355f16ee73938625e5996fabc25171288404460a4",
        licence: "CC-BY-3.0",
        credit: "the authors of game-icons.net (Lorc, Delapouite and others)",
        names: NamingScheme::Own,
    },
];

/// Returns the SHA-256 of the dataset at a picture size, or None if no checksum is known for the
/// size.
pub fn known_sha256(size: u32) -> Option<&'static str> {
    match size {
        64 => Some("dd3bdc2c7162beedbc599cf52431d587ff5500553b71e3b01da33383b290666a"),
        _ => None,
    }
}
