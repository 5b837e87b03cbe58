//! Chooses the cases of a run, and determines which of the cases may run in parallel.

use super::super::args::{Common, Replay as Args};
use super::super::environment::{self, variable};
use super::super::page::Progress as Meter;
use super::super::shard::Shard;
use super::super::{Exit, Failed, backends};
use super::rerun::rerun;
use super::{stable, usage};
use base::hash::fnv1a;
use base::untrusted::clean_line;
use fancy_regex::Regex;
use illumine::engine::ModelLoader;
use remote::is_address;
use replay::golden::Goldens;
use replay::report::{CaseReport, RunMode};
use replay::script::{Case, Script, Step};
use std::collections::BTreeMap;
use std::path::PathBuf;
use story::sentence::count_noun;
use story::{Command, SettingOverrides, Settings, command, sampling};

/// The seed that is used if neither the script nor the command line sets a seed.
pub(super) const SEED: u64 = 0;

/// The cases chosen for a run, in the order of the scripts.
pub(super) struct Plan<'a> {
    pub(super) args: &'a Args,
    pub(super) cases: Vec<(&'a Script, &'a Case)>,
    pub(super) shard: Option<Shard>,
    asked: SettingOverrides,
    last: SettingOverrides,
    /// The current folder. With `--stable`, reports leave it out of paths.
    here: Option<PathBuf>,
    /// For each case, everything that its result depends on besides its script and its model.
    bases: Vec<Basis>,
    /// The name and checksum of each model that a case starts with. The keys are values of the
    /// setting `model`.
    identities: BTreeMap<String, String>,
}

/// What the result of a case depends on besides its script and its model.
#[derive(Clone, Default)]
pub(super) struct Basis {
    pub(super) cassette: Option<PathBuf>,
    pub(super) digest: String,
    /// The mode of the case, if the cases of the run have different modes.
    pub(super) mode: Option<RunMode>,
}

impl<'a> Plan<'a> {
    /// Chooses the cases and checks their settings. The settings in `last` override all other
    /// settings.
    pub(super) fn new(
        scripts: &'a [Script],
        args: &'a Args,
        last: &SettingOverrides,
    ) -> Result<Plan<'a>, Failed> {
        let shard = Shard::find(args.many.shard.as_deref(), variable).map_err(usage)?;
        let mut plan = Plan {
            args,
            cases: chosen(scripts, args)?,
            shard,
            asked: environment::asked(&args.common)?,
            last: last.clone(),
            here: environment::current_folder(),
            bases: Vec::new(),
            identities: BTreeMap::new(),
        };
        for index in 0..plan.cases.len() {
            plan.settings(index)?;
        }
        if let Some(shard) = &plan.shard {
            let id = |script: &Script, case: &Case| {
                fnv1a(&format!("{}\n{}", script.path.display(), case.name))
            };
            plan.cases
                .retain(|(script, case)| shard.has(id(script, case)));
        }
        Ok(plan)
    }

    /// Returns the settings with which a case starts.
    pub(super) fn settings(&self, index: usize) -> Result<Settings, Failed> {
        let (_, case) = self.cases[index];
        let settings = case.settings.apply_to(Settings::default());
        let mut asked = self.asked.clone();
        if let Some(model) = self.on_backend(case)? {
            asked.model = Some(model);
        }
        let settings = settings.and_then(|settings| asked.apply_to(settings));
        let settings = settings.and_then(|settings| self.last.apply_to(settings));
        let mut settings = settings.map_err(usage)?;
        settings.sampling.seed.get_or_insert(SEED);
        Ok(settings)
    }

    /// If a case's script names a backend, returns the name of the case's model on this backend.
    /// Returns None if the script names no backend or the command line overrides it.
    fn on_backend(&self, case: &Case) -> Result<Option<String>, Failed> {
        let flags = &self.args.common;
        let elsewhere = flags.backend.is_some() || flags.model.as_deref().is_some_and(is_address);
        let Some(backend) = case.conditions.backend.clone().filter(|_| !elsewhere) else {
            return Ok(None);
        };
        let named = flags.model.as_ref().or(case.settings.model.as_ref());
        let found = backends::model_of(&Common {
            backend: Some(backend),
            model: named.cloned(),
            ..Common::default()
        });
        found.map_err(|failed| usage(format!("{}: {}", case.at.short(), failed.why)))
    }

    /// Determines the checksums of the models that the cases start with. Returns an error if a
    /// checksum differs from the one that a script names.
    pub(super) fn identify(&mut self, loader: &ModelLoader) -> Result<(), Failed> {
        let progress = Meter::of_bytes();
        for index in 0..self.cases.len() {
            if let Ok(Settings { model, .. }) = self.settings(index)
                && !self.identities.contains_key(&model)
            {
                let identity = loader.identity(&model, &progress);
                self.identities.insert(model, identity);
            }
        }
        for index in 0..self.cases.len() {
            let (_, case) = self.cases[index];
            let settings = self.settings(index)?;
            let identity = self.identities.get(&settings.model);
            let known = identity.and_then(|it| it.rsplit(' ').next());
            let known = known.filter(|it| is_sha256(it));
            if let (Some(pinned), Some(known)) = (pinned(self.args, case), known)
                && !known.starts_with(pinned)
            {
                let why = other_model(&settings.model, known, pinned);
                let why = format!("{}: {why}", case.at.short());
                return Err(Failed::new(Exit::Model, why));
            }
        }
        Ok(())
    }

    /// Sets what the result of each case depends on besides its script and its model.
    pub(super) fn set_bases(&mut self, bases: Vec<Basis>) {
        self.bases = bases;
    }

    /// The mode of a case, if the cases of the run have different modes.
    pub(super) fn mode(&self, index: usize) -> Option<RunMode> {
        self.bases.get(index)?.mode
    }

    /// Returns the digest of everything that the result of a case depends on.
    pub(super) fn digest(&self, index: usize) -> String {
        let (script, case) = self.cases[index];
        let settings = self.settings(index).unwrap_or_default();
        let model = self.identities.get(&settings.model);
        let model = model.map_or(settings.model.as_str(), String::as_str);
        let goldens = Goldens::of(&script.path, false);
        match self.bases.get(index) {
            Some(Basis { digest, .. }) if !digest.is_empty() => {
                case.digest(&settings, &format!("{model}\n{digest}"), &goldens)
            }
            _ => case.digest(&settings, model, &goldens),
        }
    }

    /// Returns the script and the name of a case, as reports show them.
    pub(super) fn names(&self, index: usize) -> (String, String) {
        let report = self.adopt(index, CaseReport::default());
        (report.file, report.case)
    }

    /// Converts the result of a case from an earlier run to a result of this run.
    pub(super) fn adopt(&self, index: usize, report: CaseReport) -> CaseReport {
        let (script, case) = self.cases[index];
        let file = script.path.to_string_lossy().into_owned();
        let report = CaseReport {
            rerun: rerun(&file, &case.name, self.args),
            file,
            case: case.name.clone(),
            line: case.at.line,
            ..report
        };
        self.steadied(index, report)
    }

    /// If reports are to be stable, removes from a report everything that differs between runs or
    /// machines.
    pub(super) fn steadied(&self, index: usize, mut report: CaseReport) -> CaseReport {
        if self.args.stable {
            let (script, _) = self.cases[index];
            (report.seconds, report.tokens_per_second) = (None, None);
            let here = self.here.as_deref();
            stable::shorten(&mut report, &script.path, here);
            let basis = self.bases.get(index);
            if let Some(cassette) = basis.and_then(|basis| basis.cassette.as_ref()) {
                stable::shorten_cassette(&mut report, cassette, here);
            }
        }
        report
    }

    /// Whether a case uses no model in this process, so that other cases may run at the same time.
    /// `is_server` tells whether a text model runs outside this process.
    pub(super) fn is_remote(&self, index: usize, is_server: &dyn Fn(&str) -> bool) -> bool {
        let settings = self.settings(index);
        settings.is_ok_and(|it| is_server(&it.model)) && self.uses_text_models(index, is_server)
    }

    /// Returns the model of a case if the case uses no other model. Its passages may then be
    /// written together with those of other cases.
    pub(super) fn only_model(&self, index: usize) -> Option<String> {
        let model = self.settings(index).ok()?.model;
        let only = self.uses_text_models(index, &|other| other == model);
        only.then_some(model)
    }

    /// Whether a case uses only text models, and switches only to models for which `may_be` returns
    /// true.
    fn uses_text_models(&self, index: usize, may_be: &dyn Fn(&str) -> bool) -> bool {
        let (_, case) = self.cases[index];
        let Ok(settings) = self.settings(index) else {
            return false;
        };
        let line = |step: &Step| match step {
            Step::Expect(expectation) => !expectation.check.uses_encoder(),
            Step::Line { text, .. } => match command::parse(text) {
                // The image model and the text encoder are in this process.
                Ok(Command::Draw(_) | Command::Illustrate(_)) => false,
                Ok(Command::Set(Some(name), Some(_))) => {
                    sampling::find(&name).is_ok_and(|setting| setting.name != "retrieve")
                }
                Ok(Command::Model(Some(name))) => may_be(&name),
                _ => true,
            },
        };
        settings.sampling.recall == 0 && case.steps.iter().all(line)
    }
}

/// The checksum that a case's script names for its model, unless the command line names another
/// model.
pub(super) fn pinned<'a>(args: &Args, case: &'a Case) -> Option<&'a str> {
    let given = args.common.model.is_some() || args.common.backend.is_some();
    let other = given || !args.compare.is_empty();
    case.conditions.sha256.as_deref().filter(|_| !other)
}

/// Returns the error message for a model whose checksum differs from the one that the script names.
pub(super) fn other_model(model: &str, known: &str, pinned: &str) -> String {
    let model = match model {
        "" => "The default model".to_string(),
        model => format!("The model {}", clean_line(model)),
    };
    if known.is_empty() {
        return format!("{model} has no known checksum; remove sha256={pinned} from the script");
    }
    let known = known.get(..pinned.len().max(12)).unwrap_or(known);
    format!(
        "{model} has the SHA-256 {known}…, but the script names {pinned}…; use the model file that the script was written for, or correct sha256="
    )
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Returns the cases whose names match `--filter`.
fn chosen<'a>(scripts: &'a [Script], args: &Args) -> Result<Vec<(&'a Script, &'a Case)>, Failed> {
    let filter = args.filter.as_deref().unwrap_or_default();
    let wanted = Filter::parse(filter)?;
    let all = scripts
        .iter()
        .flat_map(|script| script.cases.iter().map(move |case| (script, case)));
    let chosen: Vec<_> = all
        .clone()
        .filter(|(_, case)| wanted.fits(&case.name))
        .collect();
    match chosen.is_empty() {
        true => Err(usage(format!(
            "No name of the {} contains {}; choose another --filter",
            count_noun(all.count(), "case"),
            clean_line(&filter.to_lowercase())
        ))),
        false => Ok(chosen),
    }
}

/// The condition that the name of a case must meet.
pub(super) enum Filter {
    /// The name contains this text, which is in lower case.
    Text(String),
    /// The name matches this pattern.
    Pattern(Regex),
}

impl Filter {
    /// Parses a filter. A filter between slashes is a pattern.
    pub(super) fn parse(filter: &str) -> Result<Filter, Failed> {
        let pattern = filter.strip_prefix('/').and_then(|it| it.strip_suffix('/'));
        let Some(pattern) = pattern.filter(|pattern| !pattern.is_empty()) else {
            return Ok(Filter::Text(filter.to_lowercase()));
        };
        Regex::new(pattern).map(Filter::Pattern).map_err(|error| {
            let why = format!("The pattern of --filter is invalid: {error}; correct it");
            Failed::new(Exit::Usage, why)
        })
    }

    pub(super) fn fits(&self, name: &str) -> bool {
        match self {
            Filter::Text(text) => name.to_lowercase().contains(text),
            Filter::Pattern(regex) => regex.is_match(name).unwrap_or(false),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_text_or_a_pattern() {
        let fits = |filter: &str, name: &str| Filter::parse(filter).map(|it| it.fits(name)).ok();
        assert_eq!(fits("OPEN", "the opening"), Some(true));
        assert_eq!(fits("^open", "opening"), Some(false));
        assert_eq!(fits("/^open(ing)?$/", "opening"), Some(true));
        assert_eq!(fits("/^open$/", "opening"), Some(false));
        assert_eq!(fits("/", "in/out"), Some(true));
        assert_eq!(fits("/(/", "x"), None);
    }
}
