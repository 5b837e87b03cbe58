//! Formats a report as one HTML file. The file contains its pictures and needs no other files, no
//! scripts and no network.

use super::page::{difference, end, escaped, head, paragraph, text};
use super::{CaseReport, Failure, RunReport, Verdict, counts_text, summary_text};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use image::ImageFormat;
use story::sentence::count_noun;

/// Returns the beginning of the page, with the numbers of cases that passed and failed.
pub fn html_start(run: &RunReport) -> String {
    let failed = run.failed + run.errors;
    let title = match failed {
        0 => format!("Replay: {} passed", count_noun(run.passed, "case")),
        failed => format!(
            "Replay: {failed} of {} failed",
            count_noun(run.cases(), "case")
        ),
    };
    let summary: String = summary_text(run)
        .lines()
        .map(|line| format!("<p>{}</p>\n", escaped(line)))
        .collect();
    head(&title) + &summary
}

/// Returns the end of the page.
pub fn html_end() -> &'static str {
    end()
}

/// Returns the heading above the cases of a script.
pub fn html_script(file: &str) -> String {
    format!("<h2>{}</h2>\n", escaped(file))
}

/// Returns a case as HTML: a short entry if the case passed, otherwise everything that explains the
/// failure.
pub fn html_case(case: &CaseReport) -> String {
    let name = format!("<span dir=\"auto\">{}</span>", escaped(&case.case));
    let counts = escaped(&counts_text(case));
    let pictures = pictures(case);
    let scores: String = case
        .score_lines()
        .iter()
        .skip(1)
        .map(|line| format!("<p class=\"quiet\">{}</p>\n", escaped(line)))
        .collect();
    let remarks: String = case
        .remarks
        .iter()
        .map(|remark| paragraph(remark))
        .collect();
    if case.verdict == Verdict::Passed {
        return format!(
            "<div class=\"case\"><b class=\"good\">passed</b> {name} <span class=\"quiet\">{counts}</span>{scores}{remarks}{pictures}</div>\n"
        );
    }
    let verdict = match case.verdict {
        Verdict::Error => "error",
        Verdict::Passed | Verdict::Failed => "failed",
    };
    let failures: String = case
        .failures
        .iter()
        .chain(&case.error)
        .map(failure)
        .collect();
    let story = case.story.as_ref().filter(|story| !story.is_empty());
    let story = story.map(|story| {
        format!(
            "<details><summary>The whole story</summary>{}</details>\n",
            text(story)
        )
    });
    format!(
        "<article>\n<h3><span class=\"bad\">{verdict}</span> {name}</h3>\n<p class=\"quiet\">{counts}</p>\n{scores}{remarks}{failures}{pictures}{}<h4>To run this case alone</h4>\n<pre>{}</pre>\n</article>\n",
        story.unwrap_or_default(),
        escaped(&case.rerun)
    )
}

fn failure(failure: &Failure) -> String {
    let mut html = format!(
        "<h4>{}: <code>{}</code></h4>\n{}",
        escaped(&failure.at),
        escaped(&failure.source),
        paragraph(&failure.why)
    );
    match (&failure.expected, &failure.actual) {
        (Some(expected), Some(actual)) => {
            html += "<p class=\"quiet\">What was expected but is missing is <del>struck out</del>; what is there instead is <ins>underlined</ins>.</p>\n";
            html += &difference(expected, actual);
        }
        (Some(one), None) | (None, Some(one)) => html += &text(one),
        (None, None) => {}
    }
    html
}

/// Returns the pictures of a case as HTML images that contain the pictures' data.
fn pictures(case: &CaseReport) -> String {
    let mut html = String::new();
    for (at, bytes) in case.pictures.iter().enumerate() {
        // Anything else is not a picture that illumine draws.
        let kind = match image::guess_format(bytes) {
            Ok(ImageFormat::Png) => "png",
            Ok(ImageFormat::Jpeg) => "jpeg",
            Ok(ImageFormat::WebP) => "webp",
            _ => continue,
        };
        html += &format!(
            "<img src=\"data:image/{kind};base64,{}\" alt=\"Picture {} of {}\">\n",
            STANDARD.encode(bytes),
            at + 1,
            escaped(&case.case)
        );
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_escapes_what_it_shows_and_contains_its_pictures() {
        let evil = "<script>alert('x')</script>\u{1b}[31m & \"more\"";
        let failure = Failure {
            at: evil.to_string(),
            source: evil.to_string(),
            why: evil.to_string(),
            expected: Some(format!("The lamp {evil}")),
            actual: Some(format!("The bell {evil}")),
            ..Failure::default()
        };
        let mut png = std::io::Cursor::new(Vec::new());
        let picture = image::RgbImage::new(2, 2);
        picture.write_to(&mut png, ImageFormat::Png).unwrap();
        let case = CaseReport {
            file: evil.to_string(),
            case: evil.to_string(),
            verdict: Verdict::Failed,
            failures: vec![failure.clone()],
            error: Some(failure),
            remarks: vec![evil.to_string()],
            story: Some(evil.to_string()),
            rerun: evil.to_string(),
            pictures: vec![png.into_inner().into(), evil.as_bytes().into()],
            ..CaseReport::default()
        };
        let run = RunReport {
            models: vec![evil.to_string()],
            failed: 1,
            ..RunReport::default()
        };
        let passed = CaseReport {
            verdict: Verdict::Passed,
            ..case.clone()
        };
        let page = [
            html_start(&run),
            html_script(&case.file),
            html_case(&case),
            html_case(&passed),
            html_end().to_string(),
        ]
        .concat();
        assert!(!page.contains("<script") && !page.contains('\u{1b}'));
        assert!(!page.contains("alert('x')") && !page.contains("\"more\""));
        assert!(
            page.contains("The <del>lamp</del><ins>bell</ins> &lt;script&gt;"),
            "{page}"
        );
        assert_eq!(page.matches("src=\"data:image/png;base64,iVBOR").count(), 2);
        assert_eq!(page.matches("src=").count(), 2);
        assert!(!page.contains("http://") && !page.contains("https://"));
        for element in ["article", "pre", "details", "h3", "h4", "div", "span"] {
            let opened = page.matches(&format!("<{element}>")).count()
                + page.matches(&format!("<{element} ")).count();
            assert_eq!(
                opened,
                page.matches(&format!("</{element}>")).count(),
                "{element}"
            );
        }
    }
}
