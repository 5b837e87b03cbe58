//! Chooses the cases of a run, and determines which of the cases may run in parallel.

use super::super::args::Replay as Args;
use super::super::environment::{self, variable};
use super::super::page::Progress as Meter;
use super::super::shard::Shard;
use super::super::{Exit, Failed};
use super::rerun::rerun;
use super::truth::Truth;
use super::{stable, usage};
use base::hash::fnv1a;
use base::untrusted::clean_line;
use fancy_regex::Regex;
use illumine::engine::ModelLoader;
use replay::golden::Goldens;
use replay::report::CaseReport;
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
    /// The current folder, which stable reports leave out of paths.
    here: Option<PathBuf>,
    /// The cassette that is played, verified or recorded.
    cassette: Option<PathBuf>,
    /// A text that identifies everything else that the results depend on, besides the scripts and
    /// the model. Empty if there is nothing else.
    basis: String,
    /// The name and checksum of each model that a case starts with. The keys are values of the
    /// setting `model`.
    identities: BTreeMap<String, String>,
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
            cassette: None,
            basis: String::new(),
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
        let settings = settings.and_then(|settings| self.asked.apply_to(settings));
        let settings = settings.and_then(|settings| self.last.apply_to(settings));
        let mut settings = settings.map_err(usage)?;
        settings.sampling.seed.get_or_insert(SEED);
        Ok(settings)
    }

    /// Determines the checksums of the models with which the cases start.
    pub(super) fn identify(&mut self, loader: &ModelLoader) {
        let progress = Meter::of_bytes();
        for index in 0..self.cases.len() {
            if let Ok(Settings { model, .. }) = self.settings(index)
                && !self.identities.contains_key(&model)
            {
                let identity = loader.identity(&model, &progress);
                self.identities.insert(model, identity);
            }
        }
    }

    /// Stores which cassette `truth` uses, and its [`Truth::basis`].
    pub(super) fn follow(&mut self, truth: &Truth) {
        self.cassette = truth.cassette().map(PathBuf::from);
        self.basis = truth.basis().to_string();
    }

    /// Returns the digest of everything that the result of a case depends on.
    pub(super) fn digest(&self, index: usize) -> String {
        let (script, case) = self.cases[index];
        let settings = self.settings(index).unwrap_or_default();
        let model = self.identities.get(&settings.model);
        let model = model.map_or(settings.model.as_str(), String::as_str);
        let goldens = Goldens::of(&script.path, false);
        match self.basis.is_empty() {
            true => case.digest(&settings, model, &goldens),
            false => case.digest(&settings, &format!("{model}\n{}", self.basis), &goldens),
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
            if let Some(cassette) = &self.cassette {
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

    /// The model of a case that uses no other model, so that this model may write other cases
    /// together with it.
    pub(super) fn only_model(&self, index: usize) -> Option<String> {
        let model = self.settings(index).ok()?.model;
        let only = self.uses_text_models(index, &|other| other == model);
        only.then_some(model)
    }

    /// Whether a case uses text models only, and changes only to models that `may_be` allows.
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
