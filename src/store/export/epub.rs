//! Exports the story as an e-book in the EPUB 3.3 format, with a table of contents and
//! accessibility metadata.
//!
//! No library except zip is used: an e-book is only an archive of a few files, and the existing
//! EPUB libraries write no accessibility metadata. `tests/it/interop.rs` checks the result with
//! epubcheck.

use super::chapters::split;
use super::direction::Direction;
use super::html::{STYLE, escaped, figure, heading, paragraphs};
use super::pages::{self, Branch};
use super::text::{SpeakerNames, authors, title};
use super::{ExportError, ExportMeta, ExportScope};
use base::hash::hexadecimal;
use sha2::{Digest, Sha256};
use std::io::{Cursor, Write};
use std::sync::Arc;
use story::{NodeId, Picture, Story};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

struct Chapter {
    title: String,
    body: String,
}

pub fn book(story: &Story, extent: ExportScope, meta: &ExportMeta) -> Result<Vec<u8>, ExportError> {
    let names = SpeakerNames::of(story, meta);
    let pieces = pages::with_pictures(story, &story.path());
    let images: Vec<Image> = pages::pictures(story, extent)
        .into_iter()
        .filter_map(|id| Some((id, meta.picture(id)?)))
        .collect();
    let source = |id| {
        let there = images.iter().any(|(known, _)| *known == id);
        there.then(|| format!("images/{}", Picture::file_name(id)))
    };
    let direction = Direction::of_book(&meta.language, &pieces);
    let figure = |id| figure(story, id, source(id), direction);
    let paragraphs = |pieces: &[_]| paragraphs(pieces, &names, &figure, direction);
    let chapter = |title: String, pieces: &[_]| Chapter {
        title,
        body: paragraphs(pieces),
    };
    let split = split(&pieces).into_iter();
    let mut chapters: Vec<Chapter> = split
        .map(|(heading, pieces)| chapter(heading.unwrap_or_else(|| meta.title.clone()), &pieces))
        .collect();
    if extent == ExportScope::Tree {
        let branches = pages::branches(story);
        let told = |branch: &Branch| chapter(title(story, branch), &branch.pieces);
        chapters.extend(branches.iter().map(told));
    }
    // A book has at least one chapter, even if only spaces were written.
    if chapters.is_empty() {
        chapters.push(chapter(meta.title.clone(), &[]));
    }
    let by = escaped(&authors(&pieces));
    if let Some(last) = chapters.last_mut() {
        let own = direction.attribute(&by);
        last.body += &format!("<p class=\"about\" lang=\"en\" xml:lang=\"en\"{own}>{by}.</p>\n");
    }
    let archive = archive(&chapters, &images, meta, direction);
    archive.map_err(|error| ExportError::Card(error.to_string()))
}

/// A picture, as its id and the bytes of its file.
type Image = (NodeId, Arc<[u8]>);

fn archive(
    chapters: &[Chapter],
    images: &[Image],
    meta: &ExportMeta,
    direction: Direction,
) -> zip::result::ZipResult<Vec<u8>> {
    let mut out = ZipWriter::new(Cursor::new(Vec::new()));
    // The media type is the first entry and uncompressed, so that the first bytes identify the
    // file.
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    out.start_file("mimetype", stored)?;
    out.write_all(b"application/epub+zip")?;
    let packed = SimpleFileOptions::default();
    for (id, bytes) in images {
        out.start_file(format!("EPUB/images/{}", Picture::file_name(*id)), stored)?;
        out.write_all(bytes)?;
    }
    let mut put = |name: &str, text: &str| -> zip::result::ZipResult<()> {
        out.start_file(name, packed)?;
        Ok(out.write_all(text.as_bytes())?)
    };
    put("META-INF/container.xml", CONTAINER)?;
    put(
        "EPUB/package.opf",
        &package(chapters, images, meta, direction),
    )?;
    put("EPUB/nav.xhtml", &contents(chapters, meta, direction))?;
    put("EPUB/style.css", STYLE)?;
    for (at, chapter) in chapters.iter().enumerate() {
        let heading = heading(&chapter.title, direction);
        let body = format!("<section>\n{heading}\n{}</section>", chapter.body);
        put(
            &format!("EPUB/chapter-{}.xhtml", at + 1),
            &page(&chapter.title, &body, meta, direction),
        )?;
    }
    Ok(out.finish()?.into_inner())
}

/// The accessibility metadata that is added to a book with pictures.
const VISUAL: &str = r#"    <meta property="schema:accessMode">visual</meta>
    <meta property="schema:accessibilityFeature">alternativeText</meta>
"#;

const CONTAINER: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<container version="1.0" xmlns="urn:oasis:names:tc:opendocument:xmlns:container">
  <rootfiles><rootfile full-path="EPUB/package.opf" media-type="application/oebps-package+xml"/></rootfiles>
</container>
"#;

fn package(
    chapters: &[Chapter],
    images: &[Image],
    meta: &ExportMeta,
    direction: Direction,
) -> String {
    let pictures: String = images
        .iter()
        .map(|(id, _)| {
            format!(
                "    <item id=\"picture-{id}\" href=\"images/{}\" media-type=\"image/png\"/>\n",
                Picture::file_name(*id)
            )
        })
        .collect();
    let (visual, summary) = match images.is_empty() {
        true => (
            "",
            "Text alone, in reading order, with headings and a table of contents.",
        ),
        false => (
            VISUAL,
            "Text in reading order, with headings and a table of contents; every picture is described.",
        ),
    };
    let items: String = (1..=chapters.len())
        .map(|n| format!("    <item id=\"chapter-{n}\" href=\"chapter-{n}.xhtml\" media-type=\"application/xhtml+xml\"/>\n"))
        .collect();
    let spine: String = (1..=chapters.len())
        .map(|n| format!("    <itemref idref=\"chapter-{n}\"/>\n"))
        .collect();
    let (own, title) = (direction.attribute(&meta.title), escaped(&meta.title));
    let (root, turns) = match direction {
        Direction::LeftToRight => ("", ""),
        Direction::RightToLeft => (direction.of_root(), " page-progression-direction=\"rtl\""),
    };
    let language = language(meta);
    let identifier = identifier(chapters, meta);
    let modified = modified(&meta.now);
    format!(
        r#"<?xml version="1.0" encoding="UTF-8"?>
<package xmlns="http://www.idpf.org/2007/opf" version="3.0" unique-identifier="id" xml:lang="{language}"{root}>
  <metadata xmlns:dc="http://purl.org/dc/elements/1.1/">
    <dc:identifier id="id">{identifier}</dc:identifier>
    <dc:title{own}>{title}</dc:title>
    <dc:language>{language}</dc:language>
    <meta property="dcterms:modified">{modified}</meta>
    <meta property="schema:accessMode">textual</meta>
{visual}    <meta property="schema:accessModeSufficient">textual</meta>
    <meta property="schema:accessibilityFeature">tableOfContents</meta>
    <meta property="schema:accessibilityFeature">readingOrder</meta>
    <meta property="schema:accessibilityFeature">structuralNavigation</meta>
    <meta property="schema:accessibilityHazard">none</meta>
    <meta property="schema:accessibilitySummary" xml:lang="en">{summary}</meta>
  </metadata>
  <manifest>
    <item id="nav" href="nav.xhtml" media-type="application/xhtml+xml" properties="nav"/>
    <item id="style" href="style.css" media-type="text/css"/>
{items}{pictures}  </manifest>
  <spine{turns}>
{spine}  </spine>
</package>
"#
    )
}

fn contents(chapters: &[Chapter], meta: &ExportMeta, direction: Direction) -> String {
    let rows: String = chapters
        .iter()
        .enumerate()
        .map(|(at, chapter)| {
            let (n, title) = (at + 1, escaped(&chapter.title));
            let own = direction.attribute(&chapter.title);
            format!("<li><a href=\"chapter-{n}.xhtml\"{own}>{title}</a></li>\n")
        })
        .collect();
    let own = direction.attribute("Contents");
    let body = format!(
        "<nav epub:type=\"toc\" id=\"toc\" role=\"doc-toc\">\n<h1 lang=\"en\" xml:lang=\"en\"{own}>Contents</h1>\n<ol>\n{rows}</ol>\n</nav>"
    );
    page(&meta.title, &body, meta, direction)
}

fn page(title: &str, body: &str, meta: &ExportMeta, direction: Direction) -> String {
    let (title, language) = (escaped(title), language(meta));
    let root = direction.of_root();
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<!DOCTYPE html>\n\
         <html xmlns=\"http://www.w3.org/1999/xhtml\" xmlns:epub=\"http://www.idpf.org/2007/ops\" \
         lang=\"{language}\" xml:lang=\"{language}\"{root}>\n<head>\n<title>{title}</title>\n\
         <link rel=\"stylesheet\" type=\"text/css\" href=\"style.css\"/>\n</head>\n<body>\n{body}\n\
         </body>\n</html>\n"
    )
}

/// The language tag for the book. If the language is unknown, the tag is `und` (undetermined),
/// since a wrong tag would be worse.
fn language(meta: &ExportMeta) -> String {
    match meta.language.as_str() {
        "" => "und".to_string(),
        language => escaped(language),
    }
}

/// The book's identifier: a UUID version 8 (RFC 9562), computed from the SHA-256 of the title and
/// the text.
fn identifier(chapters: &[Chapter], meta: &ExportMeta) -> String {
    let mut hash = Sha256::new();
    hash.update(meta.title.as_bytes());
    chapters
        .iter()
        .for_each(|chapter| hash.update(chapter.body.as_bytes()));
    let mut bytes = hash.finalize();
    bytes[6] = (bytes[6] & 0x0f) | 0x80;
    bytes[8] = (bytes[8] & 0x3f) | 0x80;
    let hex = hexadecimal(&bytes[..16]);
    format!(
        "urn:uuid:{}-{}-{}-{}-{}",
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..]
    )
}

/// The time of modification, truncated to seconds, in the form that EPUB requires.
fn modified(now: &str) -> String {
    match now.get(..19) {
        Some(to_the_second) => format!("{to_the_second}Z"),
        None => "1970-01-01T00:00:00Z".to_string(),
    }
}
