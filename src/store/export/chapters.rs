//! Splits a story into chapters at its headings. A heading is a Markdown heading, or a line such as
//! "Chapter 3" in one of many languages.

use super::pages::{ExportPassage, Span};
use base::search::same;
use base::untrusted::is_visible;
use story::sentence::excerpt;

/// Splits the story into chapters at its headings. Each chapter consists of its heading, if it has
/// one, and its pieces.
pub(super) fn split(pieces: &[ExportPassage]) -> Vec<(Option<String>, Vec<ExportPassage>)> {
    let mut chapters: Vec<(Option<String>, Vec<ExportPassage>)> = vec![(None, Vec::new())];
    let mut fresh = true;
    for piece in pieces {
        let mut own = ExportPassage {
            spans: Vec::new(),
            ..piece.clone()
        };
        fresh |= !piece.gap.is_empty();
        for span in &piece.spans {
            let mut words = String::new();
            for line in span.text.split_inclusive('\n') {
                if let Some(heading) = heading(line).filter(|_| fresh && line.ends_with('\n')) {
                    give(&mut own.spans, span, &mut words);
                    let told = std::mem::take(&mut own.spans);
                    // The pictures go after all of the passage's text.
                    last(
                        &mut chapters,
                        ExportPassage {
                            spans: told,
                            pictures: Vec::new(),
                            ..own.clone()
                        },
                    );
                    chapters.push((Some(heading), Vec::new()));
                } else {
                    words += line;
                }
                fresh = line.ends_with('\n');
            }
            give(&mut own.spans, span, &mut words);
        }
        last(&mut chapters, own);
    }
    chapters.retain(|(title, pieces)| title.is_some() || !pieces.is_empty());
    chapters
}

fn give(spans: &mut Vec<Span>, span: &Span, words: &mut String) {
    let text = std::mem::take(words);
    if !text.is_empty() {
        spans.push(Span { by: span.by, text });
    }
}

fn last(chapters: &mut [(Option<String>, Vec<ExportPassage>)], piece: ExportPassage) {
    let says =
        piece.spans.iter().any(|span| !span.text.trim().is_empty()) || !piece.pictures.is_empty();
    if let Some((_, pieces)) = chapters.last_mut().filter(|_| says) {
        pieces.push(piece);
    }
}

/// Parses a heading, which is a Markdown heading (`# Title`) or a word for "chapter" with a number.
/// Returns None for any other line.
fn heading(line: &str) -> Option<String> {
    let line = line.trim();
    let marks = line.len() - line.trim_start_matches('#').len();
    if (1..=3).contains(&marks) && line[marks..].starts_with(' ') {
        let title = excerpt(line[marks..].trim(), 120);
        return Some(title).filter(|title| is_visible(title));
    }
    let short = line.chars().count() < 80 && !line.ends_with([',', ';', '，', '、', '،']);
    (short && (counted(line) || counted_together(line))).then(|| line.to_string())
}

/// The words for "chapter" in languages that write a space between the word and the number.
const WORDS: &str = "chapter chapitre kapitel capítulo capitolo capítol capitolul hoofdstuk kapittel \
    kapitola rozdział fejezet poglavje poglavlje luku peatükk nodaļa skyrius bölüm chương bab kabanata \
    глава розділ раздзел поглавље κεφάλαιο գլուխ თავი פרק الفصل فصل باب अध्याय অধ্যায় ਅਧਿਆਇ અધ્યાય \
    அத்தியாயம் అధ్యాయం ಅಧ್ಯಾಯ അദ്ധ്യായം บทที่ ตอนที่ ບົດທີ ជំពូក အခန်း ምዕራፍ бөлүм тарау";

/// Whether a line is a heading like `Chapter 3`. A title may follow the number.
fn counted(line: &str) -> bool {
    let mut words = line.split_whitespace();
    let (Some(first), Some(number)) = (words.next(), words.next()) else {
        return false;
    };
    let number = number.trim_end_matches([':', '.', '：', '-', '–', '—']);
    let roman = |c| "IVXLC".contains(c);
    let counts = number.chars().all(|c| c.is_numeric() || roman(c));
    counts && !number.is_empty() && WORDS.split_whitespace().any(|word| same(word, first))
}

/// Whether a line is a heading like `第三章` or `제3장`. A title may follow.
fn counted_together(line: &str) -> bool {
    const UNITS: &str = "章回節节話话卷幕部장화부";
    let Some(rest) = line.strip_prefix(['第', '제']) else {
        return false;
    };
    let number = |c: char| c.is_numeric() || "〇零一二三四五六七八九十百千两兩 ".contains(c);
    let unit = rest.trim_start_matches(number);
    let counts = unit.len() < rest.len() && unit.starts_with(|c| UNITS.contains(c));
    let after = unit.chars().nth(1);
    // "第一回目" is a word, not a heading.
    counts && after.is_none_or(|c| c.is_whitespace() || !c.is_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chapter_is_counted_in_every_language() {
        for line in [
            "Chapter 3",
            "CHAPTER IV: The Boat",
            "Kapitel 12",
            "Глава 5. Дом",
            "ГЛАВА II",
            "Capi\u{301}tulo 1",
            "פרק 7",
            "الفصل ٣",
            "अध्याय ४",
            "บทที่ 2",
            "第三章",
            "第12話　海へ",
            "第二十回：夜",
            "제3장 바다",
            "# Any",
        ] {
            assert!(heading(line).is_some(), "{line}");
        }
        for line in [
            "Chapter",
            "Chapter and verse",
            "Chapter 3,",
            "Глава дома",
            "第一回目の夜だった。",
            "第三者",
            "제임스",
            "Chapter :",
            "#",
            "# ",
            "# \u{200b}",
        ] {
            assert_eq!(heading(line), None, "{line}");
        }
    }
}
