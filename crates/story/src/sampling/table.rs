//! Finds a setting by its name or an alias and sets it, or reports which values the setting
//! accepts.
//!
//! `/set`, its completion, the command-line flags and the help all use this module. The module
//! prints nothing. [`SETTINGS`] lists the settings themselves.

use super::setting::{Setting, SettingError, key, short};
use super::{SETTINGS, Sampling};
use base::nearest::nearest;

/// Finds a setting by name or alias, and sets it to `value`.
pub fn set(sampling: &mut Sampling, name: &str, value: &str) -> Result<(), SettingError> {
    find(name)?.set(sampling, value)
}

/// Resets one setting to its default.
pub fn reset(sampling: &mut Sampling, name: &str) -> Result<(), SettingError> {
    let setting = find(name)?;
    setting.set(sampling, &setting.get(&Sampling::default()))
}

/// Finds a setting by name or alias, ignoring case, hyphens and underscores.
pub fn find(name: &str) -> Result<&'static Setting, SettingError> {
    let wanted = key(name);
    let known = |setting: &&'static Setting| names(setting).any(|name| key(name) == wanted);
    SETTINGS.iter().find(known).ok_or_else(|| {
        let name = short(name.trim());
        let near = nearest(&name, SETTINGS.iter().flat_map(names));
        match near.and_then(|near| find(near).ok()) {
            Some(Setting { name: nearest, .. }) => SettingError::Near { name, nearest },
            None => SettingError::Unknown { name },
        }
    })
}

fn names(setting: &'static Setting) -> impl Iterator<Item = &'static str> {
    std::iter::once(setting.name).chain(setting.aliases.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sampling_with(name: &str, value: &str) -> Result<Sampling, SettingError> {
        let mut sampling = Sampling::default();
        set(&mut sampling, name, value)?;
        Ok(sampling)
    }

    /// Returns the name under which a setting is serialized. The setting `retrieve` is still
    /// serialized under its former name.
    fn field(setting: &Setting) -> &'static str {
        match setting.name {
            "retrieve" => "recall",
            name => name,
        }
    }

    #[test]
    fn every_name_is_a_field_and_no_name_is_taken_twice() {
        let json = serde_json::to_value(Sampling::default()).unwrap();
        let fields: Vec<&String> = json.as_object().unwrap().keys().collect();
        assert_eq!(fields.len(), SETTINGS.len());
        let mut seen = std::collections::BTreeSet::new();
        for setting in SETTINGS {
            assert!(fields.iter().any(|name| *name == field(setting)));
            for name in names(setting) {
                assert!(seen.insert(key(name)), "{name} is taken twice");
                assert_eq!(find(name).unwrap().name, setting.name);
            }
        }
    }

    #[test]
    fn each_row_gets_and_sets_its_own_field() {
        for setting in SETTINGS {
            let mut sampling = Sampling::default();
            let mut values = ["3", "0.375", "2", "off", r#"["x"]"#].into_iter();
            let changes = |value: &&str| {
                sampling = Sampling::default();
                let set = setting.set(&mut sampling, value).is_ok();
                set && sampling != Sampling::default() && setting.get(&sampling) == *value
            };
            values.find(changes).unwrap();
            let before = serde_json::to_value(Sampling::default()).unwrap();
            let after = serde_json::to_value(&sampling).unwrap();
            for (name, was) in before.as_object().unwrap() {
                assert_eq!(after[name] != *was, name == field(setting), "{name}");
            }
            reset(&mut sampling, setting.name).unwrap();
            assert_eq!(sampling, Sampling::default());
        }
    }

    #[test]
    fn names_forgive_case_hyphens_and_common_aliases() {
        for (name, canonical) in [
            ("temp", "temperature"),
            ("T", "temperature"),
            ("TOP-K", "top_k"),
            ("topk", "top_k"),
            ("rep_pen", "repetition_penalty"),
            ("Repeat-Penalty", "repetition_penalty"),
            ("nsigma", "top_n_sigma"),
            ("typical", "typical_p"),
            ("tokens", "max_tokens"),
            ("n", "max_tokens"),
            ("recall", "retrieve"),
        ] {
            assert_eq!(find(name).unwrap().name, canonical);
        }
    }

    #[test]
    fn errors_are_one_plain_sentence() {
        let error = |name, value| sampling_with(name, value).unwrap_err().to_string();
        assert_eq!(
            error("temprature", "1"),
            "unknown setting \"temprature\"; did you mean temperature?"
        );
        assert_eq!(
            error("presence", "1"),
            "unknown setting \"presence\"; did you mean presence_penalty?"
        );
        assert_eq!(
            error("colour", "1"),
            "unknown setting \"colour\"; /set lists all settings"
        );
        assert_eq!(
            error("t", "hot"),
            "temperature takes a number from 0 to 5 (0 is greedy), not \"hot\""
        );
        assert_eq!(
            error("mirostat", "1"),
            "mirostat takes 0 (off) or 2, not \"1\""
        );
        // Typed text is escaped and shortened.
        assert!(error("t", "\u{1b}[2J").contains(r"\u{1b}"));
        assert!(error("t", &"9".repeat(5000)).len() < 200);
    }

    #[test]
    fn off_is_the_neutral_value() {
        assert_eq!(sampling_with("min_p", "off").unwrap().min_p, 0.0);
        assert_eq!(sampling_with("top-p", "Off").unwrap().top_p, 1.0);
        let bare = sampling_with("breakers", "none").unwrap();
        assert!(bare.dry_sequence_breakers.is_empty());
        assert!(sampling_with("max_tokens", "off").is_err());
    }

    proptest! {
        #[test]
        fn any_words_are_set_or_refused_and_a_refusal_changes_nothing(
            row in 0..SETTINGS.len(), name in ".{0,12}", value in "\\PC{0,12}|-?[0-9.e]{1,9}",
        ) {
            let mut sampling = Sampling::default();
            let _ = set(&mut sampling, &name, &value);
            let mut sampling = Sampling::default();
            let setting = &SETTINGS[row];
            match setting.set(&mut sampling, &value) {
                Err(_) => prop_assert_eq!(&sampling, &Sampling::default()),
                // An accepted value survives a round trip.
                Ok(()) => {
                    let mut again = Sampling::default();
                    prop_assert!(setting.set(&mut again, &setting.get(&sampling)).is_ok());
                    prop_assert_eq!(again, sampling);
                }
            }
        }
    }
}
