//! Describes the text and the settings of a case for a report.

use illumine::store::export;
use illumine::studio::Studio;
use replay::report::{Message, Role};
use story::{Mode, Sampling, Settings, sampling};

/// Formats the settings with which a case starts: the mode, the seed, and every setting of the
/// samplers that differs from the mode's default. The list has the form that `--compare` accepts.
pub(super) fn settings_text(settings: &Settings) -> String {
    let usual = match settings.mode {
        Mode::Prose => Sampling::default(),
        Mode::Chat => Sampling::chat(),
    };
    let mut parts = vec![format!("mode={}", settings.mode.name())];
    for setting in sampling::SETTINGS {
        let value = setting.get(&settings.sampling);
        if setting.name == "seed" || value != setting.get(&usual) {
            parts.push(format!("{}={value}", setting.name));
        }
    }
    parts.join(",")
}

/// Returns the text of the story as messages.
pub(super) fn messages(studio: &Studio) -> Vec<Message> {
    let told = export::messages(studio.story(), &studio.settings().system);
    let told = told.into_iter().map(|(role, content)| Message {
        role: match role {
            "system" => Role::System,
            "assistant" => Role::Assistant,
            _ => Role::User,
        },
        content,
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_settings_that_differ_from_the_default_are_listed() {
        let mut settings = Settings::default();
        settings.sampling.seed = Some(3);
        assert_eq!(settings_text(&settings), "mode=prose,seed=3");
        settings.mode = Mode::Chat;
        settings.sampling = Sampling::chat();
        settings.sampling.seed = Some(4);
        settings.sampling.top_k = 7;
        let text = settings_text(&settings);
        assert!(text.starts_with("mode=chat,"), "{text}");
        assert!(
            text.contains("seed=4") && text.contains("top_k=7"),
            "{text}"
        );
    }
}
